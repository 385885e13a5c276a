/**
 * Telling everybody what was decided (PROTOCOL.md §5): at once those that wait for it, the others with the next message to
 * them or a little later, and again to those that were away, until they have it.
 */
import { QuorateError } from "../errors.ts";
import { LAGGING_MAX_KEYS, PEER_DEADLINE_MS } from "../limits.ts";
import { stateLearn } from "../members/importer.ts";
import type { ImportLearn, ImportValue } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { AcceptorReply, Certificate, Learn, Snapshot, Value } from "../paxos/message.ts";
import { sentSnapshot } from "../paxos/record.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import { UnsavedAt } from "./unsaved_at.ts";
import { WaitingLearns } from "./waiting_learns.ts";
import { type Clock, NO_TRACE, type Trace, type Transport } from "../ports.ts";

/** How often nodes that were away are tried again. */
const AGAIN_MS = 500;
/** Keys sent to a returning node in one go. */
const AGAIN_MAX_KEYS = 256;
/** Where a key stands that has no record of this epoch: below all that do. */
const NOWHERE = 0;

/** `isOfBefore`: it was decided in the epoch before, or never; no record of this one may be made of it (PROTOCOL.md §9). */
export type Newest = Snapshot & { readonly isOfBefore?: true };

export class Learning {
  readonly #acceptor: AcceptorHost;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #epoch: number;
  readonly #trace: Trace;
  /** Those told of decisions besides this node: the members, and nodes that do not vote. */
  readonly others: readonly NodeId[];
  readonly #waiting: WaitingLearns;
  readonly #lagging = new Map<NodeId, Set<string>>();
  readonly #unsaved = new Map<NodeId, UnsavedAt>();
  #again: (() => void) | null = null;
  #closed = false;

  /** @param learners nodes that do not vote */
  constructor(
    acceptor: AcceptorHost,
    transport: Transport,
    clock: Clock,
    epoch: number,
    trace: Trace = NO_TRACE,
    learners: readonly NodeId[] = [],
  ) {
    const { me, quorums } = acceptor.rules;
    this.others = [...quorums.members, ...learners].filter((node) => node !== me);
    this.#acceptor = acceptor;
    this.#transport = transport;
    this.#clock = clock;
    this.#epoch = epoch;
    this.#trace = trace;
    this.#waiting = new WaitingLearns(clock, (to, learn) => void this.#send(to, learn));
  }

