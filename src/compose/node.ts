/** One node: its roles, their hosts and what the routes call, put together. */
import type { NodeStatus } from "../api.ts";
import { isListed } from "../machine/view.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { AcceptorRules } from "../paxos/record.ts";
import { AcceptorHost } from "../replica/acceptor_host.ts";
import { quorumViewOf, refusingBelowQuorum } from "../service/below_quorum.ts";
import { Contention } from "../engine/contention.ts";
import { CoordinatorHost } from "../replica/coordinator_host.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import { Submitters } from "../replica/submitters.ts";
import { Bindings } from "../service/bindings.ts";
import { Elections } from "../service/elections.ts";
import { ReservedKeys } from "../epochs/reserved_keys.ts";
import { Expiry } from "../leases/expiry.ts";
import { Learning } from "../replica/learning.ts";
import { Freshness } from "../replica/freshness.ts";
import { LearnerHost } from "../replica/learner_host.ts";
import { LeaseClock } from "../replica/lease_clock.ts";
import type { Bringing, Imports } from "../replica/imports.ts";
import { MemberRecords } from "../replica/member_records.ts";
import { Locks } from "../service/locks.ts";
import { type KeyRange, type KeysPage, Names } from "../replica/names.ts";
import { Inbox } from "./inbox.ts";
import { beforeOf, enteringOf, gateOf, presenceOf } from "./entering.ts";
import type { NodeOptions } from "./node_options.ts";
import { goneSince, nodeStatus } from "./node_status.ts";
import { Peers } from "../replica/peers.ts";
import {
  type Identity,
  type Mailbox,
  type Mark,
  NO_MARK,
  NO_METER,
  NO_TRACE,
  type PeerCause,
  type Ports,
  type WireMessage,
  type WireReply,
} from "../ports.ts";
import type { Presence } from "../replica/presence.ts";
import { SAME_VERSIONS } from "../version.ts";
import { RaisedMachine, recallRaised } from "../replica/raised_machine.ts";
import { Raising } from "../service/raising.ts";
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
  Raised,
  RegisterService,
  RepairService,
  SemaphoreService,
  SessionService,
  Thing,
} from "../service/service.ts";
import { floorOf } from "../backup/restored.ts";
import { Repairer } from "../replica/repairer.ts";
import { Backups } from "../service/backups.ts";
import { lifeOn, Lives, livesOf } from "../replica/lives.ts";
import { knownLife, VoteGate } from "../replica/vote_gate.ts";
import { StoreHealth } from "../replica/store_health.ts";
import { COLD_RTT_MS, Timing } from "../replica/timing.ts";
import { traced } from "../service/traced.ts";
import { KEY_PREFIXES, nounOfKey, type WatchedNoun } from "../nouns.ts";
import { nounViews } from "../service/views/nouns.ts";
import { ownState } from "../replica/own_state.ts";
import { Sweep } from "../leases/sweep.ts";
import { Turns } from "../leases/turns.ts";
import { Watching } from "../watch/watching.ts";

