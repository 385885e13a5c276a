/** As much of ZooKeeper's wire protocol (its `zookeeper.jute`) as a client needs that asks one thing at a time. */
import { ByteStream, joined } from "./byte_stream.ts";

/** Types of requests. */
const OPS = { create: 1, delete: 2, exists: 3, getData: 4, setData: 5, getChildren: 8, sync: 9 } as const;
/** Flags of a node that is made. */
export const PERSISTENT = 0;
export const EPHEMERAL = 1;
export const EPHEMERAL_SEQUENTIAL = 3;

const NO_NODE = -101;
const NODE_EXISTS = -110;
const WATCH_EVENT = -1;
const ANY_VERSION = -1;
const ALL_PERMISSIONS = 31;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

export function int(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return bytes;
}

export function long(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, value);
  return bytes;
}

/** Text too: its bytes are UTF-8. */
export function buffer(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? ENCODER.encode(value) : value;
  return joined(int(bytes.length), bytes);
}

/** A frame is its length, and what is in it. */
export async function readFrame(stream: ByteStream): Promise<Reader> {
  const length = new Reader(await stream.take(4)).int();
  return new Reader(await stream.take(length));
}

export class Reader {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  int(): number {
    this.#at += 4;
    return this.#view.getInt32(this.#at - 4);
  }

  long(): bigint {
    this.#at += 8;
    return this.#view.getBigInt64(this.#at - 8);
  }

  /** An empty one where there is none. */
  buffer(): Uint8Array {
    const length = Math.max(0, this.int());
    this.#at += length;
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at - length, length);
  }

  text(): string {
    return DECODER.decode(this.buffer());
  }

  texts(): readonly string[] {
    return Array.from({ length: Math.max(0, this.int()) }, () => this.text());
  }
}

export class Session {
  readonly #stream: ByteStream;
  /** Paths whose watches went off while an answer was waited for. */
  readonly #changed = new Set<string>();
  #xid = 0;

  private constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** @param timeoutMs nothing need be said for so long */
  static async open(hostname: string, port: number, timeoutMs: number): Promise<Session> {
    const stream = await ByteStream.open(hostname, port);
    const [version, lastZxid, session, password, readOnly] = [int(0), long(0n), long(0n), buffer(new Uint8Array(16)), [
      0,
    ]];
    await stream.write(buffer(joined(version, lastZxid, int(timeoutMs), session, password, new Uint8Array(readOnly))));
    const granted = await readFrame(stream);
    granted.int();
    if (granted.int() < timeoutMs) throw new Error("ZooKeeper grants a shorter session");
    return new Session(stream);
  }

  /** The path, with its number if it is sequential; null: there is one already. */
  async create(path: string, data: string, flags: number): Promise<string | null> {
    const acl = joined(int(1), int(ALL_PERMISSIONS), buffer("world"), buffer("anyone"));
    const answer = await this.#ask(OPS.create, joined(buffer(path), buffer(data), acl, int(flags)), NODE_EXISTS);
    return answer?.text() ?? null;
  }

  async delete(path: string): Promise<void> {
    await this.#ask(OPS.delete, joined(buffer(path), int(ANY_VERSION)));
  }

  /** False: there is no such node. */
  async set(path: string, data: string): Promise<boolean> {
    return await this.#ask(OPS.setData, joined(buffer(path), buffer(data), int(ANY_VERSION)), NO_NODE) !== null;
  }

  /** After all that was decided before this was asked. */
  async getLatest(path: string): Promise<string> {
    await this.#ask(OPS.sync, buffer(path));
    return (await this.#ask(OPS.getData, joined(buffer(path), NO_WATCH)))!.text();
  }

  async children(path: string): Promise<readonly string[]> {
    return (await this.#ask(OPS.getChildren, joined(buffer(path), NO_WATCH)))!.texts();
  }

  /** Resolves when there is no such node. */
  async gone(path: string): Promise<void> {
    // A watch goes off once, and only tells that something changed.
    while (await this.#ask(OPS.exists, joined(buffer(path), WATCH), NO_NODE) !== null) {
      while (!this.#changed.delete(path)) this.#note(await readFrame(this.#stream));
    }
  }

  close(): void {
    this.#stream.close();
  }

  /** What is left of the answer; null where it is `allowed`. Rejects with any other error. */
  async #ask(type: number, body: Uint8Array, allowed?: number): Promise<Reader | null> {
    const xid = ++this.#xid;
    await this.#stream.write(buffer(joined(int(xid), int(type), body)));
    for (;;) {
      const frame = await readFrame(this.#stream);
      const error = this.#note(frame, xid);
      if (error === null) continue;
      if (error === allowed) return null;
      if (error !== 0) throw new Error(`ZooKeeper answered ${error}`);
      return frame;
    }
  }

  /** The error of the answer that has this number; null of what is none but a watch's event. */
  #note(frame: Reader, xid?: number): number | null {
    const told = frame.int();
    frame.long();
    const error = frame.int();
    if (told === WATCH_EVENT) {
      frame.int();
      frame.int();
      this.#changed.add(frame.text());
      return null;
    }
    if (told !== xid) throw new Error(`ZooKeeper answered ${told}, which was not asked`);
    return error;
  }
}

const NO_WATCH = new Uint8Array([0]);
const WATCH = new Uint8Array([1]);
