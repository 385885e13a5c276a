/** Holds what callers of one hot lock were told against what was decided. */
import { compareDecimals } from "../../src/machine/fence.ts";
import type { Hold } from "../../src/machine/op.ts";
import type { State } from "../../src/paxos/message.ts";
import type { Step } from "./decided.ts";
import { guaranteedUntilMs } from "../sim/guarantee.ts";
import { checkExpired, complain, type Wrong } from "./hot_check.ts";
import { isDone, isRefusal, type Try } from "./hot_client.ts";

/** One worker's turn: an acquire with all its tries, and the release of what it got. Its id is its holder's name too. */
export type Turn = {
  readonly id: string;
  readonly acquire: readonly Try[];
  readonly release: readonly Try[];
};

/** What the decided values say of one grant. */
export type DecidedGrant = {
  readonly holder: string;
  readonly fence: string;
  /** Key of the command that asked for it. */
  readonly command: string;
  /** By a decided release. */
  isReleased: boolean;
  isHeld: boolean;
};

/** Collects grants, as a visitor of a lock's log. */
export class DecidedGrants {
  readonly all = new Map<string, DecidedGrant>();

  step({ command: { op }, result }: Step): void {
    if (op.type !== "release" || result.outcome !== "released") return;
    const grant = this.all.get(result.fence);
    if (grant !== undefined) grant.isReleased = true;
  }

  state(state: State): void {
    const { holders } = state as State & { readonly holders: readonly Hold[] };
    for (const grant of this.all.values()) grant.isHeld &&= holders.some(({ fence }) => fence === grant.fence);
    for (const { holder, fence, command } of holders) {
      if (!this.all.has(fence)) this.all.set(fence, { holder, fence, command, isReleased: false, isHeld: true });
    }
  }
}

export type CheckedLocks = {
  readonly wrong: Wrong;
  readonly grants: number;
  readonly refused: number;
  readonly unknown: number;
  /** Turns of unknown outcome that were granted all the same. */
  readonly unknownGranted: number;
};

type Told = {
  readonly id: string;
  readonly fence: string;
  readonly callMs: number;
  readonly fromMs: number;
  readonly untilMs: number;
};

export function checkTurns(turns: readonly Turn[], decided: ReadonlyMap<string, DecidedGrant>): CheckedLocks {
  const wrong: Wrong = new Map();
  const grants = turns.flatMap((turn) => grantsOf(wrong, turn, decided));
  checkFences(wrong, grants);
  checkOverlap(wrong, grants);
  for (const turn of turns) checkRelease(wrong, turn, decided);
  checkCommands(wrong, decided);
  const granted = new Set([...decided.values()].map(({ holder }) => holder));
  const fates = turns.map((turn) => [turn, fateOf(turn)] as const);
  for (const [{ id, acquire }, fate] of fates) {
    // A grant that came too late for its answer is given back at once; one that is left to lapse was somebody's lie.
    const kept = [...decided.values()].find(({ holder, isReleased }) => holder === id && !isReleased);
    if (fate === "refused" && acquire.length === 1 && kept !== undefined) {
      complain(wrong, "refused and granted", `${id}: fence ${kept.fence}`);
    }
  }
  const unknown = fates.filter(([, fate]) => fate === "unknown");
  return {
    wrong,
    grants: grants.length,
    refused: fates.filter(([, fate]) => fate === "refused").length,
    unknown: unknown.length,
    unknownGranted: unknown.filter(([{ id }]) => granted.has(id)).length,
  };
}

function fateOf({ acquire }: Turn): "granted" | "refused" | "unknown" {
  if (acquire.some(({ told }) => told !== null && isDone(told))) return "granted";
  return acquire.every(({ told }) => told !== null && isRefusal(told)) ? "refused" : "unknown";
}

