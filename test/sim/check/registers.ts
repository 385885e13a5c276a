/**
 * Linearizability of registers: the search of Wing and Gong (1993), with Lowe's memory of (operations linearized, state)
 * (2017), each key on its own. Operations are `get`, `put`, `delete` and `cas`; values written are unique. An operation
 * of unknown outcome may take effect at any time after its call, once or never. Independent of the code it checks.
 */
import type { HistoryEvent } from "./history_lines.ts";

export type RegisterVerdict =
  | { readonly type: "linearizable"; readonly states: number }
  | { readonly type: "violation"; readonly what: string }
  /** Neither shown to be right nor wrong: no pass. */
  | { readonly type: "gave-up"; readonly states: number };

export type RegisterOptions = {
  /** Configurations remembered for one key before it gives up. */
  readonly statesMax?: number;
};

/** Up to here a search that is blind to versions ends soon enough; beyond, revisions have to lead it. */
const CLIENTS_BLIND = 10;
const STATES_MAX = 1_000_000;

/** One line per key that is not shown to be linearizable. */
export function registerFaults(events: readonly HistoryEvent[], options: RegisterOptions = {}): string[] {
  return [...Map.groupBy(events, ({ key }) => key)].flatMap(([key, ofKey]) => {
    const verdict = judgeRegister(ofKey, options);
    switch (verdict.type) {
      case "linearizable":
        return [];
      case "violation":
        return [`${key}: ${verdict.what}`];
      case "gave-up":
        return [`${key}: not judged within ${verdict.states} states`];
    }
  });
}

/** Events of one key. Blind to revisions up to ten clients, then with them, where there are any, too. */
export function judgeRegister(events: readonly HistoryEvent[], options: RegisterOptions = {}): RegisterVerdict {
  const statesMax = options.statesMax ?? STATES_MAX;
  const hasRevisions = events.some(({ revision }) => revision !== undefined);
  const named = events.find(({ input }) => input["ifRevision"] !== undefined && input["expect"] === undefined);
  if (named !== undefined && !hasRevisions) throw new Error("a cas names a revision, and no answer tells one");
  const isSmall = new Set(events.map(({ process }) => process)).size <= CLIENTS_BLIND;
  const blind = isSmall || !hasRevisions ? new Search(events, false).run(statesMax) : null;
  if (!hasRevisions || (blind !== null && blind.type !== "linearizable")) return blind!;
  return new Search(events, true).run(statesMax);
}

type Value = string | null;

type Op = {
  readonly event: HistoryEvent;
  readonly kind: "get" | "put" | "cas" | "failed-cas";
  /** Written; of a get, read; of a failed cas, what it met, if that was told. */
  readonly value: Value | undefined;
  readonly expect: Value | undefined;
  readonly ifRevision: bigint | null;
  readonly revision: bigint | null;
};

/** `isExact`: the revision is known; else it is some number above this one. Blind searches leave it as it was. */
type State = { readonly value: Value; readonly revision: bigint; readonly isExact: boolean };

type Taken = { readonly op: number; readonly state: State; readonly isForced: boolean };

class Search {
  readonly #ops: readonly Op[];
  readonly #versioned: boolean;
  /** Calls and returns in the order of time, as a list from which linearized operations are taken out; 0 is its head. */
  readonly #next: number[] = [];
  readonly #before: number[] = [];
  readonly #opAt: number[] = [-1];
  readonly #returnOf: number[] = [];
  readonly #callOf: number[] = [];
  readonly #done: Uint32Array;
  /** Operations that completed with a revision, lowest first: revisions grow, so no operation may pass one below it. */
  readonly #byRevision: readonly number[];
  readonly #rank: readonly number[];
  #lowest = 0;
  /** By operation: one of unknown outcome that does the same and was called before; whoever needs one takes that first. */
  readonly #twin: readonly number[];

  constructor(events: readonly HistoryEvent[], versioned: boolean) {
    this.#versioned = versioned;
    this.#ops = relevant(revised(events.flatMap((event) => opOf(event))));
    this.#done = new Uint32Array(Math.ceil(this.#ops.length / 32));
    this.#link();
    const completed = [...this.#ops.keys()].filter((i) =>
      versioned && this.#ops[i]!.revision !== null && this.#returnOf[i] !== -1
    );
    this.#byRevision = completed.sort((a, b) => this.#ops[a]!.revision! < this.#ops[b]!.revision! ? -1 : 1);
    const rank = this.#ops.map(() => -1);
    this.#byRevision.forEach((op, i) => rank[op] = i);
    this.#rank = rank;
    this.#twin = twins(this.#ops);
  }

