/**
 * What runs while nodes are upgraded: users of locks (workload.ts), of registers and of elections, each of whom asks again where
 * an answer says that it may. What they were told is judged at the end.
 */
import { contradictions, endFaults, lostWrites } from "./check_history.ts";
import { History } from "./history.ts";
import { pause } from "./real_cluster.ts";
import { Resource } from "./resource.ts";
import { readBack } from "./run_mix.ts";
import { Workload } from "./workload.ts";

const USERS = 6;
const REGISTERS = 2;
const CANDIDATES = 2;
const ELECTION = "/v1/elections/upgraded";
/** Asked so often, a cluster with a quorum has answered, however busy the machine is. */
const TRIES_MAX = 40;
const AGAIN_MS = 100;
/** There is something under way at each exchange, and the machine has time for who returns. */
const THINK_MS = 100;

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> };
export type Verdict = {
  /** What was told that nobody may be told, and what was acknowledged and is not there. */
  readonly faults: readonly string[];
  readonly acknowledged: { readonly locks: number; readonly registers: number; readonly terms: number };
  /** Answers that said to ask again, and requests without one. */
  readonly retries: number;
};

export class UpgradeLoad {
  readonly #nodes: ReadonlyMap<string, string>;
  readonly #history = new History();
  readonly #locks: Workload;
  readonly #others: Promise<void>[];
  readonly #faults: string[] = [];
  #isOver = false;
  #retries = 0;
  #registers = 0;
  #terms = 0;
  /** The highest term that somebody was told. */
  #term = 0n;

  /** Starts at once. */
  constructor(nodes: ReadonlyMap<string, string>) {
    this.#nodes = nodes;
    const resources = { guarded: new Resource({ guarded: true }), unguarded: new Resource({ guarded: false }) };
    this.#locks = new Workload({
      nodes,
      history: this.#history,
      seed: 1,
      clients: USERS,
      tries: TRIES_MAX,
      thinkMs: THINK_MS,
      ...resources,
    });
    this.#others = [
      ...Array.from({ length: REGISTERS }, (_, i) => this.#write(`/v1/kv/upgraded-${i}`)),
      ...Array.from({ length: CANDIDATES }, (_, i) => this.#campaign(`candidate-${i}`)),
    ];
  }

  /** Ends the load, and reads everything back through every node. */
  async judge(): Promise<Verdict> {
    this.#isOver = true;
    await Promise.all([this.#locks.stop(), ...this.#others]);
    const ends = await readBack(this.#history, this.#nodes, [...this.#nodes.keys()]);
    const { operations } = this.#history;
    const unknown = operations.filter(({ outcome }) => outcome === "unknown" || outcome === "expired-command");
    return {
      faults: [
        ...this.#faults,
        ...unknown.map(({ op, key, tries }) => `${key}: nobody knows what became of a ${op} after ${tries} tries`),
        ...contradictions(operations),
        ...lostWrites(operations),
        ...endFaults(operations, ends),
      ],
      acknowledged: {
        locks: operations.filter(({ op, outcome }) => op === "acquire" && outcome === "granted").length,
        registers: this.#registers,
        terms: this.#terms,
      },
      retries: this.#retries + operations.reduce((sum, { tries }) => sum + tries - 1, 0),
    };
  }

  /** Counts a register up, each time over the revision before, and reads it through another node. */
  async #write(path: string): Promise<void> {
    let etag: string | null = null;
    for (let n = 1; !this.#isOver; n++) {
      const condition: Record<string, string> = etag === null ? { "if-none-match": "*" } : { "if-match": etag };
      const put = await this.#ask(n, "PUT", path, `${n}`, condition);
      if (put?.status !== 200) return;
      etag = `"${put.body["revision"]}"`;
      this.#registers++;
      const read = await this.#ask(n + 1, "GET", path);
      if (read === null) return;
      if (read.body["text"] !== `${n}`) {
        this.#faults.push(`${path}: ${n} was acknowledged, and ${read.body["text"]} read`);
      }
      await pause(THINK_MS);
    }
  }

  async #campaign(candidate: string): Promise<void> {
    for (let n = 1; !this.#isOver; n++) {
      const before = this.#term;
      const body = JSON.stringify({ candidate, waitMs: 1_000 });
      const won = await this.#ask(n, "POST", ELECTION, body, {}, ["led"]);
      if (won === null) return;
      if (won.status === 200) {
        const term = BigInt(String(won.body["term"]));
        if (term <= before) this.#faults.push(`term ${term} was granted after ${before} was told`);
        if (term > this.#term) this.#term = term;
        this.#terms++;
        await pause(THINK_MS);
        if (await this.#ask(n, "DELETE", `${ELECTION}/${term}`) === null) return;
      }
      await pause(THINK_MS);
    }
  }

  /**
   * The first answer that is not to be asked again, from node after node; null: there was none, which is a fault, as is a refusal
   * that is not among `refusals`.
   */
  async #ask(
    first: number,
    method: string,
    path: string,
    body: string | null = null,
    headers: Record<string, string> = {},
    refusals: readonly string[] = [],
  ): Promise<Answer | null> {
    const urls = [...this.#nodes.values()];
    const key: Record<string, string> = method === "GET" ? {} : { "idempotency-key": crypto.randomUUID() };
    let last = "no answer";
    for (let i = 0; i < TRIES_MAX; i++) {
      if (i > 0) {
        this.#retries++;
        await pause(AGAIN_MS);
      }
      const answer = await send(urls[(first + i) % urls.length]!, method, path, body, { ...headers, ...key });
      if (answer === null) continue;
      if (answer.status === 200 || refusals.includes(String(answer.body["code"]))) return answer;
      last = `${answer.status} ${JSON.stringify(answer.body)}`;
      if (answer.body["retryable"] !== true) break;
    }
    this.#faults.push(`${method} ${path}: ${last}`);
    return null;
  }
}

async function send(
  url: string,
  method: string,
  path: string,
  body: string | null,
  headers: Record<string, string>,
): Promise<Answer | null> {
  try {
    const response = await fetch(`${url}${path}`, { method, headers, body });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") === true;
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : { text } };
  } catch {
    return null;
  }
}
