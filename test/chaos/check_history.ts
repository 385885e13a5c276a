/**
 * Checks of one run's history. They know times, fences and answers, and nothing of the code that gave them. Each is
 * about O(n log n), and says one line per violation.
 */
import { WINDOW_INSTANCES } from "../../src/limits.ts";
import { instanceOfFence } from "../../src/machine/fence.ts";
import { fenceFaults } from "../sim/check/fences.ts";
import type { Operation } from "./history.ts";
import { type Hold, holdsOf } from "./holds.ts";

/** What an operation may be told; a code beyond these is one that no client of this workload gives cause for. */
const EXPECTED: Readonly<Record<Operation["op"], readonly string[]>> = {
  acquire: ["granted", "held", "cooling", "lost", "expired-command", "unknown"],
  renew: ["renewed", "lost", "expired-command", "unknown"],
  release: ["released", "already-released", "taken-over", "ended", "expired-command", "unknown"],
  read: ["read", "unknown"],
};

/** Answers that contradict each other, or the guarantees given with them. */
export function contradictions(operations: readonly Operation[]): string[] {
  const byLock = holdsOf(operations);
  const holds = [...byLock.values()].flat();
  return [
    ...unexpected(operations),
    ...fenceFaults(holds),
    ...[...byLock.values()].flatMap(overlaps),
    ...brokenGuarantees(operations, holds),
    ...differentReads(operations),
  ];
}

function unexpected(operations: readonly Operation[]): string[] {
  return operations.filter(({ op, outcome }) => !EXPECTED[op].includes(outcome)).map(({ op, key, fence, outcome }) =>
    `${key}: ${op}${fence === null ? "" : ` of ${fence}`} was answered ${outcome}`
  );
}

/** A grant with a higher fence is not answered while a lower one of its lock is certainly held. */
function overlaps(holds: readonly Hold[]): string[] {
  const faults: string[] = [];
  let before: Hold | null = null;
  for (const hold of [...holds].sort((a, b) => a.fence < b.fence ? -1 : 1)) {
    if (before !== null && hold.returnedMs < certainUntilMs(before)) {
      faults.push(
        `${hold.lock}: fence ${hold.fence} was answered at ${at(hold.returnedMs)}, while ${before.fence} was held ` +
          `until ${at(certainUntilMs(before))}`,
      );
    }
    if (before === null || certainUntilMs(hold) > certainUntilMs(before)) before = hold;
  }
  return faults;
}

/** Up to then it can have ended in no way. */
function certainUntilMs({ guaranteedUntilMs, releaseCalledMs }: Hold): number {
  return Math.min(guaranteedUntilMs, releaseCalledMs);
}

/** A holder was told that it is lost while it was guaranteed, or that it is renewed after it was over. */
function brokenGuarantees(operations: readonly Operation[], holds: readonly Hold[]): string[] {
  const byFence = new Map(holds.map((hold) => [`${hold.lock} ${hold.fence}`, hold]));
  return operations.flatMap(({ op, key, fence, callMs, returnMs, outcome, tries }) => {
    const hold = byFence.get(`${key} ${fence}`);
    if (hold === undefined || op === "acquire") return [];
    if (outcome === "already-released" && tries === 1 && !mayBeForgotten(operations, key, fence!, returnMs)) {
      return [`${key}: nobody released fence ${fence} before`];
    }
    // Nothing may be left to tell of an earlier try that released it: both memories of a name are bounded.
    const isForgotten = op === "release" && tries > 1 && outcome === "ended";
    const isLost = ["lost", "ended", "taken-over"].includes(outcome) && !isForgotten;
    if (isLost && returnMs < certainUntilMs({ ...hold, releaseCalledMs: Infinity })) {
      return [
        `${key}: fence ${fence} was ${outcome} at ${at(returnMs)}, guaranteed until ${at(hold.guaranteedUntilMs)}`,
      ];
    }
    if (outcome === "renewed" && hold.over !== null && hold.over.atMs < callMs) {
      return [`${key}: fence ${fence} was renewed at ${at(returnMs)}, after it was ${hold.over.outcome}`];
    }
    return [];
  });
}

/**
 * Whether a name has come so far by then that the release of this fence is not remembered any more: a node that hears of it so late
 * has it applied again, and is told what it has done itself (PROTOCOL.md §6). Fences and revisions tell how far.
 */
function mayBeForgotten(operations: readonly Operation[], lock: string, fence: string, byMs: number): boolean {
  const from = instanceOfFence(fence) + WINDOW_INSTANCES;
  return operations.some(({ key, callMs, fence: granted, op, state }) => {
    const number = op === "acquire" ? granted : state?.revision ?? null;
    return key === lock && callMs < byMs && number !== null && instanceOfFence(number) > from;
  });
}

