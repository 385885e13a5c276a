/** What goes in and out under /v1/sessions. */
import { z } from "@hono/zod-openapi";
import { TTL_DEFAULT_MS } from "../src/limits.ts";
import { count, grantLapsesInMs, guaranteedForMs, holder, replayed, sessionId, ttlMs, waitedMs } from "./schemas.ts";

export const IdParam = z.object({ id: sessionId });

export const OpenBody = z.strictObject({ holder, ttlMs: ttlMs.default(TTL_DEFAULT_MS) }).openapi("Open");

export const SessionGrantShape = z.strictObject({
  id: sessionId,
  holder: z.string(),
  ttlMs: z.int(),
  guaranteedForMs,
  lapsesInMs: grantLapsesInMs,
  waitedMs,
  replayed,
  revision: count,
}).openapi("SessionGrant");
export const SessionStateShape = z.strictObject({
  id: sessionId,
  holder: z.string(),
  ttlMs: z.int(),
  lapsesInMs: z.number(),
  bound: z.array(z.strictObject({ noun: z.string(), name: z.string() })),
  revision: count,
}).openapi("SessionState");
export const SessionPageShape = z.strictObject({ items: z.array(SessionStateShape), cursor: z.string().nullable() })
  .openapi("SessionPage");
/** Data of `deleted`: it has ended. */
export const SessionGoneShape = z.strictObject({ id: sessionId, revision: count }).openapi("SessionGone");
export const SessionEndedShape = z.strictObject({
  outcome: z.enum(["ended", "already-ended"]),
  id: sessionId,
  revision: count,
}).openapi("SessionEnded");
