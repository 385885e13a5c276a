/** Raises the machine of the cluster, once all nodes know the new version (replica/raised_machine.ts). */
import { TIMEOUT_DEFAULT_MS } from "../limits.ts";
import { QuorateError } from "../errors.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { BallotStore, Clock } from "../ports.ts";
import type { Versions } from "../version.ts";
import type { Peers } from "../replica/peers.ts";
import { RaisedMachine } from "../replica/raised_machine.ts";
import type { Submitters } from "../replica/submitters.ts";
import { writeOnce } from "../replica/written_once.ts";
import type { Raised } from "./service.ts";

/** A new cluster whose members come up one after another. */
const FRESH_TRIES = 60;
const FRESH_EVERY_MS = 1_000;
/** No member has been started again since it was initialised: there is no older version that anybody could go back to. */
const FIRST_BOOT = 1;

export type RaisingParts = {
  readonly me: NodeId;
  readonly members: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly raised: RaisedMachine;
  readonly versions: Versions;
  readonly peers: Pick<Peers, "voting" | "isReachable">;
  /** Whether members of an epoch before still have to say what they hold. */
  readonly isMoving: () => boolean;
  /** Whether the members are those that the cluster began with. */
  readonly isFirstEpoch: boolean;
  readonly submitters: Pick<Submitters, "submit">;
  readonly store: Pick<BallotStore, "isShared" | "identity" | "recall">;
  readonly clock: Clock;
};

export class Raising {
  readonly #parts: RaisingParts;
  #cancel: (() => void) | null = null;
  #isClosed = false;

  constructor(parts: RaisingParts) {
    this.#parts = parts;
  }

  /**
   * Rejects with `not-upgraded` where a node knows less than this one or does not say, with `not-ready` while names move, and as
   * a write of a register does.
   */
  async raise(timeoutMs: number): Promise<Raised> {
    const { raised, peers, clock, isMoving } = this.#parts;
    const untilMs = clock.now() + timeoutMs;
    const before = raised.decided;
    if (before >= raised.knows) return { machine: before, before };
    // A member that left and knows less would say nothing of what it holds any more.
    if (isMoving()) {
      throw new QuorateError("not-ready", "names still have to move to the new members: raise once they have");
    }
    await peers.voting();
    const behind = this.#behind();
    if (behind.length > 0) {
      const words = behind.map(({ id, why }) => `${id} ${why}`).join(", ");
      throw new QuorateError("not-upgraded", `not all nodes know version ${raised.knows} of the machine: ${words}`, {
        outcome: "none",
        more: { behind: behind.map(({ id }) => id) },
      });
    }
    for (let version = before + 1; version <= raised.knows; version++) {
      await this.#decide(version, Math.max(1, untilMs - clock.now()));
    }
    return { machine: raised.decided, before };
  }

  /** Where nobody was started again yet, nobody can want to go back. Goes on by itself until it is raised or that is over. */
  raiseIfFresh(tries = FRESH_TRIES): void {
    const { raised, clock } = this.#parts;
    if (this.#isClosed || raised.decided >= raised.knows || tries === 0) return;
    this.#isFresh().then(async (isFresh) => {
      if (isFresh === false) return;
      if (isFresh) await this.raise(TIMEOUT_DEFAULT_MS).catch(() => {});
      if (!this.#isClosed) this.#cancel = clock.after(FRESH_EVERY_MS, () => this.raiseIfFresh(tries - 1));
    }, () => {});
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  /** Null: not all have been heard yet. */
  async #isFresh(): Promise<boolean | null> {
    const { store, members, me, isFirstEpoch } = this.#parts;
    // Later all members may be new, and the cluster is not.
    if (!isFirstEpoch || store.isShared || store.identity()?.boot !== FIRST_BOOT) return false;
    const marks = await Promise.all(members.filter((id) => id !== me).map((id) => store.recall(id)));
    if (marks.some((mark) => mark !== null && mark.boot > FIRST_BOOT)) return false;
    return marks.every((mark) => mark?.boot === FIRST_BOOT) ? true : null;
  }

  #behind(): readonly { readonly id: NodeId; readonly why: string }[] {
    const { me, members, learners, raised, versions, peers } = this.#parts;
    return [...members, ...learners].filter((id) => id !== me).flatMap((id) => {
      const known = versions.of(id);
      if (known === null || !peers.isReachable(id)) return [{ id, why: "does not answer" }];
      return known.machine >= raised.knows ? [] : [{ id, why: `knows up to ${known.machine}` }];
    });
  }

  async #decide(version: number, timeoutMs: number): Promise<void> {
    const { submitters, raised } = this.#parts;
    // One id for whoever asks: tries of several nodes are one command.
    const id = `machine-${version}`;
    const text = JSON.stringify({ machine: version });
    await writeOnce(submitters, { key: RaisedMachine.keyOf(version), id, text, timeoutMs });
    raised.note(version);
  }
}
