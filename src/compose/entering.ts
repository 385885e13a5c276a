/** What a node has besides where it goes from one epoch into the next (PROTOCOL.md §9); with the first epoch alone, nothing. */
import { Arrival, type ArrivalParts } from "../epochs/arrival.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { BallotStore } from "../ports.ts";
import type { EpochPair } from "../replica/epoch_pair.ts";
import { type ImportParts, Imports } from "../replica/imports.ts";
import type { MemberRecords } from "../replica/member_records.ts";
import type { Entering } from "../replica/reader.ts";
import { Presence } from "../replica/presence.ts";
import type { GateOptions } from "../replica/vote_gate.ts";

/** The epoch before, as long as it is not known to be retired. */
export function beforeOf(epochs: EpochPair | null): QuorumSystem | null {
  return epochs === null || epochs.first() !== null ? null : epochs.old.quorums;
}

/** Whoever has voted in the epoch before gives reports of its votes, and must not have lost any either. */
export function gateOf(
  id: string,
  quorums: QuorumSystem,
  epochs: EpochPair | null,
  resumes: boolean,
): { readonly gated: QuorumSystem; readonly more: GateOptions } {
  const wasMember = epochs !== null && epochs.old.quorums.isMember(id);
  const gated = wasMember && !quorums.isMember(id) ? epochs.old.quorums : quorums;
  return { gated, more: { before: () => wasMember ? beforeOf(epochs) : null, resumes } };
}

/** Who is new in an epoch may come to it late. */
export function presenceOf(
  id: string,
  quorums: QuorumSystem,
  epochs: EpochPair | null,
  parts:
    & Omit<ArrivalParts, "isRetired" | "shown" | "isStopped" | "refresh" | "arrived">
    & Pick<ImportParts, "acceptor" | "learning">
    & { readonly store: Pick<BallotStore, "epochs" | "seal"> },
): Presence {
  const { acceptor, learning, clock, store } = parts;
  if (epochs === null || !quorums.isMember(id) || epochs.old.quorums.isMember(id)) return new Presence(clock);
  // The store may have gone on into another epoch.
  const kept = () => {
    const row = store.epochs();
    return row?.current.epoch === epochs.next.number ? row : null;
  };
  if (kept()?.arrived === true) return new Presence(clock);
  const arrival = new Arrival({
    ...parts,
    shown: (key) => acceptor.shown(key),
    isStopped: (key) => acceptor.stopped.has(key),
    refresh: (key) => learning.refresh(key),
    isRetired: () => epochs.first() !== null,
    async arrived() {
      const row = kept();
      if (row !== null) await store.seal({ ...row, arrived: true });
    },
  });
  return new Presence(clock, arrival);
}

export function enteringOf(
  records: MemberRecords | null,
  parts: Omit<ImportParts, "epochsOf">,
): { readonly imports: Imports | null; readonly entering: Entering | null } {
  if (records === null) return { imports: null, entering: null };
  const epochsOf = (key: string) => records.epochsOf(key);
  const imports = new Imports({ ...parts, epochsOf });
  const ensure = (key: string) => imports.ensure(key);
  parts.acceptor.onUnimported(ensure);
  return { imports, entering: { epochsOf, ensure } };
}
