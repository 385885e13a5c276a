/**
 * Clients of few registers, a handful each: what they read, wrote and compared, for the search of test/sim/check/registers.ts. A
 * register is left for a new one before its history is too long to be searched.
 */
import { registerFaults } from "../sim/check/registers.ts";
import type { HistoryEvent } from "../sim/check/history_lines.ts";
import { seeded } from "../replica/clocks.ts";
import { pause } from "./real_cluster.ts";

const CLIENTS_EACH = 4;
const OPERATIONS_EACH = 120;
const TRIES = 30;
const TIMEOUT_MS = 2_000;
const SILENCE_MS = 300;
const AGAIN_MS = 50;
const THINK_MAX_MS = 30;

export type RegisterLoadOptions = {
  /** Where the nodes are, by id; may change. */
  readonly nodes: ReadonlyMap<string, string>;
  /** In ms since the run began. */
  readonly now: () => number;
  readonly seed: number;
  readonly clients: number;
  /** The longest that one of them rests between two operations, in ms. Default: so short that they keep the machine busy. */
  readonly thinkMs?: number;
};

type Reply = { readonly status: number; readonly text: string; readonly etag: string | null };
type Request = {
  readonly method: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
};

export class RegisterLoad {
  readonly events: HistoryEvent[] = [];
  readonly #options: RegisterLoadOptions;
  readonly #clients: Promise<void>[];
  readonly #unexpected: string[] = [];
  /** By group: registers that it has done with, and operations on the one that it is at. */
  readonly #groups = new Map<number, { left: number; used: number }>();
  #isOver = false;
  #writes = 0;

  /** Starts at once. */
  constructor(options: RegisterLoadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients }, (_, i) => this.#run(i));
  }

  /** Resolves when all that was asked is answered, and each register was read through each node. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
    const keys = [...new Set(this.events.map(({ key }) => key))];
    for (const id of this.#options.nodes.keys()) {
      for (const key of keys) await this.#get(`reader-${id}`, key, [id]);
    }
  }

  /** What no order of the operations explains, and answers that nobody gave cause for. */
  faults(): string[] {
    return [...this.#unexpected, ...registerFaults(this.events)];
  }

  async #run(index: number): Promise<void> {
    const random = seeded(this.#options.seed * 1_000 + 500 + index);
    const group = Math.floor(index / CLIENTS_EACH);
    const process = `register-${index}`;
    const { thinkMs = THINK_MAX_MS } = this.#options;
    const state = this.#groups.get(group) ?? { left: 0, used: 0 };
    this.#groups.set(group, state);
    while (!this.#isOver) {
      if (state.used++ >= OPERATIONS_EACH) [state.left, state.used] = [state.left + 1, 1];
      const key = `register/${group}/${state.left}`;
      const ids = shuffled([...this.#options.nodes.keys()], random);
      const kind = random();
      const etag = kind < 0.5 ? await this.#get(process, key, ids) : null;
      if (kind < 0.25) await this.#cas(process, key, ids, etag);
      else if (kind >= 0.5) await this.#put(process, key, ids);
      await pause(random() * thinkMs);
    }
  }

  /** The revision that was read. */
  async #get(process: string, key: string, ids: readonly string[]): Promise<string | null> {
    const callMs = this.#options.now();
    const reply = await this.#ask(key, ids, { method: "GET" });
    const base = { process, key, op: "get", input: {}, callMs };
    // A read that nobody answered says nothing.
    if (reply?.status !== 200 && reply?.status !== 404) return null;
    const isThere = reply.status === 200;
    this.events.push({
      ...base,
      output: { value: isThere ? reply.text : null },
      returnMs: this.#options.now(),
      ...(isThere ? { revision: revisionOf(reply) } : {}),
    });
    return isThere ? reply.etag : null;
  }

  async #put(process: string, key: string, ids: readonly string[]): Promise<void> {
    const input = { value: this.#value(process) };
    const callMs = this.#options.now();
    const reply = await this.#ask(key, ids, { method: "PUT", body: input.value });
    this.#note({ process, key, op: "put", input, callMs }, reply, {});
  }

  async #cas(process: string, key: string, ids: readonly string[], etag: string | null): Promise<void> {
    if (etag === null) return;
    const input = { value: this.#value(process), ifRevision: etag.replaceAll('"', "") };
    const callMs = this.#options.now();
    const reply = await this.#ask(key, ids, { method: "PUT", body: input.value, headers: { "If-Match": etag } });
    this.#note({ process, key, op: "cas", input, callMs }, reply, { ok: reply?.status === 200 });
  }

  #note(
    event: Pick<HistoryEvent, "process" | "key" | "op" | "input" | "callMs">,
    reply: Reply | null,
    output: Readonly<Record<string, unknown>>,
  ): void {
    const isRefused = event.op === "cas" && reply?.status === 412;
    if (reply?.status === 200) {
      this.events.push({ ...event, output, returnMs: this.#options.now(), revision: revisionOf(reply) });
    } else if (isRefused) this.events.push({ ...event, output, returnMs: this.#options.now() });
    else this.events.push({ ...event, output: "unknown", returnMs: null });
  }

  #value(process: string): string {
    return `${process} ${this.#writes++}`;
  }

  /** The first definite answer, of one node after another, under one key; null: nobody knows. */
  async #ask(key: string, ids: readonly string[], { method, body, headers = {} }: Request): Promise<Reply | null> {
    const urls = ids.map((id) => this.#options.nodes.get(id)!);
    const once: Record<string, string> = method === "GET" ? {} : { "Idempotency-Key": crypto.randomUUID() };
    for (let i = 0; i < TRIES; i++) {
      if (i > 0) await pause(AGAIN_MS);
      const reply = await send(`${urls[i % urls.length]}/v1/kv/${encodeURIComponent(key)}?timeoutMs=${TIMEOUT_MS}`, {
        method,
        headers: { ...headers, ...once },
        signal: AbortSignal.timeout(TIMEOUT_MS + SILENCE_MS),
        ...(body === undefined ? {} : { body }),
      });
      if (reply === null || reply.status === 503 || reply.status === 504) continue;
      // What became of it nobody knows any more.
      if (reply.status === 409 && reply.text.includes("expired-command")) return null;
      if (![200, 404, 412].includes(reply.status)) {
        this.#unexpected.push(`${method} ${key}: ${reply.status} ${reply.text.slice(0, 200)}`);
      }
      return reply;
    }
    return null;
  }
}

async function send(url: string, init: RequestInit): Promise<Reply | null> {
  try {
    const response = await fetch(url, init);
    return { status: response.status, text: await response.text(), etag: response.headers.get("etag") };
  } catch {
    return null;
  }
}

function revisionOf({ etag, text }: Reply): string {
  return etag?.replaceAll('"', "") ?? String(JSON.parse(text).revision);
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const left = [...items];
  return items.map(() => left.splice(Math.floor(random() * left.length), 1)[0]!);
}
