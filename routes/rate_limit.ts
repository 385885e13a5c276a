/**
 * 429 for who asks too often. Renewals and releases of what the caller holds never are: to refuse one would take a lock away,
 * or keep it from others. Those of anything else are made up or late, and count in a bucket of their own; so does who leaves
 * a queue, which others wait in.
 */
import { type Rate, RateLimiter } from "../src/auth/rate.ts";
import { QuorateError } from "../src/errors.ts";
import { RATE_UNHELD_DIVISOR } from "../src/limits.ts";
import type { NodeService, Thing } from "../src/service/service.ts";
import type { Ctx } from "./answer.ts";
import { checkedFence, nameOf, queryOf, sessionIdOf } from "./input.ts";
import { NamedQuery } from "./schemas.ts";

/** Each throws `rate-limited`. */
export type Limits = {
  /** One request's worth. */
  take(c: Ctx): void;
  /** For renewing or ending what `thingOf` reads out of the request; null: it cannot be read. */
  takeUnlessHeld(c: Ctx, thingOf: () => Thing | null): Promise<void>;
};

const UNLIMITED: Limits = { take: () => {}, takeUnlessHeld: () => Promise.resolve() };

/**
 * `rate` null: nobody is limited.
 * @param onLimited told of whom a request is refused
 */
export function limitsOf(
  rate: Rate | null,
  now: () => number,
  isHeld: NodeService["isHeld"],
  onLimited: (subject: string) => void = () => {},
): Limits {
  if (rate === null) return UNLIMITED;
  const take = bucketsOf(rate, now, "requests", onLimited);
  const { perSecond, burst } = rate;
  const unheld = {
    perSecond: perSecond / RATE_UNHELD_DIVISOR,
    burst: Math.max(1, Math.floor(burst / RATE_UNHELD_DIVISOR)),
  };
  const takeUnheld = bucketsOf(unheld, now, "renewals and releases of what is not held", onLimited);
  return {
    take,
    async takeUnlessHeld(c, thingOf) {
      const thing = thingOf();
      if (thing === null || !await isHeld(thing, c.get("client").subject)) takeUnheld(c);
    },
  };
}

function bucketsOf(
  { perSecond, burst }: Rate,
  now: () => number,
  what: string,
  onLimited: (subject: string) => void,
): (c: Ctx) => void {
  const limiter = new RateLimiter({ perSecond, burst });
  return (c) => {
    const { subject } = c.get("client");
    const retryAfterMs = limiter.take(subject, now());
    if (retryAfterMs === 0) return;
    onLimited(subject);
    const detail = `more than ${perSecond} ${what} a second of ${subject}, or ${burst} at once`;
    throw new QuorateError("rate-limited", detail, { retryAfterMs });
  };
}

const NOUNS = { locks: "lock", elections: "election", semaphores: "semaphore" } as const;
const OF_A_GRANT = /^\/v1\/(locks|elections|semaphores)\/[^/]+\/([^/]+)$/;
const OF_A_PLACE = /^\/v1\/(locks|elections|semaphores)\/[^/]+\/queue\/[^/]+$/;
const OF_A_SESSION = /^\/v1\/sessions\/[^/]+$/;

/** Each operation of a batch counts, and the batch itself only if it is refused. */
export function isCounted(method: string, path: string): boolean {
  return method !== "POST" || path !== "/v1/batch";
}

/** Whether a request renews or ends something that its path names by a fence, a key or an id. */
export function isOfThing(method: string, path: string): boolean {
  if (method === "DELETE" && OF_A_PLACE.test(path)) return true;
  return (method === "PUT" || method === "DELETE") && (OF_A_GRANT.test(path) || OF_A_SESSION.test(path));
}

/** Takes what a request under /v1 costs. */
export async function limitRequest(c: Ctx, limits: Limits): Promise<void> {
  const { method, path } = c.req;
  if (isOfThing(method, path)) await limits.takeUnlessHeld(c, () => thingOf(c));
  else if (isCounted(method, path)) limits.take(c);
}

/** What is malformed is refused by its route, in its own words; a place in a queue is nothing held. */
function thingOf(c: Ctx): Thing | null {
  if (OF_A_PLACE.test(c.req.path)) return null;
  try {
    const [, noun, fence = ""] = OF_A_GRANT.exec(c.req.path) ?? [];
    if (noun === undefined) return { noun: "session", name: sessionIdOf(c) };
    const name = nameOf(c, queryOf(c, NamedQuery).name);
    return { noun: NOUNS[noun as keyof typeof NOUNS], name, fence: checkedFence(fence, "fence") };
  } catch {
    return null;
  }
}
