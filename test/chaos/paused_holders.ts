/**
 * Processes that hold locks and are stopped (SIGSTOP) between reading and writing what the lock guards, until somebody
 * else had it: their write comes late. This is what fences are for, and the control of the whole run.
 */
import { pause } from "./real_cluster.ts";
import type { History, Operation } from "./history.ts";
import type { Resource } from "./resource.ts";

const HOLDERS = 3;
/** After it was answered; it thinks for longer than that. */
const STOP_AFTER_MS = 20;
const LOOK_AGAIN_MS = 100;
const STOPPED_MAX_MS = 6_000;

export type PausedHoldersOptions = {
  readonly nodes: ReadonlyMap<string, string>;
  readonly history: History;
  readonly seed: number;
  readonly guarded: Resource;
  readonly unguarded: Resource;
};

type Message = {
  readonly name: string;
  readonly operation: Operation;
  readonly key: string;
  readonly fence: string;
  readonly guarded: number | null;
  readonly unguarded: number | null;
};

export class PausedHolders {
  pauses = 0;
  readonly #options: PausedHoldersOptions;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #children = new Map<string, Deno.ChildProcess>();
  readonly #calledMs = new Map<string, number>();
  #isOver = false;

  /** Starts at once. */
  constructor(options: PausedHoldersOptions) {
    this.#options = options;
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const message = await request.json() as Message;
      return Response.json(this.#answer(new URL(request.url).pathname, message));
    });
    const url = `http://127.0.0.1:${this.#server.addr.port}`;
    const nodes = [...options.nodes].map(([id, node]) => `${id}=${node}`);
    for (let i = 0; i < HOLDERS; i++) {
      const name = `holder-${i}`;
      const script = `${import.meta.dirname}/holder.ts`;
      const args = ["run", "--quiet", "-A", script, name, url, String(options.seed * HOLDERS + i), ...nodes];
      this.#children.set(name, new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "null" }).spawn());
    }
  }

  /** Ends them, stopped or not; once is enough. */
  async stop(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const child of this.#children.values()) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It ended by itself.
      }
      await child.status;
    }
    await this.#server.shutdown();
  }

  #answer(path: string, { name, operation, key, fence, guarded, unguarded }: Message): unknown {
    const { history, ...resources } = this.#options;
    switch (path) {
      case "/call":
        this.#calledMs.set(name, history.now());
        return {};
      case "/return":
        this.#returned(name, operation);
        return {};
      case "/read":
        this.#stopSoon(name, key, fence);
        return { guarded: resources.guarded.read(key, fence), unguarded: resources.unguarded.read(key, fence) };
      case "/write":
        if (guarded !== null) resources.guarded.write(key, fence, guarded);
        if (unguarded !== null) resources.unguarded.write(key, fence, unguarded);
        return {};
      default:
        throw new Error(`a holder asks for ${path}`);
    }
  }

  /** By the test's clock the call began earlier and the return came later than they did: no check gets stricter by it. */
  #returned(name: string, operation: Operation): void {
    const { history } = this.#options;
    const callMs = this.#calledMs.get(name)!;
    const { guaranteedUntilMs } = operation;
    history.add({
      ...operation,
      callMs,
      returnMs: history.now(),
      ...(guaranteedUntilMs === undefined ? {} : { guaranteedUntilMs: callMs + guaranteedUntilMs - operation.callMs }),
    });
  }

  /** Until a later holder has read the thing: by then the lease has ended. */
  async #stopSoon(name: string, key: string, fence: string): Promise<void> {
    const child = this.#children.get(name)!;
    await pause(STOP_AFTER_MS);
    if (this.#isOver) return;
    child.kill("SIGSTOP");
    this.pauses++;
    for (let waitedMs = 0; waitedMs < STOPPED_MAX_MS && !this.#isOver; waitedMs += LOOK_AGAIN_MS) {
      await pause(LOOK_AGAIN_MS);
      if (this.#options.unguarded.highest(key) > BigInt(fence)) break;
    }
    if (!this.#isOver) child.kill("SIGCONT");
  }
}
