/**
 * How the other nodes are, from what they answer to this one and what they send it: one line for each change to the
 * operator, and what /v1/status shows. A member that is not well is asked again and again until it is.
 */
import type { PeerFault } from "../api.ts";
import { PEER_DEADLINE_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { Remembered } from "../remembered.ts";
import { detailOf, isProven, isThere, mayPass } from "./peer_causes.ts";
import { isOfAcceptor } from "./peer_reply.ts";
import { TurnClock } from "./turn_clock.ts";
import {
  type Clock,
  type Meter,
  NO_METER,
  type PeerCause,
  PeerError,
  type Report,
  type Transport,
  type WireMessage,
  type WireReply,
} from "../ports.ts";

/** Between two questions to a member that is not well. */
export const PROBE_MS = 500;
/** What failed is known to fail for as long as the next question and its answer may take. */
const FRESH_MS = PEER_DEADLINE_MS + 2 * PROBE_MS;
/** Who waits for an answer waits no longer for it: one that comes later is known the next time. */
const AGAIN_MS = 100;
/** What may pass by itself is told once it has lasted for so long: a restart is no news. */
const SETTLED_MS = 1_000;
/** Whoever was heard well so lately is not said to be refused: somebody else uses its name. */
const HEARD_MS = 10_000;
/** Lines for one peer within this time; then it is as it is until there is room, however often it changes. */
const LINES_MS = 60_000;
const LINES_MAX = 4;
/** A refusal is shown for so long after it came up last. */
const SHOWN_MS = 60_000;
/** Nodes that are neither members nor learners; only who holds the secret can become one. */
const STRANGERS_MAX = 16;

/** Changes nothing, and only a node that votes answers it with a view, or with the word that it has not imported this key. */
export function probeOf(epoch: number): WireMessage {
  return { type: "read", key: "readyz", epoch, instance: 1 };
}

export function isProbe(message: WireMessage): boolean {
  return message.type === "read" && message.key === "readyz";
}

const NOBODY: ReadonlySet<NodeId> = new Set();

type Fault = PeerFault & {
  readonly sinceMs: number;
  /** What the operator is told besides. */
  readonly line: string;
};

type Known = {
  readonly id: string;
  /** What came of what it was asked. */
  fault: Fault | null;
  /** Why what it sent is refused. */
  refusal: Fault | null;
  answeredMs: number | null;
  failedMs: number;
  refusedMs: number;
  /** Since when there is some fault, whichever. */
  sinceMs: number;
  /** What was sent since the fault began failed too: it was no stall of this process, in which answers came too late. */
  isConfirmed: boolean;
  heardMs: number | null;
  told: PeerCause | null;
  toldMs: readonly number[];
};

export type PeersOptions = {
  readonly id: NodeId;
  readonly members: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly transport: Transport;
  /** Default: the first. */
  readonly epoch?: number;
  readonly clock: Clock;
  readonly report: Report;
  /** Default: nothing is counted. */
  readonly meter?: Pick<Meter, "peerAnswered" | "peerFailed">;
};

export class Peers {
  readonly #options: PeersOptions;
  readonly #probe: WireMessage;
  /** The members but this node. */
  readonly #members: readonly NodeId[];
  readonly #known: ReadonlyMap<NodeId, Known>;
  readonly #strangers = new Remembered<Known>(STRANGERS_MAX);
  readonly #meter: Pick<Meter, "peerAnswered" | "peerFailed">;
  readonly #turn: TurnClock;
  #cancel: (() => void) | null = null;
  #isClosed = false;
  #asking: Promise<void> | null = null;
  /** The transport, by which this learns how peers are. */
  readonly transport: Transport;

  constructor(options: PeersOptions) {
    const { id, members, learners, transport } = options;
    this.#options = options;
    this.#probe = probeOf(options.epoch ?? 0);
    this.#turn = new TurnClock(options.clock);
    this.#meter = options.meter ?? NO_METER;
    this.#members = members.filter((member) => member !== id);
    const peers = [...this.#members, ...learners.filter((learner) => learner !== id)];
    this.#known = new Map(peers.map((peer) => [peer, newKnown(peer)]));
    this.transport = {
      send: (to, message) => this.#send(to, message),
      rttMs: (to) => transport.rttMs(to),
      close: () => transport.close(),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.#cancel = null;
  }

  /** A request that was refused says that it is of this peer. */
  refused(from: string, why: PeerCause): void {
    const known = this.#known.get(from) ?? this.#stranger(from, why);
    if (known === null) return;
    const now = this.#options.clock.now();
    // A member whose store is another by now was heard with the one on record a moment ago.
    const wasHeard = known.heardMs !== null && now - known.heardMs < HEARD_MS;
    if (wasHeard && why !== "other-life") return;
    known.refusedMs = now;
    known.refusal = this.#fault(known.refusal, why, detailOf(why, "refused"));
    this.#tell(known);
  }

  /** A request of this peer was taken. */
  heard(from: NodeId): void {
    const known = this.#known.get(from);
    if (known === undefined) return;
    const { clock } = this.#options;
    known.heardMs = clock.now();
    if (known.refusal !== null) {
      known.refusal = null;
      this.#tell(known);
    }
    // It is there again: what it can do now need not wait for its turn. That it asks often is no reason to ask it as often.
    if (known.fault !== null && clock.now() - known.failedMs > PROBE_MS / 4) this.#ask(from);
  }

  /** Members, but this node, that vote: each was asked now. */
  async voting(): Promise<ReadonlySet<NodeId>> {
    const answers = await Promise.all(this.#members.map((member) => this.#ask(member)));
    return new Set(this.#members.filter((_, i) => answers[i]));
  }

  /** How long ago the member of which least was heard answered or failed; Infinity if one did neither. */
  oldestMs(): number {
    const now = this.#options.clock.now();
    return Math.max(
      0,
      ...this.#members.map((member) => {
        const { answeredMs, failedMs } = this.#known.get(member)!;
        return now - Math.max(answeredMs ?? -Infinity, failedMs);
      }),
    );
  }

  /** Whether it answered the last time it was asked. */
  isReachable(id: NodeId): boolean {
    const known = this.#known.get(id);
    return known !== undefined && known.answeredMs !== null &&
      (known.fault === null || known.fault.cause === "no-vote");
  }

  heardAgoMs(id: NodeId): number | null {
    const answeredMs = this.#known.get(id)?.answeredMs ?? null;
    return answeredMs === null ? null : Math.round(this.#options.clock.now() - answeredMs);
  }

  faultOf(id: NodeId): PeerFault | null {
    const known = this.#known.get(id);
    return known === undefined ? null : shownOf(known, this.#options.clock.now());
  }

  /** The faults of nodes that are no members. */
  others(): readonly (PeerFault & { id: string })[] {
    const { id: me, learners } = this.#options;
    const known = [
      ...learners.filter((id) => id !== me).map((id) => this.#known.get(id)!),
      ...this.#strangers.values(),
    ];
    return known.flatMap((one) => {
      const fault = shownOf(one, this.#options.clock.now());
      return fault === null ? [] : [{ id: one.id, ...fault }];
    });
  }

  /** Members that could not be reached when they were last asked, a moment ago; each is asked again all the time. */
  suspected(): ReadonlySet<NodeId> {
    // As nearly always: nothing is wrong with any of them.
    if (!this.#members.some((member) => this.#known.get(member)!.fault !== null)) return NOBODY;
    const now = this.#options.clock.now();
    return new Set(this.#members.filter((member) => {
      const { fault, failedMs } = this.#known.get(member)!;
      return fault !== null && !isThere(fault.cause) && now - failedMs <= FRESH_MS;
    }));
  }

  /** Those of them that failed again since. */
  down(): ReadonlySet<NodeId> {
    return new Set([...this.suspected()].filter((member) => this.#known.get(member)!.isConfirmed));
  }

  /** Asks the suspected now, once for all who want to know; resolves when they have answered or failed, or after a moment. */
  askSuspected(): Promise<void> {
    this.#asking ??= this.#askAgain([...this.suspected()]).finally(() => this.#asking = null);
    return this.#asking;
  }

  async #askAgain(members: readonly NodeId[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(AGAIN_MS, resolve);
    await Promise.race([promise, Promise.all(members.map((member) => this.#ask(member)))]);
    cancel();
  }

  #send(to: NodeId, message: WireMessage): Promise<WireReply> {
    const sentMs = this.#turn.now();
    const sent = this.#options.transport.send(to, message);
    sent.then(
      (reply) => this.#answered(to, sentMs, message, reply),
      (error) => error instanceof PeerError && error.why !== null && this.#failed(to, sentMs, error.why, error.message),
    );
    return sent;
  }

  /** Whether it votes. */
  #ask(member: NodeId): Promise<boolean> {
    return this.transport.send(member, this.#probe).then(
      ({ type }) => type === "view" || type === "unimported",
      () => false,
    );
  }

  #answered(from: NodeId, sentMs: number, message: WireMessage, reply: WireReply): void {
    const known = this.#known.get(from);
    if (known === undefined) return;
    known.answeredMs = this.#turn.now();
    // A Learn may be answered late on purpose: it says nothing of the way.
    if (message.type !== "learn") this.#meter.peerAnswered(from, known.answeredMs - sentMs);
    if (isProbe(message) && reply.type === "unavailable") {
      return this.#note(known, sentMs, "no-vote", `it answers, but does not vote: ${reply.reason}`);
    }
    // That it is well may not have been told yet, for want of room.
    if (known.fault === null) return this.#tell(known);
    // Other answers of a node that does not vote say nothing of its vote.
    if (isThere(known.fault.cause) && !isOfAcceptor(reply)) return;
    known.fault = null;
    this.#tell(known);
  }

  #failed(to: NodeId, sentMs: number, why: PeerCause, message: string): void {
    const known = this.#known.get(to);
    if (known !== undefined) this.#meter.peerFailed(to);
    // It has answered since: one message was lost, or slow.
    if (known === undefined || this.#isClosed || (known.answeredMs !== null && known.answeredMs > sentMs)) return;
    this.#note(known, sentMs, why, why === "other-wire" ? message : detailOf(why, "asked"), message);
  }

  #note(known: Known, sentMs: number, why: PeerCause, detail: string, line = ""): void {
    const isNew = known.fault === null;
    known.failedMs = this.#turn.now();
    if (isNew) known.sinceMs = known.failedMs;
    known.isConfirmed = !isNew && (known.isConfirmed || sentMs >= known.sinceMs);
    known.fault = this.#fault(known.fault, why, detail, line);
    this.#tell(known);
    if (isNew && this.#members.includes(known.id)) this.#ask(known.id);
    this.#arm();
  }

  #fault(before: Fault | null, cause: PeerCause, detail: string, line = ""): Fault {
    // The same cause since then, though what is said of it may have changed.
    if (before?.cause === cause) return before.detail === detail ? before : { ...before, detail };
    const { clock } = this.#options;
    return { cause, detail, line, sinceMs: clock.now(), since: new Date(clock.wall()).toISOString() };
  }

  /** Said of a change only, and of what may pass only if it does not. */
  #tell(known: Known): void {
    if (this.#isClosed) return;
    const fault = foremost(known.fault, known.refusal);
    if ((fault?.cause ?? null) === known.told) return;
    const now = this.#options.clock.now();
    if (fault !== null && mayPass(fault.cause) && now - fault.sinceMs < SETTLED_MS) return;
    const toldMs = known.toldMs.filter((atMs) => now - atMs < LINES_MS);
    if (toldMs.length >= LINES_MAX) return;
    known.toldMs = [...toldMs, now];
    known.told = fault?.cause ?? null;
    this.#options.report(`${known.id}: ${fault === null ? "all is well again" : lineOf(fault)}`, {
      event: "peer",
      level: fault === null ? "info" : "warn",
      facts: { peer: known.id, up: fault === null, cause: fault?.cause ?? null },
    });
  }

  /** A name that nobody has proven is worth no memory. */
  #stranger(id: string, why: PeerCause): Known | null {
    if (!isProven(why) || id === this.#options.id) return null;
    const known = this.#strangers.get(id) ?? newKnown(id);
    this.#strangers.set(id, known);
    return known;
  }

  #arm(): void {
    if (this.#isClosed || this.#cancel !== null) return;
    this.#cancel = this.#options.clock.after(PROBE_MS, () => {
      this.#cancel = null;
      const unwell = this.#members.filter((member) => this.#known.get(member)!.fault !== null);
      for (const member of unwell) this.#ask(member);
      if (unwell.length > 0) this.#arm();
    });
  }
}

function newKnown(id: string): Known {
  return {
    id,
    fault: null,
    refusal: null,
    answeredMs: null,
    failedMs: -Infinity,
    refusedMs: -Infinity,
    sinceMs: -Infinity,
    isConfirmed: false,
    heardMs: null,
    told: null,
    toldMs: [],
  };
}

/** That it does not vote may well come of what its messages are refused for. */
function foremost(fault: Fault | null, refusal: Fault | null): Fault | null {
  return fault !== null && isThere(fault.cause) ? refusal ?? fault : fault ?? refusal;
}

function shownOf({ fault, refusal, refusedMs }: Known, now: number): PeerFault | null {
  const shown = foremost(fault, now - refusedMs <= SHOWN_MS ? refusal : null);
  return shown === null ? null : { cause: shown.cause, detail: shown.detail, since: shown.since };
}

/** With what the runtime said, which names addresses and is for the operator only. */
function lineOf({ cause, detail, line }: Fault): string {
  return `${cause}: ${detail}${line === "" || line === detail ? "" : ` (${line})`}`;
}
