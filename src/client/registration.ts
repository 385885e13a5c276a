/** An ephemeral value that is kept alive: what a registry of services is made of. */
import type { Calls } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { Hold } from "./hold.ts";
import type { Kv, KvInput } from "./kv.ts";
import { type Bound, Lease, momentOf } from "./lease.ts";
import { leaseOf, type Session } from "./sessions.ts";

/** What a value is registered with. */
export interface RegisterOptions {
  /** How long the value outlives this process, in ms: 1,000 to 3,600,000. Default: 10,000. Not with `session`. */
  readonly ttl?: number;
  /** It lives as long as this session, and is not put again by itself. */
  readonly session?: Session;
  /** Gives up registering; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** A value that stays as long as this does. */
export interface Registration extends AsyncDisposable {
  /** What names it. */
  readonly key: string;
  /** Aborts once it may not be there any more: not kept in time, or written over by somebody else. */
  readonly signal: AbortSignal;
  /** Deletes it. Rejects if no node confirmed it within 3 s; it ends by itself then. */
  release(): Promise<void>;
  /** As `release`, but never rejects. */
  [Symbol.asyncDispose](): Promise<void>;
}

const TTL_MS = 10_000;
/** The share of a ttl that is surely there: clocks may be 1 % apart. */
const SURE_SHARE = 0.99;

export async function register(
  calls: Calls,
  kv: Kv,
  key: string,
  value: KvInput,
  { ttl = TTL_MS, session, signal }: RegisterOptions = {},
): Promise<Registration> {
  const sessionLease = leaseOf(session);
  const life = session === undefined ? { ttl } : { session };
  const putOver = async (over: bigint | null | undefined, signal: AbortSignal | undefined) => {
    const since = momentOf(calls.clock);
    const options = { ...life, ...(over !== undefined && { over }), ...(signal !== undefined && { signal }) };
    const revision = await kv.put(key, value, options);
    return { revision, bound: { since, lengthMs: ttl * SURE_SHARE } satisfies Bound };
  };
  const first = await putOver(undefined, signal);
  let revision = first.revision!;

  /** The same again keeps it alive unchanged; where it has ended it is put anew, and over nobody else's. */
  const renew = async (signal: AbortSignal): Promise<Bound> => {
    for (const over of [revision, null]) {
      const put = await putOver(over, signal);
      if (put.revision === null) continue;
      revision = put.revision;
      return put.bound;
    }
    throw new QuorateError("lost", `somebody else wrote ${key}`, { retryable: false });
  };
  const hold = new Hold({
    clock: calls.clock,
    lease: new Lease(calls.clock, `registration ${key}`, sessionLease ?? first.bound),
    keepsItself: session === undefined,
    renew,
    giveBack: async (signal) => void await kv.delete(key, { over: revision, signal }),
  });
  return {
    key,
    get signal() {
      return hold.lease.signal;
    },
    release: () => hold.release(),
    [Symbol.asyncDispose]: () => hold.dispose(),
  };
}