function grantsOf(wrong: Wrong, { id, acquire, release }: Turn, decided: ReadonlyMap<string, DecidedGrant>): Told[] {
  checkExpired(wrong, { id, tries: acquire }, false);
  return acquire.flatMap(({ told, callMs, returnMs }) => {
    if (told === null || !isDone(told)) return [];
    const { fence, ttlMs, waitedMs, guaranteedForMs } = told.body as Record<string, unknown>;
    if (decided.get(`${fence}`)?.holder !== id) complain(wrong, "told a grant that was not decided", `${id}: ${fence}`);
    if (Number(guaranteedForMs) > Number(ttlMs)) complain(wrong, "guaranteed for more than its ttl", `${id}: ${fence}`);
    const bounds = { guaranteedForMs: Number(guaranteedForMs), waitedMs: Number(waitedMs) };
    const untilMs = guaranteedUntilMs({ sentMs: callMs, rate: 1 }, bounds);
    const givenBackMs = release[0]?.callMs ?? Infinity;
    return [{ id, fence: `${fence}`, callMs, fromMs: returnMs, untilMs: Math.min(untilMs, givenBackMs) }];
  });
}

/** Distinct; and the fence of who asked after another was answered is larger. */
function checkFences(wrong: Wrong, grants: readonly Told[]): void {
  const idOf = new Map<string, string>();
  for (const { id, fence } of grants) {
    if ((idOf.get(fence) ?? id) !== id) complain(wrong, "one fence for two", `${fence}: ${id}, ${idOf.get(fence)}`);
    idOf.set(fence, id);
  }
  let earliest = { fence: "", fromMs: Infinity };
  for (const { fence, callMs, fromMs } of grants.toSorted((a, b) => compareDecimals(b.fence, a.fence))) {
    if (earliest.fromMs < callMs) {
      complain(wrong, "a later grant has the lower fence", `${fence}, then ${earliest.fence}`);
    }
    if (fromMs < earliest.fromMs) earliest = { fence, fromMs };
  }
}

/** From the answer on, until it is given back or no longer guaranteed, nobody else holds it. */
function checkOverlap(wrong: Wrong, grants: readonly Told[]): void {
  let last: Told | null = null;
  for (const grant of grants.filter(({ fromMs, untilMs }) => fromMs < untilMs).sort((a, b) => a.fromMs - b.fromMs)) {
    if (last !== null && last.fence !== grant.fence && grant.fromMs < last.untilMs) {
      complain(wrong, "two hold it", `fences ${last.fence} and ${grant.fence}`);
    }
    if (last === null || grant.untilMs > last.untilMs) last = grant;
  }
}

function checkRelease(wrong: Wrong, { id, release }: Turn, decided: ReadonlyMap<string, DecidedGrant>): void {
  for (const { told, callMs } of release) {
    // Only what was granted is given back.
    if (told?.code === "not-found") complain(wrong, "told never granted", `${id} at ${callMs}`);
    if (told === null || !isDone(told)) continue;
    const grant = decided.get(`${told.body?.["fence"]}`);
    const said = told.outcome ?? "";
    if (grant === undefined) complain(wrong, "released what was never granted", `${id} at ${callMs}`);
    else if (grant.isHeld) complain(wrong, "told the end of a grant that stands", `${id}: ${said}, ${grant.fence}`);
    else if (["released", "already-released"].includes(said) && !grant.isReleased) {
      complain(wrong, "told released and not released", `${id}: ${grant.fence}`);
    } else if (said === "ended" && grant.isReleased) {
      complain(wrong, "told ended and was released", `${id}: ${grant.fence}`);
    }
  }
}

/** A command is granted once. Who lost a place asks again inside under another command's key. */
function checkCommands(wrong: Wrong, decided: ReadonlyMap<string, DecidedGrant>): void {
  for (const [command, grants] of Map.groupBy(decided.values(), ({ command }) => command)) {
    if (grants.length < 2) continue;
    const fences = grants.map(({ fence }) => fence).join(" and ");
    complain(wrong, "granted twice", `${grants[0]!.holder} (${command}): fences ${fences}`);
  }
}
