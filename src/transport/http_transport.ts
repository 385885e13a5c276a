/**
 * Transport over HTTP: messages for one mailbox of one peer share requests, each a POST or, while lasting connections to the
 * peer stand, a frame (lines.ts).
 *
 * What is sent within one turn of the event loop travels together, whatever it was asked for by, and what is sent while a request is under way
 * waits for the next. With only ever one under way, a message that just missed one to a peer 175 ms off would wait up to
 * a whole round trip more; so once the latest request is older than `pipelineMs`, the next starts beside it, up to
 * PIPELINE_MAX to a peer. On a local network answers come sooner than that, and one is all there is.
 */
import { atEndOfTurn } from "../end_of_turn.ts";
import { PAXOS_MAX_MESSAGES, PEER_DEADLINE_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import {
  type Clock,
  MAILBOX,
  type Mailbox,
  MAILBOXES,
  type Mark,
  PeerError,
  type Transport,
  type WireMessage,
  type WireReply,
} from "../ports.ts";
import { NO_SPANS, type Span, type Spans } from "../spans.ts";
import { utf8Bytes } from "./checks.ts";
import { Deadlines } from "./deadlines.ts";
import type { Lines } from "./lines.ts";
import { type Acquaintance, bodyOf, callPeer, type Fetch, type PeerAnswer, type PeerKeys } from "./peer_call.ts";
import type { PeerVersions } from "./peer_versions.ts";
import { isTelling, LATE_TIMES, RoundTrips, tooLate, type Trip } from "./round_trips.ts";
import { encodeMessage, ITEMS_MAX_BYTES, joinRequest } from "./wire.ts";

export type { Fetch, PeerKeys } from "./peer_call.ts";

export type HttpTransportOptions = {
  /** Base url of each peer, as `http://10.0.0.2:8701`. */
  readonly urls: Readonly<Record<NodeId, string>>;
  /** Hex SHA-256 of this node's ClusterConfig. */
  readonly config: string;
  readonly keys: PeerKeys;
  readonly versions: PeerVersions;
  /** Lasting connections to peers, used while they stand; closed with the transport. Absent: every request is a POST. */
  readonly lines?: Lines;
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Called when a request leaves, so that its mark is no older than the commits its messages rest on. */
  readonly ownMark: () => Mark;
  /** Called with each answer's mark before any of its replies is handed out; none is if it rejects. */
  readonly onMark: (peer: NodeId, mark: Mark) => void | Promise<void>;
  /** Default: none. What is recorded goes by POST, which has a header for it; a frame has none. */
  readonly spans?: Spans;
  /** What is handed out of each reply. Default: all of it. */
  readonly understood?: (reply: WireReply) => WireReply;
  /** From `send` to its end, of a peer that is not known to be slow; default PEER_DEADLINE_MS. */
  readonly deadlineMs?: number;
  /** Default PIPELINE_MS. */
  readonly pipelineMs?: number;
};

export const PIPELINE_MS = 5;
/** Requests under way to one peer; each mailbox may have one in any case. */
export const PIPELINE_MAX = 16;
/** Requests to one peer that are late and still listened for. */
const LATE_MAX = 16;
/** Messages to one peer that have no answer yet; more are refused at once. */
export const PEER_MAX_OPEN = 10_000;

type Flight = {
  readonly lane: Lane;
  /** Null: nothing in it tells how long a vote takes. */
  readonly trip: Trip | null;
  /** Ends the wait for its answer. */
  giveUp: (reason: PeerError) => void;
  /** Its answer is late: what it went over may bear no more. */
  doubt: () => void;
  /** Messages that somebody waits for. */
  open: number;
  /** It has ended, or is listened for no more. */
  isSettled: boolean;
};
type Outgoing = {
  readonly lane: Lane;
  /** Emptied when it leaves: the list of deadlines keeps its entry longer than the text is needed. */
  json: string;
  readonly wire: number;
  readonly bytes: number;
  readonly isTelling: boolean;
  /** The span it is sent for. */
  readonly span: string | null;
  readonly resolve: (reply: WireReply) => void;
  readonly reject: (error: PeerError) => void;
  flight: Flight | null;
  isSettled: boolean;
  /** Null: nobody has been told yet that it is late. */
  late: ((reply: WireReply) => void) | null;
};
/** One mailbox of one peer. */
type Lane = {
  readonly mailbox: Mailbox;
  waiting: Outgoing[];
  isGathering: boolean;
  underWay: number;
  latestAtMs: number;
  cancelNext: (() => void) | null;
};
type Peer = Acquaintance & {
  readonly lanes: Readonly<Record<Mailbox, Lane>>;
  readonly deadlines: Deadlines<Outgoing>;
  readonly roundTrips: RoundTrips;
  readonly flights: Set<Flight>;
  /** Those that nobody waits for, the oldest first: how late the peer answers them tells how long to wait for others. */
  readonly late: Set<Flight>;
  readonly listening: Deadlines<Flight>;
};

export function createHttpTransport(options: HttpTransportOptions): Transport {
  return new HttpTransport(options);
}

class HttpTransport implements Transport {
  readonly #options: HttpTransportOptions;
  readonly #deadlineMs: number;
  readonly #pipelineMs: number;
  readonly #spans: Spans;
  readonly #peers: ReadonlyMap<NodeId, Peer>;
  #isClosed = false;
  /** What was written last in this turn. */
  #last: { readonly message: WireMessage; readonly wire: number; readonly json: string } | null = null;

  constructor(options: HttpTransportOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? PEER_DEADLINE_MS;
    this.#pipelineMs = options.pipelineMs ?? PIPELINE_MS;
    this.#spans = options.spans ?? NO_SPANS;
    this.#peers = new Map(Object.entries(options.urls).map(([id, url]) => [id, this.#peer(id, url)]));
  }

  send(to: NodeId, message: WireMessage): Promise<WireReply> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new PeerError("the transport is closed"));
      const peer = this.#peers.get(to);
      if (peer === undefined) return reject(new PeerError(`${to} is no peer of this node`));
      if (peer.deadlines.open >= PEER_MAX_OPEN) return reject(new PeerError(`too many messages wait for ${to}`));
      const wire = this.#options.versions.wireTo(to);
      let json: string;
      try {
        json = this.#encoded(message, wire);
      } catch (error) {
        return reject(new PeerError(`not sent to ${to}: ${(error as Error).message}`, { cause: error }));
      }
      const lane = peer.lanes[MAILBOX[message.type]];
      const outgoing = {
        lane,
        json,
        wire,
        bytes: utf8Bytes(json) + 1,
        isTelling: isTelling(message),
        span: this.#spans.on ? this.#spans.here() : null,
        resolve,
        reject,
        flight: null,
        isSettled: false,
        late: null,
      };
      lane.waiting.push(outgoing);
      peer.deadlines.add(outgoing);
      this.#gather(peer, lane);
    });
  }

  /** Now, not when the request leaves: what the caller changes later is not what it sent. For all peers it is sent to, once. */
  #encoded(message: WireMessage, wire: number): string {
    if (this.#last?.message === message && this.#last.wire === wire) return this.#last.json;
    const json = encodeMessage(message, wire);
    if (this.#last === null) queueMicrotask(() => this.#last = null);
    this.#last = { message, wire, json };
    return json;
  }

  rttMs(to: NodeId): number {
    return this.#peers.get(to)?.roundTrips.rttMs ?? 0;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const closed = new PeerError("the transport was closed");
    for (const peer of this.#peers.values()) {
      for (const lane of Object.values(peer.lanes)) {
        lane.cancelNext?.();
        for (const outgoing of lane.waiting) settle(peer, outgoing, () => outgoing.reject(closed));
        lane.waiting = [];
      }
      // Those under way reject by it.
      for (const flight of [...peer.flights]) flight.giveUp(closed);
      for (const flight of [...peer.late]) endLate(peer, flight, closed);
    }
    this.#options.lines?.close();
  }

  #peer(id: NodeId, url: string): Peer {
    const lane = (mailbox: Mailbox): Lane => ({
      mailbox,
      waiting: [],
      isGathering: false,
      underWay: 0,
      latestAtMs: 0,
      cancelNext: null,
    });
    const { clock } = this.#options;
    const roundTrips = new RoundTrips(clock, this.#deadlineMs);
    const listenMs = () => (LATE_TIMES - 1) * this.#deadlineMs;
    const peer: Peer = {
      id,
      url: url.replace(/\/+$/, ""),
      to: null,
      count: 0,
      lanes: Object.fromEntries(MAILBOXES.map((mailbox) => [mailbox, lane(mailbox)])) as Record<Mailbox, Lane>,
      deadlines: new Deadlines(clock, () => roundTrips.deadlineMs, (outgoing) => this.#expire(peer, outgoing)),
      roundTrips,
      flights: new Set(),
      late: new Set(),
      listening: new Deadlines(clock, listenMs, (flight) => endLate(peer, flight, tooLate(id, roundTrips))),
    };
    return peer;
  }

  /** At the end of the turn all that arrived in it has sent what it sends. */
  #gather(peer: Peer, lane: Lane): void {
    if (lane.isGathering) return;
    lane.isGathering = true;
    atEndOfTurn(() => {
      lane.isGathering = false;
      this.#depart(peer, lane);
    });
  }

  /** Starts what may start now, and sees to it that the rest starts later. */
  #depart(peer: Peer, lane: Lane): void {
    lane.cancelNext?.();
    lane.cancelNext = null;
    while (!this.#isClosed) {
      dropSettled(lane);
      if (lane.waiting.length === 0) return;
      if (lane.underWay > 0) {
        // The end of any flight comes back here.
        if (peer.flights.size >= PIPELINE_MAX) return;
        const waitMs = lane.latestAtMs + this.#pipelineMs - this.#options.clock.now();
        if (waitMs > 0) {
          lane.cancelNext = this.#options.clock.after(waitMs, () => this.#depart(peer, lane));
          return;
        }
      }
      void this.#fly(peer, lane, take(lane));
    }
  }

  async #fly(peer: Peer, lane: Lane, batch: readonly Outgoing[]): Promise<void> {
    const trip = batch.some((outgoing) => outgoing.isTelling) ? peer.roundTrips.begin() : null;
    const flight: Flight = { lane, trip, giveUp: () => {}, doubt: () => {}, open: batch.length, isSettled: false };
    for (const outgoing of batch) outgoing.flight = flight;
    peer.flights.add(flight);
    lane.underWay++;
    lane.latestAtMs = this.#options.clock.now();
    const span = this.#spans.on ? this.#spanOf(peer, lane, batch) : null;
    let failure: string | null = null;
    try {
      const { config, ownMark, onMark, versions, understood = (reply) => reply } = this.#options;
      // What was written for a newer one may say what the peer does not understand.
      if (batch.some(({ wire }) => wire > versions.wireTo(peer.id))) {
        throw new PeerError(`not sent to ${peer.id}: it speaks less than it did`);
      }
      const body = joinRequest(config, ownMark(), batch.map(({ json }) => json));
      for (const outgoing of batch) outgoing.json = "";
      const { text, rttMs } = await this.#ask(peer, lane.mailbox, body, flight, span?.traceparent ?? null);
      const { replies, mark } = bodyOf(peer.id, text);
      // Which reply is whose is only known by position.
      if (replies.length !== batch.length) {
        throw new PeerError(`${peer.id} answered ${batch.length} messages with ${replies.length} replies`, {
          why: "failed",
        });
      }
      if (trip !== null) peer.roundTrips.answered(trip, rttMs);
      await onMark(peer.id, mark);
      batch.forEach((outgoing, index) => {
        const reply = understood(replies[index]!);
        outgoing.late?.(reply);
        settle(peer, outgoing, () => outgoing.resolve(reply));
      });
    } catch (error) {
      const failed = error instanceof PeerError ? error : new PeerError(`${peer.id}: ${error}`, { cause: error });
      failure = failed.why ?? "failed";
      for (const outgoing of batch) settle(peer, outgoing, () => outgoing.reject(failed));
    } finally {
      span?.end({ error: failure });
      endLate(peer, flight, null);
      this.#land(peer, flight);
    }
  }

  /** It takes nobody's place any more: it has ended, or nobody waits for it. */
  #land(peer: Peer, flight: Flight): void {
    if (flight.trip !== null) peer.roundTrips.dropped(flight.trip);
    if (!peer.flights.delete(flight)) return;
    flight.lane.underWay--;
    for (const other of Object.values(peer.lanes)) this.#depart(peer, other);
  }

  /** Null: nobody's who is recorded is among them. */
  #spanOf(peer: Peer, { mailbox }: Lane, batch: readonly Outgoing[]): Span | null {
    const of = new Set(batch.flatMap(({ span }) => span ?? []));
    return of.size === 0 ? null : this.#spans.ask(peer.id, mailbox, [...of]);
  }

  #ask(
    peer: Peer,
    mailbox: Mailbox,
    body: string,
    flight: Flight,
    traceparent: string | null,
  ): Promise<PeerAnswer> {
    const { lines } = this.#options;
    const asking = traceparent === null ? lines?.ask(peer.id, mailbox, body) ?? null : null;
    if (asking !== null) {
      flight.giveUp = asking.giveUp;
      flight.doubt = asking.doubt;
      return asking.answer;
    }
    const abort = new AbortController();
    flight.giveUp = (reason) => abort.abort(reason);
    const headers = { ...lines?.wish(peer.id), ...(traceparent !== null && { traceparent }) };
    return callPeer(this.#options, peer, `/paxos/${mailbox}`, body, abort.signal, headers);
  }

  #expire(peer: Peer, outgoing: Outgoing): void {
    const { flight } = outgoing;
    const { promise, resolve } = Promise.withResolvers<WireReply>();
    outgoing.late = resolve;
    // What has not left yet leaves no more.
    settle(peer, outgoing, () => outgoing.reject(tooLate(peer.id, peer.roundTrips, flight && promise)));
    if (flight === null) dropSettled(outgoing.lane);
    else if (flight.open === 0) this.#late(peer, flight);
  }

  /** Nobody waits any more; what it answers, and when, is still news. */
  #late(peer: Peer, flight: Flight): void {
    flight.doubt();
    peer.late.add(flight);
    peer.listening.add(flight);
    const [oldest] = peer.late;
    if (peer.late.size > LATE_MAX) endLate(peer, oldest!, tooLate(peer.id, peer.roundTrips));
    this.#land(peer, flight);
  }
}

