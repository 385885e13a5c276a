const BUFFER_BYTES = 64 * 1024;

/**
 * Stands before an HTTP server of this process and carries bytes, so that a connection can be cut under a request:
 * a handler of `Deno.serve` can only answer.
 */
export class Relay {
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #serverPort: number;
  /** By the local port of the connection to the server, which is what a handler is told of its peer. */
  readonly #pairs = new Map<number, readonly [Deno.TcpConn, Deno.TcpConn]>();
  readonly #clients = new Set<Deno.TcpConn>();

  constructor(serverPort: number, port: number) {
    this.#serverPort = serverPort;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.port = this.#listener.addr.port;
    this.#accept();
  }

  /** Ends the client's connection at once, with whatever else is under way on it. */
  cut(peerPort: number): void {
    for (const conn of this.#pairs.get(peerPort) ?? []) close(conn);
  }

  close(): void {
    close(this.#listener);
    for (const client of this.#clients) close(client);
    for (const port of this.#pairs.keys()) this.cut(port);
  }

  async #accept(): Promise<void> {
    // Ends with the listener, whose closing is what makes `accept` throw.
    for (;;) {
      const client = await this.#listener.accept().catch(() => null);
      if (client === null) return;
      this.#clients.add(client);
      this.#carry(client).catch(() => {}).finally(() => {
        this.#clients.delete(client);
        close(client);
      });
    }
  }

  async #carry(client: Deno.TcpConn): Promise<void> {
    const server = await Deno.connect({ hostname: "127.0.0.1", port: this.#serverPort });
    client.setNoDelay();
    server.setNoDelay();
    const { port } = server.localAddr;
    this.#pairs.set(port, [client, server]);
    try {
      // Not one after the other: the end of either side ends both.
      await Promise.race([carry(client, server), carry(server, client)]);
    } finally {
      this.#pairs.delete(port);
      close(server);
    }
  }
}

/** Not by streams, which cost several times as much as all else that is done for a request. */
async function carry(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
    for (let sent = 0; sent < count;) sent += await to.write(buffer.subarray(sent, count));
  }
}

function close(conn: { close(): void }): void {
  try {
    conn.close();
  } catch {
    // The other side's end has closed it already.
  }
}
