/** Locks under /v1/locks: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { ErrorCode } from "../src/errors.ts";
import type { AcquireRequest, Caller, LockService } from "../src/replica/service.ts";
import { type Ctx, type Env, send, sendAnswer, sendText, withReceipt } from "./answer.ts";
import { readObject } from "./body.ts";
import { type Explain, invalid } from "./error_response.ts";
import type { EventStreams } from "./event_stream.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit, readable } from "./gate.ts";
import {
  accepts,
  checked,
  checkedPrefix,
  defaultHolder,
  fenceOf,
  idempotencyKey,
  nameOf,
  queryOf,
  raceOf,
  whileConnected,
} from "./input.ts";
import { listRanges } from "./listing.ts";
import { answerQueued } from "./queued.ts";
import {
  AcquireBody,
  FenceParams,
  ForceBody,
  ForcedShape,
  GrantShape,
  HistoryLineShape,
  HistoryShape,
  json,
  ListQuery,
  LockPageShape,
  LockStateShape,
  NamedQuery,
  NameParam,
  NOT_MODIFIED,
  ProblemShape,
  QueuedShape,
  ReleaseBody,
  ReleasedShape,
  RenewBody,
  responses,
  responsesAs,
  StateQuery,
  WatchableQuery,
  WriteHeaders,
} from "./schemas.ts";

/** Besides what any request may be answered. */
const READ: readonly ErrorCode[] = ["no-quorum", "not-ready"];
const WRITE: readonly ErrorCode[] = [
  ...READ,
  "expired-command",
  "too-large",
  "idempotency-mismatch",
  "outcome-unknown",
];

const LOCK = { noun: "lock" } as const;
const JSON_LINES = "application/x-ndjson";
const MAY_READ = needs({ ...LOCK, verb: "read" });
const MAY_WRITE = needs({ ...LOCK, verb: "write" });

const acquire = createRoute({
  method: "post",
  path: "/v1/locks/{name}",
  summary: "Acquire, or wait in a FIFO queue for up to waitMs; 410 if it was granted and is over already",
  request: { params: NameParam, query: NamedQuery, headers: WriteHeaders, body: json(AcquireBody) },
  security: MAY_WRITE,
  responses: responsesAs(GrantShape, [...WRITE, "held", "cooling", "lost", "queue-full", "too-many-streams"], {
    "text/event-stream": z.union([QueuedShape, GrantShape, ProblemShape]),
  }),
});
const renew = createRoute({
  method: "put",
  path: "/v1/locks/{name}/{fence}",
  summary: "Renew a grant; 404 for a fence that was never granted",
  request: { params: FenceParams, query: NamedQuery, headers: WriteHeaders, body: json(RenewBody) },
  security: MAY_WRITE,
  responses: responses(GrantShape, [...WRITE, "not-found", "lost"]),
});
const release = createRoute({
  method: "delete",
  path: "/v1/locks/{name}/{fence}",
  summary: "Release a grant; 404 for a fence that was never granted",
  request: { params: FenceParams, query: NamedQuery, headers: WriteHeaders },
  security: MAY_WRITE,
  responses: responses(ReleasedShape, [...WRITE, "not-found"]),
});
const force = createRoute({
  method: "delete",
  path: "/v1/locks/{name}",
  summary: "End every grant of a name (admin)",
  request: {
    params: NameParam,
    query: NamedQuery,
    headers: WriteHeaders,
    body: { ...json(ForceBody), required: true },
  },
  security: needs({ ...LOCK, verb: "admin" }),
  responses: responses(ForcedShape, WRITE),
});
const get = createRoute({
  method: "get",
  path: "/v1/locks/{name}",
  summary: "State of a lock; one never used is free",
  request: { params: NameParam, query: WatchableQuery },
  security: MAY_READ,
  responses: { ...responses(LockStateShape, [...READ, "too-many-streams"]), ...NOT_MODIFIED },
});
const history = createRoute({
  method: "get",
  path: "/v1/locks/{name}/history",
  summary: "How the latest grants ended",
  request: { params: NameParam, query: NamedQuery },
  security: MAY_READ,
  responses: responsesAs(HistoryShape, READ, { [JSON_LINES]: HistoryLineShape }),
});
const list = createRoute({
  method: "get",
  path: "/v1/locks",
  summary: "Locks by prefix, in pages; each item is read on its own",
  request: { query: ListQuery },
  security: MAY_READ,
  "x-filtered-by-scope": true,
  responses: responses(LockPageShape, READ),
});

