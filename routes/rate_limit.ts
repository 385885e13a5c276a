/** 429 for who asks too often. Renewals and releases never are: to refuse one would take a lock away, or keep it from others. */
import { type Rate, RateLimiter } from "../src/auth/rate.ts";
import { QuorateError } from "../src/errors.ts";
import type { Ctx } from "./answer.ts";

/** Throws `rate-limited`. */
export type Limit = (c: Ctx) => void;

/** `rate` null: nobody is limited. */
export function limitOf(rate: Rate | null, now: () => number): Limit {
  if (rate === null) return () => {};
  const limiter = new RateLimiter(rate);
  return (c) => {
    const { subject } = c.get("client");
    const retryAfterMs = limiter.take(subject, now());
    if (retryAfterMs === 0) return;
    const { perSecond, burst } = rate;
    const detail = `more than ${perSecond} requests a second of ${subject}, or ${burst} at once`;
    throw new QuorateError("rate-limited", detail, { retryAfterMs });
  };
}

const OF_A_GRANT = /^\/v1\/(locks|elections|semaphores)\/[^/]+\/[^/]+$/;
const OF_A_SESSION = /^\/v1\/sessions\/[^/]+$/;

/** Of a batch each operation counts, and the batch itself does not. */
export function isFree(method: string, path: string): boolean {
  if (method === "PUT" || method === "DELETE") return OF_A_GRANT.test(path) || OF_A_SESSION.test(path);
  return method === "POST" && path === "/v1/batch";
}