  /** Moves the own record on and tells the others; `atOnce` are those who wait. Resolves when the own record has it. */
  decided(key: string, certificate: Certificate, value: Value, atOnce: readonly NodeId[]): Promise<void> {
    if (this.#trace.on) this.#trace.record({ type: "decided", key, certificate, how: "drove" });
    const { instance, acceptors } = certificate;
    const learn: Learn = { type: "learn", key, epoch: this.#epoch, instance, certificate, value };
    const { value: _, ...toVoters } = learn;
    // Who is known to have voted for the value has it.
    this.#tell(key, atOnce, (to) => acceptors.includes(to) ? toVoters : learn);
    return this.#own(learn).then(() => {});
  }

  /** As `decided`, of what brought the key into this epoch: `learn` is for those that voted for it. */
  async imported(learn: ImportLearn, proposal: ImportValue, atOnce: readonly NodeId[]): Promise<void> {
    const { key, certificate } = learn;
    if (this.#trace.on) this.#trace.record({ type: "decided", key, certificate, how: "drove" });
    let state: Learn | null = null;
    const whole = () => state ??= stateLearn(this.#acceptor.members!.epochsOf(key), proposal, learn);
    this.#tell(key, atOnce, (to) => certificate.acceptors.includes(to) ? learn : whole());
    // It may have voted for another value since.
    if (await this.#own(learn) === NOWHERE) await this.#own(whole());
  }

  #tell(key: string, atOnce: readonly NodeId[], wordFor: (to: NodeId) => Learn | ImportLearn): void {
    this.#waiting.sendOf(key);
    for (const to of this.others) {
      if (atOnce.includes(to)) this.#send(to, wordFor(to));
      else if (!this.#closed) this.#waiting.add(to, wordFor(to));
    }
  }

  /** Moves only the own record on: the others learn it the same way. */
  async learn(key: string, certificate: Certificate, value: Value): Promise<void> {
    const { instance } = certificate;
    if (this.#trace.on) this.#trace.record({ type: "decided", key, certificate, how: "counted" });
    const learn: Learn = { type: "learn", key, epoch: this.#epoch, instance, certificate, value };
    const standsAt = await this.#own(learn);
    // A member that is behind is brought along by the next message it has to vote on; nobody asks a learner to vote.
    if (this.#acceptor.votes || standsAt === null || standsAt > instance) return;
    await this.refresh(key);
    await this.#own(learn);
  }

  /**
   * Takes over the newest state that members have: for a node that missed what was decided, and needs to know. Resolves
   * once a read quorum has answered and the own record has that, with true, or nobody else will in time.
   */
  refresh(key: string): Promise<boolean> {
    return this.#ask(key, (snapshot) => this.install(key, snapshot));
  }

  /**
   * The instance that members stand at who are past this node's record as it is now; null if of a read quorum none is. What is
   * decided, but no member of that quorum has moved on by, it does not see. Rejects as the own record's view does, and with
   * `no-quorum` if no read quorum answers.
   */
  async aheadOf(key: string): Promise<number | null> {
    const { snapshot: { instance: own } } = await this.#acceptor.shown(key);
    let newest = own;
    const hear = ({ instance }: Snapshot) => void (newest = Math.max(newest, instance));
    // Twice: one message that is lost is no reason not to know.
    if (!await this.#ask(key, hear) && !await this.#ask(key, hear)) {
      throw new QuorateError("no-quorum", "no quorum of members says how far they are");
    }
    return newest > own ? newest : null;
  }

  /**
   * Resolves once a read quorum has answered, with true, or nobody else will in time.
   * @param hear false: what it said came to nothing, as if it had not
   */
  async #ask(key: string, hear: (snapshot: Snapshot) => Promise<boolean> | void): Promise<boolean> {
    const { me, quorums } = this.#acceptor.rules;
    const ask = { type: "read", key, epoch: this.#epoch, instance: 1 } as const;
    const { promise, resolve } = Promise.withResolvers<void>();
    const heard = new Set([me]);
    const asked = quorums.members.filter((member) => member !== me).map(async (member) => {
      const reply = await this.#transport.send(member, ask).catch(() => null);
      // Without a record of this epoch it has nothing to say that could be newer.
      if (reply?.type !== "view" && reply?.type !== "unimported") return;
      if (reply.type === "view" && await hear(reply.snapshot) === false) return;
      heard.add(member);
      if (quorums.isPhase1(heard)) resolve();
    });
    const { promise: late, resolve: giveUp } = Promise.withResolvers<void>();
    // Somebody waits for it: no longer than for peers that are not known to be slow.
    const cancel = this.#clock.after(PEER_DEADLINE_MS, giveUp);
    await Promise.race([promise, Promise.all(asked), late]);
    cancel();
    return quorums.isPhase1(heard);
  }

  /**
   * A state that a member holds decided, or a read quorum's, for the own record if that is older. One of before is none for it.
   * Whether the own record has it.
   */
  async install(key: string, { isOfBefore, ...snapshot }: Newest): Promise<boolean> {
    if (isOfBefore === true) return false;
    const { instance } = snapshot;
    return await this.#own({ type: "learn", key, epoch: this.#epoch, instance, certificate: null, snapshot }) !== null;
  }

  /** A node was not told: it is sent the state when it answers again. */
  missed(to: NodeId, key: string): void {
    this.#remember(to, key);
  }

  /** A peer's process, as it names itself: one that has just started lacks what the one before it had not written. */
  heard(from: NodeId, run: string): void {
    for (const key of this.#unsaved.get(from)?.heard(run) ?? []) this.#remember(from, key);
  }

  /**
   * A message of a later instance is about to say it to the members: no Learn is needed, but for those that do not vote. One
   * of the same instance, as of another drive that has not heard that it is over, says nothing of it.
   */
  superseded(key: string, byInstance: number): void {
    const { quorums } = this.#acceptor.rules;
    // What it says is not enough for a member that has no record of this epoch.
    this.#waiting.drop(
      key,
      (to, learn) => isByCertificate(learn) && quorums.isMember(to) && learn.instance < byInstance,
    );
  }

  /** A message is about to leave for this peer: what waits for company goes with it. */
  along(to: NodeId): void {
    this.#waiting.sendTo(to);
  }

  close(): void {
    this.#closed = true;
    this.#waiting.close();
    this.#again?.();
    this.#lagging.clear();
  }

  /** The instance the own record stands at afterwards; null if it cannot tell. */
  #own(learn: Learn | ImportLearn): Promise<number | null> {
    return this.#acceptor.handle(learn, this.#acceptor.rules.me).then(
      (reply) => reply.type === "learned" ? reply.instance : reply.type === "unimported" ? NOWHERE : null,
      () => null,
    );
  }

  async #send(to: NodeId, learn: Learn | ImportLearn): Promise<void> {
    const { key } = learn;
    try {
      const reply = await this.#transport.send(to, learn);
      if (reply.type === "unavailable") this.#remember(to, key);
      if (reply.type === "unimported" && !await this.sendState(to, key)) this.#remember(to, key);
      if (reply.type !== "learned") return;
      this.#noteLearned(to, key, reply);
      if (reply.instance > instanceOf(learn)) return;
      // It missed more than this one decision: only the whole state helps.
      if (!await this.sendState(to, key)) this.#remember(to, key);
    } catch {
      // Leases are timed by every acceptor from when it learns of them, so nobody may be left out for long (§7).
      this.#remember(to, key);
    }
  }

  #noteLearned(to: NodeId, key: string, { instance, unsaved }: AcceptorReply & { readonly type: "learned" }): void {
    const at = this.#unsaved.get(to) ?? new UnsavedAt();
    this.#unsaved.set(to, at);
    for (const lost of at.learned(key, instance, unsaved)) this.#remember(to, lost);
  }

  #remember(to: NodeId, key: string): void {
    // What this node has of it is not to be told.
    if (this.#acceptor.stopped.has(key)) return;
    const keys = this.#lagging.get(to) ?? new Set();
    if (keys.size < LAGGING_MAX_KEYS) keys.add(key);
    this.#lagging.set(to, keys);
    if (!this.#closed) this.#again ??= this.#clock.after(AGAIN_MS, () => this.#tryAgain());
  }

  async #tryAgain(): Promise<void> {
    await Promise.all([...this.#lagging].map(([to, keys]) => this.#catchUp(to, keys)));
    this.#again = null;
    if (!this.#closed && this.#lagging.size > 0) this.#again = this.#clock.after(AGAIN_MS, () => this.#tryAgain());
  }

  async #catchUp(to: NodeId, keys: Set<string>): Promise<void> {
    for (const key of keys) if (this.#acceptor.stopped.has(key)) keys.delete(key);
    if (keys.size === 0) return void this.#lagging.delete(to);
    const some = [...keys].slice(0, AGAIN_MAX_KEYS);
    const [first, ...more] = some;
    // One key shows whether the node is back; only then the rest goes out.
    if (first === undefined || !await this.sendState(to, first)) return;
    const delivered = await Promise.all(more.map((key) => this.sendState(to, key)));
    keys.delete(first);
    more.forEach((key, i) => delivered[i] && keys.delete(key));
    if (keys.size === 0) this.#lagging.delete(to);
  }

  /** Whether the node has taken note of where the key stands here. */
  async sendState(to: NodeId, key: string): Promise<boolean> {
    try {
      const { snapshot: own } = await this.#acceptor.view(key);
      const { instance } = own;
      const snapshot = sentSnapshot(this.#acceptor.rules.machine, own);
      const learn: Learn = { type: "learn", key, epoch: this.#epoch, instance, certificate: null, snapshot };
      const reply = await this.#transport.send(to, learn);
      if (reply.type === "learned") this.#noteLearned(to, key, reply);
      return reply.type !== "unavailable";
    } catch {
      return false;
    }
  }
}

function isByCertificate(learn: Learn | ImportLearn): learn is Learn {
  return learn.type === "learn" && learn.certificate !== null;
}

/** The instance that whoever has taken note of it stands above. */
function instanceOf(learn: Learn | ImportLearn): number {
  if (learn.type === "import-learn") return learn.certificate.instance;
  return learn.certificate === null ? learn.instance - 1 : learn.instance;
}
