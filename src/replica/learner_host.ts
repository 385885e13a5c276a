/**
 * Acceptors that tell each other what they voted for (PROTOCOL.md §4): where recovery is uncoordinated each of them
 * learns from these votes by itself, and picks by itself when they collide.
 */
import { type NodeId, sameBallot, STANDING } from "../paxos/ballot.ts";
import { chosenValue } from "../paxos/learner.ts";
import type { Accepted, Mode, Report, Vote } from "../paxos/message.ts";
import { canStillWin } from "../paxos/split.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Learning } from "./learning.ts";
import type { Clock, Transport } from "./ports.ts";
import type { Timing } from "./timing.ts";

/** Votes of one instance, by ballot and acceptor, and what ends the wait for silent acceptors. */
type Exchange = { readonly instance: number; reports: Report[]; cancel: () => void };

export class LearnerHost {
  readonly #acceptor: AcceptorHost;
  readonly #transport: Transport;
  readonly #learning: Learning;
  readonly #clock: Clock;
  readonly #timing: Timing;
  readonly #exchanges = new Map<string, Exchange>();

  constructor(acceptor: AcceptorHost, transport: Transport, learning: Learning, clock: Clock, timing: Timing) {
    this.#acceptor = acceptor;
    this.#transport = transport;
    this.#learning = learning;
    this.#clock = clock;
    this.#timing = timing;
    acceptor.onVote((key, instance, vote, mode) => this.#voted(key, instance, vote, mode));
  }

  accepted(from: NodeId, { key, instance, vote }: Accepted): void {
    this.#note(key, instance, { from, vote });
  }

  close(): void {
    for (const { cancel } of this.#exchanges.values()) cancel();
    this.#exchanges.clear();
  }

  #voted(key: string, instance: number, vote: Vote, mode: Mode): void {
    if (mode.kind !== "fast" || mode.recovery !== "uncoordinated" || vote.kind === "classic") return;
    const { me, quorums } = this.#acceptor.rules;
    const message: Accepted = { type: "accepted", key, epoch: 0, instance, vote };
    for (const to of quorums.members) {
      // Silence is no vote: whoever does not hear it waits for others, or for a Learn.
      if (to !== me) this.#transport.send(to, "learner", message).catch(() => {});
    }
    this.#note(key, instance, { from: me, vote });
  }

  #note(key: string, instance: number, report: Report): void {
    const exchange = this.#exchangeOf(key, instance);
    if (exchange === null || exchange.reports.some((known) => isSame(known, report))) return;
    exchange.reports.push(report);
    const { quorums } = this.#acceptor.rules;
    const chosen = chosenValue(quorums, instance, exchange.reports);
    if (chosen !== null) {
      this.#forget(key);
      this.#learning.learn(key, chosen.certificate, chosen.value);
      return;
    }
    const standing = exchange.reports.filter(({ vote }) => sameBallot(vote!.ballot, STANDING));
    const values = standing.map(({ vote }) => vote!.value);
    if (new Set(values.map(({ id }) => id)).size < 2) return;
    // A split that still has a possible winner is left to the winner; one that has waited too long for it is not.
    if (values.some((value) => canStillWin(quorums, standing, new Set(), value))) {
      exchange.cancel();
      exchange.cancel = this.#clock.after(this.#timing.loserMs(), () => this.#pick(key, exchange));
    } else this.#pick(key, exchange);
  }

  #pick(key: string, exchange: Exchange): void {
    exchange.cancel();
    const { me } = this.#acceptor.rules;
    const { instance, reports } = exchange;
    const standing = reports.filter(({ vote }) => sameBallot(vote!.ballot, STANDING));
    // Its vote, if it casts one, comes back through `#voted`; if it may not, a Prepare will end the instance.
    this.#acceptor.handle({ type: "pick", key, epoch: 0, instance, reports: standing }, me).catch(() => {});
  }

  #exchangeOf(key: string, instance: number): Exchange | null {
    const known = this.#exchanges.get(key);
    if (known !== undefined && known.instance >= instance) return known.instance === instance ? known : null;
    this.#forget(key);
    const exchange: Exchange = { instance, reports: [], cancel: () => {} };
    this.#exchanges.set(key, exchange);
    const stopListening = this.#acceptor.onMove(key, (_key, snapshot) => {
      if (snapshot.instance <= instance) return;
      stopListening();
      if (this.#exchanges.get(key) === exchange) this.#forget(key);
    });
    return exchange;
  }

  #forget(key: string): void {
    this.#exchanges.get(key)?.cancel();
    this.#exchanges.delete(key);
  }
}

function isSame(a: Report, b: Report): boolean {
  return a.from === b.from && sameBallot(a.vote!.ballot, b.vote!.ballot);
}
