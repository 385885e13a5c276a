/**
 * Acceptors that tell each other what they voted for: where recovery is uncoordinated (PROTOCOL.md §4), and for values
 * that anybody may send, whose sender may be gone (§1, flows 3 and 6). Each learns from these votes by itself.
 */
import { EXCHANGES_MAX_KEYS } from "../limits.ts";
import { type Ballot, compareBallots, type NodeId, sameBallot } from "../paxos/ballot.ts";
import { chosenValue } from "../paxos/learner.ts";
import type { Accepted, Report } from "../paxos/message.ts";
import { canStillWin } from "../paxos/split.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { OwnVote } from "./own_record.ts";
import type { Contention } from "../engine/contention.ts";
import type { CoordinatorHost } from "./coordinator_host.ts";
import type { Learning } from "./learning.ts";
import type { Clock, Transport } from "../ports.ts";
import type { Timing } from "./timing.ts";

/** Votes of one instance, by ballot and acceptor, and what ends the wait for silent acceptors. */
type Exchange = {
  readonly instance: number;
  reports: Report[];
  /** The ballots whose collision this node has told the coordinator of: one vote each, so once is enough. */
  readonly told: Ballot[];
  cancel: (() => void) | null;
  readonly stopListening: () => void;
};

export type LearnerParts = {
  readonly acceptor: AcceptorHost;
  readonly coordinator: CoordinatorHost;
  readonly transport: Transport;
  readonly learning: Learning;
  readonly clock: Clock;
  readonly timing: Timing;
  readonly contention: Contention;
  readonly epoch: number;
  /** Default: EXCHANGES_MAX_KEYS. */
  readonly maxKeys?: number;
};

export class LearnerHost {
  readonly #parts: LearnerParts;
  /** The oldest first. */
  readonly #exchanges = new Map<string, Exchange>();