export type { NodeOptions };

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
  /** What is decided of epochs. */
  readonly reserved: ReservedKeys;
  readonly repairs: RepairService;
  readonly health: StoreHealth;
  readonly #options: NodeOptions;
  readonly #epoch: number;
  readonly #ports: Ports;
  readonly #acceptor: AcceptorHost;
  readonly #learning: Learning;
  readonly #learner: LearnerHost;
  readonly #backups: Backups;
  readonly #names: Names;
  readonly #expiry: Expiry;
  readonly #ends: SessionEnds;
  readonly #sweep: Sweep;
  readonly #voteGate: VoteGate;
  readonly #raised: RaisedMachine;
  readonly #raising: Raising;
  readonly #inbox: Inbox;
  readonly #imports: Imports | null;
  readonly #peers: Peers;
  readonly #presence: Presence;
  #isDraining = false;
  readonly ready: Readiness;

  constructor(options: NodeOptions, ports: Ports) {
    const { id, cluster, config = null, quorums, learners = [], machine, modes, digest, report } = options;
    const { epochs = null, resumes = false } = options;
    const { store, clock, random, trace = NO_TRACE, meter = NO_METER, versions = SAME_VERSIONS } = ports;
    this.id = id;
    this.#options = options;
    this.#epoch = epochs?.next.number ?? 0;
    this.#ports = ports;
    this.health = new StoreHealth(store, clock, report, meter);
    this.#raised = new RaisedMachine(versions.own, report, () => store.identity()?.boot === FIRST_BOOT);
    this.#peers = new Peers({
      id,
      members: quorums.members,
      learners,
      transport: ports.transport,
      epoch: this.#epoch,
      clock,
      report,
      meter,
    });
    const { transport } = this.#peers;
    const failed = (error: unknown) => void this.health.told(error);
    const { gated, more } = gateOf(id, quorums, epochs, resumes);
    this.#voteGate = new VoteGate({ id, cluster, config }, gated, store, transport, clock, report, failed, more);
    this.#voteGate.unless(() => this.#raised.reason());
    const whyNot = () => this.#voteGate.reason();
    const leases = new LeaseClock(clock, machine);
    const heard = new Freshness(clock);
    const records = epochs === null ? null : new MemberRecords(id, machine, epochs, (key) => modes.initial(key));
    const rules: AcceptorRules = { me: id, quorums, machine, floor: floorOf(options.restored ?? null) };
    this.#acceptor = new AcceptorHost({
      rules,
      store,
      leases,
      clock,
      modeOf: (key) => modes.initial(key),
      whyNot,
      digest,
      heard: (key) => heard.note(key),
      report,
      isListed,
      health: this.health,
      raised: this.#raised,
      ...(records === null ? {} : { members: records }),
      trace,
      meter,
    });
    this.#learning = new Learning(this.#acceptor, transport, clock, this.#epoch, trace, learners);
    const coordinator = new CoordinatorHost(this.#acceptor, transport, this.#learning, random, report, meter);
    this.ready = new Readiness({
      me: id,
      votes: this.#acceptor.votes,
      quorums,
      clock,
      storeFault: () => this.health.fault,
      gateFault: () => this.#gateFault(),
      voting: () => this.#peers.voting(),
    });
    const contention = new Contention();
    const arriving = { clock, store, acceptor: this.#acceptor, learning: this.#learning, page: this.list };
    this.#presence = presenceOf(id, quorums, epochs, arriving);
    const parts: SubmitterParts = {
      acceptor: this.#acceptor,
      coordinator,
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
      epoch: this.#epoch,
      report,
    };
    this.#learner = new LearnerHost({ ...parts, coordinator });
    const submitters = new Submitters(parts);
    coordinator.onLosers((key, losers) => submitters.takeUp(key, losers));
    const { timing } = parts;
    const importing = { transport, clock, random, timing, machine, acceptor: this.#acceptor, learning: this.#learning };
    const { imports, entering } = enteringOf(records, importing);
    this.#imports = imports;
    const reader = new Reader(parts, submitters, entering);
    const before = () => beforeOf(epochs);
    const names = new Names({ rules, before, store: this.#acceptor, transport, clock, timing, whyNot });
    this.#names = names;
    this.reserved = new ReservedKeys({ ...parts, submitters, reader });
    const isMoving = () => before() !== null;
    const raising = { me: id, members: quorums.members, learners, raised: this.#raised, versions, isMoving };
    const isFirstEpoch = this.#epoch === 0;
    this.#raising = new Raising({ ...raising, isFirstEpoch, peers: this.#peers, submitters, store, clock });
    const restored = options.restored?.count ?? 0;
    const origin = async () => options.origin ?? await livesOf(quorums.members, (peer) => lifeOn(store, id, peer));
    this.#backups = new Backups({ names, reader, machine, restored, origin });
    this.repairs = new Repairer({ ...parts, whyNot });
    this.#inbox = new Inbox({
      ...{ store, trace, names, coordinator, submitters },
      ...{ health: this.health, peers: this.#peers, voteGate: this.#voteGate },
      ...{ acceptor: this.#acceptor, imports, learner: this.#learner, learning: this.#learning },
      // Those that vote no more report what they voted for.
      lives: new Lives(store, { isMember: (id) => quorums.isMember(id) || epochs?.old.quorums.isMember(id) === true }),
    });
    const queueParts = { ...parts, submitters, leases, turns: new Turns(clock) };
    this.#ends = new SessionEnds({ ...queueParts, reader });
    const sessionParts = { ...queueParts, reader, ends: this.#ends };
    const bindings = new Bindings(sessionParts);
    const queues = new Queues(sessionParts);
    const grantParts = { ...sessionParts, bindings, queues, names, heard, isDraining: () => this.#isDraining };
    const view = quorumViewOf({ ...parts, peers: this.#peers });
    const shown = <S extends object>(noun: WatchedNoun, service: S) => {
      const refusing = refusingBelowQuorum(noun, service, view);
      return trace.on ? traced(noun, refusing, trace) : refusing;
    };
    this.sessions = shown("session", new Sessions({ ...sessionParts, names }));
    this.#expiry = new Expiry(queueParts);
    this.#sweep = new Sweep({ ...options, ...queueParts, store, ends: this.#ends });
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
    await recallRaised(this.#ports.store, this.#raised).catch(() => {});
    await this.#voteGate.confirm();
    this.#raising.raiseIfFresh();
    if (this.#acceptor.votes) this.#sweep.start();
    const [{ store }, { resumes }] = [this.#ports, this.#options];
    // On its first start a member has missed nothing that it was part of; who serves a shared store cannot tell its first.
    this.#presence.start(store.isShared || resumes === true || (store.identity()?.boot ?? 0) > FIRST_BOOT);
  }

  /** Moves names into this epoch; null: of a node that is in another one, whose store may be sealed already. */
  bringing(epoch: number): Bringing | null {
    return epoch === this.#epoch ? this.#imports : null;
  }

  /** Keys, those of the epoch before as its sealed members list them too; rejects with `no-quorum`. */
  list = (range: Omit<KeyRange, "which">, timeoutMs: number): Promise<KeysPage> =>
    this.#names.page({ ...range, which: "all" }, timeoutMs);

  /**
   * As `close`; resolves once nothing of this node changes a record any more, so that the epoch may be sealed and another
   * node begin on the same store. Rejects with StoreError if the store does not say.
   */
  async leave(): Promise<void> {
    this.close();
    await this.#acceptor.left();
  }

  /** Whether it has found its store whole, and so what another node of this process may go on from. */
  get speaks(): boolean {
    return this.#voteGate.speaks;
  }

  /** Whether a member that answers has a store of this id on record. */
  isKnown = async (id: NodeId): Promise<boolean> =>
    await knownLife(this.#ports.transport, this.#options.quorums.members, id) !== null;

  /** To be called before requests under way are cut off: those who wait have not gone away. */
  drain(): void {
    this.#isDraining = true;
  }

  close(): void {
    this.drain();
    this.#voteGate.close();
    this.#raising.close();
    this.#imports?.close();
    this.#peers.close();
    this.health.close();
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

  receive(
    from: NodeId,
    mailbox: Mailbox,
    messages: readonly WireMessage[],
    mark: Mark = NO_MARK,
  ): Promise<readonly WireReply[]> {
    return this.#inbox.receive(from, mailbox, messages, mark);
  }

  /** A request that says it is of this peer was refused. */
  refused(from: string, why: PeerCause): void {
    this.#peers.refused(from, why);
  }

  /**
   * What a peer says of its last commit, in an answer; it is what finds out a store of its that was rolled back (§9).
   * Rejects with PeerError if nothing of that answer may be counted.
   */
  note(from: NodeId, mark: Mark): Promise<void> {
    return this.#inbox.note(from, mark);
  }

  /** A peer's reply, as far as this node can make something of it. */
  understood(reply: WireReply): WireReply {
    return this.#raised.understood(reply);
  }

  /** This node's last commit, as peers are told it with every message. */
  mark(): Mark {
    return this.#inbox.mark();
  }

  identity(): Identity | null {
    return this.#ports.store.identity();
  }

  acceptDirect(messages: readonly DirectAccept[]): Promise<readonly DirectReply[]> {
    return Promise.all(messages.map((message) => acceptDirect(this.#acceptor, this.#options.machine, message)));
  }

  backup: NodeService["backup"] = (after, timeoutMs) => this.#backups.page(after, timeoutMs);

  /** The version of the machine that is decided for the whole cluster, as far as this node has heard. */
  get raised(): number {
    return this.#raised.decided;
  }

  status(): NodeStatus {
    const { stopped, votes } = this.#acceptor;
    const reason = this.health.fault ?? this.#gateFault() ?? (votes ? null : "learner");
    const { store, transport, clock, versions = SAME_VERSIONS } = this.#ports;
    const own = { peers: this.#peers, health: this.health, raised: this.#raised, versions, epoch: this.#epoch };
    return nodeStatus({ ...this.#options, ...own, store, transport, clock, stopped, reason });
  }

  #gateFault(): string | null {
    return this.#voteGate.reason() ?? goneSince(this.#options, this.#acceptor.votes);
  }

  raise(timeoutMs: number): Promise<Raised> {
    return this.#raising.raise(timeoutMs);
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
}
