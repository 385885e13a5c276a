/**
 * What a member may take in the place of a record that is damaged, or that has stopped (PROTOCOL.md §9, "Repair"). It was silent
 * before it asked and stays so until it has taken it; what it had voted and promised it does not know any more.
 */
import { type NodeId, STANDING } from "./ballot.ts";
import type { AcceptorRecord, Machine, Snapshot } from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

/** What another member's record said, after this one had fallen silent. */
export type Standing = { readonly from: NodeId; readonly snapshot: Snapshot };

/** The last instance in which `me` can have voted or promised; null: too few others have answered to tell. */
export function lastVoted(quorums: QuorumSystem, me: NodeId, standings: readonly Standing[]): number | null {
  const others = othersOf(me, standings);
  if (!quorums.isPhase1(new Set(others.map(({ from }) => from)))) return null;
  // It stood at an instance only once a quorum had voted in the one before. Another member of that quorum is among these, and
  // has not gone back since.
  return Math.max(...others.map(({ snapshot }) => snapshot.instance)) + 1;
}

/**
 * The newest state that enough others have, and none has another of, at an instance above `voted`; null: there is none yet, and
 * one more decided value may bring it.
 */
export function stateAbove(
  quorums: QuorumSystem,
  me: NodeId,
  voted: number,
  standings: readonly Standing[],
): Snapshot | null {
  const above = othersOf(me, standings).filter(({ snapshot }) => snapshot.instance > voted);
  const instances = [...new Set(above.map(({ snapshot }) => snapshot.instance))].sort((a, b) => b - a);
  for (const instance of instances) {
    const there = above.filter(({ snapshot }) => snapshot.instance === instance);
    const isOne = new Set(there.map(({ snapshot }) => nameOf(snapshot))).size === 1;
    if (isOne && quorums.isPhase1(new Set(there.map(({ from }) => from)))) return there[0]!.snapshot;
  }
  return null;
}

/** A record of that state without vote or promise; null: the hashes are not those of the state. */
export function recordAnew(
  { hash, contentHash }: Pick<Machine, "hash" | "contentHash">,
  epoch: number,
  snapshot: Snapshot,
): AcceptorRecord | null {
  const { instance, state, stateHash, decidedBy } = snapshot;
  const isWhole = snapshot.contentHash === undefined || contentHash(state) === snapshot.contentHash;
  if (hash(state) !== stateHash || !isWhole) return null;
  return { epoch, instance, state, stateHash, decidedBy, promised: STANDING, vote: null };
}

/** Its own record counts for nothing: it is the one that is wrong. */
function othersOf(me: NodeId, standings: readonly Standing[]): readonly Standing[] {
  return standings.filter(({ from }) => from !== me);
}

function nameOf({ stateHash, contentHash = "" }: Snapshot): string {
  return `${stateHash} ${contentHash}`;
}
