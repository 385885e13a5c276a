/**
 * Whether this node may vote (PROTOCOL.md §9): its store must belong to it, and after every start the members must
 * have told which of its commits they heard of, so that a store that was rolled back is found out before it votes.
 */
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import { type BallotStore, type Clock, type Mark, NO_MARK, type Report, type Transport } from "../ports.ts";

/** Which member of which cluster a node is; `config` is its ClusterConfig text, not compared if null. */
export type Membership = { readonly id: NodeId; readonly cluster: string; readonly config: string | null };

/** Between rounds of asking while too few members answer, at first; twice as long each time, up to the most. */
const ASK_AGAIN_MS = 50;
const ASK_AGAIN_MAX_MS = 500;
/** Within a round, to a member that has not answered. */
const SEND_AGAIN_MS = 150;
const SENDS = 6;
/** The same while this node votes already. */
const RECORD_AGAIN_MS = 1_000;
/** A node that waits longer than a cluster takes to start says so to its operator. */
const TELL_AFTER_MS = 5_000;

export type GateOptions = {
  /** The epoch before, as long as this store's votes in it may be asked for. Default: none. */
  readonly before?: () => QuorumSystem | null;
  /** In this process the store was found whole before. Default: it was not. */
  readonly resumes?: boolean;
};

export class VoteGate {
  readonly #member: Membership;
  readonly #quorums: QuorumSystem;
  readonly #before: () => QuorumSystem | null;
  readonly #others: readonly NodeId[];
  readonly #store: BallotStore;
  readonly #transport: Transport;
  #further: () => string | null = () => null;
  readonly #clock: Clock;
  /** The last commit that anybody can have been told of. */
  readonly #lastSeq: number;
  /** Since this start nobody who answered has known of anything against this store. */
  #checked: boolean;
  /** Others may know of commits of this store; they may count on votes, if it is of a version that asked nobody. */
  #hasSpoken: boolean;
  /** Others that knew nothing against this new store when they were asked. One round need not reach all of them. */
  readonly #agreed = new Set<NodeId>();
  /** Others that have not said that they have this store on record. */
  #missing: readonly NodeId[];
  #confirming: Promise<void> | null = null;
  #recording: Promise<void> | null = null;
  #closed = false;
  readonly #report: Report;
  readonly #failed: (error: unknown) => void;

  constructor(
    member: Membership,
    quorums: QuorumSystem,
    store: BallotStore,
    transport: Transport,
    clock: Clock,
    report: Report,
    failed: (error: unknown) => void = () => {},
    { before = () => null, resumes = false }: GateOptions = {},
  ) {
    this.#before = before;
    this.#checked = resumes;
    this.#member = member;
    this.#quorums = quorums;
    const asked = new Set([...quorums.members, ...before()?.members ?? []]);
    this.#others = [...asked].filter((id) => id !== member.id);
    this.#missing = quorums.members.filter((id) => id !== member.id);
    this.#store = store;
    this.#transport = transport;
    this.#clock = clock;
    this.#report = report;
    this.#failed = failed;
    this.#lastSeq = store.spokenSeq();
    this.#hasSpoken = this.#lastSeq > 0;
  }

  /** A store under suspicion says nothing of its commits: its word would overwrite what peers have to hold against it. */
  get speaks(): boolean {
    return this.#checked || (this.#store.isShared && this.#votes && this.#mayVote);
  }

  /** Whatever its store says, it does not vote while this says why not. */
  unless(reason: () => string | null): void {
    this.#further = reason;
  }

  /** Why this node's store cannot be used, in one line, or null if it can: to vote with, if the node is a member. */
  reason(): string | null {
    return this.#storeReason() ?? this.#further();
  }