/** One revision is one state, whichever node tells it. */
function differentReads(operations: readonly Operation[]): string[] {
  const known = new Map<string, string>();
  return operations.flatMap(({ key, state, node }) => {
    if (state === undefined) return [];
    const { revision, holders, lastFence } = state;
    const text = `holders ${[...holders].sort()}, last fence ${lastFence}`;
    const before = known.get(`${key} ${revision}`) ?? text;
    known.set(`${key} ${revision}`, before);
    return before === text ? [] : [`${key} at revision ${revision}: ${before}, but ${node} tells ${text}`];
  });
}

/**
 * Acknowledged writes that a later linearizable read does not show: a grant, a release, a hold that cannot have ended, a
 * revision that somebody had read. Complete if the run ends with a read of every lock through every node.
 */
export function lostWrites(operations: readonly Operation[]): string[] {
  const reads = new Map<string, Operation[]>();
  for (const operation of operations) {
    if (operation.state === undefined) continue;
    const list = reads.get(operation.key);
    if (list === undefined) reads.set(operation.key, [operation]);
    else list.push(operation);
  }
  const holds = holdsOf(operations);
  return [...reads].flatMap(([lock, list]) => [
    ...lostHolds(lock, holds.get(lock) ?? [], list),
    ...sunkReads(lock, list),
  ]);
}

/** Sweeps reads in order of their calls. `holds` are in order of return. */
function lostHolds(lock: string, holds: readonly Hold[], reads: readonly Operation[]): string[] {
  const faults: string[] = [];
  const byFence = new Map(holds.map((hold) => [String(hold.fence), hold]));
  let next = 0;
  let highest = 0n;
  let standing: Hold[] = [];
  for (const { callMs, returnMs, node, state } of [...reads].sort((a, b) => a.callMs - b.callMs)) {
    const { holders, lastFence } = state!;
    for (; next < holds.length && holds[next]!.returnedMs < callMs; next++) {
      standing.push(holds[next]!);
      if (holds[next]!.fence > highest) highest = holds[next]!.fence;
    }
    standing = standing.filter((hold) => certainUntilMs(hold) >= callMs);
    const where = `${lock}: ${node} at ${at(callMs)}`;
    if (BigInt(lastFence) < highest) faults.push(`${where} knows no grant above ${lastFence}, ${highest} was granted`);
    for (const hold of standing) {
      if (certainUntilMs(hold) > returnMs && !holders.includes(String(hold.fence))) {
        faults.push(`${where} does not show fence ${hold.fence}, held until ${at(certainUntilMs(hold))}`);
      }
    }
    for (const fence of holders) {
      const over = byFence.get(fence)?.over;
      if (over && over.atMs < callMs) faults.push(`${where} shows fence ${fence}, which was ${over.outcome} before`);
    }
  }
  return faults;
}

/** What a read has told no later one may take back. */
function sunkReads(lock: string, reads: readonly Operation[]): string[] {
  const faults: string[] = [];
  const returns = [...reads].sort((a, b) => a.returnMs - b.returnMs);
  let next = 0;
  let highest = -1n;
  for (const { callMs, node, state } of [...reads].sort((a, b) => a.callMs - b.callMs)) {
    for (; next < returns.length && returns[next]!.returnMs < callMs; next++) {
      const revision = BigInt(returns[next]!.state!.revision);
      if (revision > highest) highest = revision;
    }
    if (BigInt(state!.revision) < highest) {
      faults.push(`${lock}: ${node} at ${at(callMs)} is at revision ${state!.revision}, ${highest} had been read`);
    }
  }
  return faults;
}

/** How the node says a grant ended (`GET /locks/:name/history`), at the end of a run. */
export type End = { readonly lock: string; readonly fence: string; readonly end: string };

/** Ends that do not fit what clients did and were told, and last grants that are neither held nor ended. */
export function endFaults(operations: readonly Operation[], ends: readonly End[]): string[] {
  const told = new Map(ends.map(({ lock, fence, end }) => [`${lock} ${fence}`, end]));
  const last = new Map<string, Operation>();
  for (const operation of operations) if (operation.state !== undefined) last.set(operation.key, operation);
  return [...holdsOf(operations)].flatMap(([lock, holds]) => {
    const highest = holds.reduce((a, b) => a.fence > b.fence ? a : b);
    return holds.flatMap((hold) => {
      const { fence, over, releaseCalledMs } = hold;
      const end = told.get(`${lock} ${fence}`);
      if (end === undefined) {
        const isHeld = last.get(lock)?.state?.holders.includes(String(fence)) ?? false;
        // Older ones may have left the bounded history.
        return hold === highest && !isHeld ? [`${lock}: fence ${fence} is neither held nor ended`] : [];
      }
      const isReleased = over?.outcome === "released" || over?.outcome === "already-released";
      if (isReleased && end !== "released") return [`${lock}: fence ${fence} was released, but it ended ${end}`];
      if (end === "released" && releaseCalledMs === Infinity) return [`${lock}: nobody released fence ${fence}`];
      if (end !== "released" && end !== "lapsed") return [`${lock}: fence ${fence} ended ${end}`];
      return [];
    });
  });
}

function at(ms: number): string {
  return `${ms.toFixed(1)} ms`;
}
