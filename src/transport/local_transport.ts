/**
 * Transport within one process, for clusters in memory and their tests: the same port, the same checks, JSON text in
 * between so that nobody shares an object by accident, and a network that can be told to misbehave. Nothing in it is
 * random and its only time is the clock it is given.
 */
import { PAXOS_MAX_MESSAGES, PEER_DEADLINE_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import {
  type Clock,
  MAILBOX,
  type Mailbox,
  type Mark,
  NO_MARK,
  type PeerCause,
  PeerError,
  type Transport,
  type WireMessage,
  type WireReply,
} from "../ports.ts";
import { isTelling, LATE_TIMES, RoundTrips, tooLate } from "./round_trips.ts";
import { decodeMessages, decodeReplies, encodeMessage } from "./wire.ts";

/** One message or one reply on its way. */
export type Parcel = {
  readonly kind: "request" | "reply";
  readonly from: NodeId;
  readonly to: NodeId;
  readonly mailbox: Mailbox;
  readonly content: WireMessage | WireReply;
};
export type ParcelTest = (parcel: Parcel) => boolean;

/** What a node does with messages that arrive together, and with the mark of their sender; one reply each, in order. */
export type Receive = (
  from: NodeId,
  mailbox: Mailbox,
  messages: readonly WireMessage[],
  mark: Mark,
) => Promise<readonly WireReply[]>;

/** `seen` is called with the mark of an answer before its reply is handed out; that is not if it rejects. */
export type Marks = { readonly own: () => Mark; readonly seen: (peer: NodeId, mark: Mark) => void | Promise<void> };

export interface LocalNetwork {
  /** Puts a node on the network, again after a `disconnect`; a node that is there is replaced. */
  connect(id: NodeId, receive: Receive, marks?: Marks): void;
  /**
   * The node is gone: what is sent to it is refused, what it has not answered yet it never will, and its transports
   * are closed, so that nothing left running of it still speaks.
   */
  disconnect(id: NodeId): void;
  transportOf(id: NodeId): Transport;
  /** Nothing passes between the two, either way, until healed; it is lost in silence, not refused. */
  cut(a: NodeId, b: NodeId): void;
  heal(a: NodeId, b: NodeId): void;
  /** Loses what matches. Returns what ends it, as the next two do. */
  drop(test: ParcelTest): () => void;
  /** Delivers what matches twice; what was delayed or held, twice after that. */
  duplicate(test: ParcelTest): () => void;
  /** Delays each parcel by the sum of what all of these say, in ms. */
  delay(ms: (parcel: Parcel) => number): () => void;
  /** Keeps what matches until released, and keeps no more then. */
  hold(test: ParcelTest): Hold;
}

export type Hold = {
  readonly held: readonly Parcel[];
  /** Delivers what was held in the order it came in, or in the one made of it; what that leaves out is lost. */
  release(order?: (held: readonly Parcel[]) => readonly Parcel[]): void;
};

type Node = { readonly receive: Receive; readonly marks: Marks | undefined };
type Sent = {
  readonly parcel: Parcel;
  readonly json: string;
  readonly mark: Mark | null;
  readonly settle: (how: { reply: WireReply; mark: Mark | null } | { error: PeerError }) => void;
};

export function createLocalNetwork(
  options: { readonly clock: Clock; /** Default PEER_DEADLINE_MS. */ readonly deadlineMs?: number },
): LocalNetwork {
  return new Network(options.clock, options.deadlineMs ?? PEER_DEADLINE_MS);
}

class Network implements LocalNetwork {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly #nodes = new Map<NodeId, Node>();
  readonly #transports = new Map<NodeId, readonly Transport[]>();
  /** What arrived in this turn, by sender, receiver, mailbox and mark. */
  readonly #inboxes = new Map<string, Sent[]>();
  readonly #cuts = new Set<string>();
  readonly #drops = new Set<ParcelTest>();
  readonly #duplicates = new Set<ParcelTest>();
  readonly #delays = new Set<(parcel: Parcel) => number>();
  readonly #holds = new Set<{ readonly test: ParcelTest; readonly keep: (parcel: Parcel, go: () => void) => void }>();

  constructor(clock: Clock, deadlineMs: number) {
    this.clock = clock;
    this.deadlineMs = deadlineMs;
  }

  connect(id: NodeId, receive: Receive, marks?: Marks): void {
    this.#nodes.set(id, { receive, marks });
  }

  disconnect(id: NodeId): void {
    this.#nodes.delete(id);
    for (const transport of this.#transports.get(id) ?? []) transport.close();
    this.#transports.delete(id);
  }

  transportOf(id: NodeId): Transport {
    const transport = new LocalTransport(this, id);
    this.#transports.set(id, [...this.#transports.get(id) ?? [], transport]);
    return transport;
  }

  cut(a: NodeId, b: NodeId): void {
    this.#cuts.add(link(a, b));
  }

  heal(a: NodeId, b: NodeId): void {
    this.#cuts.delete(link(a, b));
  }

  drop(test: ParcelTest): () => void {
    return added(this.#drops, test);
  }

  duplicate(test: ParcelTest): () => void {
    return added(this.#duplicates, test);
  }

  delay(ms: (parcel: Parcel) => number): () => void {
    return added(this.#delays, ms);
  }

  hold(test: ParcelTest): Hold {
    const held: Parcel[] = [];
    const waiting = new Map<Parcel, () => void>();
    const end = added(this.#holds, {
      test,
      keep: (parcel: Parcel, go: () => void) => {
        held.push(parcel);
        waiting.set(parcel, go);
      },
    });
    return {
      held,
      release: (order = (parcels) => parcels) => {
        end();
        const ready = order(held.splice(0)).flatMap((parcel) => waiting.get(parcel) ?? []);
        waiting.clear();
        for (const go of ready) go();
      },
    };
  }

  ownMark(id: NodeId): Mark | null {
    return this.#nodes.get(id)?.marks?.own() ?? null;
  }

  async seen(id: NodeId, peer: NodeId, mark: Mark | null): Promise<void> {
    if (mark !== null) await this.#nodes.get(id)?.marks?.seen(peer, { ...mark });
  }

  request(sent: Sent): void {
    this.#carry(sent.parcel, () => this.#arrive(sent));
  }

  /** Takes a parcel through all that was told to happen to it. */
  #carry(parcel: Parcel, arrive: () => void): void {
    if (some(this.#drops, (test) => test(parcel))) return;
    const deliver = () => {
      // When it arrives, not when it leaves: a cut also loses what is on its way.
      if (this.#cuts.has(link(parcel.from, parcel.to))) return;
      arrive();
      if (some(this.#duplicates, (test) => test(parcel))) arrive();
    };
    const travel = () => {
      let ms = 0;
      for (const delay of this.#delays) ms += delay(parcel);
      if (ms > 0) this.clock.after(ms, deliver);
      else deliver();
    };
    for (const hold of this.#holds) if (hold.test(parcel)) return hold.keep(parcel, travel);
    travel();
  }

  #arrive(sent: Sent): void {
    const { mark, parcel: { from, to, mailbox } } = sent;
    // One request has one mark.
    const name = `${from} ${to} ${mailbox} ${mark?.incarnation} ${mark?.boot} ${mark?.run} ${mark?.seq}`;
    const inbox = this.#inboxes.get(name);
    // As over HTTP: what arrives in one turn is received together.
    if (inbox !== undefined && inbox.length < PAXOS_MAX_MESSAGES) return void inbox.push(sent);
    const fresh = [sent];
    this.#inboxes.set(name, fresh);
    queueMicrotask(() => {
      if (this.#inboxes.get(name) === fresh) this.#inboxes.delete(name);
      void this.#receive(fresh, from, to, mailbox);
    });
  }

  async #receive(inbox: readonly Sent[], from: NodeId, to: NodeId, mailbox: Mailbox): Promise<void> {
    const node = this.#nodes.get(to);
    const fail = (what: string, cause?: unknown, why: PeerCause = "failed") => {
      const error = new PeerError(`${to} ${what}`, { cause, why });
      for (const sent of inbox) sent.settle({ error });
    };
    if (node === undefined) return fail("refused the connection", undefined, "refused");
    let replies: readonly WireReply[];
    let texts: readonly string[];
    let mark: Mark | null;
    try {
      const messages = decodeMessages(`[${inbox.map(({ json }) => json).join(",")}]`);
      replies = await node.receive(from, mailbox, messages, { ...inbox[0]!.mark ?? NO_MARK });
      // A process that died in between answers nothing; its successor does not answer for it.
      if (this.#nodes.get(to) !== node) return;
      texts = replies.map((reply) => JSON.stringify(reply));
      replies = decodeReplies(`[${texts.join(",")}]`);
      mark = this.ownMark(to);
    } catch (error) {
      return fail(`failed: ${(error as Error)?.message ?? error}`, error);
    }
    if (replies.length !== inbox.length) {
      return fail(`answered ${inbox.length} messages with ${replies.length} replies`);
    }
    inbox.forEach((sent, index) => {
      const reply = replies[index]!;
      this.#carry({ kind: "reply", from: to, to: from, mailbox, content: reply }, () => sent.settle({ reply, mark }));
    });
  }
}

class LocalTransport implements Transport {
  readonly #network: Network;
  readonly #me: NodeId;
  readonly #roundTrips = new Map<NodeId, RoundTrips>();
  readonly #open = new Set<Sent>();
  #isClosed = false;

  constructor(network: Network, me: NodeId) {
    this.#network = network;
    this.#me = me;
  }

  send(to: NodeId, message: WireMessage): Promise<WireReply> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new PeerError("the transport is closed"));
      const { clock, deadlineMs } = this.#network;
      let json: string;
      try {
        json = encodeMessage(message);
      } catch (error) {
        return reject(new PeerError(`not sent to ${to}: ${(error as Error).message}`, { cause: error }));
      }
      const roundTrips = this.#roundTripsOf(to);
      const trip = isTelling(message) ? roundTrips.begin() : null;
      const sinceMs = clock.now();
      let isAnswered = false;
      const late = Promise.withResolvers<WireReply>();
      let cancel = () => {};
      // Answers to others may have made the deadline longer meanwhile.
      const look = () => {
        const leftMs = sinceMs + roundTrips.deadlineMs - clock.now();
        if (leftMs >= 1) {
          cancel = clock.after(leftMs, look);
          return;
        }
        sent.settle({ error: tooLate(to, roundTrips, late.promise) });
      };
      const sent: Sent = {
        parcel: { kind: "request", from: this.#me, to, mailbox: MAILBOX[message.type], content: message },
        json,
        mark: this.#network.ownMark(this.#me),
        settle: (how) => {
          const isHeard = "reply" in how && clock.now() - sinceMs <= LATE_TIMES * deadlineMs;
          if (isHeard && trip !== null && !isAnswered) {
            isAnswered = true;
            roundTrips.answered(trip);
          }
          if (!this.#open.has(sent)) {
            // After the deadline whoever asked may still use it; a second one is no news.
            if (isHeard && !this.#isClosed) {
              this.#network.seen(this.#me, to, how.mark).then(() => late.resolve(how.reply), () => {});
            }
            return;
          }
          const end = (settle: () => void) => {
            if (!this.#open.delete(sent)) return;
            if (trip !== null) roundTrips.dropped(trip);
            cancel();
            settle();
          };
          if ("error" in how) return end(() => reject(how.error));
          const failed = (error: unknown) =>
            end(() => reject(error instanceof PeerError ? error : new PeerError(`${to}: ${error}`, { cause: error })));
          this.#network.seen(this.#me, to, how.mark).then(() => end(() => resolve(how.reply)), failed);
        },
      };
      this.#open.add(sent);
      look();
      this.#network.request(sent);
    });
  }

  rttMs(to: NodeId): number {
    return this.#roundTrips.get(to)?.rttMs ?? 0;
  }

  close(): void {
    this.#isClosed = true;
    for (const sent of [...this.#open]) sent.settle({ error: new PeerError("the transport was closed") });
  }

  #roundTripsOf(to: NodeId): RoundTrips {
    const known = this.#roundTrips.get(to) ?? new RoundTrips(this.#network.clock, this.#network.deadlineMs);
    this.#roundTrips.set(to, known);
    return known;
  }
}

function link(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function added<T>(set: Set<T>, item: T): () => void {
  set.add(item);
  return () => void set.delete(item);
}

function some<T>(set: ReadonlySet<T>, test: (item: T) => boolean): boolean {
  for (const item of set) if (test(item)) return true;
  return false;
}
