/** Tells other nodes of the epoch that this one is in, until they are in it too, and hears from them of a newer one. */
import { EPOCH_DEADLINE_MS, EPOCH_TELL_MAX_MS, EPOCH_TELL_MIN_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { type Clock, PeerError, type Transport } from "../ports.ts";
import type { Standing } from "./change.ts";
import type { Epochs } from "./epochs.ts";
import { decodeAnswer, encodeTold, type EpochAnswer } from "./exchange.ts";

/** An operator waits for the answer. */
const STANDING_WITHIN_MS = 2_000;

export type HeraldParts = {
  readonly id: NodeId;
  readonly epochs: Epochs;
  readonly clock: Clock;
  /** The body of the peer's answer; rejects with PeerError. */
  readonly ask: (
    peer: { readonly id: NodeId; readonly url: string },
    body: string,
    withinMs: number,
  ) => Promise<string>;
};

export class Herald {
  readonly #parts: HeraldParts;
  /** By node, in which epoch it last said it was, and whether it knew that the one before is retired. */
  readonly #heard = new Map<NodeId, { readonly epoch: number; readonly isRetired: boolean }>();
  readonly #meeting = new Set<NodeId>();
  #cancel: () => void = () => {};
  #waitMs = EPOCH_TELL_MIN_MS;
  #isClosed = false;

  constructor(parts: HeraldParts) {
    this.#parts = parts;
  }

  /** Until `close`. */
  start(): void {
    this.#parts.epochs.onNews(() => {
      this.#waitMs = EPOCH_TELL_MIN_MS;
      void this.#tell();
    });
    void this.#tell();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  /** Which of these are in the epoch of this node, as far as it has heard. */
  arrived(ids: readonly NodeId[]): readonly NodeId[] {
    const { id: me, epochs } = this.#parts;
    const epoch = epochs.known?.current.epoch ?? 0;
    return ids.filter((id) => id === me || (this.#heard.get(id)?.epoch ?? -1) >= epoch);
  }

  /** Asks a node that has other members, or takes this one for none of its, and tells it. */
  meet(id: NodeId): void {
    const url = this.#parts.epochs.urls[id];
    if (this.#isClosed || url === undefined || this.#meeting.has(id)) return;
    this.#meeting.add(id);
    // Every message between them is refused until then; one of them is enough, and one more a little later.
    this.exchange({ id, url }).catch(() => {}).finally(() => {
      this.#parts.clock.after(EPOCH_TELL_MIN_MS, () => this.#meeting.delete(id));
    });
  }

  /** What the node says of itself, or why it says nothing. */
  async standing(peer: { readonly id: NodeId; readonly url: string }): Promise<Standing | string> {
    return await this.exchange(peer, STANDING_WITHIN_MS).catch((error) => (error as Error).message);
  }

  /** Rejects with PeerError. */
  async exchange(
    peer: { readonly id: NodeId; readonly url: string },
    withinMs = EPOCH_DEADLINE_MS,
  ): Promise<EpochAnswer> {
    const { epochs, ask } = this.#parts;
    const text = await ask(peer, encodeTold({ row: epochs.row }), withinMs);
    let answer: EpochAnswer;
    try {
      answer = decodeAnswer(text);
    } catch (error) {
      throw new PeerError(`${peer.id}: ${(error as Error).message}`, { cause: error, why: "failed" });
    }
    const { row } = answer;
    this.#heard.set(peer.id, { epoch: row?.current.epoch ?? 0, isRetired: row !== null && row.first !== null });
    await epochs.hear(row, peer.id);
    return answer;
  }

  async #tell(): Promise<void> {
    this.#cancel();
    const missing = this.#missing();
    if (this.#isClosed || missing.length === 0) return;
    await Promise.all(missing.map((peer) => this.exchange(peer).catch(() => {})));
    if (this.#isClosed) return;
    this.#cancel();
    this.#cancel = this.#parts.clock.after(this.#waitMs, () => void this.#tell());
    this.#waitMs = Math.min(2 * this.#waitMs, EPOCH_TELL_MAX_MS);
  }

  /** Those that may not know yet what this node knows. Who is no member any more need not know of the end. */
  #missing(): readonly { readonly id: NodeId; readonly url: string }[] {
    const { id: me, epochs } = this.#parts;
    const { known, row } = epochs;
    if (known === null || row === null) return [];
    const { epoch, members } = known.current;
    const isRetired = row.first !== null;
    // Nobody tells a node without a vote that names have moved: it asks.
    if (!isRetired && members.every((member) => member.id !== me)) return members;
    return Object.entries(epochs.urls).map(([id, url]) => ({ id, url })).filter(({ id }) => {
      const heard = this.#heard.get(id);
      if (id === me || (heard !== undefined && heard.epoch >= epoch && (!isRetired || heard.isRetired))) return false;
      return !isRetired || members.some((member) => member.id === id);
    });
  }
}

/** A transport that meets those who have other members than this node, or take it for no member. */
export function meetingTransport(transport: Transport, meet: (id: NodeId) => void): Transport {
  return {
    send: (to, message) => {
      const sent = transport.send(to, message);
      sent.catch((error) => {
        if (error instanceof PeerError && (error.why === "other-members" || error.why === "no-member")) meet(to);
      });
      return sent;
    },
    rttMs: (to) => transport.rttMs(to),
    close: () => transport.close(),
  };
}
