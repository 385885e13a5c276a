/** How an answer came about, for its Consensus-… headers. */
import type { Receipt } from "../api.ts";
import { sameBallot, showBallot, STANDING } from "../paxos/ballot.ts";
import type { Certificate } from "../paxos/message.ts";

export function receiptOf(decidedBy: Certificate | null): Receipt {
  if (decidedBy === null) return { path: "read", instance: 0, ballot: showBallot(STANDING) };
  const { instance, ballot } = decidedBy;
  return { path: pathOf(decidedBy), instance, ballot: showBallot(ballot) };
}

function pathOf({ kind, ballot }: Certificate): Receipt["path"] {
  if (kind === "inclusive") return "fast";
  // An open quorum in the recovery of a fast ballot, where the acceptors picked themselves.
  if (kind === "open") return ballot[2] === 0 ? "open-fast" : "recovered";
  // Any other ballot ended what the standing one could not.
  return sameBallot(ballot, STANDING) ? "classic" : "recovered";
}