  run(statesMax: number): RegisterVerdict {
    const seen = new Set<string>();
    const path: Taken[] = [];
    let state: State = { value: null, revision: -1n, isExact: false };
    let open = this.#returnOf.filter((entry) => entry !== -1).length;
    let longest: readonly number[] = [];
    let at = this.#next[0]!;
    while (open > 0) {
      const op = this.#opAt[at]!;
      if (this.#callOf[op] === at) {
        const next = this.#step(state, op);
        if (next !== null && this.#isNew(seen, op, next)) {
          if (seen.size > statesMax) return { type: "gave-up", states: seen.size };
          // What reads and fits fits here best: it changes nothing, so no order needs it later.
          const isForced = this.#isRead(op) && (!this.#versioned || state.isExact);
          path.push({ op, state, isForced });
          state = next;
          this.#take(op);
          if (this.#returnOf[op] !== -1) open--;
          at = this.#next[0]!;
        } else at = this.#next[at]!;
        continue;
      }
      // It returned, and no order tried so far has it before here.
      if (path.length > longest.length) longest = path.map(({ op: done }) => done);
      let last: Taken | undefined;
      do {
        last = path.pop();
        if (last === undefined) return { type: "violation", what: this.#explain(op, longest) };
        this.#putBack(last.op);
        if (this.#returnOf[last.op] !== -1) open++;
      } while (last.isForced);
      state = last.state;
      at = this.#next[this.#callOf[last.op]!]!;
    }
    return { type: "linearizable", states: seen.size };
  }

  #link(): void {
    const marks = this.#ops.flatMap(({ event }, op) => [
      { op, atMs: event.callMs, isCall: true },
      ...(event.returnMs === null ? [] : [{ op, atMs: event.returnMs, isCall: false }]),
    ]);
    // At equal times all overlap: nothing returned before anything was called.
    marks.sort((a, b) => a.atMs - b.atMs || Number(b.isCall) - Number(a.isCall));
    this.#ops.forEach((_, op) => this.#returnOf[op] = -1);
    marks.forEach(({ op, isCall }, i) => {
      this.#opAt.push(op);
      (isCall ? this.#callOf : this.#returnOf)[op] = i + 1;
    });
    for (let i = 0; i <= marks.length; i++) {
      this.#next[i] = i + 1;
      this.#before[i] = i - 1;
    }
  }

  #take(op: number): void {
    this.#done[op >> 5]! |= 1 << (op & 31);
    for (const entry of [this.#callOf[op]!, this.#returnOf[op]!]) {
      if (entry === -1) continue;
      this.#next[this.#before[entry]!] = this.#next[entry]!;
      this.#before[this.#next[entry]!] = this.#before[entry]!;
    }
    while (this.#lowest < this.#byRevision.length && this.#isDone(this.#byRevision[this.#lowest]!)) this.#lowest++;
  }

  /** Only the last one taken. */
  #putBack(op: number): void {
    this.#done[op >> 5]! &= ~(1 << (op & 31));
    for (const entry of [this.#returnOf[op]!, this.#callOf[op]!]) {
      if (entry === -1) continue;
      this.#next[this.#before[entry]!] = entry;
      this.#before[this.#next[entry]!] = entry;
    }
    if (this.#rank[op] !== -1) this.#lowest = Math.min(this.#lowest, this.#rank[op]!);
  }

  #isDone(op: number): boolean {
    return (this.#done[op >> 5]! >>> (op & 31) & 1) === 1;
  }

  #isNew(seen: Set<string>, op: number, { value, revision, isExact }: State): boolean {
    this.#done[op >> 5]! |= 1 << (op & 31);
    const name = `${this.#done.join()} ${JSON.stringify(value)} ${revision} ${isExact}`;
    this.#done[op >> 5]! &= ~(1 << (op & 31));
    const size = seen.size;
    return seen.add(name).size > size;
  }

  #isRead(op: number): boolean {
    const { kind } = this.#ops[op]!;
    return kind === "get" || kind === "failed-cas";
  }

  /** The state after this operation, or null if it cannot come next. */
  #step(state: State, index: number): State | null {
    const op = this.#ops[index]!;
    const twin = this.#twin[index]!;
    if (twin !== -1 && !this.#isDone(twin)) return null;
    const lowest = this.#byRevision[this.#lowest];
    if (this.#versioned && op.revision !== null && lowest !== undefined) {
      if (op.revision > this.#ops[lowest]!.revision!) return null;
    }
    switch (op.kind) {
      case "get":
        return op.value === state.value ? this.#met(state, op.revision) : null;
      case "put":
        return this.#written(state, op);
      case "cas": {
        if (op.expect !== undefined && op.expect !== state.value) return null;
        const met = this.#met(state, op.ifRevision);
        return met === null ? null : this.#written(met, op);
      }
      case "failed-cas": {
        if (op.value !== undefined && op.value !== state.value) return null;
        if (op.expect !== undefined && op.expect === state.value) return null;
        if (this.#versioned && state.isExact && op.ifRevision === state.revision) return null;
        return this.#met(state, op.revision);
      }
    }
  }

  /** The state, now that its revision was seen, or null if it cannot have that one. */
  #met(state: State, revision: bigint | null): State | null {
    if (!this.#versioned || revision === null) return state;
    if (state.isExact ? state.revision !== revision : state.revision >= revision) return null;
    return { ...state, revision, isExact: true };
  }

  #written(state: State, { value, revision }: Op): State | null {
    const written = value ?? null;
    if (!this.#versioned) return { ...state, value: written };
    if (revision === null) return { ...state, value: written, isExact: false };
    return revision > state.revision ? { value: written, revision, isExact: true } : null;
  }

  #explain(op: number, longest: readonly number[]): string {
    const tell = (i: number) => {
      const { process, op: name, input, output, callMs, returnMs } = this.#ops[i]!.event;
      const span = `${callMs.toFixed(1)}–${returnMs?.toFixed(1) ?? "?"}`;
      return `${process} ${name} ${JSON.stringify(input)} → ${JSON.stringify(output)} at ${span}`;
    };
    return `no order explains ${tell(op)}; the longest that was found ends: ${
      longest.slice(-3).map(tell).join("; ") || "(empty)"
    }`;
  }
}

/** None for a read of unknown outcome: it constrains nothing. */
function opOf(event: HistoryEvent): Op[] {
  const { op, input, output } = event;
  const isUnknown = output === "unknown";
  const told = isUnknown ? {} : output;
  const revision = event.revision === undefined ? null : BigInt(event.revision);
  const base = { event, expect: undefined, ifRevision: null, revision };
  switch (op) {
    case "get":
      return isUnknown ? [] : [{ ...base, kind: "get", value: valueOf(told, "value") ?? null }];
    case "put":
      return [{ ...base, kind: "put", value: valueOf(input, "value")! }];
    case "delete":
      return [{ ...base, kind: "put", value: null }];
    case "cas": {
      const expect = valueOf(input, "expect");
      const ifRevision = input["ifRevision"] === undefined ? null : BigInt(String(input["ifRevision"]));
      if (expect === undefined && ifRevision === null) throw new Error("a cas names what it expects");
      if (!isUnknown && typeof told["ok"] !== "boolean") throw new Error("a cas says whether it was ok");
      if (!isUnknown && told["ok"] !== true) {
        return [{ ...base, kind: "failed-cas", expect, ifRevision, value: valueOf(told, "value") }];
      }
      return [{ ...base, kind: "cas", expect, ifRevision, value: valueOf(input, "value")! }];
    }
    default:
      throw new Error(`${op} is no operation of a register`);
  }
}

function valueOf(object: Readonly<Record<string, unknown>>, name: string): Value | undefined {
  const value = object[name];
  if (value === undefined || value === null || typeof value === "string") return value;
  throw new Error(`${name} is no text and not null`);
}

/**
 * A revision stands for one value: who names it expects that value, as far as anybody was told which it is. And a write of
 * unknown outcome has the revision that somebody read its value at.
 */
function revised(ops: readonly Op[]): readonly Op[] {
  const values = new Map<bigint, Value>();
  const revisions = new Map<Value, bigint>();
  for (const { kind, value, revision } of ops) {
    if (revision === null || value === undefined) continue;
    values.set(revision, value);
    if (kind === "get" && value !== null) revisions.set(value, revision);
  }
  return ops.map((op) => ({
    ...op,
    expect: op.ifRevision !== null && values.has(op.ifRevision) ? values.get(op.ifRevision) : op.expect,
    revision: op.event.output === "unknown" ? revisions.get(op.value ?? null) ?? null : op.revision,
  }));
}

/**
 * Without the writes of unknown outcome that nobody saw anything of: leaving one out never makes an order impossible,
 * unless a cas failed that only it can have failed.
 */
function relevant(ops: readonly Op[]): readonly Op[] {
  if (ops.some(({ kind, value }) => kind === "failed-cas" && value === undefined)) return ops;
  const met = new Set(
    ops.flatMap(({ kind, value, expect }) => kind === "get" || kind === "failed-cas" ? [value] : [expect]),
  );
  return ops.filter(({ event, value, ifRevision }) =>
    event.output !== "unknown" || met.has(value) || ifRevision !== null || ops.some((op) => op.ifRevision !== null)
  );
}

/** What never returned is never too late: of two that do the same the one called first can stand in for the other. */
function twins(ops: readonly Op[]): number[] {
  const last = new Map<string, number>();
  const order = [...ops.keys()].sort((a, b) => ops[a]!.event.callMs - ops[b]!.event.callMs);
  const twin = ops.map(() => -1);
  for (const i of order) {
    const { event, kind, value, expect, ifRevision, revision } = ops[i]!;
    if (event.output !== "unknown") continue;
    const name = JSON.stringify([kind, value, expect, String(ifRevision), String(revision)]);
    twin[i] = last.get(name) ?? -1;
    last.set(name, i);
  }
  return twin;
}
