/** Locks under /v1/locks: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { AcquireRequest, Caller, LockService } from "../src/replica/service.ts";
import { type Env, sendAnswer, sendRead } from "./answer.ts";
import { readObject } from "./body.ts";
import { invalid } from "./error_response.ts";
import { publish } from "./docs.ts";
import { permit } from "./gate.ts";
import { checked, checkedName, fenceOf, queryOf, whileConnected } from "./input.ts";
import {
  callerOf,
  historyOf,
  holderOf,
  JSON_LINES,
  listReadable,
  READ,
  readOf,
  refuseEmptyNames,
  type RouteParts,
  sendHistory,
  sessionOf,
  WRITE,
  writeOf,
} from "./noun.ts";
import {
  AcquireAllBody,
  AcquireBody,
  FenceParams,
  ForceBody,
  ForcedShape,
  GrantSetShape,
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
  WatchableQuery,
  WholeQuery,
  WriteHeaders,
} from "./schemas.ts";
import { needs } from "./document.ts";
import { answerWaiting } from "./queued.ts";

const LOCK = "lock";

const acquire = createRoute({
  method: "post",
  path: "/v1/locks/{name}",
  summary: "Acquire, or wait in a FIFO queue for up to waitMs",
  request: { params: NameParam, query: NamedQuery, headers: WriteHeaders, body: json(AcquireBody) },
  security: needs({ noun: LOCK, verb: "write" }),
  responses: responsesAs(GrantShape, [
    ...WRITE,
    "held",
    "cooling",
    "queue-full",
    "too-many-streams",
    "lost",
    "not-found",
  ], {
    "text/event-stream": z.union([QueuedShape, GrantShape, ProblemShape]),
  }),
});
const acquireAll = createRoute({
  method: "post",
  path: "/v1/locks",
  summary:
    "Acquire several locks, all or none, in byte order of their names; a node that dies meanwhile leaves what it " +
    "took to the same request at another node, or to lapse",
  request: { query: WholeQuery, headers: WriteHeaders, body: { ...json(AcquireAllBody), required: true } },
  security: needs({ noun: LOCK, verb: "write" }),
  responses: responses(GrantSetShape, [...WRITE, "held", "cooling", "queue-full", "lost", "not-found"]),
});
const renew = createRoute({
  method: "put",
  path: "/v1/locks/{name}/{fence}",
  summary: "Renew a grant",
  request: { params: FenceParams, query: NamedQuery, headers: WriteHeaders, body: json(RenewBody) },
  security: needs({ noun: LOCK, verb: "write" }),
  responses: responses(GrantShape, [...WRITE, "lost", "not-found"]),
});
const release = createRoute({
  method: "delete",
  path: "/v1/locks/{name}/{fence}",
  summary: "Release a grant; 404 for a fence that was never granted",
  request: { params: FenceParams, query: NamedQuery, headers: WriteHeaders },
  security: needs({ noun: LOCK, verb: "write" }),
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
  security: needs({ noun: LOCK, verb: "admin" }),
  responses: responses(ForcedShape, WRITE),
});
const get = createRoute({
  method: "get",
  path: "/v1/locks/{name}",
  summary: "State of a lock; one never used is free",
  request: { params: NameParam, query: WatchableQuery },
  security: needs({ noun: LOCK, verb: "read" }),
  responses: { ...responses(LockStateShape, [...READ, "too-many-streams"]), ...NOT_MODIFIED },
});
const history = createRoute({
  method: "get",
  path: "/v1/locks/{name}/history",
  summary: "How the latest grants ended",
  request: { params: NameParam, query: NamedQuery },
  security: needs({ noun: LOCK, verb: "read" }),
  responses: responsesAs(HistoryShape, READ, { [JSON_LINES]: HistoryLineShape }),
});
const list = createRoute({
  method: "get",
  path: "/v1/locks",
  summary: "Locks by prefix, in pages; each item is read on its own",
  request: { query: ListQuery },
  security: needs({ noun: LOCK, verb: "read" }),
  "x-filtered-by-scope": true,
  responses: responses(LockPageShape, READ),
});

export function lockRoutes(app: OpenAPIHono<Env>, locks: LockService, parts: RouteParts): void {
  const { newId } = parts;
  publish(app, acquire, async (c) => {
    const { caller, name } = writeOf(c, LOCK, newId);
    const given = await readObject(c.req.raw);
    const body = checked(AcquireBody, given, "body");
    const request = requestOf(body, sessionOf(c, body.session, given, caller), caller);
    return await answerWaiting(
      c,
      parts,
      request.waitMs,
      (waiter) => locks.acquire(name, request, { ...caller, ...waiter }),
    );
  });

  publish(app, acquireAll, async (c) => {
    const { timeoutMs } = queryOf(c, WholeQuery);
    const given = await readObject(c.req.raw);
    const body = checked(AcquireAllBody, given, "body");
    const names = body.names.map((name) => checkedName(name, "names"));
    for (const name of names) permit(c, { noun: LOCK, verb: "write" }, name);
    const caller = callerOf(c, newId, timeoutMs);
    if (caller.race !== undefined) throw invalid("Quorate-Race", "is not for several names");
    const request = requestOf(body, sessionOf(c, body.session, given, caller), caller);
    const answer = whileConnected(c.req.raw, (signal) => locks.acquireAll(names, request, { ...caller, signal }));
    return sendAnswer(c, await answer);
  });

  publish(app, renew, async (c) => {
    const { caller, name } = writeOf(c, LOCK, newId);
    const fence = fenceOf(c);
    const { ttlMs } = checked(RenewBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await locks.renew(name, fence, ttlMs === undefined ? {} : { ttlMs }, caller));
  });

  publish(app, release, async (c) => {
    const { caller, name } = writeOf(c, LOCK, newId);
    const fence = fenceOf(c);
    checked(ReleaseBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await locks.release(name, fence, caller));
  });

  publish(app, force, async (c) => {
    const { caller, name } = writeOf(c, LOCK, newId, "admin");
    const { reason } = checked(ForceBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await locks.force(name, reason, caller));
  });

  publish(app, get, async (c) => {
    const { name, options } = readOf(c, LOCK);
    return sendRead(c, await locks.get(name, options));
  });

  publish(app, history, async (c) => {
    const { name, timeoutMs } = historyOf(c, LOCK);
    return sendHistory(c, name, await locks.history(name, { timeoutMs }));
  });

  publish(
    app,
    list,
    (c) =>
      listReadable(
        c,
        LOCK,
        ({ prefix, limit, cursor, timeoutMs }) => locks.list(prefix, limit, cursor, { timeoutMs }),
      ),
  );

  refuseEmptyNames(app, "/v1/locks");
}

function requestOf(
  body: z.output<typeof AcquireBody>,
  bound: { readonly session?: string },
  caller: Caller,
): AcquireRequest {
  return {
    holder: holderOf("holder", body.holder, body.waitMs, caller),
    ttlMs: body.ttlMs,
    waitMs: body.waitMs,
    mode: body.mode,
    lockDelayMs: body.lockDelayMs,
    ...(body.metadata !== undefined && { metadata: body.metadata }),
    ...bound,
  };
}
