/** What goes in and out under /v1/semaphores. */
import { z } from "@hono/zod-openapi";
import { SEMAPHORE_LIMIT_MAX, TTL_DEFAULT_MS } from "../src/limits.ts";
import {
  boundTo,
  count,
  fence,
  grantLapsesInMs,
  guaranteedForMs,
  holder,
  lockDelayMs,
  metadata,
  problemShape,
  renews,
  replayed,
  session,
  ttlMs,
  waitedMs,
  waitMs,
  whole,
} from "./schemas.ts";

export const TakeBody = z.strictObject({
  limit: whole(1, SEMAPHORE_LIMIT_MAX),
  permits: whole(1, SEMAPHORE_LIMIT_MAX).default(1).openapi({ description: "At most `limit`." }),
  holder,
  ttlMs: ttlMs.default(TTL_DEFAULT_MS),
  waitMs,
  metadata,
  lockDelayMs,
  session,
  renews,
}).openapi("Take");

export const SemaphoreGrantShape = z.strictObject({
  name: z.string(),
  holder: z.string(),
  fence,
  permits: z.int(),
  limit: z.int(),
  ttlMs: z.int(),
  guaranteedForMs,
  lapsesInMs: grantLapsesInMs,
  waitedMs,
  replayed,
  metadata: z.string().optional(),
  session: boundTo,
  revision: count,
}).openapi("SemaphoreGrant");
const SemaphoreHolderShape = z.strictObject({
  holder: z.string(),
  fence,
  permits: z.int(),
  lapsesInMs: z.number(),
  metadata: z.string().optional(),
}).openapi("SemaphoreHolder");
const capacity = { limit: z.int().nullable(), available: z.int().nullable() };
export const SemaphoreStateShape = z.strictObject({
  name: z.string(),
  state: z.enum(["free", "held", "cooling"]),
  ...capacity,
  holders: z.array(SemaphoreHolderShape),
  waiters: z.array(z.strictObject({ holder: z.string(), position: z.int(), permits: z.int() })),
  waiterCount: z.int(),
  lastFence: count,
  revision: count,
}).openapi("SemaphoreState");
export const SemaphorePageShape = z.strictObject({ items: z.array(SemaphoreStateShape), cursor: z.string().nullable() })
  .openapi("SemaphorePage");
export const SemaphoreHeldShape = z.strictObject({
  ...problemShape,
  ...capacity,
  holders: z.array(SemaphoreHolderShape),
  queue: z.int(),
  yours: z.string().optional(),
}).openapi("SemaphoreHeld");
