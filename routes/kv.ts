/** Registers under /v1/kv: bytes in, bytes out, with the conditions of HTTP (RFC 9110, section 13). */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import {
  CONTENT_TYPE_MAX_CHARS,
  ENTITY_TAGS_MAX,
  KV_VALUE_MAX_BYTES,
  LIST_DEFAULT_ITEMS,
  LIST_MAX_ITEMS,
  LIST_VALUES_MAX_ITEMS,
  TTL_MAX_MS,
  TTL_MIN_MS,
} from "../src/limits.ts";
import type { KvValue } from "../src/api.ts";
import { FENCE } from "../src/http/fence.ts";
import type { PutRequest, ReadAnswer, RegisterService } from "../src/service/service.ts";
import { bodyOf } from "./admit.ts";
import { type Ctx, type Env, sendAnswer, sendBody, withAge, withReceipt } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { invalid } from "./error_response.ts";
import { checked, checkedFence, queryOf } from "./input.ts";
import { bornOf, listReadable, READ, readOf, refuseEmptyNames, sessionOf, WRITE, writeOf } from "./noun.ts";
import {
  boundTo,
  count,
  inPath,
  ListQuery,
  OnceHeaders,
  ReleaseBody,
  responses,
  session,
  StateQuery,
  WholeQuery,
  wholeText,
} from "./schemas.ts";
import { needs } from "./document.ts";

export const KeyParam = z.object({ key: inPath("key") });
/** In place of `?name=`. */
const named = { key: z.string().optional() };
export const KeyQuery = WholeQuery.extend(named);
export const KeyStateQuery = StateQuery.extend(named);
const PutQuery = WholeQuery.extend({
  ttlMs: wholeText(TTL_MIN_MS, TTL_MAX_MS).optional().openapi({
    description: "The value ends after this long unless it is put again; putting the same keeps it alive unchanged. " +
      "With `session` it is not looked at.",
  }),
  session,
});
/** As it is checked. Made once: to make a schema costs more than the rest of a request. */
const KeyPutQuery = PutQuery.extend(named);
const KvListQuery = ListQuery.extend({
  limit: wholeText(1, LIST_MAX_ITEMS).optional().openapi({
    description: `Default: ${LIST_DEFAULT_ITEMS}. With values there are ${LIST_VALUES_MAX_ITEMS} at most.`,
  }),
  values: z.literal("true", { error: "is not true" }).optional()
    .openapi({ description: "Items bring their values, in base64." }),
});
const TAG_TEXT = String.raw`(W/)?"[!#-~]*"`;
const TAGS = String.raw`^${TAG_TEXT}([ \t]*,[ \t]*${TAG_TEXT}){0,${ENTITY_TAGS_MAX - 1}}$`;
const tags = z.string().optional().openapi({
  anyOf: [{ const: "*" }, { pattern: TAGS }],
  examples: ['"1025"'],
  description: "`*`, or revisions as entity tags; a proxy may have made them weak.",
});
const ReadHeaders = z.object({ "If-None-Match": tags });
const ConditionHeaders = OnceHeaders.extend({
  "If-Match": tags,
  "If-None-Match": tags,
  "Fence": z.string().regex(FENCE).optional()
    .openapi({ description: "Of the writer's grant elsewhere: 412 once this key saw a higher one." }),
});

export const KvWrittenShape = z.strictObject({
  key: z.string(),
  revision: count,
  ttlMs: z.int().optional(),
  session: boundTo,
})
  .openapi("KvWritten");
export const KvDeletedShape = z.strictObject({ outcome: z.literal("deleted"), key: z.string(), revision: count })
  .openapi("KvDeleted");
const inBase64 = z.string().openapi({ description: "Base64" });
const KvItemShape = z.strictObject({
  key: z.string(),
  revision: count,
  contentType: z.string(),
  sizeBytes: z.int(),
  value: inBase64.optional(),
  ttlMs: z.int().optional(),
  session: boundTo,
  lapsesInMs: z.number().optional(),
}).openapi("KvItem");
/** Data of events. */
export const KvValueShape = z.strictObject({
  key: z.string(),
  revision: count,
  contentType: z.string(),
  value: inBase64,
}).openapi("KvValue");
/** Data of `deleted`. */
export const KvGoneShape = z.strictObject({ key: z.string(), revision: count }).openapi("KvGone");
export const KvPageShape = z.strictObject({ items: z.array(KvItemShape), cursor: z.string().nullable() }).openapi(
  "KvPage",
);

