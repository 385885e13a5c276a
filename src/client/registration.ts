/** An ephemeral value that is kept alive: what a registry of services is made of. */
import { DRIFT } from "../limits.ts";
import type { CallLimits, Calls } from "./calls.ts";
import { QuorateError } from "./error.ts";
import type { HoldParts } from "./hold.ts";
import { KeptByHold, limitsOfRenewal } from "./kept.ts";
import { type Kv, type KvInput, putOnce } from "./kv.ts";
import { type Bound, Lease, momentOf } from "./lease.ts";
import { leaseOf, type Session } from "./sessions.ts";

/** What a value is registered with. */
export interface RegisterOptions {
  /** How long the value outlives this process, in ms: 1,000 to 3,600,000. Default: 10,000. Not with `session`. */
  readonly ttl?: number;
  /** The value lives as long as this session, and is not put again by itself. */
  readonly session?: Session;
  /** Gives up registering; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** A value that stays as long as this does. */
export interface Registration extends AsyncDisposable {
  /** What names it. */
  readonly key: string;
  /**
   * Aborts once the value may be gone: it was not kept alive in time, or somebody else wrote the key. The latter is not
   * noticed where it lives by a session.
   */
  readonly signal: AbortSignal;
  /** Deletes it. Rejects if no node confirmed it within 3 s; it ends by itself then. */
  release(): Promise<void>;
  /** As `release`, but never rejects. */
  [Symbol.asyncDispose](): Promise<void>;
}

const TTL_MS = 10_000;

export async function register(
  calls: Calls,
  kv: Kv,
  key: string,
  value: KvInput,
  { ttl = TTL_MS, session, signal }: RegisterOptions = {},
): Promise<Registration> {
  const sessionLease = leaseOf(session);
  const life = session === undefined ? { ttl } : { session };
  const putOver = async (over: bigint | null | undefined, limits: CallLimits) => {
    const since = momentOf(calls.clock);
    const revision = await putOnce(calls, key, value, { ...life, ...(over !== undefined && { over }) }, limits);
    // Clocks may differ in rate.
    return { revision, bound: { since, lengthMs: ttl * (1 - DRIFT) } satisfies Bound };
  };
  const first = await putOver(undefined, { signal });
  let revision = first.revision!;
  const lease = new Lease(calls.clock, `registration ${key}`, sessionLease ?? first.bound);

  /** The same again keeps it alive unchanged; where it has ended it is put anew, and over nobody else's. */
  const renew = async (signal: AbortSignal): Promise<Bound> => {
    for (const over of [revision, null]) {
      const put = await putOver(over, limitsOfRenewal(calls, lease, signal));
      if (put.revision === null) continue;
      revision = put.revision;
      return put.bound;
    }
    throw new QuorateError("lost", `somebody else wrote ${key}`, { retryable: false });
  };
  return new RegisteredValue(key, {
    clock: calls.clock,
    lease,
    keepsItself: session === undefined,
    renew,
    giveBack: async (signal) => void await kv.delete(key, { over: revision, signal }),
  });
}

class RegisteredValue extends KeptByHold implements Registration {
  readonly key: string;

  constructor(key: string, parts: HoldParts) {
    super(parts);
    this.key = key;
  }
}
