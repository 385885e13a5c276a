/** Semaphores under /v1/semaphores: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { SemaphoreService } from "../src/replica/service.ts";
import { type Env, sendAnswer, sendRead } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { invalid } from "./error_response.ts";
import { checked, fenceOf } from "./input.ts";
import {
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
  FenceParams,
  ForceBody,
  ForcedShape,
  HistoryLineShape,
  HistoryShape,
  json,
  ListQuery,
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
  WriteHeaders,
} from "./schemas.ts";
import {
  SemaphoreGrantShape,
  SemaphoreHeldShape,
  SemaphorePageShape,
  SemaphoreStateShape,
  TakeBody,
} from "./semaphore_schemas.ts";
import { needs } from "./document.ts";
import { answerWaiting } from "./queued.ts";

const SEMAPHORE = "semaphore";

const take = createRoute({
  method: "post",
  path: "/v1/semaphores/{name}",
  summary: "Take permits, or wait in a FIFO queue for up to waitMs; all who use it at a time say the same limit",
  request: {
    params: NameParam,
    query: NamedQuery,
    headers: WriteHeaders,
    body: { ...json(TakeBody), required: true },
  },
  security: needs({ noun: SEMAPHORE, verb: "write" }),
  responses: responsesAs(
    SemaphoreGrantShape,
    [...WRITE, "held", "cooling", "limit-mismatch", "queue-full", "lost", "too-many-streams", "not-found"],
    { "text/event-stream": z.union([QueuedShape, SemaphoreGrantShape, ProblemShape]) },
    SemaphoreHeldShape,
  ),
});
const renew = createRoute({
  method: "put",
  path: "/v1/semaphores/{name}/{fence}",
  summary: "Renew a grant",
  request: { params: FenceParams, query: NamedQuery, headers: WriteHeaders, body: json(RenewBody) },
  security: needs({ noun: SEMAPHORE, verb: "write" }),
  responses: responses(SemaphoreGrantShape, [...WRITE, "lost", "not-found"]),
});
const release = createRoute({
  method: "delete",
  path: "/v1/semaphores/{name}/{fence}",
  summary: "Give the permits of a grant back; 404 for a fence that was never granted",
  request: { params: FenceParams, query: NamedQuery, headers: WriteHeaders },
  security: needs({ noun: SEMAPHORE, verb: "write" }),
  responses: responses(ReleasedShape, [...WRITE, "not-found"]),
});
const force = createRoute({
  method: "delete",
  path: "/v1/semaphores/{name}",
  summary: "End every grant of a name (admin)",
  request: {
    params: NameParam,
    query: NamedQuery,
    headers: WriteHeaders,
    body: { ...json(ForceBody), required: true },
  },
  security: needs({ noun: SEMAPHORE, verb: "admin" }),
  responses: responses(ForcedShape, WRITE),
});
const get = createRoute({
  method: "get",
  path: "/v1/semaphores/{name}",
  summary: "State of a semaphore; one never used is free and has no limit",
  request: { params: NameParam, query: WatchableQuery },
  security: needs({ noun: SEMAPHORE, verb: "read" }),
  responses: { ...responses(SemaphoreStateShape, [...READ, "too-many-streams"]), ...NOT_MODIFIED },
});
const history = createRoute({
  method: "get",
  path: "/v1/semaphores/{name}/history",
  summary: "How the latest grants ended",
  request: { params: NameParam, query: NamedQuery },
  security: needs({ noun: SEMAPHORE, verb: "read" }),
  responses: responsesAs(HistoryShape, READ, { [JSON_LINES]: HistoryLineShape }),
});
const list = createRoute({
  method: "get",
  path: "/v1/semaphores",
  summary: "Semaphores by prefix, in pages; each item is read on its own",
  request: { query: ListQuery },
  security: needs({ noun: SEMAPHORE, verb: "read" }),
  "x-filtered-by-scope": true,
  responses: responses(SemaphorePageShape, READ),
});

export function semaphoreRoutes(app: OpenAPIHono<Env>, semaphores: SemaphoreService, parts: RouteParts): void {
  const { newId } = parts;
  publish(app, take, async (c) => {
    const { caller, name } = writeOf(c, SEMAPHORE, newId);
    const given = await readObject(c.req.raw);
    const { holder, metadata, session, ...body } = checked(TakeBody, given, "body");
    if (body.permits > body.limit) throw invalid("permits", `is more than the limit of ${body.limit}`);
    const request = {
      ...body,
      holder: holderOf("holder", holder, body.waitMs, caller),
      ...(metadata !== undefined && { metadata }),
      ...sessionOf(c, session, given, caller),
    };
    return await answerWaiting(
      c,
      parts,
      body.waitMs,
      (waiter) => semaphores.take(name, request, { ...caller, ...waiter }),
    );
  });

  publish(app, renew, async (c) => {
    const { caller, name } = writeOf(c, SEMAPHORE, newId);
    const fence = fenceOf(c);
    const { ttlMs } = checked(RenewBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await semaphores.renew(name, fence, ttlMs === undefined ? {} : { ttlMs }, caller));
  });

  publish(app, release, async (c) => {
    const { caller, name } = writeOf(c, SEMAPHORE, newId);
    const fence = fenceOf(c);
    checked(ReleaseBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await semaphores.release(name, fence, caller));
  });

  publish(app, force, async (c) => {
    const { caller, name } = writeOf(c, SEMAPHORE, newId, "admin");
    const { reason } = checked(ForceBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await semaphores.force(name, reason, caller));
  });

  publish(app, get, async (c) => {
    const { name, options } = readOf(c, SEMAPHORE);
    return sendRead(c, await semaphores.get(name, options));
  });

  publish(app, history, async (c) => {
    const { name, timeoutMs } = historyOf(c, SEMAPHORE);
    return sendHistory(c, name, await semaphores.history(name, { timeoutMs }));
  });

  publish(app, list, (c) => listReadable(c, SEMAPHORE, (request) => semaphores.list(request)));

  refuseEmptyNames(app, "/v1/semaphores");
}