const anyBytes = { schema: z.string().openapi({ format: "binary", maxLength: KV_VALUE_MAX_BYTES }) };
/** The first besides, for generators that know no wildcard. */
const bytes = { "application/octet-stream": anyBytes, "*/*": anyBytes };

const KV = "kv";

const get = createRoute({
  method: "get",
  path: "/v1/kv/{key}",
  summary: "The value, with the Content-Type it was put with; its ETag is its revision. 404 if there is none",
  request: { params: KeyParam, query: StateQuery, headers: ReadHeaders },
  security: needs({ noun: KV, verb: "read" }),
  responses: {
    ...responses(z.never(), [...READ, "not-found", "too-many-streams"]),
    200: { description: "OK", content: bytes },
    304: { description: "It is what If-None-Match names, or nothing newer than `after`." },
  },
});
const put = createRoute({
  method: "put",
  path: "/v1/kv/{key}",
  summary: "Write a value; If-Match, If-None-Match and Fence are decided with the write",
  request: { params: KeyParam, query: PutQuery, headers: ConditionHeaders, body: { content: bytes, required: false } },
  security: needs({ noun: KV, verb: "write" }),
  responses: responses(KvWrittenShape, [...WRITE, "precondition-failed", "fence-too-low", "lost", "not-found"]),
});
const remove = createRoute({
  method: "delete",
  path: "/v1/kv/{key}",
  summary: "Delete a value; revision and highest fence outlive it. 404 if there is none",
  request: { params: KeyParam, query: WholeQuery, headers: ConditionHeaders },
  security: needs({ noun: KV, verb: "write" }),
  responses: responses(KvDeletedShape, [...WRITE, "precondition-failed", "fence-too-low", "not-found"]),
});
const list = createRoute({
  method: "get",
  path: "/v1/kv",
  summary:
    "Keys that have a value, by prefix, in pages; each is read from a quorum of its own, so a page is no snapshot",
  request: { query: KvListQuery },
  security: needs({ noun: KV, verb: "read" }),
  "x-filtered-by-scope": true,
  responses: responses(KvPageShape, READ),
});

const DEFAULT_TYPE = "application/octet-stream";

/** `newId` makes the Idempotency-Key of a write that came without. */
export function kvRoutes(app: OpenAPIHono<Env>, registers: RegisterService, newId: () => string): void {
  publish(app, get, async (c) => {
    const { name, options } = readOf(c, KV, queryOf(c, KeyStateQuery));
    const render = valueRenderer(c);
    return render(await registers.get(name, options));
  });

  publish(app, put, async (c) => {
    const { ttlMs, session, ...query } = queryOf(c, KeyPutQuery);
    const { caller, name } = writeOf(c, KV, newId, "write", query);
    const bound = sessionOf(c, session, caller);
    const conditions = conditionsOf(c);
    const contentType = contentTypeOf(c);
    refuseParts(c);
    const bytes = (await bodyOf(c, KV_VALUE_MAX_BYTES)).toBase64();
    const life = session !== undefined || ttlMs === undefined ? bound : { ttlMs };
    const request: PutRequest = { bytes, contentType, ...life, ...conditions };
    const answer = await registers.put(name, request, { ...caller, ...bornOf(c, caller) });
    return sendAnswer(c, answer, { "ETag": `"${answer.body.revision}"` });
  });

  publish(app, remove, async (c) => {
    const { caller, name } = writeOf(c, KV, newId, "write", queryOf(c, KeyQuery));
    const conditions = conditionsOf(c);
    checked(ReleaseBody, await readObject(c), "body");
    return sendAnswer(c, await registers.delete(name, conditions, { ...caller, ...bornOf(c, caller) }));
  });

  publish(app, list, (c) => {
    const { values, limit, ...query } = queryOf(c, KvListQuery);
    // A page may always be shorter than was asked for: its cursor says that there is more.
    const most = values === undefined ? LIST_MAX_ITEMS : LIST_VALUES_MAX_ITEMS;
    const whole = { ...query, limit: Math.min(limit ?? LIST_DEFAULT_ITEMS, most) };
    return listReadable(
      c,
      KV,
      (request) => registers.list({ ...request, values: values !== undefined }),
      whole,
    );
  });

  refuseEmptyNames(app, "/v1/kv", "key");
}

