/** Clients of a cluster whose members change, and what none of them may ever have been told. */
import { callAny } from "./real_cluster.ts";

type Grant = { readonly name: string; readonly fence: number; readonly fromMs: number; readonly toMs: number };

const NAMES = 6;
/** Through all nodes, again and again: a request that bears its key is done once. */
const TRIES = 400;

export class MemberLoad {
  readonly faults: string[] = [];
  /** Values that were acknowledged, by key. */
  readonly values = new Map<string, string>();
  readonly #urls: () => readonly string[];
  readonly #grants: Grant[] = [];
  readonly #workers: Promise<void>[];
  #isOver = false;
  #count = 0;

  /** @param urls of all nodes that may answer, as they are then */
  constructor(urls: () => readonly string[], workers: number) {
    this.#urls = urls;
    this.#workers = Array.from({ length: workers }, (_, i) => this.#work(i));
  }

  /** Requests that were answered so far. */
  get count(): number {
    return this.#count;
  }

  /** Resolves when all that was asked is answered. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#workers);
    this.#judgeGrants();
  }

  async #work(worker: number): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const key = `w${worker}-${i}`;
      const first = worker + i;
      const put = await this.#ask(first, "PUT", `/v1/kv/${key}`, { worker, i });
      if (put?.status === 200) this.values.set(key, JSON.stringify({ worker, i }));
      else this.faults.push(`PUT ${key}: ${put?.status} ${JSON.stringify(put?.body)}`);
      await this.#hold(first, `m${(worker * 7 + i) % NAMES}`);
    }
  }

  async #hold(first: number, name: string): Promise<void> {
    const taken = await this.#ask(first, "POST", `/v1/locks/${name}`, { ttlMs: 60_000 });
    if (taken?.status === 409) return;
    const fence = Number(taken?.body["fence"]);
    if (taken?.status !== 200) {
      return void this.faults.push(`POST ${name}: ${taken?.status} ${JSON.stringify(taken?.body)}`);
    }
    const fromMs = performance.now();
    const released = await this.#ask(first + 1, "DELETE", `/v1/locks/${name}/${fence}`, undefined, () => {
      this.#grants.push({ name, fence, fromMs, toMs: performance.now() });
    });
    if (released?.status !== 200) {
      this.faults.push(`DELETE ${name}: ${released?.status} ${JSON.stringify(released?.body)}`);
    }
  }

  async #ask(first: number, method: string, path: string, body?: unknown, before = () => {}) {
    before();
    const reply = await callAny(this.#urls(), first, method, path, body, TRIES);
    this.#count++;
    return reply;
  }

  /** A grant lasts at least from its answer until its release is asked for. */
  #judgeGrants(): void {
    for (const grants of Map.groupBy(this.#grants, ({ name }) => name).values()) {
      const inOrder = grants.toSorted((a, b) => a.fence - b.fence);
      for (const [i, { name, fence, fromMs }] of inOrder.entries()) {
        const before = inOrder[i - 1];
        if (before === undefined) continue;
        if (before.fence === fence) this.faults.push(`${name}: fence ${fence} was granted twice`);
        if (before.toMs > fromMs) this.faults.push(`${name}: ${before.fence} was still held when ${fence} was granted`);
      }
    }
  }
}
