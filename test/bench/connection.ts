/**
 * HTTP/1.1 on one connection that is kept alive, one request at a time: the same client for every system, with so little of
 * its own that the servers are what is measured.
 */
export type Reply = { readonly status: number; readonly text: string };

const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();
const READ_BYTES = 64 * 1024;

export class Connection {
  readonly #conn: Deno.TcpConn;
  readonly #host: string;
  readonly #chunk = new Uint8Array(READ_BYTES);
  /** Read and not used yet. */
  #rest = new Uint8Array(0);

  private constructor(conn: Deno.TcpConn, host: string) {
    this.#conn = conn;
    this.#host = host;
  }

  /** @param url origin of the server */
  static async open(url: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url);
    const conn = await Deno.connect({ hostname, port: Number(port) });
    conn.setNoDelay(true);
    return new Connection(conn, host);
  }

  /** Rejects where the connection ends before the whole answer is there. */
  async request(method: string, path: string, body?: string, type = "application/json"): Promise<Reply> {
    const bytes = body === undefined ? null : ENCODER.encode(body);
    const about = bytes === null ? "" : `Content-Type: ${type}\r\nContent-Length: ${bytes.length}\r\n`;
    const head = ENCODER.encode(`${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${about}\r\n`);
    await writeAll(this.#conn, bytes === null ? head : joined(head, bytes));
    return await this.#reply();
  }

  close(): void {
    try {
      this.#conn.close();
    } catch {
      // The server was first.
    }
  }

  async #reply(): Promise<Reply> {
    const head = DECODER.decode(await this.#until("\r\n\r\n"));
    const status = Number(head.slice(9, 12));
    const length = /^content-length: *([0-9]+)/im.exec(head)?.[1];
    if (length !== undefined) return { status, text: DECODER.decode(await this.#take(Number(length))) };
    if (!/^transfer-encoding: *chunked/im.test(head)) return { status, text: "" };
    let text = "";
    for (;;) {
      const size = parseInt(DECODER.decode(await this.#until("\r\n")), 16);
      text += DECODER.decode(await this.#take(size));
      await this.#take(2);
      if (size === 0) return { status, text };
    }
  }

  /** Up to `end` and with it. */
  async #until(end: string): Promise<Uint8Array> {
    const wanted = ENCODER.encode(end);
    for (let from = 0;;) {
      const at = indexOf(this.#rest, wanted, from);
      if (at >= 0) return await this.#take(at + wanted.length);
      from = Math.max(0, this.#rest.length - wanted.length);
      await this.#more();
    }
  }

  async #take(count: number): Promise<Uint8Array> {
    while (this.#rest.length < count) await this.#more();
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  async #more(): Promise<void> {
    const count = await this.#conn.read(this.#chunk);
    if (count === null) throw new Error("the connection ended in the middle of an answer");
    this.#rest = joined(this.#rest, this.#chunk.subarray(0, count));
  }
}

export async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  for (let i = from; i + wanted.length <= bytes.length; i++) {
    if (wanted.every((byte, j) => bytes[i + j] === byte)) return i;
  }
  return -1;
}
