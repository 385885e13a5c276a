/**
 * Stands on the public port of one acceptor and hands each request to one of the processes that serve it, at random. It
 * reads no more than the head of a request, and changes nothing of it but that the connection ends with its answer:
 * otherwise whoever keeps its connection alive, as peers do, would stay with one process. The rest is carried as it is.
 */

const HEAD_END = new TextEncoder().encode("\r\n\r\n");
const LAST = new TextEncoder().encode("\r\nConnection: close");
/** No node takes a longer head; such a one is handed on as it is, to be refused. */
const HEAD_MAX_BYTES = 256 * 1024;
const READ_BYTES = 64 * 1024;

export class Balancer {
  readonly port: number;
  /** Requests handed on so far, by port of the process. */
  readonly counts: Map<number, number> = new Map();
  readonly #listener: Deno.TcpListener;
  readonly #random: () => number;
  readonly #connections = new Set<Deno.TcpConn>();
  #ports: readonly number[] = [];
  #isClosed = false;

  /** @param port 0: a free one */
  constructor(port: number, random: () => number) {
    this.#random = random;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.port = this.#listener.addr.port;
    this.#accept();
  }

  /** From now on requests go to this process too. */
  add(port: number): void {
    if (!this.#ports.includes(port)) this.#ports = [...this.#ports, port];
  }

  remove(port: number): void {
    this.#ports = this.#ports.filter((other) => other !== port);
  }

  close(): void {
    this.#isClosed = true;
    close(this.#listener);
    for (const connection of this.#connections) close(connection);
  }

  async #accept(): Promise<void> {
    while (!this.#isClosed) {
      const client = await this.#listener.accept().catch(() => null);
      if (client === null) return;
      this.#keep(client);
      this.#serve(client).catch(() => {}).finally(() => this.#drop(client));
    }
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    const start = await lastRequest(client);
    if (start === null) return;
    const upstream = await this.#connect();
    if (upstream === null) return;
    try {
      // The end of what the client sends is told the process too, and the end of the answer ends both.
      carry(client, upstream, start).then(() => upstream.closeWrite()).catch(() => {});
      await carry(upstream, client);
    } finally {
      this.#drop(upstream);
    }
  }

  /** To one that takes connections: of a process that is gone nothing was asked yet. Null if there is none. */
  async #connect(): Promise<Deno.TcpConn | null> {
    const left = [...this.#ports];
    while (left.length > 0) {
      const [port] = left.splice(Math.floor(this.#random() * left.length), 1);
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: port! }).catch(() => null);
      if (connection === null) continue;
      this.counts.set(port!, (this.counts.get(port!) ?? 0) + 1);
      this.#keep(connection);
      return connection;
    }
    return null;
  }

  #keep(connection: Deno.TcpConn): void {
    connection.setNoDelay();
    this.#connections.add(connection);
    if (this.#isClosed) close(connection);
  }

  #drop(connection: Deno.TcpConn): void {
    this.#connections.delete(connection);
    close(connection);
  }
}

/** What a client sends first, up to its head's end at least, told to be its last; null if it sends no whole head. */
async function lastRequest(client: Deno.TcpConn): Promise<Uint8Array | null> {
  let bytes: Uint8Array = new Uint8Array(0);
  while (bytes.length < HEAD_MAX_BYTES) {
    const end = indexOf(bytes, HEAD_END);
    if (end >= 0) return joined(bytes.subarray(0, end), LAST, bytes.subarray(end));
    const buffer = new Uint8Array(READ_BYTES);
    const count = await client.read(buffer);
    if (count === null) return null;
    bytes = joined(bytes, buffer.subarray(0, count));
  }
  return bytes;
}

async function carry(from: Deno.TcpConn, to: Deno.TcpConn, first: Uint8Array = new Uint8Array(0)): Promise<void> {
  await writeAll(to, first);
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) return;
    await writeAll(to, buffer.subarray(0, count));
  }
}

async function writeAll(to: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await to.write(bytes.subarray(sent));
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  for (let at = bytes.indexOf(wanted[0]!); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function close(resource: { close(): void }): void {
  try {
    resource.close();
  } catch {
    // Its other side was first.
  }
}
