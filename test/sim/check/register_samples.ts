/** Histories of a register: good ones, made by a register that is one, and faults planted in them that no order explains. */
import { type Seeded, seededRandomness } from "../virtual_time.ts";
import type { HistoryEvent } from "./history_lines.ts";

export type SampleOptions = {
  readonly clients: number;
  readonly ops: number;
  /** The share of operations of which nobody hears what became of them. */
  readonly unknown: number;
  readonly revisions: boolean;
};

type Draft = {
  readonly process: string;
  readonly callMs: number;
  readonly atMs: number;
  readonly returnMs: number | null;
};

/** Every operation takes effect at one random moment within its call, an unknown one also later or never. */
export function goodHistory(seed: number, { clients, ops, unknown, revisions }: SampleOptions): HistoryEvent[] {
  const random = seededRandomness(seed);
  const drafts: Draft[] = [];
  for (let client = 0; client < clients; client++) {
    let lives = 0;
    let nowMs = random.next() * 5;
    for (let i = 0; i < ops / clients; i++) {
      const process = `c${client}.${lives}`;
      const callMs = nowMs;
      const atMs = callMs + random.next() * 10;
      const returnMs = atMs + random.next() * 10;
      nowMs = returnMs + random.next() * 5;
      if (!random.chance(unknown)) drafts.push({ process, callMs, atMs, returnMs });
      else {
        // Now and then the client dies of it, and another takes its place.
        if (random.chance(0.3)) lives++;
        drafts.push({
          process,
          callMs,
          atMs: random.chance(0.4) ? Infinity : atMs + random.next() * 60,
          returnMs: null,
        });
      }
    }
  }
  const register: { value: string | null; revision: number } = { value: null, revision: 0 };
  const values: (string | null)[] = [null];
  return drafts.sort((a, b) => a.atMs - b.atMs).map((draft, i) =>
    perform(draft, i, register, values, random, revisions)
  )
    .sort((a, b) => a.callMs - b.callMs);
}

function perform(
  { process, callMs, atMs, returnMs }: Draft,
  index: number,
  register: { value: string | null; revision: number },
  values: (string | null)[],
  random: Seeded,
  revisions: boolean,
): HistoryEvent {
  const op = random.pick(["get", "get", "put", "cas", "cas", "delete"]);
  const value = `v${index}`;
  const write = (next: string | null) => {
    register.value = next;
    register.revision += 1 + random.below(3);
    values.push(next);
  };
  let input: Record<string, unknown> = {};
  let output: Record<string, unknown> = {};
  const never = atMs === Infinity;
  if (op === "get") output = { value: register.value };
  if (op === "put") {
    input = { value };
    if (!never) write(value);
  }
  if (op === "delete" && !never) write(null);
  if (op === "cas") {
    const expect = random.chance(0.6) ? register.value : random.pick(values);
    input = { expect, value };
    const ok = expect === register.value;
    output = ok ? { ok } : { ok, value: register.value };
    if (ok && !never) write(value);
  }
  const revision = revisions && returnMs !== null ? { revision: String(register.revision) } : {};
  return {
    process,
    key: "r",
    op,
    input,
    output: returnMs === null ? "unknown" : output,
    callMs,
    returnMs,
    ...revision,
  };
}

/** Null where the history, of one key, has no place for it. */
export type Plant = (events: readonly HistoryEvent[], random: Seeded) => HistoryEvent[] | null;

type Known = HistoryEvent & { readonly returnMs: number; readonly output: Readonly<Record<string, unknown>> };

function isKnown(event: HistoryEvent): event is Known {
  return event.output !== "unknown";
}

function isBefore(a: HistoryEvent, b: HistoryEvent): boolean {
  return a.returnMs !== null && a.returnMs < b.callMs;
}

/** Value it wrote and was told so; undefined if none. */
function written(event: HistoryEvent): string | undefined {
  if (!isKnown(event) || (event.op === "cas" && event.output["ok"] !== true)) return undefined;
  return event.op === "put" || event.op === "cas" ? event.input["value"] as string : undefined;
}

function replace(events: readonly HistoryEvent[], old: HistoryEvent, more: Partial<HistoryEvent>): HistoryEvent[] {
  return events.map((event) => event === old ? { ...event, ...more } : event);
}

/** Every [write, later write, read], each over before the next began; one of them, or null. */
function overwritten(events: readonly HistoryEvent[], random: Seeded, later: (event: HistoryEvent) => boolean) {
  const found: [HistoryEvent, HistoryEvent, HistoryEvent][] = [];
  for (const first of events) {
    if (written(first) === undefined) continue;
    for (const second of events.filter((event) => later(event) && isBefore(first, event))) {
      for (const read of events) {
        if (read.op === "get" && isKnown(read) && isBefore(second, read)) found.push([first, second, read]);
      }
    }
  }
  return found.length === 0 ? null : random.pick(found);
}

/** A write in a quiet moment after everything: who, when, and what it says. */
function quietly(events: readonly HistoryEvent[], steps: readonly Partial<HistoryEvent>[]): HistoryEvent[] {
  let nowMs = Math.max(...events.map(({ callMs, returnMs }) => returnMs ?? callMs)) + 1_000;
  const base = { process: "c0.0", key: events[0]!.key, op: "put", input: {}, output: {} };
  return [
    ...events,
    ...steps.map((step) => ({ ...base, ...step, callMs: nowMs++, returnMs: nowMs++ }) as HistoryEvent),
  ];
}

