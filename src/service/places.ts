/** Places in a queue, and grants out of it, by the request that they are for: found, and given up. */
import type { Answer, Left } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Hold } from "../machine/op.ts";
import { viewGrants } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import { ownState } from "../replica/own_state.ts";
import type { Outcome } from "../replica/pending.ts";
import { leaveId, LEAVES_MAX, waiterIds } from "./grant_ids.ts";
import type { GrantParts } from "./grant_parts.ts";
import type { Holds } from "./holds.ts";
import type { Reads } from "./reads.ts";
import { orUnknown } from "./results.ts";
import type { Caller } from "./service.ts";

/** How often, and how far apart, what may have been decided for nobody is looked for. */
const GIVE_UPS_MAX = 8;
const GIVE_UP_AGAIN_MS = 1_000;

export class Places {
  readonly #parts: GrantParts;
  readonly #prefix: string;
  readonly #reads: Reads;
  readonly #holds: Holds;

  constructor(parts: GrantParts, prefix: string, reads: Reads, holds: Holds) {
    this.#parts = parts;
    this.#prefix = prefix;
    this.#reads = reads;
    this.#holds = holds;
  }

  /** What is held for a request with this key, whichever of its tries got it. */
  holdOf(state: State, { subject, idempotencyKey }: Caller): Hold | null {
    const { machine } = this.#parts;
    const holds = waiterIds(idempotencyKey).map((id) => machine.holdOfCommand(state, subject, id));
    return holds.find((hold) => hold !== null) ?? null;
  }

  /** Whether this command waits or holds. */
  stands(state: State, subject: string, id: string): boolean {
    const { machine } = this.#parts;
    return machine.placeOfCommand(state, subject, id) !== null || machine.holdOfCommand(state, subject, id) !== null;
  }

  /** Whether another try of the request waits or holds. */
  hasOther(state: State, id: string, { subject, idempotencyKey }: Caller): boolean {
    return waiterIds(idempotencyKey).some((other) => other !== id && this.stands(state, subject, other));
  }

  /**
   * Takes the waiter of that key out of the queue, also where another node keeps its place. What its caller may have been told
   * of it keeps. Rejects with `outcome-unknown` if its place is renewed again and again meanwhile.
   */
  async leave(name: string, idempotencyKey: string, caller: Caller): Promise<Answer<Left>> {
    const { timeoutMs, subject } = caller;
    const { machine } = this.#parts;
    for (let i = 0; i < LEAVES_MAX; i++) {
      const read = this.#reads.get(name, { stale: false, timeoutMs });
      const { state, receipt } = await (i === 0 ? read : read.catch(orUnknown(caller.idempotencyKey)));
      const id = waiterIds(idempotencyKey).findLast((id) => this.stands(state, subject, id));
      const { revision } = viewGrants(state);
      if (id === undefined) return { body: { outcome: "left", revision }, receipt };
      const hold = machine.holdOfCommand(state, subject, id);
      if (hold !== null && !hold.unconfirmed) {
        return { body: { outcome: "granted", fence: hold.fence, revision }, receipt };
      }
      const left = this.withdraw(name, id, state, caller);
      const leftAt = await (i === 0 ? left : left.catch(orUnknown(caller.idempotencyKey)));
      if (leftAt !== null) return { body: { outcome: "left", revision: leftAt }, receipt };
    }
    throw new QuorateError("outcome-unknown", "the place is kept through another node", { outcome: "unknown" });
  }

  /**
   * What was asked for may be decided though nothing was heard of it in time. Nobody can come back for it, so this node looks
   * for it a few times more.
   */
  giveUpLater(name: string, caller: Caller, left = GIVE_UPS_MAX): void {
    const { clock, machine, isDraining } = this.#parts;
    const { signal: _gone, ...rest } = caller;
    const { subject, idempotencyKey, timeoutMs } = caller;
    const look = async () => {
      const { state } = await this.#reads.get(name, { stale: false, timeoutMs });
      const hold = this.holdOf(state, caller);
      if (hold !== null) return await this.#holds.giveBack(name, hold, rest);
      const id = waiterIds(idempotencyKey).findLast((id) => machine.placeOfCommand(state, subject, id) !== null);
      return id !== undefined && (await this.leavePlace(name, id, state, rest)).result.outcome === "left";
    };
    clock.after(GIVE_UP_AGAIN_MS, () => {
      if (isDraining()) return;
      look().catch(() => false).then((isDone) => isDone || left <= 1 || this.giveUpLater(name, caller, left - 1));
    });
  }

  /**
   * Gives up a place, or a grant out of the queue that nobody was told of, as far as it is still as its waiter left it. With
   * the revision after that; null if it was not so any more.
   * @param seen a state in which the place or the grant stands
   */
  async withdraw(name: string, id: string, seen: State, caller: Caller): Promise<string | null> {
    const { machine } = this.#parts;
    const { subject } = caller;
    let state = seen;
    if (machine.holdOfCommand(seen, subject, id) === null) {
      const left = await this.leavePlace(name, id, seen, caller);
      if (left.result.outcome === "left") return viewGrants(left.state).revision;
      state = left.state;
    }
    const hold = machine.holdOfCommand(state, subject, id);
    if (hold === null || !hold.unconfirmed) return null;
    if (!await this.#holds.giveBack(name, hold, caller)) return null;
    return viewGrants(await ownState(this.#parts, this.#prefix + name, caller.timeoutMs) ?? state).revision;
  }

  /**
   * Takes a place out of the queue as its last renewal left it. If that was renewed meanwhile by this node, which answers for
   * it, it is tried again; else its waiter has come back elsewhere, and it comes to `queued`.
   */
  async leavePlace(name: string, id: string, seen: State, caller: Caller): Promise<Outcome> {
    const { acceptor, machine, clock, random } = this.#parts;
    const { subject } = caller;
    const atMs = clock.wall();
    const own = await ownState(this.#parts, this.#prefix + name, caller.timeoutMs);
    let place = (own === null ? null : machine.placeOfCommand(own, subject, id)) ??
      machine.placeOfCommand(seen, subject, id);
    for (let i = 1;; i++) {
      const by = place?.place.by;
      const op = {
        type: "leave",
        place: machine.placeId(subject, id),
        ...(by === undefined ? {} : { by }),
        atMs,
      } as const;
      const left = await this.#holds.submit(name, op, caller, leaveId(id, by ?? random.id()));
      // The own record may have been behind: this is the state that the place was looked for in.
      place = machine.placeOfCommand(left.state, subject, id);
      const isOwn = place?.place.node === acceptor.rules.me;
      if (left.result.outcome !== "queued" || !isOwn || i === LEAVES_MAX) return left;
    }
  }
}
