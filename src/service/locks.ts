/** Locks as users know them. */
import type { Answer, Forced, Grant, GrantSet, History, Left, LockState, Page, Released } from "../api.ts";
import { QuorateError } from "../errors.ts";
import { type GrantParts, type Noun, oneGrantEach, type Refused } from "./grant_parts.ts";
import { Grants } from "./grants.ts";
import { historyItem } from "./views/lease.ts";
import { LockViews } from "./views/lock.ts";
import { lockAsking, LockSets } from "./lock_sets.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import type {
  AcquireAllRequest,
  AcquireRequest,
  Caller,
  GrantListRequest,
  LockService,
  ReadAnswer,
  ReadOptions,
} from "./service.ts";

export class Locks implements LockService {
  readonly #grants: Grants;
  readonly #sets: LockSets;
  readonly #views: LockViews;

  constructor(parts: GrantParts) {
    const views = new LockViews(parts.leases);
    const noun: Noun = {
      prefix: KEY_PREFIXES.lock,
      retryAfterMs: (key, state) => views.held(key, state).retryAfterMs,
      refusal: (refused) => refusal(views, refused),
    };
    this.#grants = new Grants(parts, noun);
    this.#sets = new LockSets(parts, this.#grants);
    this.#views = views;
  }

  async acquire(name: string, request: AcquireRequest, caller: Caller): Promise<Answer<Grant>> {
    const asking = lockAsking(request);
    const granted = await this.#grants.ask(name, asking, caller);
    return { body: this.#views.grant(name, granted), receipt: granted.receipt };
  }

  async acquireAll(names: readonly string[], request: AcquireAllRequest, caller: Caller): Promise<Answer<GrantSet>> {
    const granted = await this.#sets.acquire(names, request, caller);
    const grants = granted.map(({ name, ...one }) => this.#views.grant(name, one));
    return { body: { grants }, receipt: granted.at(-1)!.receipt };
  }

  async renew(name: string, fence: string, { ttlMs }: { ttlMs?: number }, caller: Caller): Promise<Answer<Grant>> {
    const op = { type: "renew", fence, ...(ttlMs === undefined ? {} : { ttlMs }) } as const;
    const granted = await this.#grants.holds.renew(name, op, caller);
    return { body: this.#views.grant(name, granted), receipt: granted.receipt };
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

  async get(name: string, options: ReadOptions): Promise<ReadAnswer<LockState>> {
    const { key, state, receipt, staleMs } = await this.#grants.reads.get(name, options);
    return { body: this.#views.lock(name, key, state), receipt, ...(staleMs === undefined ? {} : { staleMs }) };
  }

  history(name: string, { timeoutMs }: { timeoutMs: number }): Promise<Answer<History>> {
    return this.#grants.history(name, timeoutMs, historyItem);
  }

  list(request: GrantListRequest): Promise<Page<LockState>> {
    return this.#grants.list(request, (name, key, state) => this.#views.lock(name, key, state));
  }
}

function refusal(views: LockViews, { name, key, why, state, yours, receipt }: Refused): QuorateError {
  const more = { ...views.held(key, state), ...(yours === null ? {} : { yours: yours.fence }) };
  if (why === "cooling") return new QuorateError(why, `${name} is cooling after a lapse`, { receipt, more });
  const detail = yours === null
    ? `${name} is held`
    : `${yours.holder} holds ${name} already; ${oneGrantEach("holder")}`;
  return new QuorateError("held", detail, { receipt, more });
}
