/** What the proposer of a fresh key says, and hears: its messages bear a mark, and so do the answers that count (PROTOCOL.md §9). */
import { markedFresh } from "../members/decree.ts";
import type { SentMessage, SentReply } from "../members/message.ts";
import { STANDING } from "../paxos/ballot.ts";
import type { Accept, AcceptorMessage, AcceptorReply } from "../paxos/message.ts";
import type { WireMessage, WireReply } from "../ports.ts";

/** For the own acceptor. */
export function freshOwn(message: AcceptorMessage): SentMessage {
  return message.type === "accept" || message.type === "decide" ? markedFresh(message) : message;
}

/** For another's. */
export function freshSent(message: Accept): WireMessage {
  return markedFresh(message);
}

/** That the member casts no vote in the standing ballot of a fresh key, in the words of one that has promised higher. */
const withheld = (instance: number): AcceptorReply => {
  return { type: "refused", instance, ballot: STANDING, promised: [1, "", 0], vote: null };
};

/** What an answer is to who proposes a fresh key at this instance; null: it says nothing. */
export function freshReplyIn(reply: WireReply | SentReply, instance: number): AcceptorReply | null {
  switch (reply.type) {
    case "fresh":
      return reply.reply;
    case "ahead":
    case "stopped":
      return reply;
    // It does not know yet that the key is fresh, or an import stands above; or it does not know of such ballots.
    case "unimported":
    case "rejected":
    case "unavailable":
      return withheld(instance);
    default:
      return null;
  }
}
