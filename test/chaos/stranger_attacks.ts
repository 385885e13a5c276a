/** What somebody without a credential can do to a node's door: each returns what the door made of it, once `hold` is over. */

import { WIRES } from "../../src/version.ts";

const CHUNK = new TextEncoder().encode("1\r\n{\r\n");
/** Chunks in one write; less of a connection than the server takes in before it has refused. */
const CHUNKS_PER_WRITE = 100;
const POST = "POST /paxos/acceptor HTTP/1.1\r\nHost: localhost\r\n";

const UPGRADE = [
  "GET /paxos/line?ticket=0000000000000000 HTTP/1.1",
  "Host: localhost",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
  "Quorate-Peer: b",
  "Quorate-To: a.?.0",
  "Quorate-Count: 1",
  `Quorate-Digest: ${"0".repeat(64)}`,
  `Quorate-Wire: ${WIRES.least}`,
  `Quorate-Mac: v1=${"0".repeat(64)}`,
  "\r\n",
].join("\r\n");

/** Connections it took, and how many of them were answered 401. */
export type Outcome = { readonly connections: number; readonly refused: number };

/** How long what was begun is kept up, by how many of the connections that are open have an answer. */
export type Hold = (answered: () => number) => Promise<unknown>;

export type Attack = (port: number, count: number, hold: Hold) => Promise<Outcome>;

/** `count` chunks of one byte, over as many connections as it takes: the door may close one when it has refused. */
export const chunks: Attack = async (port, count, hold) => {
  const piece = new Uint8Array(CHUNK.length * CHUNKS_PER_WRITE);
  for (let i = 0; i < CHUNKS_PER_WRITE; i++) piece.set(CHUNK, i * CHUNK.length);
  const doors: Door[] = [];
  for (let sent = 0; sent < count;) {
    const door = await Door.open(port, `${POST}Transfer-Encoding: chunked\r\n\r\n`);
    doors.push(door);
    while (sent < count && !door.isClosed && await door.write(piece)) sent += CHUNKS_PER_WRITE;
  }
  return await held(doors, hold);
};

/** `count` connections with half a head each. */
export const heads: Attack = (port, count, hold) =>
  begun(port, count, hold, "POST /paxos/acceptor HTTP/1.1\r\nHost: loc");

/** `count` connections with a head and half a body each. */
export const bodies: Attack = (port, count, hold) =>
  begun(port, count, hold, `${POST}Content-Length: 1000\r\n\r\n${"{".repeat(500)}`);

/** `count` connections that ask for a WebSocket as a peer would, with a MAC that anybody can make, and a frame at once. */
export const upgrades: Attack = (port, count, hold) =>
  begun(port, count, hold, `${UPGRADE}\x81\x7e\xff\xff${"x".repeat(500)}`);

async function begun(port: number, count: number, hold: Hold, text: string): Promise<Outcome> {
  const doors: Door[] = [];
  for (let i = 0; i < count; i++) doors.push(await Door.open(port, text));
  return await held(doors, hold);
}

async function held(doors: readonly Door[], hold: Hold): Promise<Outcome> {
  await hold(() => doors.filter(({ status }) => status !== null).length);
  for (const door of doors) door.close();
  return { connections: doors.length, refused: doors.filter(({ status }) => status === "401").length };
}

/** One connection, and what was answered on it. */
class Door {
  status: string | null = null;
  isClosed = false;
  readonly #connection: Deno.Conn;

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
    void this.#read();
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

  async #read(): Promise<void> {
    const buffer = new Uint8Array(4_096);
    try {
      for (let size = await this.#connection.read(buffer); size !== null; size = await this.#connection.read(buffer)) {
        this.status ??= new TextDecoder().decode(buffer.subarray(0, size)).split(" ")[1] ?? null;
      }
    } catch {
      // Reset, or closed from here.
    }
    this.isClosed = true;
  }
}