  #storeReason(): string | null {
    const quarantined = this.#store.quarantined();
    if (quarantined !== null) return `quarantined: ${quarantined}`;
    if (this.#store.identity() === null) return "this store belongs to no member: run once with --init";
    // Asked each time: a shared store may have been made somebody's after this process began.
    const stranger = strangerIn(this.#store, this.#member);
    if (stranger !== null) return stranger;
    if (!this.#votes || this.#mayVote) return null;
    if (this.#store.isShared) void this.confirm();
    return this.#waiting;
  }

  /** Asks the others until this node may vote, or never will (PROTOCOL.md §9). */
  async confirm(): Promise<void> {
    // No vote rests on what a learner has lost.
    if (!this.#votes) return;
    this.#confirming ??= this.#until(() => this.#mayVote, ASK_AGAIN_MS).finally(() => this.#confirming = null);
    await this.#confirming;
    // It votes already, so nobody waits for this; but the others must know of it before a second life asks them.
    const isRecorded = () => this.#store.lifeConfirmed() === true;
    this.#recording ??= this.#until(isRecorded, RECORD_AGAIN_MS).finally(() => this.#recording = null);
  }

  close(): void {
    this.#closed = true;
  }

  get #votes(): boolean {
    return this.#quorums.isMember(this.#member.id);
  }

  get #mayVote(): boolean {
    const confirmed = this.#store.lifeConfirmed();
    // A store that others serve meanwhile has no moment at which its commits could be compared with what members
    // have heard of: a rollback of it is not found out.
    if (!this.#checked && !this.#store.isShared) return false;
    return confirmed === true || (confirmed === null && this.#hasSpoken);
  }

  get #waiting(): string {
    if (this.#store.lifeConfirmed() === true) {
      return "waiting for a quorum to confirm that this store was not rolled back";
    }
    const { witnesses } = this.#quorums.sizes;
    return `a new store votes once ${witnesses} other members have noted that it is this one's and know of none before; ` +
      `not yet: ${this.#missing.join(", ")}`;
  }

  async #until(isDone: () => boolean, againMs: number): Promise<void> {
    const startedMs = this.#clock.now();
    let isTold = false;
    let waitMs = againMs;
    while (!this.#closed && this.#store.identity() !== null && this.#store.quarantined() === null && !isDone()) {
      // A store that fails now may work the next time; until then this node does not vote.
      if (await this.#round().catch((error) => void this.#failed(error))) {
        waitMs = againMs;
        continue;
      }
      if (!isTold && !this.#mayVote && this.#clock.now() - startedMs >= TELL_AFTER_MS) {
        isTold = true;
        this.#tellVoting(`this node does not vote: ${this.#waiting}`, false);
      }
      await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve));
      // The others are as busy with their own start: asked too often they answer too late.
      waitMs = Math.max(againMs, Math.min(2 * waitMs, ASK_AGAIN_MAX_MS));
    }
    if (isTold && this.#mayVote) this.#tellVoting("this node votes now", true);
  }

  #tellVoting(line: string, voting: boolean): void {
    this.#report(line, { event: "voting", level: voting ? "info" : "error", facts: { voting } });
  }

