/** Several locks, all or none for who asks: taken one after the other in byte order, so that two sets never wait in a ring. */
import { compareKeys } from "../key_order.ts";
import { HANDOVER_TTL_MS } from "../limits.ts";
import { confirmIdOf } from "./grant_ids.ts";
import type { Asking, Granted, GrantParts } from "./grant_parts.ts";
import type { Grants } from "./grants.ts";
import { lost } from "./results.ts";
import type { AcquireAllRequest, AcquireRequest, Caller } from "./service.ts";
import { SetUndo, type Taken as Undone } from "./set_undo.ts";

type Taken = Granted & Undone & { readonly id: string };

/** @param set digest of the names asked for together */
export function lockAsking(request: AcquireRequest, set?: string): Asking {
  const { holder, ttlMs, waitMs, mode, metadata, lockDelayMs, session, renews } = request;
  return {
    holder,
    mode,
    waitMs,
    // One of a set is told once all are there, so nobody can have been told of it before.
    ...(renews === undefined || set !== undefined ? {} : { renews }),
    ...(session === undefined ? {} : { session }),
    ...(set === undefined ? {} : { isOfSet: true }),
    op: (how, atMs) => ({
      type: "acquire",
      holder,
      mode,
      ttlMs,
      lockDelayMs,
      ...(metadata === undefined ? {} : { metadata }),
      ...(set === undefined ? {} : { set }),
      ...how,
      atMs,
    }),
  };
}

export class LockSets {
  readonly #parts: GrantParts;
  readonly #grants: Grants;
  readonly #undo: SetUndo;

  constructor(parts: GrantParts, grants: Grants) {
    this.#parts = parts;
    this.#grants = grants;
    this.#undo = new SetUndo(parts, grants);
  }

  /**
   * In the order of `names`, each once. Until all are there each is held like a grant out of a queue, which lapses soon
   * unless this request renews it: if this node dies or the caller goes away meanwhile, little is kept for long. The same
   * request at another node goes on with it. Rejects as a single lock does, with the name in `more`, once what was taken
   * is given back; what an earlier try may have been answered with is in `stillHeld` there.
   */
  async acquire(
    names: readonly string[],
    { born = {}, ...request }: AcquireAllRequest,
    caller: Caller,
  ): Promise<readonly (Granted & { readonly name: string })[]> {
    const { clock, digest } = this.#parts;
    const order = [...new Set(names)].sort(compareKeys);
    const set = digest(JSON.stringify(order)).slice(0, 16);
    const startedMs = clock.now();
    const leftMs = () => Math.max(0, startedMs + request.waitMs - clock.now());
    const taken = new Map<string, Taken>();
    const stop = this.#keepAlive(taken, request, caller);
    let name = "";
    try {
      for (name of order) {
        const asking = lockAsking({ ...request, waitMs: leftMs() }, set);
        taken.set(name, await this.#take(name, asking, { ...caller, ...(bornOf(born, name)) }));
        caller.signal?.throwIfAborted();
      }
      await stop();
      await this.#confirm(taken, caller, startedMs, (failed) => name = failed);
      if (this.#grants.isForgotten(caller)) caller.signal?.throwIfAborted();
      return [...new Set(names)].map((name) => ({ name, ...taken.get(name)! }));
    } catch (error) {
      await stop();
      throw await this.#undo.undo(order, taken, caller, error, name);
    }
  }

  async #take(name: string, asking: Asking, caller: Caller): Promise<Taken> {
    const { machine } = this.#parts;
    const { subject, idempotencyKey } = caller;
    const granted = await this.#grants.ask(name, asking, caller);
    const { id = idempotencyKey, state } = granted;
    // Results of one subject leave the window in the order they came, so one that lacks the confirmation but has the grant
    // never had it; and one that has neither is too old to tell, and is left alone.
    const isAnswered = machine.lookup(state, subject, confirmIdOf(id))?.outcome === "renewed";
    return { ...granted, id, isNew: machine.lookup(state, subject, id) !== null && !isAnswered };
  }

  /**
   * A lock taken first must outlive the wait for the last, and no longer than somebody asks for it. The returned function
   * resolves once no renewal is under way any more: what is given back after that has the lease that is known.
   */
  #keepAlive(taken: Map<string, Taken>, { ttlMs }: AcquireRequest, caller: Caller): () => Promise<void> {
    const { clock } = this.#parts;
    const everyMs = Math.min(ttlMs, HANDOVER_TTL_MS) / 3;
    const underWay = new Set<Promise<void>>();
    let cancel = () => {};
    const renewOne = async (name: string, one: Taken) => {
      // That it is lost the confirmation finds out; what was not decided in time may be the next time.
      const granted = await this.#grants.holds.keepProvisional(name, one.hold, caller).catch(() => null);
      if (granted !== null) taken.set(name, { ...one, hold: granted.hold, state: granted.state });
    };
    const renew = () => {
      cancel = clock.after(everyMs, renew);
      if (caller.signal?.aborted === true) return cancel();
      for (const [name, one] of taken) {
        if (!one.hold.unconfirmed) continue;
        const renewing: Promise<void> = renewOne(name, one).finally(() => underWay.delete(renewing));
        underWay.add(renewing);
      }
    };
    cancel = clock.after(everyMs, renew);
    return async () => {
      cancel();
      await Promise.all(underWay);
    };
  }

  /**
   * As a grant out of the queue: renewed for this answer, which two nodes that have the same request race for. Whatever each
   * came to is noted, so that it can be given back, before one that failed is told.
   */
  async #confirm(
    taken: Map<string, Taken>,
    caller: Caller,
    startedMs: number,
    onFailure: (name: string) => void,
  ): Promise<void> {
    const waitedMs = this.#parts.clock.now() - startedMs;
    const ends = await Promise.allSettled([...taken].map(async ([name, one]) => {
      const granted = await this.#grants.holds.confirm(name, one.hold, one.id, caller);
      if (granted === null) throw lost(one.hold.fence);
      const { isFirst, ...confirmed } = granted;
      // Another node that has the same request may have answered it by now.
      taken.set(name, { ...one, ...confirmed, waitedMs, isNew: one.isNew && isFirst, isReplayed: !one.isNew });
    }));
    ends.forEach((end, i) => {
      if (end.status === "fulfilled") return;
      onFailure([...taken.keys()][i]!);
      throw end.reason;
    });
  }
}

function bornOf(born: Readonly<Record<string, number>>, name: string): { readonly born?: number } {
  const known = Object.hasOwn(born, name) ? born[name] : undefined;
  return known === undefined ? {} : { born: known };
}
