/** An acceptor's side of a direct client: its vote, and what the client's commands would come to (PROTOCOL.md §3). */
import { compareBallots } from "../paxos/ballot.ts";
import type { LockMachine } from "../machine/machine.ts";
import { readOp } from "../machine/read_op.ts";
import type { Command, State } from "../paxos/message.ts";
import type { AcceptorHost } from "../replica/acceptor_host.ts";
import { holdsFence } from "./read_answers.ts";
import type { DirectAccept, DirectReply } from "./service.ts";

/** Whether there is what a command is about, as far as it names it by a fence. */
function isThere(state: State, { subject, op }: Command): boolean {
  const asked = readOp(op);
  const isOfGrant = asked?.type === "renew" || asked?.type === "proclaim" || asked?.type === "release";
  return !isOfGrant || holdsFence(state, subject, asked.fence);
}

/** Never rejects: what cannot be answered is `unavailable`, which is neither a vote nor "did not vote". */
export async function acceptDirect(
  acceptor: AcceptorHost,
  machine: LockMachine,
  message: DirectAccept,
): Promise<DirectReply> {
  const { key, instance, value } = message;
  try {
    const own = (await acceptor.view(key)).snapshot;
    // As through a node, what is not held is answered by a read: a vote here would be a record of nothing.
    if (own.instance <= instance && !value.commands.every((command) => isThere(own.state, command))) {
      return { type: "unavailable", instance: own.instance };
    }
    const reply = await acceptor.handle(message, "");
    const { snapshot, fast } = await acceptor.view(key);
    const { state } = snapshot;
    if (reply.type === "accepted" && snapshot.instance === instance) {
      // The client needs no state machine: what it asked for comes to this if the value is chosen here.
      const { results } = machine.applyWithResults(state, instance, value);
      return { type: "accepted", instance, ballot: reply.ballot, valueId: reply.valueId, results };
    }
    if (snapshot.instance > instance) {
      const results = value.commands.map((command) => machine.resultOf(state, command));
      return { type: "ahead", instance: snapshot.instance, results };
    }
    if (reply.type === "behind") return { type: "behind", instance: snapshot.instance };
    const isAbove = fast !== null && compareBallots(fast.ballot, message.ballot) > 0;
    return { type: "refused", instance: snapshot.instance, ...(isAbove ? { open: fast.ballot } : {}) };
  } catch {
    return { type: "unavailable", instance };
  }
}
