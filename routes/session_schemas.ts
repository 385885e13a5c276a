/** What goes in and out under /v1/sessions. */
import { z } from "@hono/zod-openapi";
import { TTL_DEFAULT_MS } from "../src/limits.ts";
import { count, holder, sessionId, ttlMs } from "./schemas.ts";

export const OpenBody = z.strictObject({ holder, ttlMs: ttlMs.default(TTL_DEFAULT_MS) }).openapi("Open");

export const SessionGrantShape = z.strictObject({
  id: sessionId,
  holder: z.string(),
  ttlMs: z.int(),
  notBeforeMs: z.number(),
  notAfterMs: z.number(),
  revision: count,
}).openapi("SessionGrant");
export const SessionStateShape = z.strictObject({
  id: sessionId,
  holder: z.string(),
  ttlMs: z.int(),
  notAfterMs: z.number(),
  bound: z.array(z.strictObject({ noun: z.string(), name: z.string() })),
  revision: count,
}).openapi("SessionState");
export const SessionEndedShape = z.strictObject({
  outcome: z.enum(["ended", "already-ended"]),
  id: sessionId,
  revision: count,
}).openapi("SessionEnded");
