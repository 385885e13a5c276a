/** What the routes of every noun have in common: who may say what of which name, and what they may all answer. */
import type { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Answer, Page } from "../src/api.ts";
import type { Noun, Verb } from "../src/auth/scopes.ts";
import type { ErrorCode } from "../src/errors.ts";
import { NAME_FIELDS } from "../src/nouns.ts";
import type { Caller, ListRequest, ReadOptions } from "../src/service/service.ts";
import { type Ctx, type Env, send, sendAnswer, sendText, withReceipt } from "./answer.ts";
import { invalid } from "./error_response.ts";
import { permit, readable } from "./gate.ts";
import {
  accepts,
  BORN_HEADER,
  checkedCursor,
  checkedPrefix,
  defaultHolder,
  hedgeOf,
  idempotencyKey,
  instanceOf,
  nameOf,
  queryOf,
} from "./input.ts";
import { type Listed, listRanges } from "./listing.ts";
import type { WaitParts } from "./queued.ts";
import { ListQuery, NamedQuery, NamedStateQuery, type StateQuery } from "./schemas.ts";

/** Besides what any request may be answered (document.ts). */
export const READ: readonly ErrorCode[] = ["no-quorum", "not-ready"];
export const WRITE: readonly ErrorCode[] = [
  ...READ,
  "expired-command",
  "request-timeout",
  "too-large",
  "idempotency-mismatch",
  "outcome-unknown",
];

/** What the routes of every noun need besides its service. */
export type RouteParts = WaitParts & {
  /** Makes the Idempotency-Key of a write that came without. */
  readonly newId: () => string;
};

/** Whose names the caller chooses. */
export type NamedNoun = Exclude<Noun, "session">;
/** What a query says of the name, if its segment of the path is `-`; a register's is its key. */
export type NameQuery = { readonly name?: string | undefined; readonly key?: string | undefined };

/** The name a request is about, allowed. */
export function targetOf(c: Ctx, noun: NamedNoun, verb: Verb, query: NameQuery): string {
  const field = NAME_FIELDS[noun];
  const name = nameOf(c, query[field], field);
  permit(c, { noun, verb }, name);
  return name;
}

/** What every write says before its body: the name, and who calls, allowed to. `newId` makes a key it came without. */
export function writeOf(
  c: Ctx,
  noun: NamedNoun,
  newId: () => string,
  verb: Verb = "write",
  query: NameQuery & { readonly timeoutMs: number } = queryOf(c, NamedQuery),
): { readonly caller: Caller; readonly name: string } {
  const name = targetOf(c, noun, verb, query);
  return { name, caller: callerOf(c, newId, query.timeoutMs) };
}

/** Who calls, once it is known to be allowed. */
export function callerOf(c: Ctx, newId: () => string, timeoutMs: number): Caller {
  const hedge = hedgeOf(c);
  const { subject } = c.get("client");
  // Whoever gave no key was told none, and can never come back for what it asked for.
  // To answer `has` the runtime first makes a list of all headers.
  const isAnonymous = c.req.raw.headers.get("idempotency-key") === null;
  return {
    subject,
    idempotencyKey: idempotencyKey(c, newId),
    timeoutMs,
    ...(isAnonymous ? { anonymous: true } : {}),
    ...(hedge === null ? {} : { hedge }),
  };
}

/** What a take or a register's write says of its first try (PROTOCOL.md §6). Other writes need none, and ignore it. */
export function bornOf(c: Ctx, { hedge }: Caller): { readonly born?: number } {
  const born = instanceOf(c, BORN_HEADER);
  if (born === null) return {};
  if (hedge !== undefined) throw invalid(BORN_HEADER, "is not for a hedged write, whose instance it is");
  return { born: bornAfter(born) };
}

/** What was seen decided it was not applied in. */
export function bornAfter(lastInstance: number): number {
  return lastInstance + 1;
}

/** Who asks for a grant; of a hedged request nothing may be made up, and nobody waits for it. */
export function holderOf(
  field: "holder" | "candidate",
  given: string | undefined,
  waitMs: number,
  { subject, idempotencyKey, hedge }: Caller,
): string {
  if (hedge !== undefined && given === undefined) throw invalid(field, "is required of a hedged write");
  if (hedge !== undefined && waitMs > 0) throw invalid("waitMs", "is not for a hedged write");
  return given ?? defaultHolder(subject, idempotencyKey);
}

/** The session that what is asked for is to be bound to: the caller must be allowed to keep it, which binding does. */
export function sessionOf(
  c: Ctx,
  session: string | undefined,
  { hedge }: Caller,
): { readonly session?: string } {
  if (session === undefined) return {};
  permit(c, { noun: "session", verb: "write" }, session);
  // It is entered in the session's log first, by one node.
  if (hedge !== undefined) throw invalid("session", "is not for a hedged write");
  return { session };
}

export function readOf(
  c: Ctx,
  noun: NamedNoun,
  query: NameQuery & z.output<typeof StateQuery> = queryOf(c, NamedStateQuery),
): { readonly name: string; readonly options: ReadOptions } {
  const { timeoutMs, consistency } = query;
  return { name: targetOf(c, noun, "read", query), options: { stale: consistency === "stale", timeoutMs } };
}

/** As `readOf`, where there is no other consistency to ask for. */
export function historyOf(c: Ctx, noun: NamedNoun): { readonly name: string; readonly timeoutMs: number } {
  const query = queryOf(c, NamedQuery);
  return { name: targetOf(c, noun, "read", query), timeoutMs: query.timeoutMs };
}

/** A page of what the caller may read. */
export async function listReadable<T extends Listed>(
  c: Ctx,
  noun: Noun,
  list: (request: ListRequest) => Promise<Page<T>>,
  query: z.output<typeof ListQuery> = queryOf(c, ListQuery),
): Promise<Response> {
  const { prefix, limit, cursor, timeoutMs } = query;
  const ranges = readable(c, noun, checkedPrefix(prefix));
  const page = await listRanges(
    ranges,
    limit,
    checkedCursor(cursor),
    (some, max, after) => list({ prefix: some, limit: max, cursor: after, timeoutMs }),
  );
  return send(c, 200, page);
}

export const JSON_LINES = "application/x-ndjson";

/** As JSON lines for who asks for them; each stands for itself, so that exports of many names can be put together. */
export function sendHistory(c: Ctx, name: string, answer: Answer<{ readonly items: readonly object[] }>): Response {
  if (!accepts(c, JSON_LINES)) return sendAnswer(c, answer);
  const lines = answer.body.items.map((item) => `${JSON.stringify({ name, ...item })}\n`).join("");
  return sendText(c, 200, lines, withReceipt({ "Content-Type": JSON_LINES }, answer.receipt));
}

/** To be mounted last: an empty name matches no other route, and it is a wrong name, not an unknown route. */
export function refuseEmptyNames(app: OpenAPIHono<Env>, path: string, field: "name" | "key" = "name"): void {
  for (const empty of [`${path}/`, `${path}//*`]) {
    app.all(empty, () => {
      throw invalid(field, "is empty");
    });
  }
}
