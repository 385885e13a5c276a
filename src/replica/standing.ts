/**
 * Whether this node may vote (PROTOCOL.md §9): its store must belong to it, and after every start the members must
 * have told which of its commits they heard of, so that a store that was rolled back is found out before it votes.
 */
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { BallotStore, Clock, Mark, Transport } from "./ports.ts";

/** Which member of which cluster a node is; `config` is its ClusterConfig text, not compared if null. */
export type Membership = { readonly id: NodeId; readonly cluster: string; readonly config: string | null };

/** Between rounds of asking while too few members answer. */
const ASK_AGAIN_MS = 50;
/** Within a round, to a member that has not answered. */
const SEND_AGAIN_MS = 150;
const SENDS = 6;

export class Standing {
  readonly #member: Membership;
  readonly #quorums: QuorumSystem;
  readonly #store: BallotStore;
  readonly #transport: Transport;
  readonly #clock: Clock;
  /** The last commit that anybody can have been told of. */
  readonly #lastSeq: number;
  #checked = false;
  #closed = false;
  readonly #report: (line: string) => void;
  readonly #failed: (error: unknown) => void;

  constructor(
    member: Membership,
    quorums: QuorumSystem,
    store: BallotStore,
    transport: Transport,
    clock: Clock,
    report: (line: string) => void,
    failed: (error: unknown) => void = () => {},
  ) {
    this.#member = member;
    this.#quorums = quorums;
    this.#store = store;
    this.#transport = transport;
    this.#clock = clock;
    this.#report = report;
    this.#failed = failed;
    this.#lastSeq = store.spokenSeq();
  }

  /** A store under suspicion says nothing of its commits: its word would overwrite what peers have to hold against it. */
  get confirmed(): boolean {
    return this.#checked || this.#store.isShared;
  }

  /** Why this node's store cannot be used, in one line, or null if it can: to vote with, if the node is a member. */
  reason(): string | null {
    const quarantined = this.#store.quarantined();
    if (quarantined !== null) return `quarantined: ${quarantined}`;
    if (this.#store.identity() === null) return "this store belongs to no member: run once with --init";
    // Asked each time: a shared store may have been made somebody's after this process began.
    const stranger = strangerIn(this.#store, this.#member);
    if (stranger !== null) return stranger;
    if (!this.confirmed && this.#votes) return "waiting for a quorum to confirm that this store was not rolled back";
    return null;
  }

  /** Asks until a phase-1 quorum, this node included, and everybody else that answers, has confirmed the store. */
  async confirm(): Promise<void> {
    // No vote rests on what a learner has lost. And of a store that others serve meanwhile there is no moment at which
    // its commits could be compared with what members have heard of: a rollback of it is not found out (§9).
    if (!this.#votes || this.#store.isShared) return;
    while (!this.#closed && this.#store.identity() !== null && this.#store.quarantined() === null) {
      // A store that fails now may work the next time; until then this node does not vote.
      if (await this.#round().catch((error) => void this.#failed(error))) return;
      await new Promise<void>((resolve) => this.#clock.after(ASK_AGAIN_MS, resolve));
    }
  }

  close(): void {
    this.#closed = true;
  }

  get #votes(): boolean {
    return this.#quorums.isMember(this.#member.id);
  }

  async #round(): Promise<boolean> {
    const others = this.#quorums.members.filter((member) => member !== this.#member.id);
    const own = { ...ownMark(this.#store), seq: this.#lastSeq };
    const answers = await Promise.all(others.map((peer) => this.#ask(peer)));
    const agreed = new Set<NodeId>([this.#member.id]);
    for (const [i, mark] of answers.entries()) {
      if (mark === undefined) continue;
      agreed.add(others[i]!);
      const fault = mark === null ? null : faultIn(own, mark, others[i]!);
      if (fault === null) continue;
      // It did not get slow; it lies: votes it has answered for are gone, and others may be counting on them.
      await this.#store.quarantine(fault);
      this.#report(`quarantined, this node never votes again with this store: ${fault}`);
      return true;
    }
    if (!this.#quorums.isPhase1(agreed)) return false;
    // Durable before the first word: peers hold against a later start what this one says from here on.
    await this.#store.confirm();
    this.#checked = true;
    return true;
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
  if (identity === null) return { incarnation: "", boot: 0, run: "", seq: 0 };
  const { incarnation, boot, run } = identity;
  return { incarnation, boot, run, seq: store.seq() };
}

/** The peer's mark of `of`; null: none; undefined: no answer. */
async function askMark(transport: Transport, peer: NodeId, of: NodeId): Promise<Mark | null | undefined> {
  try {
    const reply = await transport.send(peer, "acceptor", { type: "marks", of });
    return reply.type === "marks" && reply.of === of ? reply.mark : undefined;
  } catch {
    return undefined;
  }
}

function faultIn(own: Mark, heard: Mark, peer: NodeId): string | null {
  if (heard.incarnation !== own.incarnation) return `${peer} knows another life of this member`;
  if (heard.boot > own.boot) return `${peer} has heard from boot ${heard.boot}, this store is at boot ${own.boot}`;
  // Until it is confirmed this process says nothing of its commits, so somebody else has spoken for this boot: a copy.
  if (heard.boot === own.boot) return `${peer} hears from another process of boot ${own.boot}`;
  if (heard.seq > own.seq) return `${peer} has heard of commit ${heard.seq}, this store is at ${own.seq}`;
  return null;
}
