/** A node's options as what it knows of epochs has them (PROTOCOL.md §9). */
import { createModes, type ModeRule } from "../engine/modes.ts";
import type { Known } from "../epochs/news.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { QuorumSystem } from "../paxos/quorum.ts";
import type { EpochConfig, EpochsRow } from "../ports.ts";
import type { NodeOptions } from "./node_options.ts";

export function idsOf({ members }: EpochConfig): readonly NodeId[] {
  return members.map(({ id }) => id);
}

/** @param latest what is known at any moment: that the epoch before is retired is noted while the node runs */
export function epochOptions(
  { current, row }: Known,
  latest: () => EpochsRow | null,
  digest: (text: string) => string,
): Pick<NodeOptions, "quorums" | "modes" | "epochs"> {
  // Their rules have been checked where they came from.
  const modesOf = (config: EpochConfig) => createModes(idsOf(config), config.modes as readonly ModeRule[], digest);
  const quorums = new QuorumSystem(idsOf(current));
  const modes = modesOf(current);
  if (row === null) return { quorums, modes };
  const { before, beforeFirst } = row;
  return {
    quorums,
    modes,
    epochs: {
      old: {
        number: before.epoch,
        quorums: new QuorumSystem(idsOf(before)),
        modes: modesOf(before),
        first: beforeFirst,
      },
      next: { number: current.epoch, quorums },
      first: () => {
        const now = latest();
        return now?.current.epoch === current.epoch ? now.first : row.first;
      },
    },
  };
}
