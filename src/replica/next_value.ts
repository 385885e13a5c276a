/** The value that a node proposes next for the commands that wait, in the order in which they came. */
import { fitting } from "../paxos/batch.ts";
import type { Snapshot, Value } from "../paxos/message.ts";
import type { SubmitterParts } from "./submitter.ts";
import { type Pending, stamped } from "./pending.ts";
import { sharedValueId } from "../engine/shared_value.ts";

/** Null: nothing waits. Notes of each command that it is sent, and where first. */
export function nextValue(
  { acceptor, contention, digest, machine, modes, random }: SubmitterParts,
  key: string,
  opening: Snapshot,
  waiting: readonly Pending[],
): Value | null {
  const { instance, state } = opening;
  const chosen = goingTogether(waiting);
  const [first] = chosen;
  if (first === undefined) return null;
  for (const pending of chosen) {
    pending.command = stamped(pending);
    pending.sentIn ??= opening;
  }
  const commands = fitting(chosen.map(({ command }) => command!));
  const { claims, hedge } = first.submission;
  // Nobody's own: each node that got it sends these very bytes, and votes for one of them are votes for all.
  if (hedge !== undefined || !acceptor.votes) {
    return { id: sharedValueId(digest, key, commands), proposer: "", commands };
  }
  const { me } = acceptor.rules;
  const nextMode = modes.next(key, state.mode, me, contention.heat(key, instance));
  return {
    id: `${me}/${random.id()}/${instance}`,
    proposer: me,
    commands,
    ...(claims === undefined ? {} : { claims }),
    ...(nextMode === null ? {} : { nextMode }),
    ...(machine.versionOf(state) < acceptor.raised.most ? { machine: acceptor.raised.most } : {}),
  };
}

/** The oldest decides: it goes alone, or with all that came before the first that does. So nobody is passed for ever. */
function goingTogether(waiting: readonly Pending[]): readonly Pending[] {
  const at = waiting.findIndex(goesAlone);
  return at < 0 ? waiting : waiting.slice(0, Math.max(at, 1));
}

/** A claim must not grow old beside others; a hedged value must be the same wherever it is made. */
function goesAlone({ submission: { claims, hedge } }: Pending): boolean {
  return claims !== undefined || hedge !== undefined;
}
