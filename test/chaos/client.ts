/** One user of the cluster: HTTP, an Idempotency-Key per write, and another node where one does not answer. */
import type { History, Operation, ReadState } from "./history.ts";
import { type Bounds, guaranteedUntilMs } from "../sim/guarantee.ts";
import { pause } from "./real_cluster.ts";

/** How long a node may work on one try; what it waits for a held lock comes on top. */
export const TIMEOUT_MS = 2_000;
/** Tries of one operation, each through the next node. */
export const TRIES_MAX = 6;
/** A node that says nothing at all is given up on after its timeout and this. */
const SILENCE_MS = 300;
/** Before the second try, at most; doubled with each. Together longer than a node takes to start. */
const BACK_OFF_MS = 100;

export type ClientOptions = {
  /** Where the nodes are, by id; may change. */
  readonly nodes: ReadonlyMap<string, string>;
  readonly history: Pick<History, "now" | "add">;
  readonly random: () => number;
  /** Default: TRIES_MAX. */
  readonly tries?: number;
};

type Request = { readonly method: string; readonly path: string; readonly body?: unknown; readonly waitMs?: number };
type Reply = { readonly status: number; readonly body: Record<string, unknown> };

export class Client {
  readonly name: string;
  readonly #options: ClientOptions;
  #count = 0;

  constructor(name: string, options: ClientOptions) {
    this.name = name;
    this.#options = options;
  }

  acquire(key: string, ttlMs: number, waitMs: number): Promise<Operation> {
    const body = { holder: this.name, ttlMs, waitMs };
    return this.#operate("acquire", key, null, { method: "POST", path: pathOf(key), body, waitMs });
  }

  renew(key: string, fence: string): Promise<Operation> {
    return this.#operate("renew", key, fence, { method: "PUT", path: `${pathOf(key)}/${fence}`, body: {} });
  }

  release(key: string, fence: string): Promise<Operation> {
    return this.#operate("release", key, fence, { method: "DELETE", path: `${pathOf(key)}/${fence}` });
  }

  /** Through the node `through` only, if one is given. */
  read(key: string, through?: string): Promise<Operation> {
    return this.#operate("read", key, null, { method: "GET", path: pathOf(key) }, through);
  }

  async #operate(
    op: Operation["op"],
    key: string,
    asked: string | null,
    request: Request,
    through?: string,
  ): Promise<Operation> {
    const { nodes, history, random, tries: triesMax = TRIES_MAX } = this.#options;
    // As they are when it begins: who leaves meanwhile answers that it did.
    const targets = through === undefined ? [...nodes] : [[through, nodes.get(through)!] as const];
    const first = Math.floor(random() * targets.length);
    const idempotencyKey = `${this.name}-${this.#count++}`;
    const callMs = history.now();
    let node = "";
    let reply: Reply | null = null;
    let tries = 0;
    while (tries < triesMax) {
      if (tries > 0) await pause(random() * BACK_OFF_MS * 2 ** (Math.min(tries, TRIES_MAX) - 1));
      const [id, url] = targets[(first + tries++) % targets.length]!;
      node = id;
      reply = await send(url, request, idempotencyKey);
      if (reply !== null && isDefinite(reply)) break;
    }
    const operation = told({ process: this.name, key, op, callMs, returnMs: history.now(), node, tries }, asked, reply);
    history.add(operation);
    return operation;
  }
}

function pathOf(key: string): string {
  return `/v1/locks/${encodeURIComponent(key)}`;
}

/** Null if there was no answer. */
async function send(url: string, request: Request, idempotencyKey: string): Promise<Reply | null> {
  const { method, path, body, waitMs = 0 } = request;
  try {
    const response = await fetch(`${url}${path}?timeoutMs=${TIMEOUT_MS}`, {
      method,
      headers: method === "GET" ? {} : { "Idempotency-Key": idempotencyKey },
      signal: AbortSignal.timeout(TIMEOUT_MS + waitMs + SILENCE_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  } catch {
    return null;
  }
}

/** What asking again cannot make clearer. Any other node may know more than one that answers 503 or 504. */
function isDefinite({ status }: Reply): boolean {
  return status !== 503 && status !== 504;
}

type Asked = Pick<Operation, "process" | "key" | "op" | "callMs" | "returnMs" | "node" | "tries">;

function told(operation: Asked, asked: string | null, reply: Reply | null): Operation {
  const base = { ...operation, fence: asked, outcome: "unknown" };
  if (reply === null || !isDefinite(reply)) return base;
  const { status, body } = reply;
  const code = String(body["code"] ?? body["outcome"] ?? status);
  if (status !== 200) return { ...base, outcome: code };
  if (operation.op === "release") return { ...base, outcome: code };
  if (operation.op === "read") return { ...base, outcome: "read", state: stateOf(body) };
  return {
    ...base,
    outcome: operation.op === "acquire" ? "granted" : "renewed",
    fence: String(body["fence"]),
    guaranteedUntilMs: guaranteedUntilMs({ sentMs: operation.callMs, rate: 1 }, body as Bounds),
  };
}

function stateOf(body: Record<string, unknown>): ReadState {
  const holders = (body["holders"] as { fence: string }[]).map(({ fence }) => fence);
  return { revision: String(body["revision"]), holders, lastFence: String(body["lastFence"]) };
}

/** A request that was answered definitely within its tries: what the success rate counts. */
export function isSuccess({ outcome }: Operation): boolean {
  // Too old to know what became of it: as good as no answer.
  return outcome !== "unknown" && outcome !== "expired-command";
}
