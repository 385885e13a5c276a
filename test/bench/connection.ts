/**
 * HTTP/1.1 on one connection that is kept alive, one request at a time: the same client for every system that speaks it,
 * with so little of its own that the servers are what is measured.
 */
import { ByteStream, joined } from "./byte_stream.ts";

export type Reply = { readonly status: number; readonly text: string };

const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();
const LINE_END = ENCODER.encode("\r\n");
const HEAD_END = ENCODER.encode("\r\n\r\n");

export class Connection {
  readonly #stream: ByteStream;
  readonly #host: string;

  private constructor(stream: ByteStream, host: string) {
    this.#stream = stream;
    this.#host = host;
  }

  /** @param url origin of the server */
  static async open(url: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url);
    return new Connection(await ByteStream.open(hostname, Number(port)), host);
  }

  /** Rejects where the connection ends before the whole answer is there. */
  async request(method: string, path: string, body?: string, type = "application/json"): Promise<Reply> {
    const bytes = body === undefined ? null : ENCODER.encode(body);
    const about = bytes === null ? "" : `Content-Type: ${type}\r\nContent-Length: ${bytes.length}\r\n`;
    const head = ENCODER.encode(`${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${about}\r\n`);
    await this.#stream.write(bytes === null ? head : joined(head, bytes));
    return await this.#reply();
  }

  close(): void {
    this.#stream.close();
  }

  async #reply(): Promise<Reply> {
    const head = DECODER.decode(await this.#stream.until(HEAD_END));
    const status = Number(head.slice(9, 12));
    const length = /^content-length: *([0-9]+)/im.exec(head)?.[1];
    if (length !== undefined) return { status, text: DECODER.decode(await this.#stream.take(Number(length))) };
    if (!/^transfer-encoding: *chunked/im.test(head)) return { status, text: "" };
    let text = "";
    for (;;) {
      const size = parseInt(DECODER.decode(await this.#stream.until(LINE_END)), 16);
      text += DECODER.decode(await this.#stream.take(size));
      await this.#stream.take(2);
      if (size === 0) return { status, text };
    }
  }
}
