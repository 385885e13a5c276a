/** What a node makes of epochs that it is told of: pure. */
import { floorOf } from "../backup/restored.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochConfig, EpochsRow } from "../ports.ts";
import { clusterConfigIn } from "./epoch_config.ts";

/**
 * `row`: what the store says, of a node that went into its epoch from another. `current` is the epoch that it is in; its URLs are
 * those that hold here.
 */
export type Known = { readonly current: EpochConfig; readonly row: EpochsRow | null };

/** The first instance of names without a record: the same in all epochs, since every name that has a record is moved. */
export function firstIn({ restored }: EpochConfig): number {
  return floorOf(restored ?? null) + 1;
}

/** How the store goes on into the next epoch. */
export function rowInto({ current, row }: Known, next: EpochConfig): EpochsRow {
  return { before: row?.current ?? current, beforeFirst: firstIn(current), current: next, first: null };
}

/** A cluster was made anew of the same ids, and a node of the one before is still about. */
export const OTHER_ORIGIN = "it is of another cluster, whose first members had the same ids and other stores";

/**
 * Whether these may be the stores that this cluster began with. @param lives as this node has them on record; of a store that
 * was lost it may be another one than others have
 */
export function mayBegin(
  origin: NonNullable<EpochConfig["origin"]>,
  lives: ReadonlyMap<NodeId, string>,
): boolean {
  const known = origin.filter(({ id }) => lives.has(id));
  const same = known.filter(({ id, incarnation }) => lives.get(id) === incarnation).length;
  return same >= known.length - same;
}

export type News =
  /** It goes into another epoch. */
  | { readonly type: "next"; readonly row: EpochsRow }
  /** The epoch before its own is retired: from this instance on begin names without a record. */
  | { readonly type: "retired"; readonly first: number }
  /** Nothing that it does not know. */
  | { readonly type: "none" }
  /** One of the two holds what was never decided. Neither may follow the other. */
  | { readonly type: "contradiction"; readonly what: string };

/**
 * Nodes that have the secret are believed: they tell of nothing that is not decided. Whoever is several epochs behind goes into
 * the newest at once. Epochs below `before` are retired, so nobody needs reports of them, and a member that never was in
 * `before` has neither promised nor voted there.
 */
export function newsIn({ current, row: own }: Known, heard: EpochsRow | null): News {
  if (heard === null) return { type: "none" };
  if (heard.current.cluster !== current.cluster) return { type: "contradiction", what: "it is of another cluster" };
  if (heard.current.epoch < current.epoch) return { type: "none" };
  const [ours, theirs] = [current.origin, heard.current.origin];
  if (ours !== undefined && JSON.stringify(ours) !== JSON.stringify(theirs)) {
    return { type: "contradiction", what: OTHER_ORIGIN };
  }
  if (heard.current.epoch > current.epoch) {
    const follows = heard.before.epoch === current.epoch;
    if (!follows || hasSameMembers(heard.before, current)) return { type: "next", row: heard };
    return { type: "contradiction", what: `it had other members in epoch ${current.epoch}` };
  }
  if (!hasSameMembers(heard.current, current)) {
    return { type: "contradiction", what: `it has other members in epoch ${current.epoch}` };
  }
  if (own === null || heard.first === null || heard.first === own.first) return { type: "none" };
  if (own.first === null) return { type: "retired", first: heard.first };
  return { type: "contradiction", what: `to it names of epoch ${current.epoch} begin at another instance` };
}

/** URLs are not compared: nodes may be told other ones by their flags. */
function hasSameMembers(a: EpochConfig, b: EpochConfig): boolean {
  return clusterConfigIn(a).text === clusterConfigIn(b).text;
}
