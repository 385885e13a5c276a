/**
 * Clients of registers: they put, delete, read, and put under the condition that a revision is still there. What they were
 * told must be linearizable; what they were not told may have happened or not.
 */
import { QuorateError } from "../../src/errors.ts";
import type { Answer, KvDeleted, KvValue, KvWritten } from "../../src/api.ts";
import { type Asker, type Call, TIMEOUT_MS, type Told } from "./asker.ts";
import { registerFaults } from "./check/registers.ts";
import type { Heal } from "./heal.ts";
import { Clients, nameOf, type Workload, type WorkloadParts } from "./workload.ts";

const STREAM = 300;
const CLIENTS = 3;
const KEYS = 2;
const PAUSE_MS = 300;
const CONTENT_TYPE = "text/plain";
/** An answer that has been forgotten is no answer: nobody knows what became of the command. */
const FORGOTTEN = "expired-command";
const FINAL: ReadonlySet<string> = new Set(["precondition-failed", "not-found", FORGOTTEN]);

export class RegisterWorkload implements Workload {
  readonly #clients: Clients;
  readonly #keys: readonly string[];

  constructor(parts: WorkloadParts) {
    this.#clients = new Clients(parts);
    this.#keys = Array.from({ length: KEYS }, (_, i) => nameOf(parts.world.plan.seed, i));
  }

  get counts() {
    return this.#clients.counts;
  }

  get events() {
    return this.#clients.events;
  }

  faults(): readonly string[] {
    return [...this.#clients.faults, ...registerFaults(this.#clients.events)];
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, i) => this.#client(`writer-${i}`, STREAM + i)));
  }

  async healed(heal: Heal): Promise<void> {
    await Promise.all(this.#keys.map(async (key) => {
      const process = "healing";
      const base = { process, key: `kv/${key}` };
      const value = btoa(process);
      const putMs = this.#clients.now();
      const { body: { revision } } = await heal.inTime(
        () => putMs,
        (node, caller) => node.registers.put(key, { bytes: value, contentType: CONTENT_TYPE }, caller),
        `${key} is not writable`,
      );
      this.#clients.note({ ...base, op: "put", input: { value }, output: { ok: true }, callMs: putMs, revision });
      const callMs = this.#clients.now();
      const { body } = await heal.inTime(
        () => callMs,
        (node, { timeoutMs }) => node.registers.get(key, { stale: false, timeoutMs }).then(asRead, readNothing),
        `${key} is not readable`,
      );
      const output = { value: body.value };
      this.#clients.note({ ...base, op: "get", input: {}, output, callMs, revision: body.revision });
    }));
  }

  async #client(name: string, stream: number): Promise<void> {
    const asker = this.#clients.asker(stream, FINAL);
    const { random } = asker;
    /** Of the value last seen, by key: its revision, or null if there was none. */
    const seen = new Map<string, string | null>();
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * PAUSE_MS);
      const key = random.pick(this.#keys);
      const how = random.pick(["get", "get", "put", "put", "cas", "cas", "delete"] as const);
      if (asker.isOver) return;
      const met = await this.#operate(asker, name, `${name}-${i}`, key, how, seen.get(key) ?? null);
      if (met !== undefined) seen.set(key, met);
    }
  }

  /** The revision of the value that is there now, as far as was told. */
  async #operate(
    asker: Asker,
    process: string,
    id: string,
    key: string,
    how: "get" | "put" | "cas" | "delete",
    ifRevision: string | null,
  ): Promise<string | null | undefined> {
    const value = btoa(id);
    const put = { bytes: value, contentType: CONTENT_TYPE };
    const expected = ifRevision === null ? { expect: null } : { ifRevision };
    const input = how === "put" ? { value } : how === "cas" ? { value, ...expected } : {};
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
          return node.registers.put(
            key,
            ifRevision === null ? { ...put, ifNoneMatch: ["*"] } : { ...put, ifMatch: [ifRevision] },
            caller,
          );
        case "delete":
          return node.registers.delete(key, {}, caller);
      }
    };
    const callMs = this.#clients.now();
    const told = await asker.ask(id, call);
    this.#clients.count(told);
    const { op, output, revision, node, isThere } = outcomeOf(told, how);
    this.#clients.note({
      process,
      key: `kv/${key}`,
      op,
      input: op === "get" ? {} : input,
      output,
      callMs,
      ...(revision === undefined ? {} : { revision }),
      ...(node === undefined ? {} : { node }),
    });
    return isThere === false ? null : revision;
  }
}

type Read = Answer<{ readonly value: string | null; readonly revision: string }>;

function asRead({ body: { bytes, revision }, receipt }: Answer<KvValue>): Read {
  return { body: { value: bytes, revision }, receipt };
}

/** A delete of unknown outcome may come true after everything is healed, and after the value was put. */
function readNothing(error: unknown): Read {
  if (!(error instanceof QuorateError) || error.code !== "not-found") throw error;
  const { receipt, more } = error.facts;
  return { body: { value: null, revision: String(more?.["revision"]) }, receipt: receipt! };
}

type Outcome = {
  readonly op: string;
  readonly output: Readonly<Record<string, unknown>> | "unknown";
  readonly revision?: string;
  readonly node?: string;
  /** Whether there is a value afterwards. */
  readonly isThere?: boolean;
};

function outcomeOf(told: Told<KvValue | KvWritten | KvDeleted> | null, op: string): Outcome {
  if (told === null) return { op, output: "unknown" };
  const { node } = told;
  if ("answer" in told) {
    const { body } = told.answer;
    const output = op === "get" && "bytes" in body ? { value: body.bytes } : { ok: true };
    return { op, output, revision: body.revision, node, isThere: op !== "delete" };
  }
  if (told.code === FORGOTTEN) return { op, output: "unknown" };
  const revision = String(told.error.facts.more?.["revision"]);
  if (told.code === "precondition-failed" && revision !== "0") {
    return { op, output: { ok: false }, revision, node, isThere: true };
  }
  // Whoever finds no value has read that there is none; a refused condition says 0 then, whatever the revision.
  const read = { op: "get", output: { value: null }, node, isThere: false };
  return told.code === "not-found" ? { ...read, revision } : read;
}
