/** A node's options as the row of epochs in its store has them (PROTOCOL.md §9). */
import { createModes, type ModeRule } from "../engine/modes.ts";
import { QuorumSystem } from "../paxos/quorum.ts";
import type { EpochConfig, EpochsRow } from "../ports.ts";
import type { NodeOptions } from "./node.ts";

/** @param first as the store has it at any moment: it is noted there while the node runs */
export function epochOptions(
  { before, beforeFirst, current }: EpochsRow,
  first: () => number | null,
  digest: (text: string) => string,
): Required<Pick<NodeOptions, "quorums" | "modes" | "epochs">> {
  const modesOf = ({ members, modes }: EpochConfig) =>
    createModes(members.map(({ id }) => id), modes as readonly ModeRule[], digest);
  const quorumsOf = ({ members }: EpochConfig) => new QuorumSystem(members.map(({ id }) => id));
  const quorums = quorumsOf(current);
  return {
    quorums,
    modes: modesOf(current),
    epochs: {
      old: { number: before.epoch, quorums: quorumsOf(before), modes: modesOf(before), first: beforeFirst },
      next: { number: current.epoch, quorums },
      first,
    },
  };
}