  constructor(parts: LearnerParts) {
    this.#parts = parts;
    parts.acceptor.onVote((own, why) => why === "cast" ? this.#cast(own) : this.#met(own));
  }

  accepted(from: NodeId, { key, instance, vote }: Accepted): void {
    // Only acceptors vote.
    if (!this.#parts.acceptor.rules.quorums.isMember(from)) return;
    this.#note(key, instance, { from, vote });
    // Only its coordinator is told of a collision of nodes' values, and its own vote counts with the others.
    if (vote.kind === "fast" && vote.value.proposer !== "") this.#noteOwn(key, instance);
  }

  close(): void {
    for (const key of [...this.#exchanges.keys()]) this.#forget(key);
  }

  /** Where everybody learns and recovers by themselves, each tells all others. */
  #cast({ key, instance, vote, fast }: OwnVote): void {
    if (vote.kind === "classic" || (fast?.recovery !== "uncoordinated" && vote.value.proposer !== "")) return;
    const { acceptor, transport, learning, epoch } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const message: Accepted = { type: "accepted", key, epoch, instance, vote };
    for (const to of learning.others) {
      // Silence is no vote: a member that does not hear it waits for others, or for a Learn.
      transport.send(to, message).catch(() => quorums.isMember(to) || learning.missed(to, key));
    }
    this.#note(key, instance, { from: me, vote });
  }

  /** A collision of nodes' values: the coordinator sees it from the Accepted it is sent (§1), without any proposer's help. */
  #met({ key, instance, vote, fast }: OwnVote): void {
    this.#parts.contention.collided(key, instance);
    if (fast?.recovery !== "coordinated" || vote.value.proposer === "" || !sameBallot(vote.ballot, fast.ballot)) return;
    const { acceptor, transport, epoch } = this.#parts;
    const { me } = acceptor.rules;
    if (fast.coordinator === me) return this.#note(key, instance, { from: me, vote });
    const exchange = this.#exchangeOf(key, instance);
    if (exchange === null || exchange.told.some((ballot) => sameBallot(ballot, vote.ballot))) return;
    exchange.told.push(vote.ballot);
    // Lost with the coordinator: the proposers go on by Prepare.
    transport.send(fast.coordinator, { type: "accepted", key, epoch, instance, vote }).catch(() => {});
  }

  async #noteOwn(key: string, instance: number): Promise<void> {
    const { acceptor } = this.#parts;
    if (!acceptor.votes) return;
    try {
      const { snapshot, vote } = await acceptor.view(key);
      if (snapshot.instance === instance && vote?.kind === "fast") {
        this.#note(key, instance, { from: acceptor.rules.me, vote });
      }
    } catch {
      // Its store failed: what it voted for will be in the write of the pick, or there is none.
    }
  }

  #note(key: string, instance: number, report: Report): void {
    const { acceptor: { rules: { quorums } }, learning, clock, timing } = this.#parts;
    const exchange = this.#exchangeOf(key, instance);
    if (exchange === null || exchange.reports.some((known) => isSame(known, report))) return;
    exchange.reports.push(report);
    const chosen = chosenValue(quorums, instance, exchange.reports);
    if (chosen !== null) {
      this.#forget(key);
      learning.learn(key, chosen.certificate, chosen.value);
      return;
    }
    const votes = fastVotes(exchange);
    // A split that still has a possible winner is left to the winner; the timer is for one whose winner is silent,
    // and for a value whose sender is nobody's proposer and will not come back to finish it.
    if (votes.some(({ vote }) => canStillWin(quorums, votes, NOBODY, vote!.value))) {
      exchange.cancel ??= clock.after(2 * timing.loserMs(), () => this.#recover(key, exchange));
    } else this.#recover(key, exchange);
  }

  /** The acceptors' own pick where recovery is uncoordinated, else the coordinator's, if that is this node. */
  async #recover(key: string, exchange: Exchange): Promise<void> {
    exchange.cancel?.();
    const { acceptor, coordinator, epoch } = this.#parts;
    const { me } = acceptor.rules;
    const { instance } = exchange;
    const reports = fastVotes(exchange);
    try {
      const { snapshot, fast } = await acceptor.view(key);
      if (snapshot.instance !== instance || fast === null) return;
      const { ballot } = fast;
      // Its vote, if it casts one, comes back through `#cast`.
      if (fast.recovery === "uncoordinated") {
        await acceptor.handle({ type: "pick", key, epoch, instance, ballot, reports }, me);
      } else if (fast.coordinator === me) {
        coordinator.collision({ type: "collision", key, epoch, instance, ballot, reports });
      }
    } catch {
      // It may not vote now, or its store failed: a Prepare will end the instance.
    }
  }

  #exchangeOf(key: string, instance: number): Exchange | null {
    const known = this.#exchanges.get(key);
    if (known !== undefined && known.instance >= instance) return known.instance === instance ? known : null;
    this.#forget(key);
    const stopListening = this.#parts.acceptor.onMove(key, (_key, snapshot) => {
      if (snapshot.instance > instance) this.#forget(key);
    });
    const exchange: Exchange = { instance, reports: [], told: [], cancel: null, stopListening };
    this.#exchanges.set(key, exchange);
    // What is not collected is not decided here: the instance goes on by its proposers, or by the next Prepare.
    const [oldest] = this.#exchanges.keys();
    if (this.#exchanges.size > (this.#parts.maxKeys ?? EXCHANGES_MAX_KEYS)) this.#forget(oldest!);
    return exchange;
  }

  #forget(key: string): void {
    const exchange = this.#exchanges.get(key);
    exchange?.cancel?.();
    exchange?.stopListening();
    this.#exchanges.delete(key);
  }
}

const NOBODY: ReadonlySet<NodeId> = new Set();

/** Those of the highest fast ballot that anybody has voted in. */
function fastVotes({ reports }: Exchange): readonly Report[] {
  const votes = reports.filter(({ vote }) => vote!.kind === "fast");
  const highest = votes.reduce<Report | null>(
    (a, b) => a === null || compareBallots(b.vote!.ballot, a.vote!.ballot) > 0 ? b : a,
    null,
  );
  return votes.filter(({ vote }) => sameBallot(vote!.ballot, highest!.vote!.ballot));
}

function isSame(a: Report, b: Report): boolean {
  return a.from === b.from && sameBallot(a.vote!.ballot, b.vote!.ballot);
}
