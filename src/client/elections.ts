/** Elections: one leader of a name at a time, who says something of itself. */
import type { ElectionState, Leadership, LeaderView } from "../api.ts";
import { below } from "../http/named.ts";
import { type Calls, checkedTarget } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { endlessEvents } from "./events.ts";
import { type Held, HeldGrant, surelyHeld, whileHeld } from "./held.ts";
import { endIfLost } from "./hold.ts";
import { endWhatIsOver, type Lease } from "./lease.ts";
import { leaseOf } from "./sessions.ts";
import { bodyOf, take, type TakeOptions } from "./take.ts";
import { paused } from "./world.ts";

/** What a campaign is run with. */
export interface CampaignOptions extends Omit<TakeOptions, "holder" | "metadata"> {
  /** Who campaigns, for people. Default: made up. */
  readonly candidate?: string;
  /** What the leader says of itself, up to 1,024 bytes: where it can be reached, for example. */
  readonly value?: string;
}

/** The time in which this process leads. Its `fence` is its number, which elections call the term. */
export interface Term extends Held {
  /** Who leads, as it calls itself. */
  readonly candidate: string;
  /**
   * Replaces the value that the leader says of itself. Rejects with `lost` once the term is over, here or for the nodes; `signal`
   * has aborted then.
   */
  proclaim(value: string): Promise<void>;
}

/** Who leads. */
export interface Leader {
  /** Its name, as it calls itself. */
  readonly candidate: string;
  /** The fence of its term. */
  readonly term: bigint;
  /** What it says of itself. */
  readonly value?: string;
}

/** Elections of a cluster. */
export interface Elections {
  /**
   * Campaigns, calls back while it leads, resigns when the callback has ended, and campaigns again, until `signal`
   * aborts. The abort reaches the signal of the present term too; `run` resolves when the callback has ended and the
   * term is given back. An error that the callback throws while it leads ends `run`, which rejects with it; one that it
   * throws after the term was lost is dropped. Failures of the cluster are waited out.
   */
  run(name: string, options: CampaignOptions, callback: (term: Term) => unknown): Promise<void>;
  /**
   * Resolves with the term once it leads. Rejects with `held` once `wait` is over, and with the signal's reason if that
   * aborts first.
   */
  campaign(name: string, options?: CampaignOptions): Promise<Term>;
  /**
   * Yields the leader, or null if there is none: now, and whenever the leader or its value changes. Ends once `signal`
   * aborts.
   */
  observe(name: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<Leader | null>;
  /** Resolves with who leads now, or with null if nobody does. */
  leader(name: string, options?: { readonly signal?: AbortSignal }): Promise<Leader | null>;
}

/** Between two terms of one process, so that others come to it and a callback that ends at once does no harm. */
const AGAIN_MS = 200;

class HeldTerm extends HeldGrant implements Term {
  readonly candidate: string;
  readonly #proclaim: (value: string) => Promise<void>;
  readonly #stop: AbortSignal;

  /** @param stop aborts when it is to be given up, though it is held */
  constructor(
    parts: ConstructorParameters<typeof HeldGrant>[0],
    proclaim: (value: string) => Promise<void>,
    stop: AbortSignal | undefined,
  ) {
    super(parts);
    this.candidate = (parts.taken.parts[0]!.told as unknown as Leadership).candidate;
    this.#proclaim = proclaim;
    this.#stop = stop === undefined ? super.signal : AbortSignal.any([super.signal, stop]);
  }

  override get signal(): AbortSignal {
    this.lease.look();
    return this.#stop;
  }

  proclaim(value: string): Promise<void> {
    return this.#proclaim(value);
  }
}

export function createElections(calls: Calls): Elections {
  const campaign = async (name: string, options: CampaignOptions = {}, stop?: AbortSignal) => {
    const { candidate, value, wait = Infinity, signal, onPosition } = options;
    const session = leaseOf(options.session);
    const target = checkedTarget("elections", name);
    const body = {
      ...bodyOf(options),
      ...(candidate !== undefined && { candidate }),
      ...(value !== undefined && { value }),
    };
    const taken = await take(calls, { target, body, waitMs: wait, signal, onPosition });
    const held = new HeldTerm({ calls, taken, noun: "election", session }, async (value) => {
      const path = below(target, `/${held.fence}`);
      const call = { method: "PUT", target: path, body: { value }, command: calls.command() } as const;
      await whileLeading(held.lease, (signal) => calls.json(call, { signal }));
    }, stop);
    return await surelyHeld(held);
  };

  async function run(name: string, options: CampaignOptions, callback: (term: Term) => unknown): Promise<void> {
    const { signal } = options;
    const isOver = () => signal?.aborted === true;
    while (!isOver()) {
      let term: HeldTerm | null = null;
      try {
        term = await campaign(name, options, signal);
        await whileHeld(term, callback);
      } catch (error) {
        if (isOver()) return;
        if (term === null && !(error instanceof QuorateError && error.retryable)) throw error;
        // Whoever lost its term may well fail; whoever had it to its end has failed by itself.
        if (term?.reason?.how === "disposed") throw error;
      }
      await paused(calls.clock, AGAIN_MS, signal);
    }
  }

  return {
    run,
    campaign: (name, options) => campaign(name, options),
    async leader(name, { signal } = {}) {
      const call = { method: "GET", target: checkedTarget("elections", name) } as const;
      return leaderOf((await calls.json<ElectionState>(call, { signal })).body.leader);
    },
    observe: (name, { signal = new AbortController().signal } = {}) => observe(calls, name, signal),
  };
}

/** Nodes may count on a term for longer than its leader does: to say more in it would renew it, and nobody would lead. */
async function whileLeading(lease: Lease, say: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  try {
    await say(lease.signal);
  } catch (error) {
    endIfLost(lease, error);
    if (lease.reason === null || error !== lease.reason) throw error;
    throw new QuorateError("lost", lease.reason.message, { retryable: false, cause: error });
  }
}

async function* observe(calls: Calls, name: string, signal: AbortSignal): AsyncGenerator<Leader | null, void> {
  let last = "";
  for await (
    const { data } of endlessEvents(calls, { target: below(checkedTarget("elections", name), "/events") }, signal)
  ) {
    const leader = leaderOf((data as ElectionState).leader);
    const seen = leader === null ? "null" : `${leader.term} ${leader.value}`;
    if (seen === last) continue;
    last = seen;
    endWhatIsOver();
    yield leader;
  }
}

function leaderOf(leader: LeaderView | null): Leader | null {
  if (leader === null) return null;
  const { candidate, term, value } = leader;
  return { candidate, term: BigInt(term), ...(value !== undefined && { value }) };
}
