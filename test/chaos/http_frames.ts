/** HTTP/1.1 messages as they travel, whole and unread: what a proxy between two nodes has to tell apart and no more. */

const HEAD_END = new TextEncoder().encode("\r\n\r\n");
const HEAD_MAX_BYTES = 64 * 1024;
const READ_BYTES = 64 * 1024;

/** Only what it needs of a connection, so that any stream can be read. */
export type Source = { read(buffer: Uint8Array): Promise<number | null> };

export class MessageReader {
  readonly #source: Source;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(source: Source) {
    this.#source = source;
  }

  /**
   * The next message, head and body; null at the end of the stream, also if it ends within a message. Rejects where
   * the end of a body is not told by its Content-Length: no node of this project sends such.
   */
  async next(): Promise<Uint8Array | null> {
    let searchedTo = 0;
    for (;;) {
      const headEnd = indexOf(this.#bytes, HEAD_END, searchedTo);
      if (headEnd >= 0) {
        const length = headEnd + HEAD_END.length +
          bodyBytes(new TextDecoder().decode(this.#bytes.subarray(0, headEnd)));
        while (this.#bytes.length < length) if (!await this.#fill()) return null;
        const message = this.#bytes.slice(0, length);
        this.#bytes = this.#bytes.subarray(length);
        return message;
      }
      if (this.#bytes.length > HEAD_MAX_BYTES) throw new Error(`a head above ${HEAD_MAX_BYTES} bytes`);
      searchedTo = Math.max(0, this.#bytes.length - HEAD_END.length + 1);
      if (!await this.#fill()) return null;
    }
  }

  async #fill(): Promise<boolean> {
    const buffer = new Uint8Array(READ_BYTES);
    // A connection that was reset has ended too.
    const count = await this.#source.read(buffer).catch(() => null);
    if (count === null) return false;
    const joined = new Uint8Array(this.#bytes.length + count);
    joined.set(this.#bytes);
    joined.set(buffer.subarray(0, count), this.#bytes.length);
    this.#bytes = joined;
    return true;
  }
}

function bodyBytes(head: string): number {
  if (/\r\ntransfer-encoding:/i.test(head)) throw new Error("a message without Content-Length");
  const length = /\r\ncontent-length: *([0-9]+)/i.exec(head)?.[1];
  if (length !== undefined) return Number(length);
  // A request without one has no body; an answer without one would end with the connection.
  if (head.startsWith("HTTP/")) throw new Error("an answer without Content-Length");
  return 0;
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(wanted[0]!, from); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
