/** Names, fences, queries and keys out of the raw request: decoded strictly, once, and refused by field. */
import { Buffer } from "node:buffer";
import type { z } from "@hono/zod-openapi";
import { sha256Hex } from "../src/auth/digest.ts";
import { QuorateError } from "../src/errors.ts";
import { FENCE } from "../src/http/fence.ts";
import { VISIBLE } from "../src/http/request_head.ts";
import { IDEMPOTENCY_KEY_MAX_CHARS, NAME_MAX_BYTES } from "../src/limits.ts";
import type { Ctx } from "./answer.ts";
import { invalid } from "./error_response.ts";

const SESSION = /^[0-9a-f]{32}$/;

/**
 * The query as a record, checked. Throws `invalid-request` for an unknown, repeated or undecodable parameter.
 * @param lists parameters that may be repeated; each is an array if it is there
 */
export function queryOf<S extends z.ZodType>(c: Ctx, schema: S, lists: readonly string[] = []): z.output<S> {
  const { url } = c.req.raw;
  const start = url.indexOf("?");
  if (start < 0) return defaultsOf(schema);
  const query: Record<string, string | string[]> = Object.create(null);
  const hash = url.indexOf("#", start);
  for (const pair of url.slice(start + 1, hash < 0 ? undefined : hash).split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const key = decode("query", (equals < 0 ? pair : pair.slice(0, equals)).replaceAll("+", " "));
    const isList = lists.includes(key);
    if (key in query && !isList) throw invalid(key, "is given twice");
    // What makes queries (URLSearchParams, forms) writes a space as "+" and a plus as "%2B".
    const value = decode(key, equals < 0 ? "" : pair.slice(equals + 1).replaceAll("+", " "));
    query[key] = isList ? [...query[key] ?? [], value] : value;
  }
  return checked(schema, query, "query");
}

/** What the schemas make of no query, which most requests have. */
const noQuery = new WeakMap<z.ZodType, unknown>();

function defaultsOf<S extends z.ZodType>(schema: S): z.output<S> {
  const known = noQuery.get(schema) ?? Object.freeze(checked(schema, {}, "query"));
  noQuery.set(schema, known);
  return known as z.output<S>;
}

/** Whether the query has this parameter; what it holds is for `queryOf` to check. Throws as that for an undecodable one. */
export function hasQuery(c: Ctx, name: string): boolean {
  const start = c.req.raw.url.indexOf("?");
  const pairs = start < 0 ? [] : c.req.raw.url.slice(start + 1).split("#")[0]!.split("&");
  return pairs.some((pair) => decode("query", pair.split("=")[0]!.replaceAll("+", " ")) === name);
}

/** The name a request is about: segment 3 of its path, or `?name=` where that segment is `-`; a register's is its key. */
export function nameOf(c: Ctx, fromQuery: string | undefined, field: "name" | "key" = "name"): string {
  const segment = c.req.path.split("/")[3] ?? "";
  if (fromQuery === undefined) return checkedName(decode(field, segment), field);
  if (segment !== "-") throw invalid(field, `is given twice: with ?${field}= its segment of the path is -`);
  return checkedName(fromQuery, field);
}

/** A name as it is, decoded. */
export function checkedName(name: string, field = "name"): string {
  if (name === "") throw invalid(field, "is empty");
  if (!name.isWellFormed()) throw invalid(field, "holds half a surrogate pair");
  checkBytes(field, name, NAME_MAX_BYTES);
  if (/\p{Cc}/u.test(name)) throw invalid(field, "holds a control character");
  if (name.startsWith("/") || name.endsWith("/")) throw invalid(field, "begins or ends with /");
  // Some proxy would fold it, and one name would become another.
  if (/(^|\/)\.\.?(\/|$)/.test(name)) throw invalid(field, "holds a segment . or ..");
  return name;
}

/** A prefix of names; empty: all of them. */
export function checkedPrefix(prefix: string): string {
  return checkedPart(prefix, "prefix");
}

/** The last name of the page before; null: there was none. */
export function checkedCursor(cursor: string | undefined): string | null {
  if (cursor === undefined) return null;
  if (cursor === "") throw invalid("cursor", "is empty");
  return checkedPart(cursor, "cursor");
}

/** No longer than a name: it is looked for among them, and a store's keys have a bound. */
function checkedPart(text: string, field: string): string {
  checkBytes(field, text, NAME_MAX_BYTES);
  if (/\p{Cc}/u.test(text)) throw invalid(field, "holds a control character");
  return text;
}

/** The fence, segment 4 of the path. */
export function fenceOf(c: Ctx, field = "fence"): string {
  const given = c.req.path.split("/")[4] ?? "";
  // Whoever put a name there wrote its slash as it is.
  return checkedFence(given, field, /[0-9]/.test(given) ? "" : "; a slash within a name is written %2F");
}

