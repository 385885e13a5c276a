/**
 * The acceptor's host: load, transition, make durable, only then reply (PROTOCOL.md §3). The one place where a
 * record changes, for messages of peers and of this node's own roles alike.
 */
import { QuorateError } from "../errors.ts";
import { stepAcceptor } from "../paxos/acceptor.ts";
import { hasMet, isAsNew, leasesNamed, moveOf, neededVersion } from "../engine/acceptor_messages.ts";
import type { NodeId } from "../paxos/ballot.ts";
import {
  type AcceptorMessage,
  type AcceptorRecord,
  type AcceptorReply,
  type Envelope,
  leaseKey,
  type Mode,
  type Snapshot,
  type State,
  type Value,
} from "../paxos/message.ts";
import { type AcceptorRules, fastBallotOf, freshRecord, snapshotOf } from "../paxos/record.ts";
import { type AnyMoveListener, type MoveListener, type View, viewOf, type VoteListener } from "./own_record.ts";
import type { LeaseClock } from "./lease_clock.ts";
import type { RaisedMachine } from "./raised_machine.ts";
import { type HeldStep, WriteBehind } from "./write_behind.ts";
import {
  type BallotStore,
  type Clock,
  DamagedRecord,
  type Meter,
  type Move,
  NO_METER,
  NO_TRACE,
  type Report,
  type StoredRecord,
  StoreError,
  type Trace,
  type Which,
} from "../ports.ts";
import { sharedValueId } from "../engine/shared_value.ts";
import { Moves } from "./moves.ts";
import { OpenUpdates } from "./open_updates.ts";
import { Stopped } from "./stopped.ts";
import { StoreHealth } from "./store_health.ts";

export type AcceptorHostParts = {
  readonly rules: AcceptorRules;
  readonly store: BallotStore;
  readonly leases: LeaseClock;
  readonly clock: Clock;
  /** How a key's standing ballot is used at first. */
  readonly modeOf: (key: string) => Mode;
  /** Why nothing may be said of the store, or null. */
  readonly whyNot: () => string | null;
  readonly digest: (text: string) => string;
  /** Called when the own record is known to be as new as a member's. */
  readonly heard: (key: string) => void;
  /** One line for the operator. */
  readonly report: Report;
  /** Whether a state has anything that a list shows. */
  readonly isListed: (state: State) => boolean;
  readonly health: StoreHealth;
  readonly raised: RaisedMachine;
  readonly trace?: Trace;
  readonly meter?: Meter;
};

export class AcceptorHost {
  readonly rules: AcceptorRules;
  readonly raised: RaisedMachine;
  /** False: no member, so nothing it says is counted; its record holds what it has learned. */
  readonly votes: boolean;
  readonly #store: BallotStore;
  readonly #leases: LeaseClock;
  readonly #modeOf: (key: string) => Mode;
  /** Why this node may not vote, or null. */
  readonly #whyNot: () => string | null;
  readonly #digest: (text: string) => string;
  readonly #trace: Trace;
  readonly #meter: Meter;
  readonly #heard: (key: string) => void;
  readonly #isListed: (state: State) => boolean;
  readonly #health: StoreHealth;
  readonly #behind: WriteBehind;
  readonly #open = new OpenUpdates();
  #voteListener: VoteListener = () => {};
  readonly #moves: Moves;
  /** Names that this node says nothing of. */
  readonly stopped: Stopped;

