/** What goes in and out under /v1/elections. */
import { z } from "@hono/zod-openapi";
import { ELECTION_VALUE_MAX_BYTES, TTL_DEFAULT_MS } from "../src/limits.ts";
import {
  boundTo,
  count,
  fence,
  grantLapsesInMs,
  guaranteedForMs,
  holder,
  NameParam,
  problemShape,
  renewedTtlMs,
  renews,
  replayed,
  session,
  text,
  ttlMs,
  waitedMs,
  waitMs,
} from "./schemas.ts";

const value = text(0, ELECTION_VALUE_MAX_BYTES).optional();

export const CampaignBody = z.strictObject({
  candidate: holder,
  value,
  ttlMs: ttlMs.default(TTL_DEFAULT_MS),
  waitMs,
  session,
  renews,
}).openapi("Campaign");
export const ProclaimBody = z.strictObject({ ttlMs: renewedTtlMs, value }).openapi("Proclaim");
export const TermParams = NameParam.extend({ term: fence });

export const LeadershipShape = z.strictObject({
  name: z.string(),
  candidate: z.string(),
  term: fence,
  ttlMs: z.int(),
  guaranteedForMs,
  lapsesInMs: grantLapsesInMs,
  waitedMs,
  replayed,
  value: z.string().optional(),
  session: boundTo,
  revision: count,
}).openapi("Leadership");
const LeaderShape = z.strictObject({
  candidate: z.string(),
  term: fence,
  lapsesInMs: z.number(),
  value: z.string().optional(),
}).openapi("Leader");
export const ElectionStateShape = z.strictObject({
  name: z.string(),
  leader: LeaderShape.nullable(),
  waiters: z.array(z.strictObject({ candidate: z.string(), position: z.int() })),
  waiterCount: z.int(),
  lastTerm: count,
  revision: count,
}).openapi("ElectionState");
export const ElectionPageShape = z.strictObject({ items: z.array(ElectionStateShape), cursor: z.string().nullable() })
  .openapi("ElectionPage");
export const ResignedShape = z.strictObject({
  outcome: z.enum(["released", "already-released", "taken-over", "forced", "ended"]),
  term: fence,
  revision: count,
}).openapi("Resigned");
const EndedTermShape = z.strictObject({
  term: fence,
  candidate: z.string(),
  subject: z.string(),
  from: z.string(),
  to: z.string(),
  end: z.enum(["released", "lapsed", "forced", "session"]),
  reason: z.string().optional(),
}).openapi("EndedTerm");
export const ElectionHistoryShape = z.strictObject({ items: z.array(EndedTermShape), revision: count })
  .openapi("ElectionHistory");
export const ElectionHistoryLineShape = z.strictObject({ name: z.string(), ...EndedTermShape.shape })
  .openapi("ElectionHistoryLine");
export const LedShape = z.strictObject({
  ...problemShape,
  leader: LeaderShape.nullable(),
  queue: z.int(),
  yours: z.string().optional(),
}).openapi("Led");
