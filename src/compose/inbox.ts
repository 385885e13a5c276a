/** What a node makes of what its peers send it, and of what they say of their stores (PROTOCOL.md §9). */
import type { NodeId } from "../paxos/ballot.ts";
import type { AcceptorHost } from "../replica/acceptor_host.ts";
import type { CoordinatorHost } from "../replica/coordinator_host.ts";
import type { Imports } from "../replica/imports.ts";
import type { LearnerHost } from "../replica/learner_host.ts";
import type { Learning } from "../replica/learning.ts";
import { type Lives, UNCONFIRMED_BOOT } from "../replica/lives.ts";
import type { Names } from "../replica/names.ts";
import { isProbe, type Peers } from "../replica/peers.ts";
import type { StoreHealth } from "../replica/store_health.ts";
import type { Submitters } from "../replica/submitters.ts";
import { ownMark, type VoteGate } from "../replica/vote_gate.ts";
import {
  type BallotStore,
  MAILBOX,
  type Mailbox,
  type Mark,
  NO_MARK,
  PeerError,
  type Trace,
  type WireMessage,
  type WireReply,
} from "../ports.ts";

const REASON_MAX_CHARS = 200;

export type InboxParts = {
  readonly store: BallotStore;
  readonly trace: Trace;
  readonly health: StoreHealth;
  readonly peers: Peers;
  readonly lives: Lives;
  readonly voteGate: VoteGate;
  readonly names: Names;
  readonly acceptor: AcceptorHost;
  /** Null: there is no epoch before this one. */
  readonly imports: Imports | null;
  readonly coordinator: CoordinatorHost;
  readonly learner: LearnerHost;
  readonly learning: Learning;
  readonly submitters: Submitters;
};

export class Inbox {
  readonly #parts: InboxParts;

  constructor(parts: InboxParts) {
    this.#parts = parts;
  }

  async receive(
    from: NodeId,
    mailbox: Mailbox,
    messages: readonly WireMessage[],
    mark: Mark,
  ): Promise<readonly WireReply[]> {
    const { peers } = this.#parts;
    const refusal = await this.#meet(from, mark);
    if (refusal === null) peers.heard(from);
    else if (refusal.why !== null) peers.refused(from, refusal.why);
    return await Promise.all(messages.map((message) => {
      // Who is refused is told why, if it asks: its own start must find out what it is.
      if (refusal === null || message.type === "marks") return this.#answer(from, mailbox, message);
      return { type: "unavailable", reason: refusal.message.slice(0, REASON_MAX_CHARS) } as const;
    }));
  }

  /** As the node's `note`. */
  async note(from: NodeId, mark: Mark): Promise<void> {
    const refusal = await this.#meet(from, mark);
    if (refusal !== null) throw refusal;
  }

  /** As the node's `mark`. */
  mark(): Mark {
    const { store, voteGate } = this.#parts;
    if (store.identity() === null) return NO_MARK;
    if (voteGate.speaks) return ownMark(store);
    return { ...ownMark(store), boot: UNCONFIRMED_BOOT, run: "unconfirmed" };
  }

  /** Why nothing of this peer may be taken, or null. What cannot be looked up cannot be taken either. */
  async #meet(from: NodeId, mark: Mark): Promise<PeerError | null> {
    const { lives, learning, health } = this.#parts;
    try {
      const reason = await lives.meet(from, mark);
      if (reason === null) learning.heard(from, mark.run);
      return reason === null ? null : new PeerError(reason, { why: "other-life" });
    } catch (error) {
      return new PeerError((health.told(error) as Error).message);
    }
  }

  async #answer(from: NodeId, mailbox: Mailbox, message: WireMessage): Promise<WireReply> {
    const { store, trace, health, voteGate, names, acceptor, imports, coordinator, learner, submitters } = this.#parts;
    try {
      if (MAILBOX[message.type] !== mailbox) {
        return { type: "unavailable", reason: `${message.type} is not for the ${mailbox}` };
      }
      if (message.type === "marks") {
        // Needs no vote: whoever has just started asks before it may give any. But a store that was rolled back has lost
        // what it knew of others too, and must not count among those that confirm them.
        if (store.quarantined() !== null) return { type: "unavailable", reason: "quarantined" };
        // It votes by this answer: what it rests on must not be forgotten again.
        if (message.of === from && store.identity() !== null) await store.flush();
        return { type: "marks", of: message.of, mark: await store.recall(message.of) };
      }
      if (message.type === "keys") return await names.own(message);
      // As far as anybody counts on it, a member that can write nothing is none.
      const isCounted = isProbe(message) || message.type === "records";
      if (health.fault !== null && isCounted) return { type: "unavailable", reason: health.fault };
      const isNoted = message.type === "collision" || message.type === "forward" || message.type === "accepted" ||
        message.type === "outcomes";
      if (trace.on && isNoted) trace.record({ type: "handled", from, message, reply: { type: "noted" } });
      if (message.type === "collision" || message.type === "forward" || message.type === "records") {
        // Who cannot vote cannot propose. Told so, the sender goes on elsewhere at once instead of waiting for it in vain.
        const reason = acceptor.votes ? voteGate.reason() : "this node does not vote";
        if (reason !== null) return { type: "unavailable", reason };
      }
      if (message.type === "records") {
        if (imports === null) return { type: "unavailable", reason: "there is no epoch before this one" };
        return { type: "records", keys: await imports.recorded(message.keys) };
      }
      if (message.type === "collision") coordinator.collision(message);
      else if (message.type === "forward") submitters.forwarded(from, message);
      else if (message.type === "outcomes") submitters.outcomes(from, message);
      else if (message.type === "accepted") learner.accepted(from, message);
      else return await acceptor.handle(message, from);
      return { type: "noted" };
    } catch (error) {
      return { type: "unavailable", reason: (health.told(error) as Error).message.slice(0, REASON_MAX_CHARS) };
    }
  }
}
