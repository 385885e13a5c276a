/** What becomes of several locks that were asked for together and refused: given back, or told to who asked. */
import { QuorateError } from "../errors.ts";
import type { Hold } from "../machine/op.ts";
import type { GrantParts } from "./grant_parts.ts";
import type { Grants } from "./grants.ts";
import { begun } from "./results.ts";
import type { Caller } from "./service.ts";

/** `isNew`: nobody was told of it yet, so it can be given back. */
export type Taken = { readonly hold: Hold; readonly isNew: boolean };

type StillHeld = { readonly name: string; readonly fence: string };

/** Until a member that could not be given back is tried again; in all no longer than its lease lasts. */
const GIVE_BACK_AGAIN_MS = 500;
/** So often a member is looked at that an earlier try renews meanwhile. */
const LOOKS_MAX = 3;

export class SetUndo {
  readonly #parts: GrantParts;
  readonly #grants: Grants;

  constructor(parts: GrantParts, grants: Grants) {
    this.#parts = parts;
    this.#grants = grants;
  }

  /**
   * Gives back what `taken` has that nobody was told of, and resolves with what the caller is told instead of `error`: with
   * the name it is about, and with what the caller still has. An earlier try may have been answered with some of the set, so
   * that is not ended behind the back of who holds it; the caller is told of it, and can.
   * @param names the whole set, also what this try did not come to
   */
  async undo(
    names: readonly string[],
    taken: ReadonlyMap<string, Taken>,
    caller: Caller,
    error: unknown,
    name: string,
  ): Promise<unknown> {
    const told = taken.size > 0 && isNone(error) ? begun(error, caller.idempotencyKey) : error;
    const isUnknown = !(told instanceof QuorateError) || told.code === "outcome-unknown";
    // The caller will ask again with its key, and goes on with what is taken; what is not confirmed lapses soon.
    if (isUnknown && (caller.anonymous !== true || this.#parts.isDraining())) return told;
    const ends = Promise.all(names.map((one) => this.#end(one, taken.get(one), caller)));
    const kept = await ends.catch((failed) => begun(failed, caller.idempotencyKey));
    if (!(told instanceof QuorateError)) return told;
    // What is not known of one lock is not known of the set.
    if (!Array.isArray(kept)) return kept;
    const stillHeld = kept.filter((one) => one !== null);
    const more = { ...told.facts.more, name, ...(stillHeld.length === 0 ? {} : { stillHeld }) };
    return new QuorateError(told.code, told.message, { ...told.facts, more });
  }

  /** Resolves with what is left of it; rejects as a read does, or as a release of what has a key. */
  async #end(name: string, taken: Taken | undefined, caller: Caller): Promise<StillHeld | null> {
    // Whoever has no key of its own has asked for nothing before.
    const isFirst = caller.anonymous === true;
    const isOwn = taken !== undefined && (taken.isNew || isFirst);
    // Who has a key asks again after what is unknown; nobody would after a refusal, and it would stay for its whole ttl.
    const giveBack = () => isFirst ? this.#giveBack(name, taken!.hold, caller) : this.#once(name, taken!.hold, caller);
    if (isOwn && await giveBack()) return null;
    return isFirst ? null : await this.#look(name, caller);
  }

  async #look(name: string, caller: Caller): Promise<StillHeld | null> {
    const { signal: _over, ...rest } = caller;
    for (let i = 0; i < LOOKS_MAX; i++) {
      const { state } = await this.#grants.reads.get(name, { stale: false, timeoutMs: caller.timeoutMs });
      const hold = this.#grants.holdOf(state, caller);
      if (hold === null) return null;
      if (!hold.unconfirmed) return { name, fence: hold.fence };
      // Nobody was told of it.
      if (await this.#grants.holds.giveBack(name, hold, rest)) return null;
    }
    // Somebody keeps it for an earlier try, which finds what is gone by itself.
    return null;
  }

  /**
   * Resolves after the first try, with false where it was not this hold any more; one that failed is tried again behind the
   * answer, until the lease is over by itself.
   */
  async #giveBack(name: string, hold: Hold, caller: Caller): Promise<boolean> {
    const { clock } = this.#parts;
    const untilMs = clock.now() + hold.ttlMs;
    const once = () => this.#once(name, hold, caller).catch(() => null);
    const again = () => {
      if (this.#parts.isDraining() || clock.now() >= untilMs) return;
      clock.after(GIVE_BACK_AGAIN_MS, () => void once().then((wasThis) => wasThis ?? again()));
    };
    const wasThis = await once();
    if (wasThis === null) again();
    return wasThis !== false;
  }

  /** Null: it is to be tried again. */
  async #once(name: string, taken: Hold, caller: Caller): Promise<boolean | null> {
    const { signal: _over, ...rest } = caller;
    let hold = taken;
    for (let i = 0; i < LOOKS_MAX; i++) {
      if (await this.#grants.holds.giveBack(name, hold, rest)) return true;
      if (caller.anonymous !== true) return false;
      // Nobody else has this key: a renewal of this request's own, given up as unknown, was decided after all.
      const { state } = await this.#grants.reads.get(name, { stale: false, timeoutMs: caller.timeoutMs });
      const newest = this.#grants.holdOf(state, caller);
      if (newest === null) return true;
      hold = newest;
    }
    return null;
  }
}

function isNone(error: unknown): boolean {
  return error instanceof QuorateError && error.code === "no-quorum";
}
