/** What a node does for epochs while it is in one: it follows the next that is decided, and moves names into its own. */
import type { Changing } from "../api.ts";
import type { EpochsRow } from "../ports.ts";
import type { Epochs } from "../epochs/epochs.ts";
import type { Herald } from "../epochs/herald.ts";
import { firstIn, type Known, rowInto } from "../epochs/news.ts";
import { EpochSweep } from "../epochs/sweep.ts";
import { QuorumSystem } from "../paxos/quorum.ts";
import { type Clock, type Report, StoreError } from "../ports.ts";
import { idsOf } from "./epoch_options.ts";
import type { ReplicaNode } from "./node.ts";

type Parts = {
  readonly node: ReplicaNode;
  readonly known: Known;
  readonly epochs: Epochs;
  readonly clock: Clock;
  readonly report: Report;
};

export class InEpoch {
  /** Resolves with `close`. */
  readonly left: Promise<void>;
  readonly #leave: () => void;
  readonly #stop: () => void;
  readonly #sweep: EpochSweep | null;

  constructor({ node, known, epochs, clock, report }: Parts) {
    ({ promise: this.left, resolve: this.#leave } = Promise.withResolvers<void>());
    const { row, current } = known;
    const failed = (error: Error) =>
      report(`the change of members cannot be written: ${error.message}`, { event: "store", level: "error" });
    const hear = (news: EpochsRow) => void epochs.hear(news, node.id).catch(failed);
    this.#stop = node.reserved.onNext((next) => hear(rowInto(known, next)));
    const isMember = current.members.some(({ id }) => id === node.id);
    this.#sweep = row === null || row.first !== null || !isMember ? null : new EpochSweep({
      clock,
      keys: node.reserved,
      page: (range, timeoutMs) => node.list(range, timeoutMs),
      bringing: () => node.bringing(current.epoch),
      first: firstIn(current),
      isMine: () =>
        node.status().members.every(({ id, reachable, fault }) => id >= node.id || !reachable || fault !== undefined),
      onRetired: (first) => hear({ ...row, first }),
    });
    this.#sweep?.start();
  }

  /** Undefined: all names have moved. */
  changing({ row }: Known, herald: Herald): Changing | undefined {
    if (row === null || row.first !== null) return undefined;
    const { before, current } = row;
    const old = idsOf(before);
    const sealed = herald.arrived(old).length;
    const spare = Math.max(0, sealed - new QuorumSystem(old).sizes.classic);
    const { moved, total } = this.#sweep?.progress ?? { moved: 0, total: null };
    return { from: before.epoch, to: current.epoch, sealed, of: old.length, moved, total, spare };
  }

  close(): void {
    this.#leave();
    this.#stop();
    this.#sweep?.close();
  }
}

const AGAIN_MS = 500;

/** Writes again and again: a node whose epoch is over has nothing else to do. Rejects once `isOver` says so. */
export async function untilWritten(
  write: () => Promise<void>,
  clock: Clock,
  report: Report,
  isOver: () => boolean,
): Promise<void> {
  for (let tries = 0;; tries++) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof StoreError) || isOver()) throw error;
      if (tries === 0) {
        report(`the change of members cannot be written: ${error.message}; tried again`, {
          event: "store",
          level: "error",
        });
      }
      await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve));
    }
  }
}