export const PLANTS: Readonly<Record<string, Plant>> = {
  "stale read": (events, random) => {
    const found = overwritten(events, random, (event) => written(event) !== undefined);
    return found && replace(events, found[2], { output: { value: written(found[0]) } });
  },
  "value resurrected after a delete": (events, random) => {
    const found = overwritten(events, random, (event) => event.op === "delete" && isKnown(event));
    return found && replace(events, found[2], { output: { value: written(found[0]) } });
  },
  "lost write": (events, random) => {
    const found = overwritten(events, random, (event) => written(event) !== undefined);
    if (found === null) return null;
    // Nobody ever meets the second one's value; who did meets the first one's.
    const [first, second] = found.map(written);
    return events.map((event) =>
      event.op === "get" && isKnown(event) && (event === found[2] || event.output["value"] === second)
        ? { ...event, output: { value: first } }
        : event
    );
  },
  "write applied twice": (events) =>
    quietly(events, [
      { input: { value: "once" } },
      { op: "get", output: { value: "once" } },
      { input: { value: "between" } },
      { op: "get", output: { value: "once" } },
    ]),
  "write of unknown outcome applied twice": (events) => {
    const [last] = quietly(events, [{}]).slice(-1);
    const torn: HistoryEvent = { ...last!, process: "u", input: { value: "once" }, output: "unknown", returnMs: null };
    return quietly([...events, torn], [
      { op: "get", output: { value: "once" } },
      { input: { value: "between" } },
      { op: "get", output: { value: "between" } },
      { op: "get", output: { value: "once" } },
    ]);
  },
  "write of unknown outcome seen, then never written": (events) => {
    const before = quietly(events, [{ input: { value: "old" } }]);
    const [last] = quietly(before, [{}]).slice(-1);
    const torn: HistoryEvent = { ...last!, process: "u", input: { value: "torn" }, output: "unknown", returnMs: null };
    return quietly([...before, torn], [
      { op: "get", output: { value: "torn" } },
      { op: "get", output: { value: "old" } },
    ]);
  },
  "cas in the wrong order": (events) =>
    quietly(events, [
      { input: { value: "a" } },
      { op: "cas", input: { expect: "b", value: "c" }, output: { ok: true } },
      { op: "cas", input: { expect: "a", value: "b" }, output: { ok: true } },
    ]),
  "two cas from one value": (events, random) => {
    const won = events.filter((event) =>
      event.op === "cas" && written(event) !== undefined && event.input["expect"] !== null
    );
    if (won.length === 0) return null;
    const { input } = random.pick(won);
    return quietly(events, [{ op: "cas", input: { ...input, value: "second" }, output: { ok: true } }]);
  },
  "failed cas that wrote": (events) =>
    quietly(events, [
      { input: { value: "here" } },
      { op: "cas", input: { expect: "elsewhere", value: "ghost" }, output: { ok: false, value: "here" } },
      { op: "get", output: { value: "ghost" } },
    ]),
  "cas refused though it was so": (events) =>
    quietly(events, [
      { input: { value: "here" } },
      { op: "get", output: { value: "here" } },
      { op: "cas", input: { expect: "here", value: "there" }, output: { ok: false } },
      { op: "get", output: { value: "here" } },
    ]),
  "read of what was never written": (events, random) => {
    const reads = events.filter((event) => event.op === "get" && isKnown(event));
    return reads.length === 0 ? null : replace(events, random.pick(reads), { output: { value: "phantom" } });
  },
  "read of what is not written yet": (events, random) => {
    const pairs = events.flatMap((read) =>
      read.op !== "get" || !isKnown(read)
        ? []
        : events.filter((write) => written(write) !== undefined && isBefore(read, write))
          .map((write) => [read, write] as const)
    );
    if (pairs.length === 0) return null;
    const [read, write] = random.pick(pairs);
    return replace(events, read, { output: { value: written(write) } });
  },
  "two reads that disagree on the order of two writes": (events) => {
    const both = quietly(events, [{ input: { value: "left" } }, { process: "c1.0", input: { value: "right" } }]);
    const [left, right] = both.slice(-2) as [Known, Known];
    const together = replace(both, right, { callMs: left.callMs, returnMs: left.returnMs });
    return quietly(together, [{ op: "get", output: { value: "left" } }, { op: "get", output: { value: "right" } }]);
  },
};

/** Only revisions tell these. */
export const REVISION_PLANTS: Readonly<Record<string, Plant>> = {
  "revision that sinks": (events) =>
    quietly(events, [
      { input: { value: "a" }, revision: "100001" },
      { input: { value: "b" }, revision: "100000" },
    ]),
  "two writes of one revision": (events) =>
    quietly(events, [
      { input: { value: "a" }, revision: "100000" },
      { input: { value: "b" }, revision: "100000" },
    ]),
  "read at another revision than its write": (events) =>
    quietly(events, [
      { input: { value: "a" }, revision: "100000" },
      { op: "get", output: { value: "a" }, revision: "100001" },
    ]),
  "cas on a revision that is over": (events) =>
    quietly(events, [
      { input: { value: "a" }, revision: "100000" },
      { input: { value: "b" }, revision: "100001" },
      { op: "cas", input: { ifRevision: "100000", value: "c" }, output: { ok: true }, revision: "100002" },
    ]),
};
