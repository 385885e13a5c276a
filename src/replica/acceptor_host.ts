/**
 * The acceptor's host: load, transition, make durable, only then reply (PROTOCOL.md §3). The one place where a
 * record changes, for messages of peers and of this node's own roles alike.
 */
import { QuorateError } from "../errors.ts";
import { stepAcceptor } from "../paxos/acceptor.ts";
import { moveOf, versionOf } from "../engine/acceptor_messages.ts";
import { isImport } from "../members/acceptor.ts";
import type { SentMessage, SentReply } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Accept, AcceptorRecord, Envelope, Mode, Snapshot, Value, Vote } from "../paxos/message.ts";
import { leaseKey } from "../paxos/message.ts";
import { type AcceptorRules, fastBallotOf, freshRecord, snapshotOf } from "../paxos/record.ts";
import {
  type AnyMoveListener,
  isAsNewAs,
  mayWait,
  movedAgain,
  type MoveListener,
  type Opening,
  type OwnRecord,
  type View,
  viewOf,
  type VoteListener,
  whyTold,
} from "./own_record.ts";
import type { AcceptorHostParts } from "./acceptor_host_parts.ts";
import { KeptRecords } from "./kept_records.ts";
import { faultIn } from "./faulty_message.ts";
import type { LeaseClock } from "./lease_clock.ts";
import type { RaisedMachine } from "./raised_machine.ts";
import { Mending } from "./mending.ts";
import { type HeldStep, WriteBehind } from "./write_behind.ts";
import {
  type BallotStore,
  DamagedRecord,
  type Meter,
  NO_METER,
  NO_TRACE,
  type StoredRecord,
  StoreError,
  type Trace,
  type Which,
} from "../ports.ts";
import { leasesOf, type MemberRecords, type MemberStep } from "./member_records.ts";
import { Moves } from "./moves.ts";
import { OpenUpdates } from "./open_updates.ts";
import { Stopped } from "./stopped.ts";
import { StoreHealth } from "./store_health.ts";

export type { AcceptorHostParts };