/** @param reason null: it has ended by itself */
function endLate(peer: Peer, flight: Flight, reason: PeerError | null): void {
  flight.isSettled = true;
  if (!peer.late.delete(flight)) return;
  peer.listening.settled();
  if (reason !== null) flight.giveUp(reason);
}

function settle(peer: Peer, outgoing: Outgoing, how: () => void): void {
  if (outgoing.isSettled) return;
  outgoing.isSettled = true;
  if (outgoing.flight !== null) outgoing.flight.open--;
  peer.deadlines.settled();
  how();
}

/** Those that expired before they left; they are the oldest, so they are in front. */
function dropSettled(lane: Lane): void {
  const first = lane.waiting.findIndex((outgoing) => !outgoing.isSettled);
  if (first !== 0) lane.waiting = first < 0 ? [] : lane.waiting.slice(first);
}

/** As many of the oldest as one request holds; at least one, as none is above the limit by itself. */
function take(lane: Lane): readonly Outgoing[] {
  let count = 0;
  let bytes = 0;
  for (const outgoing of lane.waiting) {
    bytes += outgoing.bytes;
    if (count === PAXOS_MAX_MESSAGES || (bytes > ITEMS_MAX_BYTES && count > 0)) break;
    count++;
  }
  return lane.waiting.splice(0, count);
}
