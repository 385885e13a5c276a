/** What an operator is told of each cause, for which two nodes do not serve each other. */
import type { PeerCause } from "../ports.ts";

/** Why what this node sends to the peer comes to nothing. */
const ASKED: Readonly<Record<PeerCause, string>> = {
  "refused": "nothing listens at its URL",
  "timed-out": "it gives no answer in time",
  "unreachable": "no connection to its URL comes about, or it breaks off",
  "certificate": "its TLS certificate is not trusted here; --tls-ca names the file of the CA to trust",
  "other-secret": "it knows another QUORATE_PEER_SECRET",
  "no-member": "it has this node neither among its members nor its learners",
  "other-members": "its --cluster lists other members, or it was initialised with other --modes",
  "other-wire": "it speaks another wire",
  "wrong-node": "another node answers at its URL",
  "other-life":
    "it speaks for another store than the one on record here: its own was lost or exchanged, and must not vote",
  "not-ready": "it is starting, or its store belongs to no member",
  "no-vote": "it answers, but does not vote",
  "failed": "it gives no usable answer",
};

/** Why what the peer sends is refused here. */
const REFUSED: Partial<Readonly<Record<PeerCause, string>>> = {
  "other-secret": "what it sends is refused here: it is signed with another QUORATE_PEER_SECRET",
  "no-member": "what it sends is refused here: it is neither a member nor a learner of this node's cluster",
  "other-members": "what it sends is refused here: its --cluster or its --modes are others",
  "other-wire": "what it sends is refused here: it speaks another wire",
  "wrong-node": "what it sends is refused here: it is meant for another node, so its URL of that node is wrong",
  "other-life": "what it sends is refused here: its store was lost or exchanged for another, and must not vote",
};

export function detailOf(cause: PeerCause, direction: "asked" | "refused"): string {
  return (direction === "refused" ? REFUSED[cause] : undefined) ?? ASKED[cause];
}

/** These pass by themselves where nodes start and stop, or members change; one is told once it lasts. */
const TRANSIENT: ReadonlySet<PeerCause> = new Set([
  "other-members",
  "refused",
  "timed-out",
  "unreachable",
  "not-ready",
  "no-vote",
  "failed",
]);

/** It is there, and may vote the next moment. */
const THERE: ReadonlySet<PeerCause> = new Set(["not-ready", "no-vote", "failed"]);

export function isThere(cause: PeerCause): boolean {
  return THERE.has(cause);
}

export function mayPass(cause: PeerCause): boolean {
  return TRANSIENT.has(cause);
}

/** Whether a request that was refused for it is proven to be of the node it says it is of. */
export function isProven(cause: PeerCause): boolean {
  return cause === "no-member" || cause === "other-members" || cause === "wrong-node" || cause === "other-life";
}