  constructor(
    { rules, store, leases, clock, modeOf, whyNot, digest, heard, report, isListed, health, raised, ...more }:
      AcceptorHostParts,
  ) {
    this.stopped = new Stopped(report);
    this.rules = rules;
    this.votes = rules.quorums.isMember(rules.me);
    this.#store = store;
    this.#moves = new Moves(store.isShared, raised);
    this.#leases = leases;
    this.#modeOf = modeOf;
    this.#whyNot = whyNot;
    this.#digest = digest;
    this.#trace = more.trace ?? NO_TRACE;
    this.#meter = more.meter ?? NO_METER;
    this.#heard = heard;
    this.#isListed = isListed;
    this.#health = health;
    this.raised = raised;
    this.#behind = new WriteBehind({
      clock,
      again: (key, stored, move) => this.#movedAgain(key, stored, move),
      write: (key) =>
        this.#update(key, (record) => ({ record: this.#behind.isHeld(key) ? record : null, reply: null })),
    });
  }

  /** Rejects with `not-ready` if this node may not vote, or if its store failed: then nothing may be said of a vote. */
  async handle(message: AcceptorMessage, from: NodeId | ""): Promise<AcceptorReply> {
    // Not even a view: a store that is empty or was rolled back would answer for votes it does not remember.
    const reason = this.#whyNot();
    if (reason !== null) throw new QuorateError("not-ready", reason);
    const { key } = message;
    // Whoever took a vote, a promise or a view of it for an acceptor's would count to a quorum that is none.
    if (!this.votes && message.type !== "learn") return { type: "rejected", reason: "this node does not vote" };
    // By rules that this node does not know it could only guess what comes of it (§3).
    const needed = neededVersion(message);
    // A client may say what it likes; a member that proposes it knows that it is decided.
    if (from !== "") this.raised.note(needed);
    if (needed > this.raised.knows) {
      return { type: "rejected", reason: `this needs version ${needed} of the machine` };
    }
    if (message.type === "accept" && message.value.proposer === "" && !this.#isShared(key, message.value)) {
      return { type: "rejected", reason: "the value's id is not the digest of its content" };
    }
    let moved: Snapshot | null = null;
    let value: Value | null = null;
    let found: AcceptorRecord | null = null;
    let voted: (() => void) | null = null;
    const reply = await this.#update(key, (stored) => {
      const record = stored ?? this.#fresh(key);
      found = record;
      this.#leases.see(key, record, stored?.firstSeen);
      const next = stepAcceptor(this.rules, record, message, this.#envelope(message, from));
      this.#note(key, record, next.record);
      moved = next.record.instance > record.instance ? snapshotOf(next.record) : null;
      const { vote, instance } = next.record;
      const fast = fastBallotOf(next.record);
      // An own value that its own record has no vote for has met nobody: it stays at home.
      const why = vote === null
        ? null
        : vote !== record.vote
        ? "cast"
        : hasMet(vote, message) && from !== this.rules.me
        ? "met"
        : null;
      voted = why === null ? null : () => this.#voteListener({ key, instance, vote: vote!, fast }, why);
      const isKept = next.record === record && !this.#isDead(stored);
      const move = moveOf(record, next.record, message);
      value = move?.value ?? null;
      const reply = next.reply;
      if (isKept) return { record: null, reply };
      const moving = move === null ? {} : { move, mayWait: this.#mayWait(message, from, record, move) };
      return { record: this.#stored(next.record, stored), reply, ...moving };
    });
    const told = this.#unsavedTold(key, reply);
    if (this.#trace.on) this.#trace.record({ type: "handled", from, message, reply: told });
    if (reply.type === "stopped") this.stopped.note(key, reply.reason);
    if (moved !== null || (from !== "" && isAsNew(message, reply, from === this.rules.me))) this.#heard(key);
    (voted as (() => void) | null)?.();
    if (moved !== null) {
      this.#meter.moved(key, found!.state, moved, value);
      this.#moves.moved(key, moved, found!.instance);
    } else if (reply.type !== "stopped") this.#moves.met(key, found!, false);
    return told;
  }

  /** Writes what it has learned and not written, and goes on writing at once. */
  close(): void {
    void this.#behind.close();
  }

  /** To be called after `close`: from now on no record changes; resolves when what was under way is over. */
  left(): Promise<void> {
    return this.#open.over();
  }

  /** The own record as it is now. Rejects with `not-ready` if nothing may be said of it. */
  async view(key: string): Promise<View> {
    const now = this.viewNow(key);
    if (now !== null) return now;
    const record = await this.#own(key);
    this.#moves.met(key, record, false);
    return viewOf(record);
  }

  /** As `view`, where that is known at once; null: it has to be waited for, or is refused. */
  viewNow(key: string): View | null {
    if (this.#whyNot() !== null) return null;
    const stored = this.#store.peek(key);
    if (stored === undefined || (stored !== null && !this.#isWhole(stored)) || this.#isDead(stored)) return null;
    const held = this.#behind.on(key, stored);
    // Something else has written it since: the move that is held may have to be made again.
    if (held !== null && held.record === null) return null;
    const record = held?.record ?? stored ?? this.#fresh(key);
    if (record.stopped !== undefined) return null;
    this.stopped.forget(key);
    this.#leases.see(key, record, stored?.firstSeen);
    return viewOf(record);
  }

  /**
   * Tells whoever listens, if a twin has moved the record on.
   * @param isNews whether a key that this process has never met was not there before
   */
  async look(key: string, isNews: boolean): Promise<void> {
    this.#moves.met(key, await this.#own(key), isNews);
  }

  async #own(key: string): Promise<AcceptorRecord> {
    const reason = this.#whyNot();
    if (reason !== null) throw new QuorateError("not-ready", reason);
    const own = await this.#update(key, (stored) => {
      const record = stored ?? this.#fresh(key);
      this.#leases.see(key, record, stored?.firstSeen);
      return { record: this.#isDead(stored) ? this.#stored(record, stored) : null, reply: record };
    });
    if (own.stopped === undefined) {
      this.stopped.forget(key);
      return own;
    }
    // It contradicts what a peer proved: to whoever asks this node it would pass for one of a read quorum.
    this.stopped.note(key, own.stopped);
    throw new QuorateError("not-ready", `this node's record of it has stopped: ${own.stopped}`);
  }

  /** The newest state of a name, as others decided it: where the own record says nothing, it is told in its place. */
  follow(key: string, snapshot: Snapshot): void {
    if (this.stopped.isNews(key, snapshot.instance)) this.#moves.tell(key, snapshot, 1);
  }

  /** As the store's; rejects with `not-ready` if that fails. */
  async keys(prefix: string, after: string, limit: number, which?: Which): Promise<readonly string[]> {
    return await this.#store.keys(prefix, after, limit, which).catch((error) => {
      throw this.#health.told(error);
    });
  }

  onVote(listener: VoteListener): void {
    this.#voteListener = listener;
  }

  /** Until the returned function is called. */
  onMove(key: string, listener: MoveListener): () => void {
    return this.#moves.on(key, listener);
  }

  /** Keys whose moves somebody waits for. */
  get listened(): readonly string[] {
    return this.#moves.listened;
  }

  /** Called whenever somebody begins to. */
  onListen(listening: () => void): void {
    this.#moves.onListen(listening);
  }

  /** One listener, for the moves of all keys. */
  onAnyMove(listener: AnyMoveListener): void {
    this.#moves.onAny(listener);
  }

  #update<R>(key: string, step: HeldStep<R>): Promise<R> {
    let isWrite = false;
    const sinceMs = this.#health.now();
    const refusal = this.#open.begin();
    if (refusal !== null) return Promise.reject(refusal);
    const update = this.#behind.begin(key, step);
    const updated = this.#store.update(key, (stored) => {
      if (stored !== null && !this.#isWhole(stored)) {
        throw new DamagedRecord(`the record of ${JSON.stringify(key)}: its state is not what its hash is of`);
      }
      const next = update.run(stored);
      isWrite = next.record !== null;
      return next;
    });
    const failed = (error: unknown) => {
      this.#open.end();
      update.failed();
      if (!(error instanceof DamagedRecord)) throw this.#health.told(error);
      this.stopped.note(key, error.message);
      throw new QuorateError("not-ready", "this node's record of it is damaged; its log has more");
    };
    return updated.then((reply) => {
      if (!update.done()) return failed(new StoreError("what was learned in the same turn was not kept"));
      this.#open.end();
      if (isWrite) this.#health.wrote(sinceMs);
      return reply;
    }, failed);
  }

  /**
   * A peer's Learn of what this record voted for: the vote is durable, so a crash loses nothing but the word that it was
   * decided, and the peer says it again then. What this node has decided or counted itself, nobody would.
   */
  #mayWait({ type }: AcceptorMessage, from: NodeId | "", { vote }: AcceptorRecord, { certificate }: Move): boolean {
    if (type !== "learn" || from === this.rules.me || !this.votes) return false;
    // A store that others serve has no memory but its rows, and what belongs to nobody no name by which a peer knows it again.
    if (this.#store.isShared || this.#store.identity() === null) return false;
    return vote?.value.id === certificate.valueId;
  }

  #movedAgain(key: string, stored: StoredRecord, { certificate, value }: Move): StoredRecord | null {
    const { epoch, instance, vote } = stored;
    // The commit of that vote was lost, and whoever learned of it in the same turn has not heard of that yet.
    if (vote?.value.id !== value.id) return null;
    const learn = { type: "learn", key, epoch, instance, certificate, value } as const;
    const { record } = stepAcceptor(this.rules, stored, learn, { from: this.rules.me, seenMs: {} });
    if (record.instance === instance) return null;
    return this.#stored(record, stored);
  }

  /** A Learn is answered before what it made is durable; then the answer says so (PROTOCOL.md §5). */
  #unsavedTold(key: string, reply: AcceptorReply): AcceptorReply {
    if (reply.type !== "learned" || !this.#behind.isHeld(key)) return reply;
    return { ...reply, unsaved: { run: this.#store.identity()!.run, ...this.#behind.numbers } };
  }

  /** A state that is not the one that was written would spread with the next snapshot. */
  #isWhole({ state, stateHash }: StoredRecord): boolean {
    return this.rules.machine.hash(state) === stateHash;
  }

  /** Two contents under one id would be two values that vote as one. */
  #isShared(key: string, { id, commands, claims, nextMode, machine }: Value): boolean {
    return claims === undefined && nextMode === undefined && machine === undefined &&
      id === sharedValueId(this.#digest, key, commands);
  }

  #fresh(key: string): AcceptorRecord {
    return freshRecord(this.rules.machine, this.#modeOf(key), this.rules.floor);
  }

  /** As it is to be kept: where others serve the same store, with when its leases were first seen. */
  #stored(record: AcceptorRecord, before: StoredRecord | null): StoredRecord {
    const kept = { ...record, live: this.#isLive(record) };
    return this.#store.isShared
      ? { ...kept, firstSeen: this.#leases.firstSeen(record.state, before?.firstSeen) }
      : kept;
  }

  /** Whether there is something to list, or a vote that may bring it: what votes decide is not in the state yet. */
  #isLive({ vote, state }: AcceptorRecord): boolean {
    return vote !== null || this.#isListed(state);
  }

  /** Whether the index of live records has it for nothing, as it may have what was written before there was one. */
  #isDead(stored: StoredRecord | null): boolean {
    return stored !== null && stored.live !== false && !this.#isLive(stored);
  }

  #envelope(message: AcceptorMessage, from: NodeId | ""): Envelope {
    const seenMs: Record<string, number> = {};
    for (const lease of leasesNamed(message)) seenMs[leaseKey(lease)] = this.#leases.seenMs(message.key, lease);
    return { from, seenMs };
  }

  /** A step may run for a commit that then fails. A lease then counts from a little early, but never from before its request. */
  #note(key: string, before: AcceptorRecord, after: AcceptorRecord): void {
    // First: a vote may come in the same write as the move to its instance, and leases carried over go on counting.
    if (after.instance !== before.instance) this.#leases.see(key, after);
    if (after.vote !== null && after.vote.value.id !== before.vote?.value.id) {
      this.#leases.voted(key, after.instance, after.vote.value.id);
    }
  }
}
