/** Semaphores as users know them. */
import type { Answer, Forced, History, Left, Page, Released, SemaphoreGrant, SemaphoreState } from "../api.ts";
import { QuorateError } from "../errors.ts";
import { type Asking, type Granted, type GrantParts, oneGrantEach, type Refused } from "./grant_parts.ts";
import { Grants } from "./grants.ts";
import { historyItem } from "./views/lease.ts";
import { semaphoreGrant, SemaphoreViews } from "./views/semaphore.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import type { Caller, GrantListRequest, ReadAnswer, ReadOptions, SemaphoreService, TakeRequest } from "./service.ts";

export class Semaphores implements SemaphoreService {
  readonly #grants: Grants;
  readonly #views: SemaphoreViews;

  constructor(parts: GrantParts) {
    const views = new SemaphoreViews(parts.leases);
    this.#views = views;
    this.#grants = new Grants(parts, {
      prefix: KEY_PREFIXES.semaphore,
      retryAfterMs: (key, state) => views.held(key, state).retryAfterMs,
      refusal: (refused) => refusal(views, refused),
    });
  }

  async take(name: string, request: TakeRequest, caller: Caller): Promise<Answer<SemaphoreGrant>> {
    return answer(name, await this.#grants.ask(name, askingOf(request), caller));
  }

  async renew(
    name: string,
    fence: string,
    { ttlMs }: { ttlMs?: number },
    caller: Caller,
  ): Promise<Answer<SemaphoreGrant>> {
    const op = { type: "renew", fence, ...(ttlMs === undefined ? {} : { ttlMs }) } as const;
    return answer(name, await this.#grants.holds.renew(name, op, caller));
  }

  async release(name: string, fence: string, caller: Caller): Promise<Answer<Released>> {
    const { outcome, revision, receipt } = await this.#grants.holds.release(name, fence, caller);
    return { body: { outcome, fence, revision }, receipt };
  }

  leave(name: string, key: string, caller: Caller): Promise<Answer<Left>> {
    return this.#grants.leave(name, key, caller);
  }

  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>> {
    return this.#grants.holds.force(name, reason, caller);
  }

  async get(name: string, options: ReadOptions): Promise<ReadAnswer<SemaphoreState>> {
    const { key, state, receipt, staleMs } = await this.#grants.reads.get(name, options);
    return { body: this.#views.semaphore(name, key, state), receipt, ...(staleMs === undefined ? {} : { staleMs }) };
  }

  history(name: string, { timeoutMs }: { timeoutMs: number }): Promise<Answer<History>> {
    return this.#grants.history(name, timeoutMs, historyItem);
  }

  list(request: GrantListRequest): Promise<Page<SemaphoreState>> {
    return this.#grants.list(request, (name, key, state) => this.#views.semaphore(name, key, state));
  }
}

function answer(name: string, granted: Granted): Answer<SemaphoreGrant> {
  return { body: semaphoreGrant(name, granted), receipt: granted.receipt };
}

function askingOf(request: TakeRequest): Asking {
  const { limit, permits, holder, ttlMs, waitMs, metadata, lockDelayMs, session, renews } = request;
  return {
    holder,
    mode: "shared",
    limit,
    permits,
    waitMs,
    ...(renews === undefined ? {} : { renews }),
    ...(session === undefined ? {} : { session }),
    op: (how, atMs) => ({
      type: "take",
      limit,
      permits,
      holder,
      ttlMs,
      lockDelayMs,
      ...(metadata === undefined ? {} : { metadata }),
      ...how,
      atMs,
    }),
  };
}

function refusal(views: SemaphoreViews, { name, key, why, state, yours, receipt }: Refused): QuorateError {
  const held = views.held(key, state);
  const facts = { receipt, more: { ...held, ...(yours === null ? {} : { yours: yours.fence }) } };
  switch (why) {
    case "limit-mismatch":
      return new QuorateError(why, `${name} is in use with a limit of ${held.limit}`, facts);
    case "cooling":
      return new QuorateError(why, `${name} is cooling after a lapse`, facts);
    case "held":
      return yours === null
        ? new QuorateError(why, `not so many permits of ${name} can be had`, facts)
        : new QuorateError(why, `${yours.holder} has permits of ${name} already; ${oneGrantEach("holder")}`, facts);
  }
}
