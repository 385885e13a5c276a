/** Which node ends what nobody waits for: one suffices, and several at once are in each other's way. */
import type { AcceptorRules } from "../paxos/record.ts";
import type { State } from "../paxos/message.ts";
import type { Randomness } from "../ports.ts";

/** The others leave a name to its own node for so long, and each of them waits EACH_MS more than the one before it. */
const OTHERS_MS = 500;
const EACH_MS = 250;

/** 0: this node is the one for it; its coordinator, so that it proposes with the ballot that stands. The others follow in order. */
export function rankOf({ mode }: State, { me, quorums: { members } }: AcceptorRules): number {
  const own = members.indexOf(me);
  if (own < 0) return members.length;
  const first = mode.kind === "prepare" ? 0 : Math.max(0, members.indexOf(mode.coordinator));
  return (own - first + members.length) % members.length;
}

/** How long after a lease ran out a node of this rank ends it. Processes that serve one member have one rank. */
export function holdBackMs(rank: number, random: Randomness): number {
  return (rank === 0 ? 0 : OTHERS_MS + rank * EACH_MS) + random.next() * EACH_MS;
}