export type RouteParts = {
  /** Makes the Idempotency-Key of a write that came without. */
  readonly newId: () => string;
  readonly streams: EventStreams;
  readonly explain: Explain;
};

export function lockRoutes(app: OpenAPIHono<Env>, locks: LockService, { newId, streams, explain }: RouteParts): void {
  publish(app, acquire, async (c) => {
    const { caller, name } = write(c, newId);
    const body = checked(AcquireBody, await readObject(c.req.raw), "body");
    if (caller.race !== undefined && body.holder === undefined) throw invalid("holder", "is required of a raced write");
    if (caller.race !== undefined && body.waitMs > 0) throw invalid("waitMs", "is not for a raced write");
    const request: AcquireRequest = {
      holder: body.holder ?? defaultHolder(caller.subject, caller.idempotencyKey),
      ttlMs: body.ttlMs,
      waitMs: body.waitMs,
      mode: body.mode,
      lockDelayMs: body.lockDelayMs,
      ...(body.metadata !== undefined && { metadata: body.metadata }),
    };
    if (accepts(c, "text/event-stream")) {
      return await answerQueued(
        c,
        streams,
        explain,
        (waiter) => locks.acquire(name, request, { ...caller, ...waiter }),
      );
    }
    // Only who waits can be given up on; the others are spared the listener.
    if (request.waitMs === 0) return sendAnswer(c, await locks.acquire(name, request, caller));
    const answer = whileConnected(c.req.raw, (signal) => locks.acquire(name, request, { ...caller, signal }));
    return sendAnswer(c, await answer);
  });

  publish(app, renew, async (c) => {
    const { caller, name } = write(c, newId);
    const fence = fenceOf(c);
    const { ttlMs } = checked(RenewBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await locks.renew(name, fence, ttlMs === undefined ? {} : { ttlMs }, caller));
  });

  publish(app, release, async (c) => {
    const { caller, name } = write(c, newId);
    const fence = fenceOf(c);
    checked(ReleaseBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await locks.release(name, fence, caller));
  });

  publish(app, force, async (c) => {
    const { caller, name } = write(c, newId, "admin");
    const { reason } = checked(ForceBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await locks.force(name, reason, caller));
  });

  publish(app, get, async (c) => {
    const { name: named, timeoutMs, consistency } = queryOf(c, StateQuery);
    const name = nameOf(c, named);
    permit(c, { ...LOCK, verb: "read" }, name);
    const answer = await locks.get(name, { stale: consistency === "stale", timeoutMs });
    const { staleMs } = answer;
    return sendAnswer(c, answer, staleMs === undefined ? {} : { "Quorate-Stale-Ms": `${Math.ceil(staleMs)}` });
  });

  publish(app, history, async (c) => {
    const { name: named, timeoutMs } = queryOf(c, NamedQuery);
    const name = nameOf(c, named);
    permit(c, { ...LOCK, verb: "read" }, name);
    const answer = await locks.history(name, { timeoutMs });
    if (!accepts(c, JSON_LINES)) return sendAnswer(c, answer);
    // Each line stands for itself, so that exports of many names can be put together.
    const lines = answer.body.items.map((item) => `${JSON.stringify({ name, ...item })}\n`).join("");
    return sendText(c, 200, lines, withReceipt({ "Content-Type": JSON_LINES }, answer.receipt));
  });

  publish(app, list, async (c) => {
    const { prefix: named, limit, cursor, timeoutMs } = queryOf(c, ListQuery);
    const prefix = checkedPrefix(named);
    const page = await listRanges(
      readable(c, LOCK.noun, prefix),
      limit,
      cursor ?? null,
      (some, max, after) => locks.list(some, max, after, { timeoutMs }),
    );
    return send(c, 200, page);
  });

  // An empty name matches none of the above: it is a wrong name, not an unknown route.
  for (const path of ["/v1/locks/", "/v1/locks//*"]) {
    app.all(path, () => {
      throw invalid("name", "is empty");
    });
  }
}

/** What every write says before its body: the name, and who calls, allowed to. */
function write(c: Ctx, newId: () => string, verb: "write" | "admin" = "write"): { caller: Caller; name: string } {
  const { name: named, timeoutMs } = queryOf(c, NamedQuery);
  const name = nameOf(c, named);
  permit(c, { ...LOCK, verb }, name);
  const race = raceOf(c);
  const { subject } = c.get("client");
  const caller = { subject, idempotencyKey: idempotencyKey(c, newId), timeoutMs };
  return { name, caller: race === null ? caller : { ...caller, race } };
}
