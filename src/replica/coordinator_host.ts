/** The coordinator's host: one recovery at a time per key, started by reports of a collision (PROTOCOL.md §4). */
import type { NodeId } from "../paxos/ballot.ts";
import {
  type CoordinatorContext,
  type CoordinatorInput,
  type CoordinatorState,
  initialCoordinator,
  stepCoordinator,
} from "../paxos/coordinator.ts";
import type { AcceptorMessage, AcceptorReply, Collision, Snapshot } from "../paxos/message.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Learning } from "./learning.ts";
import { isAcceptorReply } from "./peer_reply.ts";
import type { Randomness, Transport } from "./ports.ts";

type Recovery = { readonly context: CoordinatorContext; state: CoordinatorState };

export class CoordinatorHost {
  readonly #acceptor: AcceptorHost;
  readonly #transport: Transport;
  readonly #learning: Learning;
  readonly #random: Randomness;
  readonly #recoveries = new Map<string, Recovery>();

  constructor(acceptor: AcceptorHost, transport: Transport, learning: Learning, random: Randomness) {
    this.#acceptor = acceptor;
    this.#transport = transport;
    this.#learning = learning;
    this.#random = random;
  }

  /** Brings a report to the key's coordinator, which may be this node. */
  tell(to: NodeId, message: Collision): void {
    if (to === this.#acceptor.rules.me) return this.collision(message);
    // Lost with the coordinator: whoever reported goes on by Prepare.
    this.#transport.send(to, "coordinator", message).catch(() => {});
  }

  collision(reported: Collision): void {
    const { quorums } = this.#acceptor.rules;
    // What a node that does not vote claims to have voted for must not sway the pick.
    const reports = reported.reports.filter(({ from }) => quorums.isMember(from));
    const message: Collision = { ...reported, reports };
    const { key, epoch, instance } = message;
    const known = this.#recoveries.get(key);
    if (known !== undefined && known.context.instance > instance) return;
    if (known === undefined || known.context.instance < instance) {
      const { me } = this.#acceptor.rules;
      const freshId = `${me}/${this.#random.id()}/c`;
      const recovery: Recovery = {
        context: { me, key, epoch, instance, quorums, freshId },
        state: initialCoordinator,
      };
      this.#recoveries.set(key, recovery);
      const stopListening = this.#acceptor.onMove(key, (_key, snapshot) => {
        if (snapshot.instance <= instance) return;
        stopListening();
        if (this.#recoveries.get(key) === recovery) this.#recoveries.delete(key);
      });
    }
    this.#feed(this.#recoveries.get(key)!, { type: "collision", message });
  }

  #feed(recovery: Recovery, input: CoordinatorInput): void {
    const { context } = recovery;
    const { state, out } = stepCoordinator(context, recovery.state, input);
    recovery.state = state;
    for (const output of out) {
      switch (output.type) {
        case "send":
          this.#send(recovery, output.to, output.message);
          break;
        case "decided": {
          const { value, certificate } = output;
          // Everybody at once: the proposers whose values collided wait for it.
          this.#learning.decided(context.key, certificate, value, context.quorums.members);
          break;
        }
        case "given-up":
          break;
      }
    }
  }

  #send(recovery: Recovery, to: NodeId, message: AcceptorMessage): void {
    const { me } = recovery.context;
    const sent = to === me
      ? this.#acceptor.handle(message, me)
      : message.type === "accept"
      ? this.#transport.send(to, "acceptor", message)
      : Promise.reject(new Error("the coordinator sends Accept! only"));
    sent.then(
      (reply) => isAcceptorReply(reply) ? this.#reply(recovery, to, reply) : undefined,
      // No answer, or an own write of unknown outcome: the proposers' timers go on by Prepare.
      () => {},
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
