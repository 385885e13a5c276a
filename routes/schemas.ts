/** What goes in and out under /v1, as zod: it checks requests and makes /openapi.json. */
import { z } from "@hono/zod-openapi";
import {
  BATCH_MAX_OPERATIONS,
  HELD_FOR_MAX_MS,
  HOLDER_MAX_BYTES,
  LIST_DEFAULT_ITEMS,
  LIST_MAX_ITEMS,
  LOCK_DELAY_MAX_MS,
  LOCKS_TOGETHER_MAX,
  METADATA_MAX_BYTES,
  NAME_MAX_BYTES,
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
import { PEER_CAUSES } from "../src/api.ts";
import { FENCE } from "../src/http/fence.ts";
import { PROBLEMS } from "../src/http/problem.ts";
import { BATCH_HEADERS, BATCH_RESULT_HEADERS } from "./batch_headers.ts";
import { utf8Length } from "./input.ts";

/** As patterns that checkers of any language read alike; what is checked is input.ts. */
const NO_CONTROLS = "[^\\u0000-\\u001f\\u007f-\\u009f]";
const NO_SLASH_AT_AN_END = "(?!/)(?![\\s\\S]*/$)";
const NO_DOTS_AS_A_SEGMENT = "(?!(?:[\\s\\S]*/)?\\.\\.?(?:/|$))";
export const isName = {
  pattern: `^${NO_SLASH_AT_AN_END}${NO_DOTS_AS_A_SEGMENT}${NO_CONTROLS}+$`,
  minLength: 1,
  maxLength: NAME_MAX_BYTES,
};
/** In a path `events` are those of all names. */
const isNameInPath = { ...isName, pattern: isName.pattern.replace("^", "^(?!events$)") };
const isPrefix = { pattern: `^${NO_CONTROLS}*$`, maxLength: NAME_MAX_BYTES };

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
  .optional().openapi({
    description: "Default: a UUID, the same for the same subject and Idempotency-Key.",
    pattern: isPrefix.pattern,
  });
export const waitMs = whole(0, WAIT_MAX_MS).default(0);
export const renews = z.boolean({ error: "is neither true nor false" }).default(false).openapi({
  description:
    "You renew what you are granted, within a third of `guaranteedForMs`. A grant out of the queue may then be " +
    "answered sooner, with a `guaranteedForMs` of at most 9,900 however long the ttl is. Several locks are not, nor what has a " +
    "session or a lock delay.",
});
export const metadata = text(0, METADATA_MAX_BYTES).optional();
export const sessionId = z.string({ error: "is not the id of a session" })
  .regex(/^[0-9a-f]{32}$/, { error: "is not the id of a session" });
/** What is granted lives as long as it, and has no ttl of its own. */
export const session = sessionId.optional()
  .openapi({ description: "What is asked for lives as long as this session; `ttlMs` is then ignored." });
/** The same in an answer. */
export const boundTo = sessionId.optional()
  .openapi({ description: "The session that it lives by; `ttlMs` is the session's." });
export const lockDelayMs = whole(0, LOCK_DELAY_MAX_MS).default(0);

export const AcquireBody = z.strictObject({
  holder,
  ttlMs: ttlMs.default(TTL_DEFAULT_MS),
  waitMs,
  mode: mode.default("exclusive"),
  metadata,
  lockDelayMs,
  session,
  renews,
}).openapi("Acquire");
const INSTANCE_MAX = 1e15 - 1;
const names = { error: `is not an array of 1 to ${LOCKS_TOGETHER_MAX} names` };
export const AcquireAllBody = z.strictObject({
  ...AcquireBody.shape,
  names: z.array(z.string(names).openapi(isName), names).min(1, names).max(LOCKS_TOGETHER_MAX, names),
  born: z.record(z.string(), whole(0, INSTANCE_MAX), { error: "is not an object of instances by name" }).optional()
    .openapi({ description: "By name, what `Quorate-Born` says of one; what is not among `names` does not count." }),
}).openapi("AcquireAll");
export const renewedTtlMs = ttlMs.optional()
  .openapi({ description: "Default: as before. What is bound to a session has none of its own, and refuses one." });
export const RenewBody = z.strictObject({ ttlMs: renewedTtlMs }).openapi("Renew");
export const ReleaseBody = z.strictObject({});
export const ForceBody = z.strictObject({ reason: text(1, REASON_MAX_BYTES) }).openapi("Force");

const base64 = z.literal(true, { error: "is not true" }).optional();
const operation = z.strictObject({
  method: z.enum(["GET", "POST", "PUT", "DELETE"], { error: "is not one of GET, POST, PUT, DELETE" }),
  path: z.string({ error: "is not a text" }).regex(/^\/v1\/[^#]+$/, { error: "is not a path under /v1/" })
    .openapi({ description: "With its query, percent-encoded as in a request of its own." }),
  body: z.unknown().optional().openapi({ description: "A text as it is, anything else as JSON." }),
  base64: base64.openapi({ description: "`body` is bytes, in base64." }),
  headers: z.record(z.string(), z.string({ error: "is not a text" })).optional().openapi({
    description: `Only these, in upper or lower case: ${BATCH_HEADERS.join(", ")}.`,
  }),
}).openapi("Operation");
export const BatchBody = z.array(operation, { error: "is not an array" })
  .min(1, { error: "is empty" })
  .max(BATCH_MAX_OPERATIONS, { error: `holds more than ${BATCH_MAX_OPERATIONS} operations` })
  .openapi("Batch");
export const BatchShape = z.array(z.strictObject({
  status: z.int(),
  headers: z.record(z.string(), z.string()).openapi({ description: `Of ${BATCH_RESULT_HEADERS.join(", ")}.` }),
  body: z.unknown().openapi({
    description:
      "What this service says is JSON; a register's value is a text, whatever its type; null: there is none.",
  }),
  base64: base64.openapi({ description: "The answer is no UTF-8: `body` is its bytes, in base64." }),
})).openapi("BatchResults");

export const timeoutMs = wholeTextOr(TIMEOUT_DEFAULT_MS, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);

/**
 * The query of a request that is about no one name, and of any as it is documented: `?name=` is only for a segment `-` of the path,
 * which no schema can say, so that the segment's description does.
 */
export const WholeQuery = z.strictObject({ timeoutMs });
export const NamedQuery = WholeQuery.extend({ name: z.string().optional() });
export const PollQuery = WholeQuery.extend({
  after: z.string().regex(/^(0|[1-9][0-9]{0,19})$/, { error: "is not a revision" }).optional()
    .openapi({ description: "Answer as soon as the revision is above this one." }),
  waitMs: wholeTextOr(0, 0, WAIT_MAX_MS).openapi({
    description: "With `after`; without it there is nothing to wait for.",
  }),
});
export const StateQuery = PollQuery.extend({
  consistency: z.literal("stale", { error: "is not stale" }).optional().openapi({
    description: "This node's own record; with `after` it is a quorum's all the same.",
  }),
});
export const NamedStateQuery = StateQuery.extend(NamedQuery.shape);
export const RangeEventsQuery = z.strictObject({
  prefix: z.string().openapi(isPrefix),
});
export const LastEventId = z.object({
  "Last-Event-ID": z.string().optional().openapi({
    description:
      "Goes on after this event. An empty one counts as none; with one of another stream it begins with `resync`.",
  }),
});
export const ListQuery = z.strictObject({
  prefix: z.string().default("").openapi(isPrefix),
  limit: wholeTextOr(LIST_DEFAULT_ITEMS, 1, LIST_MAX_ITEMS),
  cursor: z.string().optional().openapi({ ...isPrefix, minLength: 1, description: "As the page before had it." }),
  timeoutMs,
});
/** For lists of what is granted. */
export const GrantListQuery = ListQuery.extend({
  heldForMs: wholeText(0, HELD_FOR_MAX_MS).optional().openapi({
    description:
      "Only what somebody has held for so long, by nodes' wall clocks. A page may be short and not the last.",
  }),
});
export const NoQuery = z.strictObject({});

export const inPath = (field: "name" | "key") =>
  z.string().openapi({
    ...isNameInPath,
    description:
      `The ${field} as one percent-encoded segment (a slash as %2F), at most ${NAME_MAX_BYTES} bytes of UTF-8. ` +
      `Or \`-\`, with the ${field} in the query: \`?${field}=\`; \`events\` only so.`,
  });
export const NameParam = z.object({ name: inPath("name") });
export const fence = z.string().regex(FENCE);
export const FenceParams = NameParam.extend({ fence });
const instance = z.string().regex(/^(0|[1-9][0-9]{0,14})$/);
const idempotencyKey = z.string().regex(/^[\x21-\x7e]{1,64}$/);
export const WriteHeaders = z.object({
  "Idempotency-Key": idempotencyKey.optional()
    .openapi({
      description:
        "A retry with the same key, through any node, is recognised while the name remembers the first. A take " +
        "is then the same grant, renewed for the retry (`replayed`), or 410 `lost`. A renewal or a keep-alive is applied " +
        "again. Any other write gets its first answer.",
    }),
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
  session: boundTo,
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
/** What is wrong between this node and another. */
export const faultShape = {
  cause: z.enum(PEER_CAUSES),
  detail: z.string(),
  since: z.string().openapi({ description: "When it began, as this node saw it." }),
};
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
    .openapi({ description: "If your own grant is `lost`: how it ended, while the history still has it." }),
  stillHeld: z.array(z.strictObject({ name: z.string(), fence })).optional().openapi({
    description:
      "If several locks were refused: those that an earlier try of the same request may have been answered " +
      "with, and that are still held. Release what is not wanted.",
  }),
  peers: z.array(z.strictObject({ id: z.string(), ...faultShape })).optional().openapi({
    description: "In a 503 or 504: nodes that this one cannot work with, and why.",
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
  const ok = { "application/json": { schema: shape }, ...contentOf(others) };
  return { ...responses(shape, codes, refused), 200: { description: "OK", content: ok } };
}

export function contentOf(types: Readonly<Record<string, z.ZodType>>) {
  return Object.fromEntries(Object.entries(types).map(([type, schema]) => [type, { schema }]));
}

/** As `responses`, of a route whose good answer is a stream of events whose data have this shape. */
export function responsesOfEvents(shape: z.ZodType, codes: readonly ErrorCode[]) {
  const description =
    "Events `changed`, `deleted`, `resync`, each with its `id`. If the stream cannot be served now, as " +
    "without a quorum, a comment says why, the stream ends, and `retry:` says when to come back";
  return { ...responses(shape, codes), 200: { description, content: { "text/event-stream": { schema: shape } } } };
}

/** A GET that can be polled with `after`. */
export const NOT_MODIFIED = { 304: { description: "Nothing newer than `after`" } };

/** Content of a request body that may be left out. */
export function json(schema: z.ZodType) {
  return { content: { "application/json": { schema } }, required: false };
}
