/**
 * Clients of registers: they put, delete, read, and put under the condition that a revision is still there, at times through
 * two nodes at once. Values of one register end unless they are put again. What clients were told must be linearizable; what
 * they were not told may have happened or not; and a value may end by itself, but never before its time.
 */
import { QuorateError } from "../../src/errors.ts";
import { DRIFT } from "../../src/limits.ts";
import type { Answer, KvDeleted, KvValue, KvWritten } from "../../src/api.ts";
import { type Asker, type Call, FORGOTTEN, TIMEOUT_MS, type Told } from "./asker.ts";
import type { HistoryEvent } from "./check/history_lines.ts";
import { registerFaults } from "./check/registers.ts";
import type { Heal } from "./heal.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";
import type { World } from "./world.ts";

const STREAM = 300;
const CLIENTS = 3;
const KEYS = 2;
const PAUSE_MS = 300;
const HEDGES = 0.15;
const TTL_MS = 1_500;
/** Once members have changed there is a new name as often. */
const NEW_KEY_MS = 400;
const CONTENT_TYPE = "text/plain";
const FINAL: ReadonlySet<string> = new Set(["precondition-failed", "not-found"]);

type How = "get" | "put" | "cas" | "delete" | "renew";
/** What a client met at a key; null: nothing. A refusal tells the revision alone. */
type Met = { readonly value?: string; readonly revision: string } | null;

export class RegisterWorkload extends NounWorkload {
  readonly #world: World;
  readonly #keys: string[];
  /** Whose values have a ttl. */
  readonly #brief: string;
  /** When each value with a ttl may end by itself at the earliest. */
  readonly #ends = new Map<string, number>();
  /** Last seen, by key. */
  readonly #instances = new Map<string, number>();

  constructor(parts: WorkloadParts) {
    super(parts);
    this.#world = parts.world;
    this.#keys = Array.from({ length: KEYS }, (_, i) => nameOf(parts.world.plan.seed, i));
    this.#brief = `${nameOf(parts.world.plan.seed, 0)}/brief`;
  }

  /** With those of time, without which a value that ended by itself would be one that was lost. */
  override get events(): readonly HistoryEvent[] {
    // As if somebody took each of them away, at some time from then on or never, if it is still there.
    const ends = [...this.#ends].map(([value, callMs]): HistoryEvent => ({
      process: "time",
      key: `kv/${this.#brief}`,
      op: "cas",
      input: { value: null, expect: value },
      output: "unknown",
      callMs,
      returnMs: null,
    }));
    return [...this.clients.events, ...ends];
  }

  override faults(): readonly string[] {
    return [...this.clients.faults, ...registerFaults(this.events)];
  }

  override async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, i) => this.#client(`writer-${i}`, STREAM + i)));
  }

  override async healed(heal: Heal): Promise<void> {
    await this.#ended(heal);
    await Promise.all(this.#keys.map(async (key) => {
      const process = "healing";
      const base = { process, key: `kv/${key}` };
      const value = btoa(process);
      const putMs = this.clients.now();
      const { body: { revision } } = await heal.inTime(
        () => putMs,
        (node, caller) => node.registers.put(key, { bytes: value, contentType: CONTENT_TYPE }, caller),
        `${key} is not writable`,
      );
      this.clients.note({ ...base, op: "put", input: { value }, output: { ok: true }, callMs: putMs, revision });
      const callMs = this.clients.now();
      const { body } = await heal.inTime(
        () => callMs,
        (node, { timeoutMs }) => node.registers.get(key, { stale: false, timeoutMs }).then(asRead, readNothing),
        `${key} is not readable`,
      );
      const output = { value: body.value };
      this.clients.note({ ...base, op: "get", input: {}, output, callMs, revision: body.revision });
    }));
  }

  /** Nobody puts it again: it is gone as soon as what is left of its lease is over. */
  async #ended(heal: Heal): Promise<void> {
    const key = `kv/${this.#brief}`;
    const callMs = this.clients.now();
    const { body: { revision } } = await heal.inTime(
      () => Math.max(callMs, heal.freeMs(key, callMs)),
      (node, { timeoutMs }) => node.registers.get(this.#brief, { stale: false, timeoutMs }).then(isThere, readNothing),
      `${key}: there, though nobody puts it again`,
    );
    const output = { value: null };
    this.clients.note({ process: "healing", key, op: "get", input: {}, output, callMs, revision });
  }

  async #client(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, FINAL);
    const { random } = asker;
    const seen = new Map<string, Met>();
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * PAUSE_MS);
      const key = random.pick([...this.#newKey(), ...this.#keys, this.#brief]);
      const how = random.pick(["get", "get", "put", "put", "cas", "cas", "delete"] as const);
      const met = seen.get(key) ?? null;
      const renews = key === this.#brief && met?.value !== undefined && random.chance(0.5);
      if (asker.isOver) return;
      const now = await this.#operate(asker, name, `${name}-${i}`, key, renews ? "renew" : how, met);
      if (now !== undefined) seen.set(key, now);
    }
  }

  /** A name that no epoch before has, which all clients begin to use at once. */
  #newKey(): readonly string[] {
    const { changes, clock, plan } = this.#world;
    if (changes.retired === 0) return [];
    const key = `${nameOf(plan.seed, 0)}/new-${Math.floor(clock.now() / NEW_KEY_MS)}`;
    if (!this.#keys.includes(key)) this.#keys.push(key);
    return [key, key];
  }

  /** What is there now, as far as was told. */
  async #operate(asker: Asker, process: string, id: string, key: string, how: How, met: Met): Promise<Met | undefined> {
    const { random } = asker;
    const value = how === "renew" ? met!.value! : btoa(id);
    const isBrief = key === this.#brief;
    const put = { bytes: value, contentType: CONTENT_TYPE, ...(isBrief ? { ttlMs: TTL_MS } : {}) };
    const condition = met === null ? { ifNoneMatch: ["*"] } : { ifMatch: [met.revision] };
    const call: Call<KvValue | KvWritten | KvDeleted> = (
      node,
      caller,
    ): Promise<Answer<KvValue | KvWritten | KvDeleted>> => {
      switch (how) {
        case "get":
          return node.registers.get(key, { stale: false, timeoutMs: TIMEOUT_MS });
        case "put":
          return node.registers.put(key, put, caller);
        case "cas":
        case "renew":
          return node.registers.put(key, { ...put, ...condition }, caller);
        case "delete":
          return node.registers.delete(key, {}, caller);
      }
    };
    const callMs = this.clients.now();
    if (isBrief && (how === "put" || how === "cas")) this.#lasts(value, callMs);
    const hedges = how !== "get" && random.chance(HEDGES);
    const told = hedges
      ? await this.clients.hedge(asker, id, this.#instances.get(key) ?? 0, call, decided, `kv/${key}`)
      : await asker.ask(id, call, how === "get" ? {} : { key: `kv/${key}` });
    this.clients.count(told);
    const receipt = told === null ? undefined : "answer" in told ? told.answer.receipt : told.error.facts.receipt;
    if (receipt !== undefined) this.#instances.set(key, receipt.instance);
    const outcome = outcomeOf(told, how, value, met);
    if (how === "renew" && told !== null && "answer" in told) {
      this.#lasts(value, callMs);
      const { revision } = told.answer.body;
      if (revision !== met!.revision) {
        this.clients.faults.push(`kv/${key}: put again as it was it has revision ${revision}, not ${met!.revision}`);
      }
    }
    // Whether a value was kept as it is, nobody can see.
    if (how !== "renew" || outcome.output !== "unknown") {
      const { now: _, ...event } = outcome;
      this.clients.note({ process, key: `kv/${key}`, callMs, ...event });
    }
    return outcome.now;
  }

  /** What was sent at this time lasts so long at least, if clocks are such that guarantees are given. */
  #lasts(value: string, sentMs: number): void {
    const untilMs = sentMs + (this.clients.leases ? Math.floor(TTL_MS * (1 - DRIFT)) : 0);
    this.#ends.set(value, Math.max(untilMs, this.#ends.get(value) ?? 0));
  }
}

