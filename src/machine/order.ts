/** The order of a batch that recovery makes of collided values (PROTOCOL.md §4). */
import type { Command } from "../paxos/message.ts";

/** Renewals first: a holder that renewed in time must not lose to what collided with it. Forces come next. */
function classOf(command: Command): number {
  switch (command.op.type) {
    case "renew":
    case "proclaim":
    case "keep-places":
    case "keep":
    case "bind":
      return 0;
    case "force":
      return 1;
    case "release":
    case "close":
    case "end-session":
      return 2;
    default:
      return 3;
  }
}

/** The same for every order of `commands`; one command of each subject and id. */
export function orderCommands(commands: readonly Command[]): readonly Command[] {
  const kept = new Map<string, Command>();
  for (const command of commands) {
    const name = JSON.stringify([command.subject, command.id]);
    const other = kept.get(name);
    if (other === undefined || compareTwins(command, other) < 0) kept.set(name, command);
  }
  return [...kept.values()].sort((a, b) =>
    classOf(a) - classOf(b) || compareText(a.subject, b.subject) || compareText(a.id, b.id)
  );
}

/**
 * Two tries of one command: the lower `born` is that of the first. A later one may come from a node that did not
 * see it, and would claim too much of where the command was not applied.
 */
function compareTwins(a: Command, b: Command): number {
  return a.born - b.born || compareText(JSON.stringify(a), JSON.stringify(b));
}

/** Code units, not locale: every node must order alike. */
function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
