/**
 * Acceptors that tell each other what they voted for: where recovery is uncoordinated (PROTOCOL.md §4), and for values
 * that anybody may send, whose sender may be gone (§1, flows 3 and 6). Each learns from these votes by itself.
 */
import { type NodeId, sameBallot, STANDING } from "../paxos/ballot.ts";
import { chosenValue } from "../paxos/learner.ts";
import type { Accepted, Mode, Report, Vote } from "../paxos/message.ts";
import { canStillWin } from "../paxos/split.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { CoordinatorHost } from "./coordinator_host.ts";
import type { Learning } from "./learning.ts";
import type { Clock, Transport } from "./ports.ts";
import type { Timing } from "./timing.ts";

/** Votes of one instance, by ballot and acceptor, and what ends the wait for silent acceptors. */
type Exchange = { readonly instance: number; reports: Report[]; cancel: (() => void) | null };

export type LearnerParts = {
  readonly acceptor: AcceptorHost;
  readonly coordinator: CoordinatorHost;
  readonly transport: Transport;
  readonly learning: Learning;
  readonly clock: Clock;
  readonly timing: Timing;
  readonly epoch: number;
};

export class LearnerHost {
  readonly #parts: LearnerParts;
  readonly #exchanges = new Map<string, Exchange>();

  constructor(parts: LearnerParts) {
    this.#parts = parts;
    parts.acceptor.onVote((key, instance, vote, mode) => this.#voted(key, instance, vote, mode));
  }

  accepted(from: NodeId, { key, instance, vote }: Accepted): void {
    // Only acceptors vote.
    if (!this.#parts.acceptor.rules.quorums.isMember(from)) return;
    this.#note(key, instance, { from, vote });
  }

  close(): void {
    for (const { cancel } of this.#exchanges.values()) cancel?.();
    this.#exchanges.clear();
  }

  #voted(key: string, instance: number, vote: Vote, mode: Mode): void {
    const uncoordinated = mode.kind === "fast" && mode.recovery === "uncoordinated";
    if (vote.kind === "classic" || (!uncoordinated && vote.value.proposer !== "")) return;
    const { acceptor, transport, learning, epoch } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const message: Accepted = { type: "accepted", key, epoch, instance, vote };
    for (const to of learning.others) {
      // Silence is no vote: a member that does not hear it waits for others, or for a Learn.
      transport.send(to, "learner", message).catch(() => quorums.isMember(to) || learning.missed(to, key));
    }
    this.#note(key, instance, { from: me, vote });
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
    const standing = standingVotes(exchange);
    // A split that still has a possible winner is left to the winner; the timer is for one whose winner is silent,
    // and for a value whose sender is nobody's proposer and will not come back to finish it.
    if (standing.some(({ vote }) => canStillWin(quorums, standing, NOBODY, vote!.value))) {
      exchange.cancel ??= clock.after(2 * timing.loserMs(), () => this.#recover(key, exchange));
    } else this.#recover(key, exchange);
  }

  /** The acceptors' own pick where recovery is uncoordinated, else the coordinator's, if that is this node. */
  async #recover(key: string, exchange: Exchange): Promise<void> {
    exchange.cancel?.();
    const { acceptor, coordinator, epoch } = this.#parts;
    const { me } = acceptor.rules;
    const { instance } = exchange;
    const reports = standingVotes(exchange);
    try {
      const { snapshot } = await acceptor.view(key);
      const { mode } = snapshot.state;
      if (snapshot.instance !== instance || mode.kind !== "fast") return;
      // Its vote, if it casts one, comes back through `#voted`.
      if (mode.recovery === "uncoordinated") await acceptor.handle({ type: "pick", key, epoch, instance, reports }, me);
      else if (mode.coordinator === me) coordinator.collision({ type: "collision", key, epoch, instance, reports });
    } catch {
      // It may not vote now, or its store failed: a Prepare will end the instance.
    }
  }

  #exchangeOf(key: string, instance: number): Exchange | null {
    const known = this.#exchanges.get(key);
    if (known !== undefined && known.instance >= instance) return known.instance === instance ? known : null;
    this.#forget(key);
    const exchange: Exchange = { instance, reports: [], cancel: null };
    this.#exchanges.set(key, exchange);
    const stopListening = this.#parts.acceptor.onMove(key, (_key, snapshot) => {
      if (snapshot.instance <= instance) return;
      stopListening();
      if (this.#exchanges.get(key) === exchange) this.#forget(key);
    });
    return exchange;
  }

  #forget(key: string): void {
    this.#exchanges.get(key)?.cancel?.();
    this.#exchanges.delete(key);
  }
}

const NOBODY: ReadonlySet<NodeId> = new Set();

function standingVotes({ reports }: Exchange): readonly Report[] {
  return reports.filter(({ vote }) => sameBallot(vote!.ballot, STANDING));
}

function isSame(a: Report, b: Report): boolean {
  return a.from === b.from && sameBallot(a.vote!.ballot, b.vote!.ballot);
}
