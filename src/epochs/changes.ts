/** Changes of members that an operator asks for: judged, decided by the members there are, and then followed (PROTOCOL.md §9). */
import type { MembersState } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochConfig } from "../ports.ts";
import { type ChangeFacts, type ChangeRequest, isDone, objection, refusalOf, type Standing } from "./change.ts";
import { clusterConfigIn } from "./epoch_config.ts";
import type { Epochs } from "./epochs.ts";
import type { Herald } from "./herald.ts";
import { type Known, rowInto } from "./news.ts";
import type { ReservedKeys } from "./reserved_keys.ts";

export type ChangesParts = {
  readonly epochs: Epochs;
  readonly herald: Herald;
  /** Those of the node that runs now. */
  readonly keys: () => ReservedKeys;
  readonly learners: readonly NodeId[];
  /** This node, as it is now. */
  readonly own: () => Standing;
  /** Whether names and values would be read by anybody on the way to it, though the operator has not said so. */
  readonly refuseUrl: (url: string) => boolean;
  /** Whether it can be talked to by others at all. */
  readonly hasSecret: () => boolean;
  /** Whether a store of this id was met. */
  readonly isMet: (id: NodeId) => Promise<boolean>;
};

export class MemberChanges {
  readonly #parts: ChangesParts;

  constructor(parts: ChangesParts) {
    this.#parts = parts;
  }

  /** What the members are, as far as this node knows. */
  state(): Pick<MembersState, "cluster" | "epoch" | "members"> {
    const { cluster, epoch, members } = this.#known().current;
    return { cluster, epoch, members: members.map(({ id, url }) => ({ id, url })) };
  }

  /**
   * Resolves once the members are these and this node is in their epoch; names move later. Rejects with `precondition-failed`
   * where another epoch is in force, with `invalid-request` or `not-ready` where these may not be the members, or not yet, and
   * as a write of a register does.
   */
  async change(request: ChangeRequest, timeoutMs: number): Promise<"changed" | "unchanged"> {
    const { epochs } = this.#parts;
    if (this.#isNothing(request)) return "unchanged";
    // What somebody asked for before may have been decided, and whoever did may be gone.
    await this.#follow(await this.#parts.keys().next(timeoutMs));
    if (this.#isNothing(request)) return "unchanged";
    const facts = await this.#facts(request);
    const { current } = facts;
    const objected = objection(request, facts);
    if (objected !== null) throw objected;
    const next = { ...current, epoch: current.epoch + 1, members: request.members };
    const decided = await this.#parts.keys().decideNext(next, timeoutMs);
    await this.#follow(decided);
    if (clusterConfigIn(decided).text === clusterConfigIn(next).text) return "changed";
    const epoch = epochs.known?.current.epoch ?? decided.epoch;
    throw new QuorateError("precondition-failed", `other members were decided for epoch ${decided.epoch} meanwhile`, {
      more: { epoch },
    });
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
