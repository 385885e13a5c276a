/** One node: its roles, their hosts and what the routes call, put together. */
import type { NodeStatus } from "../api.ts";
import type { LockMachine } from "../machine/machine.ts";
import { isListed } from "../machine/view.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { AcceptorRules } from "../paxos/record.ts";
import { AcceptorHost } from "../replica/acceptor_host.ts";
import { quorumViewOf, refusingBelowQuorum } from "../service/below_quorum.ts";
import { Contention } from "../engine/contention.ts";
import { CoordinatorHost } from "../replica/coordinator_host.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import { Submitters } from "../replica/submitters.ts";
import { Bindings } from "../service/bindings.ts";
import { Elections } from "../service/elections.ts";
import { Expiry } from "../leases/expiry.ts";
import { Learning } from "../replica/learning.ts";
import { Freshness } from "../replica/freshness.ts";
import { LearnerHost } from "../replica/learner_host.ts";
import { LeaseClock } from "../replica/lease_clock.ts";
import { Lives, UNCONFIRMED_BOOT } from "../replica/lives.ts";
import { Locks } from "../service/locks.ts";
import { Names } from "../replica/names.ts";
import type { Modes } from "../engine/modes.ts";
import { nodeStatus } from "./node_status.ts";
import { isProbe, Peers } from "../replica/peers.ts";
import {
  type Identity,
  MAILBOX,
  type Mailbox,
  type Mark,
  NO_MARK,
  NO_METER,
  NO_TRACE,
  type PeerCause,
  PeerError,
  type Ports,
  type Report,
  type WireMessage,
  type WireReply,
} from "../ports.ts";
import { Presence } from "../replica/presence.ts";
import { Queues } from "../leases/queue.ts";
import { holdsFence, isLiveFor } from "../service/read_answers.ts";
import { Readiness } from "./readiness.ts";
import { Reader } from "../replica/reader.ts";
import { Registers } from "../service/registers.ts";
import { Semaphores } from "../service/semaphores.ts";
import { SessionEnds } from "../leases/session_ends.ts";
import { Sessions } from "../service/sessions.ts";
import { acceptDirect } from "../service/direct.ts";
import type {
  Check,
  DirectAccept,
  DirectReply,
  ElectionService,
  LockService,
  NodeService,
  RegisterService,
  SemaphoreService,
  SessionService,
  Thing,
} from "../service/service.ts";
import { floorOf, type Restored } from "../backup/restored.ts";
import { Backups } from "../service/backups.ts";
import { ownMark, VoteGate } from "../replica/vote_gate.ts";
import { StoreHealth } from "../replica/store_health.ts";
import { COLD_RTT_MS, Timing } from "../replica/timing.ts";
import { traced } from "../service/traced.ts";
import { KEY_PREFIXES, nounOfKey, type WatchedNoun } from "../nouns.ts";
import { nounViews } from "../service/views/nouns.ts";
import { ownState } from "../replica/own_state.ts";
import { Sweep } from "../leases/sweep.ts";
import { Watching } from "../watch/watching.ts";

export type NodeOptions = {
  readonly id: NodeId;
  readonly cluster: string;
  /** ClusterConfig as text, for a store to be compared with. Default: not compared. */
  readonly config?: string;
  /** What cluster this one was made of a backup of. Default: none. */
  readonly restored?: Restored | null;
  readonly urls: Readonly<Record<NodeId, string>>;
  readonly quorums: QuorumSystem;
  /** Nodes that do not vote, this one included if it is one. Default: none. */
  readonly learners?: readonly NodeId[];
  readonly machine: LockMachine;
  readonly modes: Modes;
  /** SHA-256 in hex. */
  readonly digest: (text: string) => string;
  readonly version: string;
  /** One line for the operator. */
  readonly report: Report;
};

/** A disk that hangs must not keep a request from being counted; what is known of the members is news for so long. */
const [LOOK_MS, NEWS_MS] = [1_000, 2_000];
const FIRST_BOOT = 1;

