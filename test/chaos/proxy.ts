/** One directed link between two nodes: a proxy in user space that carries requests, their answers and WebSockets, or does not. */
import { seeded } from "../replica/clocks.ts";
import { MessageReader } from "./http_frames.ts";
import { pause } from "./real_cluster.ts";

/**
 * `cut`: connections are closed, also those that stand. `half-open`: they are accepted, requests are read, and nothing
 * ever comes of them. `mute`: requests arrive and take effect, answers do not come back.
 */
export type LinkState = "open" | "cut" | "half-open" | "mute";

/** Shares of requests, 0 to 1, each drawn by itself. */
export type LinkFaults = {
  readonly dropRequest: number;
  /** The write takes effect, the answer is lost. */
  readonly dropResponse: number;
  readonly delay: number;
  /** A delayed one waits up to this long. */
  readonly delayMaxMs: number;
  /** Sent a second time on another connection, up to `delayMaxMs` after the first. */
  readonly duplicate: number;
};

export const NO_FAULTS: LinkFaults = { dropRequest: 0, dropResponse: 0, delay: 0, delayMaxMs: 0, duplicate: 0 };

export type LinkCounts = {
  carried: number;
  lostRequests: number;
  lostResponses: number;
  delayed: number;
  repeated: number;
};

/** What one request meets; drawn whole for each, so that the k-th of a link meets the same under the same seed. */
type Draw = { readonly [fault in Exclude<keyof LinkFaults, "delayMaxMs">]: boolean } & { readonly delayMs: number };

export class Link {
  readonly url: string;
  readonly counts: LinkCounts = { carried: 0, lostRequests: 0, lostResponses: 0, delayed: 0, repeated: 0 };
  readonly #target: Deno.ConnectOptions;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #random: () => number;
  #state: LinkState = "open";
  #faults = NO_FAULTS;
  #isClosed = false;

  /** @param target URL of the node behind it */
  constructor(target: string, seed: number) {
    const { hostname, port } = new URL(target);
    this.#target = { hostname, port: Number(port) };
    this.#random = seeded(seed);
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    this.#accept();
  }

  get state(): LinkState {
    return this.#state;
  }

  set state(state: LinkState) {
    this.#state = state;
    if (state === "cut") this.#closeAll();
  }

  set faults(faults: LinkFaults) {
    this.#faults = faults;
  }

  close(): void {
    this.#isClosed = true;
    this.#listener.close();
    this.#closeAll();
  }

  async #accept(): Promise<void> {
    while (!this.#isClosed) {
      const client = await this.#listener.accept().catch(() => null);
      if (client === null) return;
      this.#keep(client);
      if (this.#state === "cut") this.#drop(client);
      else this.#serve(client).catch(() => {}).finally(() => this.#drop(client));
    }
  }