export function checkedFence(fence: string, field: string, hint = ""): string {
  if (!FENCE.test(fence)) throw invalid(field, `is not a decimal number from 1 on${hint}`);
  return fence;
}

/** The id of the session that a request is about, segment 3 of its path. */
export function sessionIdOf(c: Ctx): string {
  return checkedSession(c.req.path.split("/")[3] ?? "", "id");
}

/** The id of a session, as this cluster makes them. */
export function checkedSession(id: string, field: string): string {
  if (!SESSION.test(id)) throw invalid(field, "is not the id of a session");
  return id;
}

/** The caller's `Idempotency-Key`, or a new one; either way it is in the answer from here on. */
export function idempotencyKey(c: Ctx, newId: () => string): string {
  const given = c.req.raw.headers.get("idempotency-key");
  if (given !== null && !VISIBLE.test(given)) {
    throw invalid("Idempotency-Key", `is not 1 to ${IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters`);
  }
  const key = given ?? newId();
  c.set("idempotencyKey", key);
  return key;
}

/** `Quorate-Hedge: BORN`: the same write goes to several nodes, so nothing in it may be made up by one of them. */
export function hedgeOf(c: Ctx): number | null {
  const instance = instanceOf(c, "Quorate-Hedge");
  if (instance === null) return null;
  if (c.req.raw.headers.get("idempotency-key") === null) {
    throw invalid("Idempotency-Key", "is required of a hedged write");
  }
  return instance;
}

export const BORN_HEADER = "Quorate-Born";

/** The number of an instance in a header; null without one. */
export function instanceOf(c: Ctx, header: string): number | null {
  const given = c.req.raw.headers.get(header);
  if (given === null) return null;
  if (!/^(0|[1-9][0-9]{0,14})$/.test(given)) throw invalid(header, "is not the number of an instance");
  return Number(given);
}

/** The Idempotency-Key that a path names, segment 5. */
export function keyOf(c: Ctx): string {
  const key = decode("key", c.req.path.split("/")[5] ?? "");
  if (!VISIBLE.test(key)) throw invalid("key", `is not 1 to ${IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters`);
  return key;
}

/** Whether `Accept` names this media type itself; a wildcard does not, and what it prefers is not weighed. */
export function accepts(c: Ctx, mediaType: string): boolean {
  const accept = c.req.raw.headers.get("accept") ?? "";
  return accept.split(",").some((range) => range.split(";")[0]!.trim().toLowerCase() === mediaType);
}

/** A UUID that a retry gets again, on any node: with another holder it would be another request. */
export function defaultHolder(subject: string, key: string): string {
  const hex = sha256Hex(`${subject}\n${key}`);
  // Version 8 (RFC 9562): made by a rule of our own.
  const variant = ((parseInt(hex[16] ?? "0", 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${
    hex.slice(20, 32)
  }`;
}

/** What the schema makes of `value`; throws `invalid-request` for the first thing wrong with it. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, whole: "body" | "query"): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  if (issue?.code === "unrecognized_keys") throw invalid(issue.keys[0] ?? whole, "is not a known field");
  throw invalid(issue?.path.join(".") || whole, issue?.message ?? "is invalid");
}

/** The operations of a batch are answered in one answer, so none may take its time. Throws `invalid-request`. */
export function refuseInBatch(c: Ctx, field: string, what: string): void {
  if (c.env?.isOperation === true) throw invalid(field, `${what}: not for a batch`);
}

/** What is asked to wait, as its route has read it. */
export function refuseToWait(c: Ctx, waitMs: number): void {
  if (waitMs > 0) refuseInBatch(c, "waitMs", "waits");
}

export function utf8Length(text: string): number {
  return Buffer.byteLength(text);
}

/**
 * Runs `run` with a signal that aborts if the client goes away before it has answered. Deno aborts `request.signal`
 * after a complete answer too, so nobody listens to it any more by then.
 */
export async function whileConnected<T>(request: Request, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const gone = new AbortController();
  const tell = () => gone.abort();
  request.signal.addEventListener("abort", tell, { once: true });
  if (request.signal.aborted) tell();
  try {
    return await unlessGone(gone.signal, run);
  } finally {
    request.signal.removeEventListener("abort", tell);
  }
}

/** As `whileConnected`, of what only looks whether the signal is aborted: a request's own costs a tenth of another one. */
export async function unlessGone<T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  try {
    return await run(signal);
  } catch (error) {
    if (!signal.aborted || error instanceof QuorateError) throw error;
    // To give up with the signal's own reason is what a waiter should do, and no failure of the node.
    throw new QuorateError("outcome-unknown", "the client went away");
  }
}

/** Strict: refuses what is not UTF-8 (surrogates and overlong forms too) and a % that begins no byte. */
function decode(field: string, raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw invalid(field, "is not percent-encoded UTF-8");
  }
}

function checkBytes(field: string, text: string, maxBytes: number): void {
  if (utf8Length(text) > maxBytes) throw invalid(field, `is over ${maxBytes} bytes`);
}
