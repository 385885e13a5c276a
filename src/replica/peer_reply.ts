/** A peer may also answer that it cannot: that is no reply of an acceptor. */
import type { AcceptorReply } from "../paxos/message.ts";
import type { WireReply } from "../ports.ts";

export function isAcceptorReply(reply: WireReply): reply is AcceptorReply {
  return reply.type !== "marks" && reply.type !== "noted" && reply.type !== "unavailable";
}
