/** Whether a claim that something was decided can be true, as far as this record can tell (PROTOCOL.md §3). */
import { unreachable } from "../assert.ts";
import { compareBallots, type NodeId, sameBallot } from "./ballot.ts";
import type { AcceptorRecord, Certificate } from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

/** `rejected`: malformed, the sender's fault. `stop`: it contradicts what this very record did. */
export type Fault = { readonly rejected: string } | { readonly stop: string };

export function faultIn(
  { me, quorums }: { readonly me: NodeId; readonly quorums: QuorumSystem },
  record: AcceptorRecord,
  certificate: Certificate,
): Fault | null {
  if (!isQuorum(quorums, certificate)) return { rejected: "the certificate names no quorum of its kind" };
  if (certificate.instance !== record.instance || !certificate.acceptors.includes(me)) return null;
  const { vote } = record;
  // It says that we voted. A later vote of ours is no contradiction, an earlier one or none is: either this store
  // lost a write it had answered for, or somebody else has voted in our name.
  if (vote === null || compareBallots(vote.ballot, certificate.ballot) < 0) {
    return { stop: `counted among the voters of ${certificate.valueId}, without a record of that vote` };
  }
  if (sameBallot(vote.ballot, certificate.ballot) && vote.value.id !== certificate.valueId) {
    return { stop: `voted ${vote.value.id} in the ballot that decided ${certificate.valueId}` };
  }
  return null;
}

function isQuorum(quorums: QuorumSystem, { kind, acceptors, valueId }: Certificate): boolean {
  const set = new Set(acceptors);
  switch (kind) {
    case "classic":
      return quorums.isClassic(set);
    case "open":
      return quorums.isOpenFast(set);
    case "inclusive":
      // A node's values are named `node/nonce/n`.
      return quorums.isInclusiveFast(set, valueId.slice(0, valueId.indexOf("/")));
    default:
      return unreachable(kind);
  }
}