export class ReplicaNode implements NodeService {
  readonly id: NodeId;
  readonly locks: LockService;
  readonly watches: Watching;
  readonly elections: ElectionService;
  readonly semaphores: SemaphoreService;
  readonly registers: RegisterService;
  readonly sessions: SessionService;
  readonly #options: NodeOptions;
  readonly #ports: Ports;
  readonly #acceptor: AcceptorHost;
  readonly #coordinator: CoordinatorHost;
  readonly #learning: Learning;
  readonly #learner: LearnerHost;
  readonly #submitters: Submitters;
  readonly #names: Names;
  readonly #backups: Backups;
  readonly #expiry: Expiry;
  readonly #ends: SessionEnds;
  readonly #sweep: Sweep;
  readonly #voteGate: VoteGate;
  readonly #lives: Lives;
  readonly #peers: Peers;
  readonly #health: StoreHealth;
  readonly #presence: Presence;
  #isDraining = false;
  readonly ready: Readiness;

  constructor(options: NodeOptions, ports: Ports) {
    const { id, cluster, config = null, quorums, learners = [], machine, modes, digest, report } = options;
    const { store, clock, random, trace = NO_TRACE, meter = NO_METER } = ports;
    this.id = id;
    this.#options = options;
    this.#ports = ports;
    this.#health = new StoreHealth(store, clock, report, meter);
    this.#peers = new Peers({
      id,
      members: quorums.members,
      learners,
      transport: ports.transport,
      clock,
      report,
      meter,
    });
    const { transport } = this.#peers;
    const failed = (error: unknown) => void this.#health.told(error);
    this.#voteGate = new VoteGate({ id, cluster, config }, quorums, store, transport, clock, report, failed);
    this.#lives = new Lives(store, quorums);
    const leases = new LeaseClock(clock, machine);
    const heard = new Freshness(clock);
    const rules: AcceptorRules = { me: id, quorums, machine, floor: floorOf(options.restored ?? null) };
    this.#acceptor = new AcceptorHost({
      rules,
      store,
      leases,
      clock,
      modeOf: (key) => modes.initial(key),
      whyNot: () => this.#voteGate.reason(),
      digest,
      heard: (key) => heard.note(key),
      report,
      isListed,
      health: this.#health,
      trace,
      meter,
    });
    this.#learning = new Learning(this.#acceptor, transport, clock, EPOCH, trace, learners);
    this.#coordinator = new CoordinatorHost(this.#acceptor, transport, this.#learning, random, report, meter);
    this.ready = new Readiness({
      me: id,
      votes: this.#acceptor.votes,
      quorums,
      clock,
      storeFault: () => this.#health.fault,
      gateFault: () => this.#voteGate.reason(),
      voting: () => this.#peers.voting(),
    });
    const contention = new Contention();
    this.#presence = new Presence(clock);
    const parts: SubmitterParts = {
      acceptor: this.#acceptor,
      coordinator: this.#coordinator,
      learning: this.#learning,
      transport,
      clock,
      random,
      meter,
      timing: new Timing(id, quorums, transport, random, store.isShared ? COLD_RTT_MS : undefined),
      machine,
      modes,
      contention,
      cameBackMs: () => this.#presence.cameBackMs(),
      digest,
      epoch: EPOCH,
      report,
    };
    this.#learner = new LearnerHost({
      acceptor: this.#acceptor,
      coordinator: this.#coordinator,
      transport,
      learning: this.#learning,
      clock,
      timing: parts.timing,
      contention,
      epoch: EPOCH,
    });
    const submitters = new Submitters(parts);
    this.#submitters = submitters;
    this.#coordinator.onLosers((key, losers) => submitters.takeUp(key, losers));
    const reader = new Reader(parts, submitters);
    const whyNot = () => this.#voteGate.reason();
    const names = new Names({ rules, store: this.#acceptor, transport, clock, timing: parts.timing, whyNot });
    this.#names = names;
    this.#backups = new Backups({ names, reader, machine, restored: options.restored?.count ?? 0 });
    const queueParts = { ...parts, submitters, leases };
    this.#ends = new SessionEnds({ ...queueParts, reader });
    const sessionParts = { ...queueParts, reader, ends: this.#ends };
    const bindings = new Bindings(sessionParts);
    const isDraining = () => this.#isDraining;
    const grantParts = { ...sessionParts, bindings, queues: new Queues(sessionParts), names, heard, isDraining };
    const view = quorumViewOf({ ...parts, peers: this.#peers });
    const shown = <S extends object>(noun: WatchedNoun, service: S) => {
      const refusing = refusingBelowQuorum(noun, service, view);
      return trace.on ? traced(noun, refusing, trace) : refusing;
    };
    this.sessions = shown("session", new Sessions({ ...sessionParts, names }));
    this.#expiry = new Expiry(queueParts);
    this.#sweep = new Sweep({ ...queueParts, store, ends: this.#ends });
    const expire = (key: string) => {
      const { noun, name } = nounOfKey(key)!;
      // More hangs on a session than its own lease.
      if (noun === "session") void this.#ends.seeToEnd(name);
      else this.#expiry.watch(key, 0);
    };
    this.watches = new Watching({ ...parts, reader, names, store, views: nounViews(leases), expire });
    this.locks = shown("lock", new Locks(grantParts));
    this.elections = shown("election", new Elections(grantParts));
    this.semaphores = shown("semaphore", new Semaphores(grantParts));
    this.registers = shown("kv", new Registers({ ...grantParts, expiry: this.#expiry }));
  }

  /** Resolves when this node may vote, or never will. */
  async start(): Promise<void> {
    await this.#voteGate.confirm();
    if (this.#acceptor.votes) this.#sweep.start();
    const { store } = this.#ports;
    // On its first start a member has missed nothing that it was part of; who serves a shared store cannot tell its first.
    if (store.isShared || (store.identity()?.boot ?? 0) > FIRST_BOOT) this.#presence.cameBack();
  }

  /** To be called before requests under way are cut off: those who wait have not gone away. */
  drain(): void {
    this.#isDraining = true;
  }

  close(): void {
    this.drain();
    this.#voteGate.close();
    this.#peers.close();
    this.#health.close();
    this.#presence.close();
    this.watches.close();
    this.#expiry.close();
    this.#sweep.close();
    this.#ends.close();
    this.#learning.close();
    this.#learner.close();
    this.#ports.transport.close();
    this.#acceptor.close();
  }

  async isHeld(thing: Thing, subject: string): Promise<boolean> {
    const parts = { acceptor: this.#acceptor, clock: this.#ports.clock };
    const state = await ownState(parts, KEY_PREFIXES[thing.noun] + thing.name, LOOK_MS);
    if (state === null) return false;
    return thing.noun === "session" ? isLiveFor(state, subject) : holdsFence(state, subject, thing.fence);
  }

  async receive(
    from: NodeId,
    mailbox: Mailbox,
    messages: readonly WireMessage[],
    mark: Mark = NO_MARK,
  ): Promise<readonly WireReply[]> {
    const refusal = await this.#meet(from, mark);
    if (refusal === null) this.#peers.heard(from);
    else if (refusal.why !== null) this.#peers.refused(from, refusal.why);
    return await Promise.all(messages.map((message) => {
      // Who is refused is told why, if it asks: its own start must find out what it is.
      if (refusal === null || message.type === "marks") return this.#answer(from, mailbox, message);
      return { type: "unavailable", reason: refusal.message.slice(0, REASON_MAX_CHARS) } as const;
    }));
  }

  /** A request that says it is of this peer was refused. */
  refused(from: string, why: PeerCause): void {
    this.#peers.refused(from, why);
  }

  /**
   * What a peer says of its last commit, in an answer; it is what finds out a store of its that was rolled back (§9).
   * Rejects with PeerError if nothing of that answer may be counted.
   */
  async note(from: NodeId, mark: Mark): Promise<void> {
    const refusal = await this.#meet(from, mark);
    if (refusal !== null) throw refusal;
  }

  /** Why nothing of this peer may be taken, or null. What cannot be looked up cannot be taken either. */
  async #meet(from: NodeId, mark: Mark): Promise<PeerError | null> {
    try {
      const reason = await this.#lives.meet(from, mark);
      if (reason === null) this.#learning.heard(from, mark.run);
      return reason === null ? null : new PeerError(reason, { why: "other-life" });
    } catch (error) {
      return new PeerError((this.#health.told(error) as Error).message);
    }
  }

  /** This node's last commit, as peers are told it with every message. */
  mark(): Mark {
    const { store } = this.#ports;
    if (store.identity() === null) return NO_MARK;
    if (this.#voteGate.speaks) return ownMark(store);
    return { ...ownMark(store), boot: UNCONFIRMED_BOOT, run: "unconfirmed" };
  }

  identity(): Identity | null {
    return this.#ports.store.identity();
  }

  acceptDirect(messages: readonly DirectAccept[]): Promise<readonly DirectReply[]> {
    return Promise.all(messages.map((message) => acceptDirect(this.#acceptor, this.#options.machine, message)));
  }

  backup: NodeService["backup"] = (after, timeoutMs) => this.#backups.page(after, timeoutMs);

  status(): NodeStatus {
    const { stopped, votes } = this.#acceptor;
    const reason = this.#health.fault ?? this.#voteGate.reason() ?? (votes ? null : "learner");
    const { store, transport, clock } = this.#ports;
    const own = { peers: this.#peers, health: this.#health, store, transport, clock, stopped, reason };
    return { ...nodeStatus({ ...this.#options, ...own }), epoch: EPOCH };
  }

  async look(): Promise<void> {
    if (this.#peers.oldestMs() > NEWS_MS) await this.readiness();
  }

  async readiness(): Promise<string | null> {
    return (await this.ready.failing())?.fault ?? null;
  }

  checks(): Promise<readonly Check[]> {
    return this.ready.checks();
  }

  async #answer(from: NodeId, mailbox: Mailbox, message: WireMessage): Promise<WireReply> {
    try {
      if (MAILBOX[message.type] !== mailbox) {
        return { type: "unavailable", reason: `${message.type} is not for the ${mailbox}` };
      }
      if (message.type === "marks") {
        // Needs no vote: whoever has just started asks before it may give any. But a store that was rolled back has lost
        // what it knew of others too, and must not count among those that confirm them.
        const quarantined = this.#ports.store.quarantined();
        if (quarantined !== null) return { type: "unavailable", reason: "quarantined" };
        // It votes by this answer: what it rests on must not be forgotten again.
        if (message.of === from && this.#ports.store.identity() !== null) await this.#ports.store.flush();
        return { type: "marks", of: message.of, mark: await this.#ports.store.recall(message.of) };
      }
      if (message.type === "keys") return await this.#names.own(message);
      // As far as anybody counts on it, a member that can write nothing is none.
      const { fault } = this.#health;
      if (fault !== null && isProbe(message)) return { type: "unavailable", reason: fault };
      const { trace = NO_TRACE } = this.#ports;
      const isNoted = message.type === "collision" || message.type === "forward" || message.type === "accepted" ||
        message.type === "outcomes";
      if (trace.on && isNoted) trace.record({ type: "handled", from, message, reply: { type: "noted" } });
      if (message.type === "collision" || message.type === "forward") {
        // Who cannot vote cannot propose. Told so, the sender goes on elsewhere at once instead of waiting for it in vain.
        const reason = this.#acceptor.votes ? this.#voteGate.reason() : "this node does not vote";
        if (reason !== null) return { type: "unavailable", reason };
      }
      if (message.type === "collision") this.#coordinator.collision(message);
      else if (message.type === "forward") this.#submitters.forwarded(from, message);
      else if (message.type === "outcomes") this.#submitters.outcomes(from, message);
      else if (message.type === "accepted") this.#learner.accepted(from, message);
      else return await this.#acceptor.handle(message, from);
      return { type: "noted" };
    } catch (error) {
      return { type: "unavailable", reason: (this.#health.told(error) as Error).message.slice(0, REASON_MAX_CHARS) };
    }
  }
}

const REASON_MAX_CHARS = 200;

/** The only epoch until membership changes come in (§9). */
const EPOCH = 0;