  /** True if it came to something. */
  async #round(): Promise<boolean> {
    const store = this.#store;
    if (store.lifeConfirmed() === null && !this.#hasSpoken && (await store.keys("", "", 1)).length > 0) {
      this.#hasSpoken = true;
      return true;
    }
    const own = { ...ownMark(store), seq: this.#lastSeq };
    const { speaks } = this;
    const answers = await Promise.all(this.#others.map((peer) => this.#ask(peer)));
    const isNew = store.lifeConfirmed() !== true && !this.#hasSpoken;
    // A store that has spoken asks all anew: what they have heard of it grows.
    const agreed = isNew ? this.#agreed : new Set<NodeId>();
    const noted = new Set<NodeId>();
    for (const [i, mark] of answers.entries()) {
      if (mark === undefined) continue;
      const peer = this.#others[i]!;
      const fault = mark === null ? null : this.#faultIn(own, mark, peer, speaks);
      if (fault !== null) {
        // It did not get slow; it lies: votes it has answered for are gone, and others may be counting on them.
        await store.quarantine(fault);
        this.#tellVoting(`quarantined, this node never votes again with this store: ${fault}`, false);
        return true;
      }
      agreed.add(peer);
      if (mark !== null) noted.add(peer);
    }
    this.#missing = this.#others.filter((peer) => this.#quorums.isMember(peer) && !(speaks ? noted : agreed).has(peer));
    if (!speaks) return await this.#begin(agreed, isNew);
    if (store.lifeConfirmed() === true || !this.#quorums.areWitnesses(noted, this.#member.id)) return false;
    await store.confirmLife();
    return true;
  }

  /** From here on peers note what this process says, and hold it against a later start: durable before the first word. */
  async #begin(agreed: ReadonlySet<NodeId>, isNew: boolean): Promise<boolean> {
    const { id } = this.#member;
    const said = new Set([id, ...agreed]);
    // What it voted for in the epoch before only members of that one may have heard of.
    if (!this.#quorums.isPhase1(said) || this.#before()?.isPhase1(said) === false) return false;
    // What is noted of a new store anywhere can never be another's: not while it may still have to be given up.
    if (isNew && !this.#quorums.areWitnesses(agreed, id)) return false;
    await this.#store.confirm();
    this.#checked = true;
    return true;
  }

  #faultIn(own: Mark, heard: Mark, peer: NodeId, speaks: boolean): string | null {
    if (heard.incarnation !== own.incarnation) return `${peer} knows another life of this member`;
    if (this.#store.isShared) return null;
    if (heard.boot > own.boot) return `${peer} has heard from boot ${heard.boot}, this store is at boot ${own.boot}`;
    // Until it is confirmed this process says nothing of its commits, so somebody else has spoken for this boot: a copy.
    if (heard.boot === own.boot && !(speaks && heard.run === own.run)) {
      return `${peer} hears from another process of boot ${own.boot}`;
    }
    if (!speaks && heard.seq > own.seq) {
      return `${peer} has heard of commit ${heard.seq}, this store is at ${own.seq}`;
    }
    return null;
  }

  /** As `askMark`, sent again while nothing comes: one lost message must not keep the node from voting for a whole deadline. */
  async #ask(peer: NodeId): Promise<Mark | null | undefined> {
    const { promise, resolve } = Promise.withResolvers<Mark | null | undefined>();
    let cancel = () => {};
    const ask = (left: number) => {
      askMark(this.#transport, peer, this.#member.id).then((mark) =>
        (mark !== undefined || left === SENDS) && resolve(mark)
      );
      if (left > 1) cancel = this.#clock.after(SEND_AGAIN_MS, () => ask(left - 1));
    };
    ask(SENDS);
    // The first one's deadline is the round's: who has not answered by then counts as silent.
    return await promise.finally(() => cancel());
  }
}

/** Why a store cannot be this member's, in one line; null if it is, or is nobody's yet. */
export function strangerIn(store: BallotStore, { id, cluster, config }: Membership): string | null {
  const identity = store.identity();
  if (identity === null) return null;
  if (identity.id !== id || identity.cluster !== cluster) {
    return `this store belongs to member ${identity.id} of cluster ${identity.cluster}, not to ${id} of ${cluster}`;
  }
  // Members and modes were decided at init; a setting that says otherwise would split the cluster.
  if (config !== null && store.config() !== config) {
    return "--cluster differs from what this store was initialised with";
  }
  return null;
}

/** Which member already knows a life of `id`, or null: a second life under the same id would vote twice (§9). */
export async function knownLife(
  transport: Transport,
  members: readonly NodeId[],
  id: NodeId,
): Promise<NodeId | null> {
  const others = members.filter((member) => member !== id);
  const answers = await Promise.all(others.map((peer) => askMark(transport, peer, id)));
  const index = answers.findIndex((mark) => mark !== undefined && mark !== null);
  return index < 0 ? null : others[index]!;
}

export function ownMark(store: BallotStore): Mark {
  const identity = store.identity();
  if (identity === null) return NO_MARK;
  const { incarnation, boot, run } = identity;
  return { incarnation, boot, run, seq: store.seq() };
}

/** The peer's mark of `of`; null: none; undefined: no answer. */
async function askMark(transport: Transport, peer: NodeId, of: NodeId): Promise<Mark | null | undefined> {
  try {
    const reply = await transport.send(peer, { type: "marks", of });
    return reply.type === "marks" && reply.of === of ? reply.mark : undefined;
  } catch {
    return undefined;
  }
}
