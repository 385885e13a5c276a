/** Holds what callers of one hot register were told against what was decided: each word of it is taken for true. */
import { compareDecimals } from "../../src/machine/fence.ts";
import { DEDUP_WINDOW } from "../../src/limits.ts";
import type { Effect } from "./decided.ts";
import { isDone, isRefusal, type Told, type Try } from "./hot_client.ts";

/** One write with all its tries, in the order of their sends, under one Idempotency-Key. */
export type Write = {
  readonly id: string;
  /** What it writes; no other write of the run has the same. */
  readonly value: string;
  readonly tries: readonly Try[];
};

export type Read = Pick<Try, "callMs"> & {
  readonly revision: string;
  readonly value: string;
};

export type Observed = {
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
  /** In the order of their decisions. */
  readonly effects: readonly Effect[];
  /** Between the callers and the nodes stands a gateway, which may send a request again by itself. */
  readonly viaGateway: boolean;
};

/** Complaints by kind; those that were not there are not in it. */
export type Wrong = Map<string, string[]>;

export type Checked = {
  readonly wrong: Wrong;
  readonly acknowledged: number;
  readonly refused: number;
  /** Writes of which nobody was told what they came to, and how many of them had been applied. */
  readonly unknown: number;
  readonly unknownApplied: number;
  readonly retries: number;
  /**
   * Writes that were applied again for a retry without `Quorate-Born` that came later than the window reaches. The caller
   * did without the header that prevents it, so this is counted and is no fault.
   */
  readonly lateRepeats: number;
};

type Fate = "acknowledged" | "refused" | "unknown";

export function checkWrites({ writes, reads, effects, viaGateway }: Observed): Checked {
  const wrong: Wrong = new Map();
  const effectsOf = Map.groupBy(effects, ({ id }) => id);
  const fates = new Map(writes.map((write) => [write.id, fateOf(write)]));
  for (const write of writes) {
    checkExpired(wrong, write, viaGateway);
    checkAnswers(wrong, write, effectsOf.get(write.id) ?? []);
  }
  const lateRepeats = checkRepeats(wrong, writes, effects, effectsOf, fates);
  checkOrder(wrong, writes, effectsOf);
  checkReads(wrong, reads, writes, effects);
  const unknown = writes.filter(({ id }) => fates.get(id) === "unknown");
  return {
    wrong,
    acknowledged: writes.filter(({ id }) => fates.get(id) === "acknowledged").length,
    refused: writes.filter(({ id }) => fates.get(id) === "refused").length,
    unknown: unknown.length,
    unknownApplied: unknown.filter(({ id }) => effectsOf.has(id)).length,
    retries: writes.reduce((sum, { tries }) => sum + tries.length - 1, 0),
    lateRepeats,
  };
}

export function complain(wrong: Wrong, kind: string, what: string): void {
  const all = wrong.get(kind);
  if (all === undefined) wrong.set(kind, [what]);
  else all.push(what);
}

/**
 * What the caller knows in the end. A refusal of a retry may speak of that try alone, unless it says that it knows the
 * command's first one, so it counts only where every try was refused.
 */
export function fateOf({ tries }: Pick<Write, "tries">): Fate {
  if (tries.some(({ told }) => told !== null && isDone(told))) return "acknowledged";
  if (tries.every(({ told }) => told !== null && isRefusal(told))) return "refused";
  return tries.slice(1).some(isExact) ? "refused" : "unknown";
}

/** A refusal of a retry with `Quorate-Born` by what was decided: that retry is exact for ever. */
function isExact({ told, born }: Try): boolean {
  return born !== null && told !== null && told.status < 500 && isRefusal(told) && told.status !== 429;
}

/** A first try without `Quorate-Born` is never called expired, and whoever is says that the outcome is unknown. */
export function checkExpired(wrong: Wrong, { id, tries }: Pick<Write, "id" | "tries">, viaGateway: boolean): void {
  tries.forEach(({ told, born }, i) => {
    if (told?.code !== "expired-command") return;
    if (i === 0 && born === null) complain(wrong, "expired-command on a first try", id);
    else if (told.outcome !== "unknown") complain(wrong, "expired-command without outcome unknown", id);
    else if (born === null && !viaGateway) complain(wrong, "expired-command without Quorate-Born", id);
  });
}

