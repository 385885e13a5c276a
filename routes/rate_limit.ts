/**
 * 429 for who asks too often. Renewals and releases of what the caller holds never are: to refuse one would take a lock away,
 * or keep it from others. Those of anything else are made up or late, and count in a bucket of their own.
 */
import { type Rate, RateLimiter } from "../src/auth/rate.ts";
import { QuorateError } from "../src/errors.ts";
import { RATE_UNHELD_SHARE } from "../src/limits.ts";
import type { NodeService, Thing } from "../src/replica/service.ts";
import type { Ctx } from "./answer.ts";
import { checkedFence, nameOf, queryOf, sessionIdOf } from "./input.ts";
import { NamedQuery } from "./schemas.ts";

/** Each throws `rate-limited`. */
export type Limits = {
  /** One request's worth. */
  take(c: Ctx): void;
  /** For renewing or ending this; null: what it is about cannot be read out of the request. */
  takeUnlessHeld(c: Ctx, thing: Thing | null): Promise<void>;
};

const UNLIMITED: Limits = { take: () => {}, takeUnlessHeld: () => Promise.resolve() };

/** `rate` null: nobody is limited. */
export function limitsOf(rate: Rate | null, now: () => number, isHeld: NodeService["isHeld"]): Limits {
  if (rate === null) return UNLIMITED;
  const take = bucketsOf(rate, now, "requests");
  const { perSecond, burst } = rate;
  const unheld = {
    perSecond: perSecond / RATE_UNHELD_SHARE,
    burst: Math.max(1, Math.floor(burst / RATE_UNHELD_SHARE)),
  };
  const takeUnheld = bucketsOf(unheld, now, "renewals and releases of what is not held");
  return {
    take,
    async takeUnlessHeld(c, thing) {
      if (thing === null || !await isHeld(thing, c.get("client").subject)) takeUnheld(c);
    },
  };
}

function bucketsOf({ perSecond, burst }: Rate, now: () => number, what: string): (c: Ctx) => void {
  const limiter = new RateLimiter({ perSecond, burst });
  return (c) => {
    const { subject } = c.get("client");
    const retryAfterMs = limiter.take(subject, now());
    if (retryAfterMs === 0) return;
    const detail = `more than ${perSecond} ${what} a second of ${subject}, or ${burst} at once`;
    throw new QuorateError("rate-limited", detail, { retryAfterMs });
  };
}

const NOUNS = { locks: "lock", elections: "election", semaphores: "semaphore" } as const;
const OF_A_GRANT = /^\/v1\/(locks|elections|semaphores)\/[^/]+\/([^/]+)$/;
const OF_A_SESSION = /^\/v1\/sessions\/[^/]+$/;

/** Of a batch each operation counts, and the batch itself does not. */
export function isCounted(method: string, path: string): boolean {
  return method !== "POST" || path !== "/v1/batch";
}

/** Whether a request renews or ends something that its path names by a fence or an id. */
export function isOfThing(method: string, path: string): boolean {
  return (method === "PUT" || method === "DELETE") && (OF_A_GRANT.test(path) || OF_A_SESSION.test(path));
}

/** Takes what a request under /v1 costs. */
export async function limitRequest(c: Ctx, limits: Limits): Promise<void> {
  const { method, path } = c.req;
  if (isOfThing(method, path)) await limits.takeUnlessHeld(c, thingOf(c));
  else if (isCounted(method, path)) limits.take(c);
}

/** What is malformed is refused by its route, in its own words. */
function thingOf(c: Ctx): Thing | null {
  try {
    const [, noun, fence = ""] = OF_A_GRANT.exec(c.req.path) ?? [];
    if (noun === undefined) return { noun: "session", name: sessionIdOf(c) };
    const name = nameOf(c, queryOf(c, NamedQuery).name);
    return { noun: NOUNS[noun as keyof typeof NOUNS], name, fence: checkedFence(fence, "fence") };
  } catch {
    return null;
  }
}
