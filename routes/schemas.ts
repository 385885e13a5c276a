/** What goes in and out under /v1, as zod: it checks requests and makes /openapi.json. */
import { z } from "@hono/zod-openapi";
import {
  BATCH_MAX_OPERATIONS,
  HOLDER_MAX_BYTES,
  LIST_DEFAULT_ITEMS,
  LIST_MAX_ITEMS,
  LOCK_DELAY_MAX_MS,
  LOCKS_TOGETHER_MAX,
  METADATA_MAX_BYTES,
  REASON_MAX_BYTES,
  TIMEOUT_DEFAULT_MS,
  TIMEOUT_MAX_MS,
  TIMEOUT_MIN_MS,
  TTL_DEFAULT_MS,
  TTL_MAX_MS,
  TTL_MIN_MS,
  WAIT_MAX_MS,
} from "../src/limits.ts";
import type { ErrorCode } from "../src/errors.ts";
import { PROBLEMS } from "../src/http/problem.ts";
import { utf8Length } from "./input.ts";

const CURSOR_MAX_CHARS = 4_096;

/** A JSON number: never a string of digits, never rounded or clamped. */
export function whole(min: number, max: number) {
  const error = `is not a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

/** The same in a query, where everything is text. */
export function wholeText(min: number, max: number) {
  const error = `is not a whole number from ${min} to ${max}`;
  return z.string().regex(/^(0|[1-9][0-9]{0,8})$/, { error }).transform(Number).pipe(whole(min, max))
    .openapi({ type: "integer", minimum: min, maximum: max });
}

function wholeTextOr(byDefault: number, min: number, max: number) {
  return wholeText(min, max).default(byDefault)
    .openapi({ type: "integer", minimum: min, maximum: max, default: byDefault });
}

export function text(minBytes: number, maxBytes: number) {
  const error = `is not a text of ${minBytes} to ${maxBytes} bytes of UTF-8`;
  return z.string({ error }).refine((value) => {
    const bytes = utf8Length(value);
    return value.isWellFormed() && bytes >= minBytes && bytes <= maxBytes;
  }, { error }).openapi({ minLength: minBytes, maxLength: maxBytes });
}

export const ttlMs = whole(TTL_MIN_MS, TTL_MAX_MS);
const mode = z.enum(["exclusive", "shared"], { error: "is neither exclusive nor shared" });

export const holder = text(1, HOLDER_MAX_BYTES)
  .refine((value) => !/\p{Cc}/u.test(value), { error: "holds a control character" })
  .optional().openapi({ description: "Default: a UUID, the same for the same subject and Idempotency-Key." });
export const waitMs = whole(0, WAIT_MAX_MS).default(0);
export const metadata = text(0, METADATA_MAX_BYTES).optional();
export const sessionId = z.string({ error: "is not the id of a session" })
  .regex(/^[0-9a-f]{32}$/, { error: "is not the id of a session" });
/** What is granted lives as long as it, and has no ttl of its own. */
export const session = sessionId.optional().openapi({ description: "Instead of `ttlMs`: it lives as long as this." });
export const lockDelayMs = whole(0, LOCK_DELAY_MAX_MS).default(0);

export const AcquireBody = z.strictObject({
  holder,
  ttlMs: ttlMs.default(TTL_DEFAULT_MS),
  waitMs,
  mode: mode.default("exclusive"),
  metadata,
  lockDelayMs,
  session,
}).openapi("Acquire");
const INSTANCE_MAX = 1e15 - 1;
const names = { error: `is not an array of 1 to ${LOCKS_TOGETHER_MAX} names` };
export const AcquireAllBody = z.strictObject({
  ...AcquireBody.shape,
  names: z.array(z.string(names), names).min(1, names).max(LOCKS_TOGETHER_MAX, names),
  born: z.record(z.string(), whole(0, INSTANCE_MAX), { error: "is not an object of instances by name" }).optional()
    .openapi({ description: "By name, what `Quorate-Born` says of one." }),
}).openapi("AcquireAll");
export const RenewBody = z.strictObject({ ttlMs: ttlMs.optional() }).openapi("Renew");
export const ReleaseBody = z.strictObject({});
export const ForceBody = z.strictObject({ reason: text(1, REASON_MAX_BYTES) }).openapi("Force");

const operation = z.strictObject({
  method: z.enum(["GET", "POST", "PUT", "DELETE"], { error: "is none of GET, POST, PUT, DELETE" }),
  path: z.string({ error: "is not a text" }).regex(/^\/v1\/[^#]+$/, { error: "is not a path under /v1/" })
    .openapi({ description: "With its query, percent-encoded as in a request of its own." }),
  body: z.unknown().optional(),
  headers: z.record(z.string(), z.string({ error: "is not a text" })).optional(),
}).openapi("Operation");
export const BatchBody = z.array(operation, { error: "is not an array" })
  .min(1, { error: "is empty" })
  .max(BATCH_MAX_OPERATIONS, { error: `holds more than ${BATCH_MAX_OPERATIONS} operations` })
  .openapi("Batch");
export const BatchShape = z.array(z.strictObject({ status: z.int(), body: z.unknown() })).openapi("BatchResults");

export const timeoutMs = wholeTextOr(TIMEOUT_DEFAULT_MS, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
export const name = z.string().optional().openapi({ description: "The name, if its segment of the path is `-`." });

/** Of a request that is about no one name. */
export const WholeQuery = z.strictObject({ timeoutMs });
export const NamedQuery = z.strictObject({ name, timeoutMs });
export const StateQuery = z.strictObject({
  name,
  timeoutMs,
  consistency: z.literal("stale", { error: "is not stale" }).optional(),
});
export const PollQuery = z.strictObject({
  name,
  timeoutMs,
  after: z.string({ error: "is needed with waitMs" }).regex(/^(0|[1-9][0-9]{0,19})$/, { error: "is not a revision" })
    .openapi({ description: "Answer as soon as the revision is above this one." }),
  waitMs: wholeTextOr(0, 0, WAIT_MAX_MS),
});
/** As it is documented of a GET: that of its state, and that of a poll. */
export const WatchableQuery = z.strictObject({ ...StateQuery.shape, ...PollQuery.partial().shape });
export const EventsQuery = z.strictObject({ name, timeoutMs });
export const RangeEventsQuery = z.strictObject({ prefix: z.string() });
export const LastEventId = z.object({
  "Last-Event-ID": z.string().optional().openapi({ description: "Goes on after this event." }),
});
export const ListQuery = z.strictObject({
  prefix: z.string().default(""),
  limit: wholeTextOr(LIST_DEFAULT_ITEMS, 1, LIST_MAX_ITEMS),
  cursor: z.string().min(1, { error: "is empty" }).max(CURSOR_MAX_CHARS, { error: "is none of ours" }).optional(),
  timeoutMs,
});
export const NoQuery = z.strictObject({});

export const NameParam = z.object({
  name: z.string().openapi({ description: "One percent-encoded segment, 1 to 512 bytes of UTF-8; `-` with `?name=`." }),
});
export const fence = z.string().regex(/^[1-9][0-9]{0,19}$/);
export const FenceParams = NameParam.extend({ fence });
const instance = z.string().regex(/^(0|[1-9][0-9]{0,14})$/);
const idempotencyKey = z.string().regex(/^[\x21-\x7e]{1,64}$/);
export const WriteHeaders = z.object({
  "Quorate-Hedge": instance.optional()
    .openapi({ description: "Of a write that goes to several nodes at once: the instance last seen of the name." }),
  "Idempotency-Key": idempotencyKey.optional()
    .openapi({ description: "A retry with the same key, through any node, gets the first answer." }),
});

export const QueueParams = NameParam.extend({
  key: idempotencyKey.openapi({ description: "The waiter's Idempotency-Key, percent-encoded." }),
});
/** What is applied once bears these: takes, and writes of registers. */
export const OnceHeaders = WriteHeaders.extend({
  "Quorate-Born": instance.optional().openapi({
    description:
      "The Consensus-Instance last seen of the name before the first send, and the same for every retry: the " +
      "write is then applied once for ever, through any node. A retry whose answer is forgotten is 409 `expired-command`.",
  }),
});

export const count = z.string().regex(/^(0|[1-9][0-9]*)$/).openapi({ description: "A decimal number" });

export const guaranteedForMs = z.number().openapi({
  description:
    "Nobody else gets it for this long, counted on the caller's clock from `waitedMs` after it sent this request. " +
    "Never more than the ttl. Whoever leaves `waitedMs` out stops too early, which is safe.",
});
export const grantLapsesInMs = z.number().openapi({
  description: "An estimate of when somebody else can have it, counted likewise; restarts of nodes postpone it.",
});
export const waitedMs = z.number().openapi({
  description: "How long after this request was sent the ttl began; rounded down, and scaled for clocks 1 % apart.",
});
export const replayed = z.literal(true).optional().openapi({
  description: "This Idempotency-Key was granted before: the grant was renewed for this request, and counts from it.",
});

export const GrantShape = z.strictObject({
  name: z.string(),
  holder: z.string(),
  fence,
  mode,
  ttlMs: z.int(),
  guaranteedForMs,
  lapsesInMs: grantLapsesInMs,
  waitedMs,
  replayed,
  metadata: z.string().optional(),
  session,
  revision: count,
}).openapi("Grant");
export const GrantSetShape = z.strictObject({ grants: z.array(GrantShape) }).openapi("GrantSet");
const HolderShape = z.strictObject({
  holder: z.string(),
  fence,
  mode,
  lapsesInMs: z.number(),
  metadata: z.string().optional(),
}).openapi("Holder");
export const LockStateShape = z.strictObject({
  name: z.string(),
  state: z.enum(["free", "held", "cooling"]),
  holders: z.array(HolderShape),
  waiters: z.array(z.strictObject({ holder: z.string(), position: z.int(), mode })),
  waiterCount: z.int(),
  lastFence: count,
  revision: count,
}).openapi("LockState");
/** Data of a `resync` of a prefix. */
export const PrefixShape = z.strictObject({ prefix: z.string() }).openapi("Prefix");
export const LockPageShape = z.strictObject({ items: z.array(LockStateShape), cursor: z.string().nullable() })
  .openapi("LockPage");
export const ReleasedShape = z.strictObject({
  outcome: z.enum(["released", "already-released", "taken-over", "forced", "ended"]),
  fence,
  revision: count,
}).openapi("Released");
export const LeftShape = z.strictObject({
  outcome: z.enum(["left", "granted"]),
  fence: fence.optional(),
  revision: count,
}).openapi("Left");
export const ForcedShape = z.strictObject({ outcome: z.literal("forced"), count: z.int(), revision: count })
  .openapi("Forced");
const EndedShape = z.strictObject({
  fence,
  holder: z.string(),
  subject: z.string(),
  from: z.string(),
  to: z.string(),
  end: z.enum(["released", "lapsed", "forced", "session"]),
  reason: z.string().optional(),
}).openapi("Ended");
export const HistoryShape = z.strictObject({ items: z.array(EndedShape), revision: count }).openapi("History");
export const HistoryLineShape = z.strictObject({ name: z.string(), ...EndedShape.shape }).openapi("HistoryLine");
export const QueuedShape = z.strictObject({ position: z.int() }).openapi("Queued");
export const StatusShape = z.strictObject({
  id: z.string(),
  cluster: z.string(),
  members: z.array(z.strictObject({ id: z.string(), url: z.string(), reachable: z.boolean(), rttMs: z.number() })),
  epoch: z.int(),
  voting: z.boolean(),
  reason: z.string().optional(),
  seq: z.int(),
  boot: z.int(),
  version: z.string(),
}).openapi("NodeStatus");

export const problemShape = {
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(PROBLEMS) as [ErrorCode, ...ErrorCode[]]),
  detail: z.string(),
  requestId: z.string(),
  retryable: z.boolean(),
  field: z.string().optional(),
  outcome: z.enum(["none", "unknown"]).optional(),
  idempotencyKey: z.string().optional(),
  born: z.int().optional().openapi({ description: "To be sent as `Quorate-Born` when the request is repeated." }),
  retryAfterMs: z.number().optional(),
  end: z.enum(["released", "lapsed", "forced", "session"]).optional()
    .openapi({ description: "Of your own grant that is `lost`: how it ended, while its history tells." }),
  stillHeld: z.array(z.strictObject({ name: z.string(), fence })).optional().openapi({
    description: "Of several locks that were refused: those that an earlier try of the same request may have been " +
      "answered with, and that are still held. Release what is not wanted.",
  }),
};
export const ProblemShape = z.looseObject(problemShape).openapi("Problem");
const HeldShape = z.strictObject({
  ...problemShape,
  holders: z.array(HolderShape),
  queue: z.int(),
  yours: z.string().optional(),
}).openapi("Held");

/**
 * A 200 of this shape, and the problems with these codes by their status, for a route's `responses`; `refused` is the
 * shape of a 409 that says who has it.
 */
export function responses(shape: z.ZodType, codes: readonly ErrorCode[], refused: z.ZodType = HeldShape) {
  const byStatus: Record<number, ErrorCode[]> = {};
  for (const code of codes) (byStatus[PROBLEMS[code].status] ??= []).push(code);
  const problems = Object.entries(byStatus).map(([status, some]) => {
    const isRefusal = some.includes("held") || some.includes("led");
    const schema = isRefusal ? z.union([refused, ProblemShape]) : ProblemShape;
    const content = { "application/problem+json": { schema } };
    return [status, { description: some.join(", "), content, "x-codes": some }];
  });
  return {
    200: { description: "OK", content: { "application/json": { schema: shape } } },
    ...Object.fromEntries(problems),
  };
}

/** As `responses`, with a 200 that may come as these media types too; of a stream or lines the schema is that of each. */
export function responsesAs(
  shape: z.ZodType,
  codes: readonly ErrorCode[],
  others: Readonly<Record<string, z.ZodType>>,
  refused?: z.ZodType,
) {
  const content = Object.entries(others).map(([type, schema]) => [type, { schema }]);
  const ok = { "application/json": { schema: shape }, ...Object.fromEntries(content) };
  return { ...responses(shape, codes, refused), 200: { description: "OK", content: ok } };
}

/** As `responses`, of a route whose good answer is a stream of events whose data have this shape. */
export function eventsOf(shape: z.ZodType, codes: readonly ErrorCode[]) {
  const description = "Events `changed`, `deleted`, `resync`, each with its `id`; the schema is that of their data";
  return { ...responses(shape, codes), 200: { description, content: { "text/event-stream": { schema: shape } } } };
}

/** A GET that can be polled with `after`. */
export const NOT_MODIFIED = { 304: { description: "Nothing newer than `after`" } };

/** Content of a request body that may be left out. */
export function json(schema: z.ZodType) {
  return { content: { "application/json": { schema } }, required: false };
}
