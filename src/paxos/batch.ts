/** What to propose when the pick is free: a collision becomes group commit (PROTOCOL.md §4). */
import { COMMANDS_PER_VALUE, VALUE_MAX_BYTES } from "../limits.ts";
import type { NodeId } from "./ballot.ts";
import type { Command, Machine, Value } from "./message.ts";

/**
 * One value of all commands of `collided`, in the machine's order, under `id`; null if there is nothing to propose.
 * A claim never joins a batch: it is true only of what its acceptors saw. It goes alone, and only if nothing else waits.
 */
export function batchValues(
  machine: Machine,
  id: string,
  proposer: NodeId,
  collided: readonly Value[],
): Value | null {
  const plain = collided.filter((value) => value.claims === undefined);
  if (plain.length === 0) return collided[0] ?? null;
  const commands = fitting(machine.order(plain.flatMap((value) => value.commands)));
  const nextMode = plain.find((value) => value.nextMode !== undefined)?.nextMode;
  const versions = plain.flatMap(({ machine: version }) => version ?? []);
  return {
    id,
    proposer,
    commands,
    ...(nextMode === undefined ? {} : { nextMode }),
    ...(versions.length === 0 ? {} : { machine: Math.max(...versions) }),
  };
}

/** As many commands from the front as one value may hold; the rest stay with their proposers. */
export function fitting(commands: readonly Command[]): readonly Command[] {
  let bytes = 0;
  let count = 0;
  for (const command of commands.slice(0, COMMANDS_PER_VALUE)) {
    bytes += commandBytes(command);
    if (bytes > VALUE_MAX_BYTES - VALUE_OVERHEAD_BYTES && count > 0) break;
    count++;
  }
  return commands.slice(0, count);
}

const VALUE_OVERHEAD_BYTES = 1_024;

/** At most: a UTF-16 unit is three bytes of UTF-8 at worst, and counting so needs no encoder. */
function commandBytes(command: Command): number {
  return JSON.stringify(command).length * 3;
}
