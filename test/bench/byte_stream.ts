/** One TCP connection, read in pieces of known length or up to a known end. */

const READ_BYTES = 64 * 1024;

export class ByteStream {
  readonly #conn: Deno.TcpConn;
  readonly #chunk = new Uint8Array(READ_BYTES);
  /** Read and not used yet. */
  #rest = new Uint8Array(0);

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  static async open(hostname: string, port: number): Promise<ByteStream> {
    const conn = await Deno.connect({ hostname, port });
    conn.setNoDelay(true);
    return new ByteStream(conn);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#conn, bytes);
  }

  /** Up to `end` and with it. Rejects where the connection ends before. */
  async until(end: Uint8Array): Promise<Uint8Array> {
    for (let from = 0;;) {
      const at = indexOf(this.#rest, end, from);
      if (at >= 0) return await this.take(at + end.length);
      from = Math.max(0, this.#rest.length - end.length);
      await this.#more();
    }
  }

  /** Rejects where the connection ends before. */
  async take(count: number): Promise<Uint8Array> {
    while (this.#rest.length < count) await this.#more();
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  close(): void {
    try {
      this.#conn.close();
    } catch {
      // The server was first.
    }
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

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  for (let i = from; i + wanted.length <= bytes.length; i++) {
    if (wanted.every((byte, j) => bytes[i + j] === byte)) return i;
  }
  return -1;
}
