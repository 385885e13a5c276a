/** Several locks, all or none for who asks: taken one after the other in byte order, so that two sets never wait in a ring. */
import { QuorateError } from "../errors.ts";
import type { Asking, Granted, GrantParts, Grants } from "./grants.ts";
import { begun, isSessionEnd, lost, orUnknown } from "./results.ts";
import type { AcquireRequest, Caller } from "./service.ts";

/** `isNew`: nobody was told of it yet, so it can be given back. */
type Taken = Granted & { readonly id: string; readonly isNew: boolean };

/** How often a set that was given back may be taken again under one Idempotency-Key. */
const TRIES_MAX = 100;

/** @param set digest of the names asked for together */
export function lockAsking(request: AcquireRequest, set?: string): Asking {
  const { holder, ttlMs, waitMs, mode, metadata, lockDelayMs, session } = request;
  return {
    holder,
    mode,
    waitMs,
    ...(session === undefined ? {} : { session }),
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

  constructor(parts: GrantParts, grants: Grants) {
    this.#parts = parts;
    this.#grants = grants;
  }

  /**
   * In the order of `names`, each once. If this node dies meanwhile, what it took lapses, or the same request at another
   * node goes on with it. Rejects as a single lock does, with the name in `more`, once what was taken is given back.
   */
  async acquire(
    names: readonly string[],
    request: AcquireRequest,
    caller: Caller,
  ): Promise<readonly (Granted & { readonly name: string })[]> {
    const { clock, digest } = this.#parts;
    const order = [...new Set(names)].sort(compareBytes);
    const set = digest(JSON.stringify(order)).slice(0, 16);
    const startedMs = clock.now();
    const leftMs = () => Math.max(0, startedMs + request.waitMs - clock.now());
    const taken = new Map<string, Taken>();
    const stop = this.#keepAlive(taken, request, caller);
    let name = "";
    try {
      for (name of order) {
        taken.set(name, await this.#take(name, lockAsking({ ...request, waitMs: leftMs() }, set), caller));
      }
      stop();
      const granted = await this.#confirm(taken, caller, clock.now() - startedMs);
      return [...new Set(names)].map((name) => ({ name, ...granted.get(name)! }));
    } catch (error) {
      stop();
      throw await this.#undo(taken, caller, error, name);
    }
  }

  async #take(name: string, asking: Asking, caller: Caller): Promise<Taken> {
    const { machine } = this.#parts;
    const { subject, idempotencyKey } = caller;
    for (let tries = 0;; tries++) {
      const id = tries === 0 ? idempotencyKey : `${idempotencyKey}+${tries}`;
      try {
        const asked = this.#grants.ask(name, asking, caller, id);
        const granted = await (tries === 0 ? asked : asked.catch(orUnknown(idempotencyKey)));
        // Results leave the window in the order they came, so one that lacks the confirmation but has the grant never
        // had it; and one that has neither is too old to tell, and is left alone.
        const result = (commandId: string) => machine.lookup(granted.state, subject, commandId);
        return { ...granted, id, isNew: result(id) !== null && result(answeredId(id)) === null };
      } catch (error) {
        // A session that has ended is lost for good.
        const isLost = error instanceof QuorateError && error.code === "lost" && !isSessionEnd(error);
        if (!isLost || tries === TRIES_MAX) throw error;
        // Answered once and over since: an old request come late. Else it was given back, and is taken again.
        const confirmed = this.#grants.confirmed(name, answeredId(id), caller).catch(orUnknown(idempotencyKey));
        if (await confirmed !== null) throw error;
      }
    }
  }

  /** A lock taken first must outlive the wait for the last. */
  #keepAlive(taken: Map<string, Taken>, { ttlMs, waitMs, session }: AcquireRequest, caller: Caller): () => void {
    // What is bound to a session its owner keeps.
    if (waitMs === 0 || session !== undefined) return () => {};
    const { clock, random } = this.#parts;
    let cancel = () => {};
    const renew = () => {
      cancel = clock.after(ttlMs / 3, renew);
      for (const [name, one] of taken) {
        const op = { type: "renew", fence: one.hold.fence } as const;
        this.#grants.renew(name, op, { ...caller, idempotencyKey: random.id() }).then(
          (granted) => taken.set(name, { ...one, ...granted }),
          // That it is lost the confirmation finds out; what was not decided in time may be the next time.
          () => {},
        );
      }
    };
    cancel = clock.after(ttlMs / 3, renew);
    return () => cancel();
  }

  /** As a grant out of the queue: renewed for this answer, which two nodes that have the same request race for. */
  async #confirm(
    taken: ReadonlyMap<string, Taken>,
    caller: Caller,
    waitedMs: number,
  ): Promise<ReadonlyMap<string, Granted>> {
    const confirmed = await Promise.all([...taken].map(async ([name, { hold, id }]) => {
      const granted = await this.#grants.confirm(name, hold, answeredId(id), caller);
      if (granted === null) throw lost(hold.fence);
      return [name, { ...granted, waitedMs }] as const;
    }));
    return new Map(confirmed);
  }

  /** What the caller is told, once nothing is kept that it is not told of. */
  async #undo(taken: ReadonlyMap<string, Taken>, caller: Caller, error: unknown, name: string): Promise<unknown> {
    // The caller will ask again with its key, and goes on with what is taken; or it is gone, and that lapses.
    if (!(error instanceof QuorateError) || error.code === "outcome-unknown") return error;
    if (error.code === "no-quorum" && taken.size > 0) return begun(error, caller.idempotencyKey);
    const { random } = this.#parts;
    await Promise.allSettled(
      [...taken].filter(([, { isNew }]) => isNew).map(([name, { hold }]) =>
        this.#grants.giveBack(name, hold, { ...caller, idempotencyKey: random.id() })
      ),
    );
    return new QuorateError(error.code, error.message, { ...error.facts, more: { ...error.facts.more, name } });
  }
}

/** Of the renewal that stands for the answer: it is decided for all names, or the caller was told of none. */
function answeredId(commandId: string): string {
  return `${commandId}&`;
}

const encoder = new TextEncoder();

function compareBytes(a: string, b: string): number {
  const [left, right] = [encoder.encode(a), encoder.encode(b)];
  const at = left.findIndex((byte, i) => byte !== right[i]);
  return at < 0 ? left.length - right.length : (left[at] ?? 0) - (right[at] ?? -1);
}