/** How a value is answered: 304 if it is what If-None-Match names. Throws `invalid-request` before anything is read. */
export function valueRenderer(c: Ctx): (answer: ReadAnswer<KvValue>) => Response {
  const known = tagsOf(c, "If-None-Match");
  return (answer) => {
    const { revision } = answer.body;
    if (!known?.some((tag) => tag === "*" || tag === revision)) return sendValue(c, answer);
    return sendBody(c, 304, null, withReceipt(withAge({ "ETag": `"${revision}"` }, answer), answer.receipt));
  };
}

/** The bytes as they were put. */
function sendValue(c: Ctx, answer: ReadAnswer<KvValue>): Response {
  const { revision, contentType, value } = answer.body;
  const bytes = Uint8Array.fromBase64(value);
  return sendBody(c, 200, bytes, {
    ...withReceipt(withAge({ "ETag": `"${revision}"` }, answer), answer.receipt),
    "Content-Type": contentType,
    // Also for HEAD, which has no body to count.
    "Content-Length": `${bytes.length}`,
    // Whoever may write a value could otherwise have a browser run it as a page of this origin.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
  });
}

function conditionsOf(c: Ctx) {
  const ifMatch = tagsOf(c, "If-Match");
  const ifNoneMatch = tagsOf(c, "If-None-Match");
  const fence = c.req.raw.headers.get("fence");
  return {
    ...(ifMatch !== null && { ifMatch }),
    ...(ifNoneMatch !== null && { ifNoneMatch }),
    ...(fence !== null && { fence: checkedFence(fence, "Fence") }),
  };
}

/** One entity tag and what follows it; a comma may stand inside the quotes too. */
const TAG = /[ \t]*(?:W\/)?"([\x21\x23-\x7e]*)"[ \t]*(,|$)/y;
const REVISION = /^[1-9][0-9]{0,19}$/;

/**
 * The revisions a header of entity tags names, or `*`; null if there is none. A tag that is no revision is nobody's. One that
 * is counts though it is weak: a proxy that packs answers makes them so, and a revision names the bytes whatever it says.
 */
function tagsOf(c: Ctx, header: "If-Match" | "If-None-Match"): string[] | null {
  const given = c.req.raw.headers.get(header);
  if (given === null) return null;
  if (given.trim() === "*") return ["*"];
  const tags: string[] = [];
  TAG.lastIndex = 0;
  for (let i = 0; i < ENTITY_TAGS_MAX; i++) {
    const [, tag = "", separator] = TAG.exec(given) ?? [];
    if (separator === undefined) break;
    if (REVISION.test(tag)) tags.push(tag);
    if (separator === "") return tags;
  }
  throw invalid(header, `is neither * nor 1 to ${ENTITY_TAGS_MAX} entity tags as in "1025"`);
}

/** Whoever reads gets the bytes and their type, and no word of what they are a part of, or packed with. */
function refuseParts(c: Ctx): void {
  const { headers } = c.req.raw;
  if (headers.get("content-range") !== null) {
    throw invalid("Content-Range", "is not for a value, which is put as a whole");
  }
  const coding = headers.get("content-encoding");
  if (coding === null || /^\s*identity\s*$/i.test(coding)) return;
  throw invalid("Content-Encoding", "is not kept with a value; put it unpacked, or say in Content-Type what it is");
}

function contentTypeOf(c: Ctx): string {
  const given = c.req.raw.headers.get("content-type") ?? DEFAULT_TYPE;
  if (given.length > CONTENT_TYPE_MAX_CHARS || !/^[\x21-\x7e]+\/[\x20-\x7e]+$/.test(given)) {
    throw invalid("Content-Type", `is not a media type of at most ${CONTENT_TYPE_MAX_CHARS} ASCII characters`);
  }
  return given;
}