  /** One connection of the sender, and one to the node for it; the end of either ends both. */
  async #serve(client: Deno.TcpConn): Promise<void> {
    const requests = new MessageReader(client);
    let upstream: Upstream | null = null;
    try {
      for (let request = await requests.next(); request !== null; request = await requests.next()) {
        const draw = this.#draw();
        if (this.#state === "half-open" || draw.dropRequest) {
          this.counts.lostRequests++;
          return await silence(requests);
        }
        if (draw.delay) {
          this.counts.delayed++;
          await pause(draw.delayMs);
        }
        // From here on the connection is no more of requests and answers.
        if (isUpgrade(request)) return await this.#tunnel(client, request);
        if (draw.duplicate) this.#repeat(request, draw.delayMs);
        upstream ??= await this.#connect(() => this.#drop(client));
        const answer = await upstream.ask(request);
        if (answer === null) return;
        if (this.#isLostOnReturn() || draw.dropResponse) {
          this.counts.lostResponses++;
          return await silence(requests);
        }
        this.counts.carried++;
        await writeAll(client, answer);
        upstream.watch();
      }
    } finally {
      upstream?.close();
    }
  }

  /**
   * What is on a WebSocket comes from whoever accepted it (src/transport/lines.ts), so only that meets faults, by the piece.
   * Nothing can be left out of a stream: what is lost takes all that comes after it along, and, when the link is well again,
   * the connection.
   */
  async #tunnel(client: Deno.TcpConn, request: Uint8Array): Promise<void> {
    const node = await Deno.connect({ ...this.#target, transport: "tcp" });
    this.#keep(node);
    try {
      await writeAll(node, request);
      const up = carry(client, node, () => Promise.resolve(this.#state === "open"));
      let isLost = false;
      const down = carry(node, client, async () => {
        const draw = this.#draw();
        if (draw.delay) {
          this.counts.delayed++;
          await pause(draw.delayMs);
        }
        if (this.#isLostOnReturn() || (!isLost && (draw.dropRequest || draw.dropResponse))) {
          isLost = true;
          this.counts.lostResponses++;
          return false;
        }
        if (isLost) throw new Error("what came before is lost");
        this.counts.carried++;
        return true;
      });
      // The end of either is the end of both.
      await Promise.race([up, down]);
    } finally {
      this.#drop(node);
      this.#drop(client);
    }
  }

  /** Not narrowed by what the state was before the answer came. */
  #isLostOnReturn(): boolean {
    return this.#state === "mute" || this.#state === "half-open";
  }

  #draw(): Draw {
    const { dropRequest, dropResponse, delay, delayMaxMs, duplicate } = this.#faults;
    const random = this.#random;
    return {
      dropRequest: random() < dropRequest,
      dropResponse: random() < dropResponse,
      delay: random() < delay,
      duplicate: random() < duplicate,
      delayMs: random() * delayMaxMs,
    };
  }

  async #repeat(request: Uint8Array, delayMs: number): Promise<void> {
    await pause(delayMs);
    const upstream = await this.#connect(() => {}).catch(() => null);
    if (upstream === null) return;
    this.counts.repeated++;
    await upstream.ask(request).catch(() => {});
    upstream.close();
  }

  async #connect(onEnd: () => void): Promise<Upstream> {
    const connection = await Deno.connect({ ...this.#target, transport: "tcp" });
    this.#keep(connection);
    return new Upstream(connection, onEnd, () => this.#drop(connection));
  }

  #keep(connection: Deno.TcpConn): void {
    connection.setNoDelay();
    this.#connections.add(connection);
    if (this.#isClosed) this.#drop(connection);
  }

  #drop(connection: Deno.TcpConn): void {
    if (!this.#connections.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // The other side was first.
    }
  }

  #closeAll(): void {
    for (const connection of [...this.#connections]) this.#drop(connection);
  }
}

/** A connection to the node. */
class Upstream {
  readonly #connection: Deno.TcpConn;
  readonly #answers: MessageReader;
  readonly #onEnd: () => void;
  readonly close: () => void;
  #next: Promise<Uint8Array | null> | null = null;

  constructor(connection: Deno.TcpConn, onEnd: () => void, close: () => void) {
    this.#connection = connection;
    this.#answers = new MessageReader(connection);
    this.#onEnd = onEnd;
    this.close = close;
  }

  /** The answer, or null if the node ended the connection instead. */
  async ask(request: Uint8Array): Promise<Uint8Array | null> {
    await writeAll(this.#connection, request);
    const answer = await (this.#next ?? this.#answers.next());
    this.#next = null;
    return answer;
  }

  /** While nothing is asked: its end ends the sender's connection then, as it would without a proxy. */
  watch(): void {
    this.#next = this.#answers.next().catch(() => null);
    this.#next.then((answer) => {
      if (answer === null) this.#onEnd();
    });
  }
}

function isUpgrade(request: Uint8Array): boolean {
  return /\r\nupgrade: *websocket\r\n/i.test(new TextDecoder().decode(request));
}

/** Bytes of one, to the other, those of which `passes` says so; until the first ends. */
async function carry(from: Deno.TcpConn, to: Deno.TcpConn, passes: () => Promise<boolean>): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  try {
    for (let size = await from.read(buffer); size !== null; size = await from.read(buffer)) {
      if (await passes()) await writeAll(to, buffer.subarray(0, size));
    }
  } catch {
    // Reset, or cut.
  }
}

/** Takes what comes and says nothing, until the sender gives up. */
async function silence(requests: MessageReader): Promise<void> {
  while (await requests.next() !== null);
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}
