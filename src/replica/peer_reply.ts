/** What a peer's answer is to whom: it may also say that it cannot answer, or that it has not imported the key yet. */
import type { SentReply } from "../members/message.ts";
import type { AcceptorReply } from "../paxos/message.ts";
import type { WireReply } from "../ports.ts";

/** Whether a node says it as an acceptor. */
export function isOfAcceptor({ type }: WireReply): boolean {
  return type !== "marks" && type !== "noted" && type !== "unavailable";
}

/** As a proposer or a coordinator takes it; null: it says nothing to them. */
export function acceptorReplyIn(reply: WireReply | SentReply): AcceptorReply | null {
  switch (reply.type) {
    case "unimported":
      // No vote and no promise, and what it needs is the state, as one that is behind by any number of instances.
      return { type: "behind", instance: 1 };
    case "marks":
    case "keys":
    case "records":
    case "noted":
    case "unavailable":
    case "import-promise":
    case "import-accepted":
    case "import-refused":
    case "fresh":
      return null;
    default:
      return reply;
  }
}
