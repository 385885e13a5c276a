/** The coordinator's host: one recovery at a time per key, started by reports of a collision (PROTOCOL.md §4). */
import { compareBallots, type NodeId } from "../paxos/ballot.ts";
import {
  type CoordinatorContext,
  type CoordinatorInput,
  type CoordinatorState,
  initialCoordinator,
  stepCoordinator,
} from "../paxos/coordinator.ts";
import { RECOVERIES_MAX_KEYS } from "../limits.ts";
import type { AcceptorMessage, AcceptorReply, Collision, Snapshot, Value } from "../paxos/message.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Learning } from "./learning.ts";
import { acceptorReplyIn } from "./peer_reply.ts";
import { type Meter, NO_METER, type Randomness, type Report, type Transport } from "../ports.ts";

/** Called with what lost a recovery of this node's, once its own record has moved on. */
export type LosersListener = (key: string, losers: readonly Value[]) => void;

type Recovery = { readonly context: CoordinatorContext; state: CoordinatorState; readonly stopListening: () => void };

export class CoordinatorHost {
  readonly #acceptor: AcceptorHost;
  readonly #transport: Transport;
  readonly #learning: Learning;
  readonly #random: Randomness;
  readonly #report: Report;
  /** The oldest first. */
  readonly #recoveries = new Map<string, Recovery>();
  readonly #maxKeys: number;
  readonly #meter: Pick<Meter, "recovering">;
  #losersListener: LosersListener = () => {};

  /** @param report one line for the operator */
  constructor(
    acceptor: AcceptorHost,
    transport: Transport,
    learning: Learning,
    random: Randomness,
    report: Report = () => {},
    meter: Pick<Meter, "recovering"> = NO_METER,
    maxKeys: number = RECOVERIES_MAX_KEYS,
  ) {
    this.#meter = meter;
    this.#maxKeys = maxKeys;
    this.#report = report;
    this.#acceptor = acceptor;
    this.#transport = transport;
    this.#learning = learning;
    this.#random = random;
  }

  /** Brings a report to the key's coordinator, which may be this node. */
  tell(to: NodeId, message: Collision): void {
    if (to === this.#acceptor.rules.me) return this.collision(message);
    // Lost with the coordinator: whoever reported goes on by Prepare.
    this.#transport.send(to, message).catch(() => {});
  }

  onLosers(listener: LosersListener): void {
    this.#losersListener = listener;
  }

  collision(reported: Collision): void {
    const { quorums } = this.#acceptor.rules;
    // What a node that does not vote claims to have voted for must not sway the pick.
    const reports = reported.reports.filter(({ from }) => quorums.isMember(from));
    const message: Collision = { ...reported, reports };
    const { key, epoch, instance, ballot } = message;
    const known = this.#recoveries.get(key);
    const order = known === undefined
      ? -1
      : known.context.instance - instance || compareBallots(known.context.ballot, ballot);
    if (order > 0) return;
    if (order < 0) {
      const { me } = this.#acceptor.rules;
      const freshId = `${me}/${this.#random.id()}/c`;
      const stopListening = this.#acceptor.onMove(key, (_key, snapshot) => {
        if (snapshot.instance > instance) this.#forget(recovery);
      });
      const context = { me, key, epoch, instance, ballot, quorums, freshId };
      const recovery: Recovery = { context, state: initialCoordinator, stopListening };
      this.#meter.recovering("coordinated");
      if (known !== undefined) this.#forget(known);
      this.#recoveries.set(key, recovery);
      const [oldest] = this.#recoveries.values();
      if (this.#recoveries.size > this.#maxKeys) this.#forget(oldest!);
    }
    this.#feed(this.#recoveries.get(key)!, { type: "collision", message });
  }

  #forget(recovery: Recovery): void {
    const { key } = recovery.context;
    recovery.stopListening();
    if (this.#recoveries.get(key) === recovery) this.#recoveries.delete(key);
  }

  #feed(recovery: Recovery, input: CoordinatorInput): void {
    try {
      this.#step(recovery, input);
    } catch (error) {
      // As in the proposer's host: whoever reported goes on by Prepare, or cannot either.
      const { key } = recovery.context;
      const about = { event: "name-stuck", level: "error", names: [key] } as const;
      this.#report(`${key} is not recovered here: ${(error as Error).message}`, about);
      this.#forget(recovery);
    }
  }

  #step(recovery: Recovery, input: CoordinatorInput): void {
    const { context } = recovery;
    const { state, out } = stepCoordinator(context, recovery.state, input);
    recovery.state = state;
    for (const output of out) {
      switch (output.type) {
        case "send":
          this.#send(recovery, output.to, output.message);
          break;
        case "decided": {
          const { value, certificate, losers } = output;
          // Everybody at once: the proposers whose values collided wait for it.
          const moved = this.#learning.decided(context.key, certificate, value, context.quorums.members);
          if (losers.length > 0) moved.then(() => this.#losersListener(context.key, losers));
          break;
        }
        case "given-up":
          // Somebody else has the instance, or this record may not: whoever reports it once more finds out anew.
          this.#forget(recovery);
          break;
      }
    }
  }

  #send(recovery: Recovery, to: NodeId, message: AcceptorMessage): void {
    const { me } = recovery.context;
    const sent = to === me
      ? this.#acceptor.handle(message, me)
      : message.type === "accept"
      ? this.#transport.send(to, message)
      : Promise.reject(new Error("the coordinator sends Accept! only"));
    sent.then(
      (said) => {
        const reply = acceptorReplyIn(said);
        return reply === null ? undefined : this.#reply(recovery, to, reply);
      },
      // No answer from another is no vote. But an own pick of unknown outcome, or before this node may vote, must not keep
      // later reports from asking again: the record knows whether it was made.
      () => to === me && this.#forget(recovery),
    );
  }

  async #reply(recovery: Recovery, from: NodeId, reply: AcceptorReply): Promise<void> {
    const { key, instance } = recovery.context;
    const opening = reply.type === "behind" ? await this.#opening(key) : null;
    const current = opening?.instance === instance ? opening : null;
    this.#feed(recovery, { type: "reply", from, reply, opening: current });
  }

  /** null where the own store cannot say: then the one behind goes without, and a Prepare brings it up. */
  async #opening(key: string): Promise<Snapshot | null> {
    try {
      return (await this.#acceptor.view(key)).snapshot;
    } catch {
      return null;
    }
  }
}