function checkAnswers(wrong: Wrong, write: Write, effects: readonly Effect[]): void {
  const { id, tries } = write;
  for (const { told } of tries) {
    if (told === null || !isDone(told)) continue;
    if (effects.length === 0) complain(wrong, "acknowledged and not applied", id);
    else if (!effects.some(({ revision }) => revision === told.revision)) {
      complain(wrong, "revision of another write", `${id}: ${told.revision}, not ${effects[0]!.revision}`);
    }
  }
  if (effects.length > 0 && fateOf(write) === "refused") {
    complain(wrong, "refused and applied", `${id}: ${codesOf(write)}, revision ${effects[0]!.revision}`);
  } else if (fateOf(write) === "acknowledged" && tries.slice(1).some(isExact)) {
    complain(wrong, "a retry with Quorate-Born was refused after all", `${id}: ${codesOf(write)}`);
  }
}

function codesOf({ tries }: Write): string {
  return tries.map(({ told }) => told === null ? "-" : told.code ?? told.status).join(", ");
}

/** Any second application; with what it undid of what others had been acknowledged. The number of late ones. */
function checkRepeats(
  wrong: Wrong,
  writes: readonly Write[],
  effects: readonly Effect[],
  effectsOf: ReadonlyMap<string, readonly Effect[]>,
  fates: ReadonlyMap<string, Fate>,
): number {
  let late = 0;
  /** By the first that came again after them. */
  const undone = new Map<string, string>();
  for (const write of writes) {
    const own = effectsOf.get(write.id) ?? [];
    // One application too many for each such retry.
    let asked = write.tries.slice(1).filter(({ born }) => born === null).length;
    for (let i = 1; i < own.length; i++) {
      const [before, again] = [own[i - 1]!, own[i]!];
      if (asked > 0 && again.at - before.at > DEDUP_WINDOW) {
        asked--;
        late++;
        continue;
      }
      const kind = write.tries.length === 1 ? "applied twice though sent once" : "applied twice";
      complain(wrong, kind, `${write.id}: revisions ${before.revision} and ${again.revision}`);
      for (const { id } of effects.slice(effects.indexOf(before) + 1, effects.indexOf(again))) {
        if (id !== write.id && fates.get(id) === "acknowledged" && !undone.has(id)) undone.set(id, write.id);
      }
    }
  }
  for (const [id, by] of undone) complain(wrong, "acknowledged and undone", `${id} by ${by}`);
  return late;
}

/** A write that was acknowledged before another one was sent comes before it. */
function checkOrder(wrong: Wrong, writes: readonly Write[], effectsOf: ReadonlyMap<string, readonly Effect[]>): void {
  const applied = writes.flatMap((write) => {
    const [first] = effectsOf.get(write.id) ?? [];
    return first === undefined ? [] : [{ ...write, revision: first.revision }];
  }).sort((a, b) => compareDecimals(b.revision, a.revision));
  let earliest = { id: "", ackMs: Infinity };
  for (const { id, tries } of applied) {
    if (earliest.ackMs < tries[0]!.callMs) {
      complain(wrong, "applied before an older one", `${id}, and then ${earliest.id}`);
    }
    const ackMs = Math.min(
      ...tries.filter(({ told }) => told !== null && isDone(told)).map(({ returnMs }) => returnMs),
    );
    if (ackMs < earliest.ackMs) earliest = { id, ackMs };
  }
}

/** A read shows what was decided, and nothing older than what was acknowledged before it began. */
function checkReads(
  wrong: Wrong,
  reads: readonly Read[],
  writes: readonly Write[],
  effects: readonly Effect[],
): void {
  const valueOf = new Map(writes.map(({ id, value }) => [id, value]));
  const shown = new Map(effects.map(({ id, revision }) => [revision, valueOf.get(id)]));
  const acks = writes.flatMap(({ tries }) => tries).flatMap(({ told, returnMs }) =>
    told !== null && isDone(told) && told.revision !== null ? [{ returnMs, revision: told.revision }] : []
  ).sort((a, b) => a.returnMs - b.returnMs);
  let newest = "0";
  let next = 0;
  for (const { callMs, revision, value } of reads.toSorted((a, b) => a.callMs - b.callMs)) {
    for (; next < acks.length && acks[next]!.returnMs < callMs; next++) {
      if (compareDecimals(acks[next]!.revision, newest) > 0) newest = acks[next]!.revision;
    }
    if (shown.get(revision) !== value) complain(wrong, "read and not decided", `${value} at revision ${revision}`);
    if (compareDecimals(revision, newest) < 0) complain(wrong, "read too old", `${revision} after ${newest}`);
  }
}

/** acknowledged ≤ value ≤ acknowledged + unknown */
export function checkCount(wrong: Wrong, value: number, { acknowledged, unknown }: Checked): void {
  if (value < acknowledged || value > acknowledged + unknown) {
    complain(wrong, "miscounted", `${value}, with ${acknowledged} acknowledged and ${unknown} unknown`);
  }
}

/** What an answer is counted as where only its kind matters. */
export function kindOf(told: Told | null): string {
  return told === null ? "no answer" : told.code ?? `${told.status}`;
}
