/** What somebody without a credential can do to a node's door: each returns what the door made of it. */

const CHUNK = new TextEncoder().encode("1\r\n{\r\n");
/** Chunks in one write; less of a connection than the server takes in before it has refused. */
const CHUNKS_PER_WRITE = 100;
const POST = "POST /paxos/acceptor HTTP/1.1\r\nHost: localhost\r\n";

/** Connections it took, and how many of them were answered 401. */
export type Outcome = { readonly connections: number; readonly refused: number };

export type Attack = (port: number, count: number, hold: Promise<unknown>) => Promise<Outcome>;

/** `count` chunks of one byte, over as many connections as it takes: the door closes one when it has refused. */
export const chunks: Attack = async (port, count) => {
  const piece = new Uint8Array(CHUNK.length * CHUNKS_PER_WRITE);
  for (let i = 0; i < CHUNKS_PER_WRITE; i++) piece.set(CHUNK, i * CHUNK.length);
  let [connections, refused] = [0, 0];
  for (let sent = 0; sent < count;) {
    connections++;
    const door = await Door.open(port, `${POST}Transfer-Encoding: chunked\r\n\r\n`);
    while (sent < count && !door.isClosed && await door.write(piece)) sent += CHUNKS_PER_WRITE;
    if (sent >= count) await door.answered;
    door.close();
    if (door.status === "401") refused++;
  }
  return { connections, refused };
};

/** `count` connections with half a head each. */
export const heads: Attack = (port, count, hold) =>
  held(port, count, hold, "POST /paxos/acceptor HTTP/1.1\r\nHost: loc", 0);

/** `count` connections with a head and half a body each. */
export const bodies: Attack = (port, count, hold) =>
  held(port, count, hold, `${POST}Content-Length: 1000\r\n\r\n${"{".repeat(500)}`, count);

async function held(
  port: number,
  count: number,
  hold: Promise<unknown>,
  begun: string,
  answers: number,
): Promise<Outcome> {
  const doors: Door[] = [];
  for (let i = 0; i < count; i++) doors.push(await Door.open(port, begun));
  if (answers > 0) await Promise.all(doors.map(({ answered }) => answered));
  await hold;
  for (const door of doors) door.close();
  return { connections: count, refused: doors.filter(({ status }) => status === "401").length };
}

/** One connection, and what was answered on it. */
class Door {
  status: string | null = null;
  isClosed = false;
  readonly answered: Promise<void>;
  readonly #connection: Deno.Conn;

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.answered = promise;
    void this.#read(resolve);
  }

  static async open(port: number, begun: string): Promise<Door> {
    const door = new Door(await Deno.connect({ hostname: "127.0.0.1", port }));
    await door.write(new TextEncoder().encode(begun));
    return door;
  }

  /** False: the other side has closed. */
  async write(bytes: Uint8Array): Promise<boolean> {
    try {
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
      return true;
    } catch {
      this.isClosed = true;
      return false;
    }
  }

  close(): void {
    this.#connection.close();
  }

  async #read(answered: () => void): Promise<void> {
    const buffer = new Uint8Array(4_096);
    try {
      for (let size = await this.#connection.read(buffer); size !== null; size = await this.#connection.read(buffer)) {
        this.status ??= new TextDecoder().decode(buffer.subarray(0, size)).split(" ")[1] ?? null;
        answered();
      }
    } catch {
      // Reset, or closed from here.
    }
    this.isClosed = true;
    answered();
  }
}
