/** Changes of members that an operator asks for: judged, decided by the members there are, and then followed (PROTOCOL.md §9). */
import type { MembersState } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochConfig } from "../ports.ts";
import { livesOf } from "../replica/lives.ts";
import { type ChangeFacts, type ChangeRequest, isDone, objection, refusalOf, type Standing } from "./change.ts";
import type { Epochs } from "./epochs.ts";
import type { Herald } from "./herald.ts";
import { type Known, rowInto } from "./news.ts";
import type { ReservedKeys } from "./reserved_keys.ts";

export type ChangesParts = {
  readonly epochs: Epochs;
  readonly herald: Herald;
  /** Keys of the node that runs now, and what resolves once it leaves its epoch. */
  readonly here: () => { readonly keys: ReservedKeys; readonly left: Promise<void> };
  readonly learners: readonly NodeId[];
  /** This node, as it is now. */
  readonly own: () => Standing;
  /** Whether names and values would be read by anybody on the way to it, though the operator has not said so. */
  readonly refuseUrl: (url: string) => boolean;
  /** Whether it can be talked to by others at all. */
  readonly hasSecret: () => boolean;
  /** As that of Epochs. */
  readonly lifeOf: (id: NodeId) => Promise<string | null>;
  /** Whether this node, or a member that answers, has met a store of this id. */
  readonly isMet: (id: NodeId) => Promise<boolean>;
};

/** Each time this node goes over to another epoch it looks at the request anew. */
const TRIES_MAX = 5;
const WENT_OVER = new Error("this node went over to another epoch");

export class MemberChanges {
  readonly #parts: ChangesParts;

  constructor(parts: ChangesParts) {
    this.#parts = parts;
  }

  /** What the members are, and who they were before, as far as this node knows. */
  state(): Omit<MembersState, "changing"> {
    const { current: { cluster, epoch, members }, row } = this.#known();
    const before = row === null ? {} : { before: row.before.members.map(({ id }) => id) };
    return { cluster, epoch, members: members.map(({ id, url }) => ({ id, url })), ...before };
  }

  /**
   * Resolves once the members are these and this node is in their epoch; names move later. Rejects with `precondition-failed`
   * where another epoch is in force, with `invalid-request`, `not-upgraded` or `not-ready` where these may not be the
   * members, or not yet, and as a write of a register does.
   */
  async change(request: ChangeRequest, timeoutMs: number): Promise<"changed" | "unchanged"> {
    let hasProposed = false;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (this.#isNothing(request)) return hasProposed ? "changed" : "unchanged";
      try {
        // What somebody asked for before may have been decided, and whoever did may be gone.
        await this.#follow(await this.#whileHere((keys) => keys.next(timeoutMs)));
        if (this.#isNothing(request)) return "unchanged";
        const facts = await this.#facts(request);
        const objected = objection(request, facts);
        if (objected !== null) throw objected;
        const { current } = facts;
        const ids = current.members.map(({ id }) => id);
        const origin = current.origin ?? await livesOf(ids, this.#parts.lifeOf);
        const next = { ...current, epoch: current.epoch + 1, members: request.members, origin };
        hasProposed = true;
        await this.#follow(await this.#whileHere((keys) => keys.decideNext(next, timeoutMs)));
      } catch (error) {
        if (error !== WENT_OVER) throw error;
        // Others brought this node into another epoch meanwhile: that one's members are what is asked about now.
        await this.#parts.epochs.settled();
      }
    }
    throw new QuorateError("not-ready", "the members changed again and again meanwhile");
  }

  /** Rejects with WENT_OVER if this node leaves its epoch before: what it is asked for then never comes. */
  async #whileHere<T>(work: (keys: ReservedKeys) => Promise<T>): Promise<T> {
    const { keys, left } = this.#parts.here();
    const gone = left.then(() => {
      throw WENT_OVER;
    });
    return await Promise.race([work(keys), gone]);
  }

  /** Goes into the epoch that was decided; null: none was. */
  async #follow(next: EpochConfig | null): Promise<void> {
    const { epochs, own } = this.#parts;
    const known = this.#known();
    if (next === null || next.epoch !== known.current.epoch + 1) return;
    await epochs.hear(rowInto(known, next), own().id);
  }

  /** True: there is nothing to do. Throws QuorateError. */
  #isNothing(request: ChangeRequest): boolean {
    if (isDone(request, this.#known().current)) return true;
    const refusal = refusalOf(request, this.#now());
    if (refusal !== null) throw refusal;
    return false;
  }

  #now(): Omit<ChangeFacts, "standings" | "met"> {
    const { current, row } = this.#known();
    return { current, isMoving: row !== null && row.first === null, learners: this.#parts.learners };
  }

  async #facts({ members }: ChangeRequest): Promise<ChangeFacts> {
    const { herald, own, isMet, hasSecret, refuseUrl } = this.#parts;
    if (!hasSecret()) throw new QuorateError("not-ready", "QUORATE_PEER_SECRET is needed, the same on every node");
    const { current } = this.#known();
    const me = own();
    const all = new Map([...current.members, ...members].map(({ id, url }) => [id, url]));
    const newcomers = members.filter(({ id }) => current.members.every((member) => member.id !== id));
    const insecure = newcomers.find(({ url }) => refuseUrl(url));
    if (insecure !== undefined) {
      const detail =
        `members has ${insecure.id} at ${insecure.url}, which anybody on the way can read: take https, or start ` +
        "the nodes with --insecure-peers";
      throw new QuorateError("invalid-request", detail, { field: "members" });
    }
    const [standings, met] = await Promise.all([
      Promise.all(
        [...all].map(async ([id, url]) => [id, id === me.id ? me : await herald.standing({ id, url })] as const),
      ),
      Promise.all(newcomers.map(async ({ id }) => await isMet(id) ? [id] : [])),
    ]);
    return { ...this.#now(), standings: new Map(standings), met: new Set(met.flat()) };
  }

  #known(): Known {
    const { known } = this.#parts.epochs;
    if (known === null) throw new QuorateError("not-ready", "this node waits to be made a member");
    return known;
  }
}
