/** Elections as users know them: a campaign is a grant, its fence is the term, and what the leader says goes with it. */
import type { Answer, ElectionHistory, ElectionState, Forced, Leadership, Left, Page, Resigned } from "../api.ts";
import { QuorateError } from "../errors.ts";
import { ElectionViews, leadership, termOf } from "./views/election.ts";
import { type Asking, type Granted, type GrantParts, oneGrantEach, type Refused } from "./grant_parts.ts";
import { Grants } from "./grants.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import type { Caller, CampaignRequest, ElectionService, GrantListRequest, ReadAnswer, ReadOptions } from "./service.ts";

export class Elections implements ElectionService {
  readonly #grants: Grants;
  readonly #views: ElectionViews;

  constructor(parts: GrantParts) {
    const views = new ElectionViews(parts.leases);
    this.#views = views;
    this.#grants = new Grants(parts, {
      prefix: KEY_PREFIXES.election,
      retryAfterMs: (key, state) => views.led(key, state).retryAfterMs,
      refusal: (refused) => refusal(views, refused),
    });
  }

  async campaign(name: string, request: CampaignRequest, caller: Caller): Promise<Answer<Leadership>> {
    return answer(name, await this.#grants.ask(name, askingOf(request), caller));
  }

  async proclaim(
    name: string,
    term: string,
    { ttlMs, value }: { ttlMs?: number; value?: string },
    caller: Caller,
  ): Promise<Answer<Leadership>> {
    const op = {
      type: "proclaim",
      fence: term,
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(value === undefined ? {} : { value }),
    } as const;
    return answer(name, await this.#grants.holds.renew(name, op, caller));
  }

  async resign(name: string, term: string, caller: Caller): Promise<Answer<Resigned>> {
    const { outcome, revision, receipt } = await this.#grants.holds.release(name, term, caller);
    return { body: { outcome, term, revision }, receipt };
  }

  leave(name: string, key: string, caller: Caller): Promise<Answer<Left>> {
    return this.#grants.leave(name, key, caller);
  }

  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>> {
    return this.#grants.holds.force(name, reason, caller);
  }

  async get(name: string, options: ReadOptions): Promise<ReadAnswer<ElectionState>> {
    const { key, state, receipt, staleMs } = await this.#grants.reads.get(name, options);
    return { body: this.#views.election(name, key, state), receipt, ...(staleMs === undefined ? {} : { staleMs }) };
  }

  history(name: string, { timeoutMs }: { timeoutMs: number }): Promise<Answer<ElectionHistory>> {
    return this.#grants.history(name, timeoutMs, termOf);
  }

  list(request: GrantListRequest): Promise<Page<ElectionState>> {
    return this.#grants.list(request, (name, key, state) => this.#views.election(name, key, state));
  }
}

function answer(name: string, granted: Granted): Answer<Leadership> {
  return { body: leadership(name, granted), receipt: granted.receipt };
}

function askingOf({ candidate, value, ttlMs, waitMs, session, renews }: CampaignRequest): Asking {
  return {
    holder: candidate,
    mode: "exclusive",
    waitMs,
    ...(renews === undefined ? {} : { renews }),
    ...(session === undefined ? {} : { session }),
    op: (how, atMs) => ({
      type: "campaign",
      candidate,
      ...(value === undefined ? {} : { value }),
      ttlMs,
      ...how,
      atMs,
    }),
  };
}

function refusal(views: ElectionViews, { name, key, state, yours, receipt }: Refused): QuorateError {
  const more = { ...views.led(key, state), ...(yours === null ? {} : { yours: yours.fence }) };
  const detail = yours === null
    ? `${name} has a leader`
    : `${yours.holder} leads ${name} already; ${oneGrantEach("candidate")}`;
  return new QuorateError("led", detail, { receipt, more });
}