type Read = Answer<{ readonly value: string | null; readonly revision: string }>;

function asRead({ body: { value, revision }, receipt }: Answer<KvValue>): Read {
  return { body: { value, revision }, receipt };
}

/** A delete of unknown outcome may come true after everything is healed, and after the value was put. */
function readNothing(error: unknown): Read {
  if (!(error instanceof QuorateError) || error.code !== "not-found") throw error;
  const { receipt, more } = error.facts;
  return { body: { value: null, revision: String(more?.["revision"]) }, receipt: receipt! };
}

/** For who is to find nothing: to be asked again. */
function isThere(): never {
  throw new QuorateError("held", "there is a value");
}

/** What a hedged write came to for good; null: that has been forgotten. */
function decided(told: Told<KvValue | KvWritten | KvDeleted>): string | null {
  if ("answer" in told) return `revision ${told.answer.body.revision}`;
  return told.code === FORGOTTEN ? null : `${told.code} ${told.error.facts.more?.["revision"]}`;
}

type Outcome = Pick<HistoryEvent, "op" | "input" | "output" | "revision" | "node"> & {
  /** What is there afterwards, as far as was told. */
  readonly now?: Met;
};

function outcomeOf(told: Told<KvValue | KvWritten | KvDeleted> | null, how: How, value: string, met: Met): Outcome {
  const expected = met === null ? { expect: null } : { ifRevision: met.revision };
  const input = how === "put" ? { value } : how === "cas" || how === "renew" ? { value, ...expected } : {};
  const op = how === "renew" ? "cas" : how;
  if (told === null || ("code" in told && told.code === FORGOTTEN)) return { op, input, output: "unknown" };
  const { node } = told;
  if ("answer" in told) {
    const { body } = told.answer;
    const { revision } = body;
    const now = how === "delete" ? null : { value: "value" in body ? body.value : value, revision };
    // To keep a value as it is, is to have seen it.
    const isRead = how === "get" || how === "renew";
    return isRead
      ? { op: "get", input: {}, output: { value: now!.value }, revision, node, now }
      : { op, input, output: { ok: true }, revision, node, now };
  }
  const revision = String(told.error.facts.more?.["revision"]);
  if (told.code === "precondition-failed" && revision !== "0") {
    return { op, input, output: { ok: false }, revision, node, now: { revision } };
  }
  // Whoever finds no value has read that there is none; a refused condition says 0 then, whatever the revision.
  const read = { op: "get", input: {}, output: { value: null }, node, now: null };
  return told.code === "not-found" ? { ...read, revision } : read;
}
