/** Which epoch a process begins in: as its store says, or, where that says nothing of epochs, as its flags do. Pure. */
import { QuorateError } from "../errors.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochConfig, EpochsRow } from "../ports.ts";
import type { Known } from "./news.ts";

/** What `--cluster` says; `isGiven`: it says anything at all. */
export type Flagged = { readonly genesis: EpochConfig; readonly isGiven: boolean };

/**
 * Members are what the store says; the flag may still list those that the cluster began with. Where it lists the members there
 * are, its URLs hold, as they do in the first epoch: a host may have moved. Throws QuorateError `invalid-request` for any
 * other list.
 */
export function beginningOf({ genesis, isGiven }: Flagged, row: EpochsRow | null): Known {
  if (row === null) return { current: genesis, row: null };
  const { current } = row;
  const ids = (config: EpochConfig) => config.members.map(({ id }) => id).sort().join(", ");
  if (isGiven && ids(genesis) === ids(current)) {
    return { current: { ...current, members: genesis.members }, row };
  }
  if (isGiven && genesis.cluster !== current.cluster) {
    const detail = `--cluster lists ${ids(genesis)}; the members are ${ids(current)}, since epoch ${current.epoch}`;
    throw new QuorateError("invalid-request", detail, { field: "--cluster" });
  }
  return { current, row };
}

/** Where everybody is found whom a node in this epoch talks to: its members, and those of the epoch before. */
export function urlsIn({ current, row }: Known): Readonly<Record<NodeId, string>> {
  const members = [...row?.before.members ?? [], ...current.members];
  return Object.fromEntries(members.map(({ id, url }) => [id, url]));
}
