/** What locks, terms and permits have alike for whoever holds them. */
import { below } from "../http/named.ts";
import type { Calls } from "./calls.ts";
import { type Kept, KeptByHold, renewed } from "./kept.ts";
import { endWhatIsOver, firstToEnd, Lease } from "./lease.ts";
import { fenceIn, giveBack, type Part, type Taken } from "./take.ts";

/** A grant that is held. */
export interface Held extends Kept {
  /** The name that is held; the first one, where several locks were taken together. */
  readonly name: string;
  /**
   * The fencing token: it grows with every grant of this name, for ever. Send it with each write to the resource that
   * the grant guards, and let that resource refuse a fence below the highest it has seen. Where several locks were
   * taken together it is that of the first name; see `fences`.
   */
  readonly fence: bigint;
  /** The fences by name: one, or as many as locks were taken together. */
  readonly fences: ReadonlyMap<string, bigint>;
}

export type HeldParts = {
  readonly calls: Calls;
  readonly taken: Taken;
  /** As in `lock`, for the text of errors. */
  readonly noun: string;
  /** What it lives by, if it is bound to a session of this process. */
  readonly session: Lease | null;
};

export class HeldGrant extends KeptByHold implements Held {
  readonly name: string;
  readonly fences: ReadonlyMap<string, bigint>;

  constructor({ calls, taken, noun, session }: HeldParts) {
    const { parts, bound } = taken;
    const fences = new Map(parts.map(({ told }) => [told.name, BigInt(fenceIn(told))]));
    // To bind something is a sign of life of the session.
    session?.extend(bound);
    const lease = new Lease(calls.clock, `${noun} ${[...fences.keys()].join(", ")}`, session ?? bound);
    const renewOne = ({ target, told }: Part, signal: AbortSignal) => {
      const path = below(target, `/${fenceIn(told)}`);
      return renewed(calls, { method: "PUT", target: path, body: {}, command: calls.command() }, lease, signal);
    };
    super({
      clock: calls.clock,
      lease,
      keepsItself: session === null,
      renew: async (signal) => firstToEnd(await Promise.all(parts.map((part) => renewOne(part, signal))), calls.clock),
      giveBack: async (signal) => void await Promise.all(parts.map((part) => giveBack(calls, part, { signal }))),
    });
    this.name = parts[0]!.told.name;
    this.fences = fences;
  }

  get fence(): bigint {
    return this.fences.get(this.name)!;
  }
}

/** As it is, if it is held: a session that it is bound to may have ended meanwhile. Rejects with `lock-lost`. */
export async function surelyHeld<H extends HeldGrant>(held: H): Promise<H> {
  const { reason } = held;
  if (reason === null) return held;
  await held[Symbol.asyncDispose]();
  throw reason;
}

/** Calls back while it is held. What the callback makes of it counts only if it was held to its end. */
export async function whileHeld<H extends HeldGrant, T>(held: H, run: (held: H) => T | Promise<T>): Promise<T> {
  try {
    endWhatIsOver();
    const result = await run(held);
    const { reason } = held;
    if (reason !== null && reason.how !== "disposed") throw reason;
    return result;
  } finally {
    await held[Symbol.asyncDispose]();
  }
}