/** A release before knows nothing of bars: from this version of the machine on, which no release knows yet, it does not vote. */
const LEAVING_VERSION = 4;

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
  readonly #kept: KeptRecords;
  readonly #health: StoreHealth;
  readonly #behind: WriteBehind;
  readonly #open = new OpenUpdates();
  #voteListener: VoteListener = () => {};
  readonly #moves: Moves;
  /** Null: there is no epoch before this one. */
  readonly members: MemberRecords | null;
  #ensure: (key: string) => Promise<void> = () => Promise.resolve();
  readonly mending: Mending;
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
    this.members = more.members ?? null;
    this.#heard = heard;
    this.#kept = new KeptRecords(rules.machine, leases, isListed, store.isShared);
    this.#health = health;
    this.raised = raised;
    this.mending = new Mending({
      ...{ store, health, open: this.#open, kept: this.#kept, stopped: this.stopped },
      fresh: (key) => this.#fresh(key),
      installed: (key, record) => {
        this.#leases.see(key, record);
        this.stopped.forget(key);
        this.#heard(key);
        this.#moves.moved(key, snapshotOf(record), 1);
      },
    });
    this.#behind = new WriteBehind({
      clock,
      again: (key, stored, move) => {
        const again = movedAgain(this.rules, key, stored, move);
        return again === null ? null : this.#kept.kept(again, stored);
      },
      write: (key) =>
        this.#update(key, (record) => ({ record: this.#behind.isHeld(key) ? record : null, reply: null })),
    });
  }

  /** Rejects with `not-ready` if this node may not vote, or if its store failed: then nothing may be said of a vote. */
  handle(message: SentMessage, from: NodeId | ""): Promise<SentReply> {
    return this.mending.told(message, this.#handle(message, from));
  }

  async #handle(message: SentMessage, from: NodeId | ""): Promise<SentReply> {
    // Not even a view: a store that is empty or was rolled back would answer for votes it does not remember.
    const reason = this.#whyNot();
    if (reason !== null) throw new QuorateError("not-ready", reason);
    const { key } = message;
    // Whoever took a vote, a promise or a view of it for an acceptor's would count to a quorum that is none.
    const isHeard = this.votes || message.type === "learn" ||
      (message.type === "read" && this.members?.isLeaver === true);
    if (!isHeard) return { type: "rejected", reason: "this node does not vote" };
    const fault = faultIn(message, from, this.raised, this.#digest);
    if (fault !== null) return { type: "rejected", reason: fault };
    let moved: Snapshot | null = null;
    let value: Value | null = null;
    let found: AcceptorRecord | null = null;
    let voted: (() => void) | null = null;
    let dated: (() => void) | null = null;
    const reply = await this.#update<SentReply>(key, (stored) => {
      if (this.members !== null && (!this.members.isImported(stored) || isImport(message))) {
        const { record, entered, reply, ...step } = this.#outside(this.members, key, stored, message, from);
        ({ found, value } = step);
        moved = entered === null ? null : snapshotOf(entered);
        voted = entered === null ? null : this.#voteTold(key, null, entered, message, from);
        dated = this.#leases.imported(key, record?.importing?.vote ?? null);
        return { record, reply };
      }
      if (isImport(message)) return { record: null, reply: { type: "rejected", reason: "another epoch" } };
      const record = stored ?? this.#fresh(key);
      found = record;
      this.#leases.see(key, record, stored?.firstSeen);
      const next = stepAcceptor(this.rules, record, message, this.#envelope(message, from));
      dated = this.#leases.stepped(key, record, next.record);
      moved = next.record.instance > record.instance ? snapshotOf(next.record) : null;
      voted = this.#voteTold(key, record.vote, next.record, message, from);
      const isKept = next.record === record && !this.#kept.isDead(stored);
      const move = moveOf(record, next.record, message);
      value = move?.value ?? null;
      const reply = next.reply;
      if (isKept) return { record: null, reply };
      const moving = move === null
        ? {}
        : { move, mayWait: mayWait(this.rules, this.#store, message, from, record, move) };
      return { record: this.#kept.kept(next.record, stored), reply, ...moving };
    });
    (dated as (() => void) | null)?.();
    const told = this.#behind.told(key, reply, this.#store);
    if (this.#trace.on) this.#trace.record({ type: "handled", from, message, reply: told });
    if (reply.type === "stopped") this.stopped.note(key, reply.reason);
    if (moved !== null || (from !== "" && isAsNewAs(message, reply, from === this.rules.me))) this.#heard(key);
    (voted as (() => void) | null)?.();
    if (moved !== null) {
      this.#meter.moved(key, found!.state, moved, value);
      this.#moves.moved(key, moved, found!.instance, value);
    } else if (reply.type !== "stopped") this.#moves.met(key, found!, false);
    return told;
  }

  /** Without a record of this epoch: a step of the key's import, with what it leaves. */
  #outside(
    members: MemberRecords,
    key: string,
    stored: StoredRecord | null,
    message: SentMessage,
    from: NodeId | "",
  ): MemberStep {
    this.#leases.see(key, members.isImported(stored) ? stored : members.shown(key, stored));
    // Claims of a forced value are of leases in the base, which a new member times from now on.
    if (message.type === "import-accept") this.#leases.see(key, message.base);
    const step = members.step(key, stored, message, this.#envelope(message, from));
    const { record, entered } = step;
    if (entered !== null) this.#leases.see(key, entered);
    return record === null ? step : { ...step, record: this.#kept.kept(record, stored) };
  }

  #voteTold(key: string, before: Vote | null, after: AcceptorRecord, message: SentMessage, from: NodeId | "") {
    const { vote, instance } = after;
    const fast = fastBallotOf(after);
    const why = whyTold(before, vote, message, from === this.rules.me);
    return why === null ? null : () => this.#voteListener({ key, instance, vote: vote!, fast }, why);
  }

  /** Writes what it has learned and not written, and goes on writing at once. */
  close(): void {
    void this.#behind.close();
  }

  /** To be called after `close`: from now on no record changes; resolves when what was under way is over. */
  left(): Promise<void> {
    return this.#open.over();
  }

  /**
   * The own record as it is now, of this epoch: a key that has none yet is imported first. Rejects with `not-ready` if nothing may
   * be said of it, and as an import does.
   */
  async view(key: string): Promise<View> {
    return this.viewNow(key) ?? await this.#imported(key, await this.#own(key));
  }

  /** As `view`, for who proposes: a fresh key is opened as it is. */
  async opening(key: string): Promise<Opening> {
    const now = this.viewNow(key);
    if (now !== null) return now;
    const own = await this.#own(key);
    return own.fresh === null ? await this.#imported(key, own) : { ...viewOf(own.fresh), isFresh: true };
  }

  async #imported(key: string, own: OwnRecord): Promise<View> {
    const imported = own.isImported ? own : await this.#ensure(key).then(() => this.#own(key));
    if (!imported.isImported) throw new QuorateError("not-ready", "this node has not imported it yet");
    return this.#seen(key, imported);
  }

  /** As `view`, but of a key that is not imported what the epoch before left. To be shown only: nothing may be proposed on it. */
  async shown(key: string): Promise<View> {
    return this.viewNow(key) ?? this.#seen(key, await this.#own(key));
  }

  #seen(key: string, { record, isImported }: OwnRecord): View {
    this.#moves.met(key, record, false);
    return viewOf(record, isImported);
  }

  /** `import` brings a key into this epoch; resolves when the own record is of it, or rejects. */
  onUnimported(ensure: (key: string) => Promise<void>): void {
    this.#ensure = ensure;
  }

  /** As `view`, where that is known at once; null: it has to be waited for, or is refused. */
  viewNow(key: string): View | null {
    const record = this.#atRest(key);
    return record === null ? null : viewOf(record);
  }

  /**
   * As `handle`, of an Accept! of this node's own. `isCasting`: its vote is the next thing that is written of the record, so the value
   * may leave (PROTOCOL.md §2, R1).
   */
  cast(message: Accept): { readonly reply: Promise<SentReply>; readonly isCasting: boolean } {
    const { me } = this.rules;
    const record = this.#store.leads(message.key) ? this.#atRest(message.key) : null;
    // One that has to move on first may be further behind on disk than what it is barred from after a crash.
    const leads = record !== null && record.instance === message.instance && versionOf(record) >= LEAVING_VERSION &&
      stepAcceptor(this.rules, record, message, this.#envelope(message, me)).reply.type === "accepted";
    const reply = this.handle(message, me);
    // What was refused at once, as a vote that fits no row, is not on its way.
    return { reply, isCasting: leads && !this.#store.leads(message.key) };
  }

  #atRest(key: string): AcceptorRecord | null {
    // What is there by then may be of another epoch.
    if (this.#whyNot() !== null || this.#open.isOver) return null;
    const stored = this.mending.isShut(key) ? undefined : this.#store.peek(key);
    if (this.members !== null && (stored === undefined || !this.members.isImported(stored))) return null;
    if (stored === undefined || (stored !== null && !this.#kept.isWhole(stored)) || this.#kept.isDead(stored)) {
      return null;
    }
    const held = this.#behind.on(key, stored);
    // Something else has written it since: the move that is held may have to be made again.
    if (held !== null && held.record === null) return null;
    const record = held?.record ?? stored ?? this.#fresh(key);
    if (record.stopped !== undefined) return null;
    this.stopped.forget(key);
    this.#leases.see(key, record, stored?.firstSeen);
    return record;
  }

  /**
   * Tells whoever listens, if a twin has moved the record on.
   * @param isNews whether a key that this process has never met was not there before
   */
  async look(key: string, isNews: boolean): Promise<void> {
    this.#moves.met(key, (await this.#own(key)).record, isNews);
  }

  async #own(key: string): Promise<OwnRecord> {
    const reason = this.#whyNot();
    if (reason !== null) throw new QuorateError("not-ready", reason);
    const own = await this.#update(key, (stored) => {
      const isImported = this.members?.isImported(stored) ?? true;
      const record = isImported ? stored ?? this.#fresh(key) : this.members!.shown(key, stored);
      this.#leases.see(key, record, stored?.firstSeen);
      const isToWrite = isImported && this.#kept.isDead(stored);
      const fresh = this.members?.fresh(key, stored) ?? null;
      return { record: isToWrite ? this.#kept.kept(record, stored) : null, reply: { record, isImported, fresh } };
    });
    const { stopped } = own.record;
    if (stopped === undefined) {
      this.stopped.forget(key);
      return own;
    }
    // It contradicts what a peer proved: to whoever asks this node it would pass for one of a read quorum.
    this.stopped.note(key, stopped);
    throw new QuorateError("not-ready", `this node's record of it has stopped: ${stopped}`);
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
    const refusal = this.#open.begin();
    if (refusal !== null) return Promise.reject(refusal);
    const [asked, update] = [this.#health.began(), this.#behind.begin(key, step)];
    const updated = this.#store.update(key, (stored) => {
      // Whatever it promised or voted would be lost with it.
      if (this.mending.isShut(key)) throw new QuorateError("not-ready", "its record here is being repaired");
      if (stored !== null && !this.#kept.isWhole(stored)) {
        throw new DamagedRecord(`the record of ${JSON.stringify(key)}: its state is not what its hash is of`);
      }
      const next = update.run(stored);
      isWrite = next.record !== null;
      return next;
    });
    const failed = (error: unknown) => {
      this.#open.end();
      this.#health.ended(asked, false);
      update.failed();
      if (!(error instanceof DamagedRecord)) throw this.#health.told(error);
      this.stopped.note(key, error.message);
      throw new QuorateError("not-ready", "this node's record of it is damaged; its log has more");
    };
    return updated.then((reply) => {
      if (!update.done()) return failed(new StoreError("what was learned in the same turn was not kept"));
      this.#open.end();
      this.#health.ended(asked, isWrite);
      return reply;
    }, failed);
  }

  #fresh(key: string): AcceptorRecord {
    return freshRecord(this.rules.machine, this.#modeOf(key), this.rules.floor);
  }

  #envelope(message: SentMessage, from: NodeId | ""): Envelope {
    const seenMs: Record<string, number> = {};
    for (const lease of leasesOf(message)) seenMs[leaseKey(lease)] = this.#leases.seenMs(message.key, lease);
    return { from, seenMs };
  }
}
