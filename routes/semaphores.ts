/** Semaphores under /v1/semaphores: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { SemaphoreService } from "../src/service/service.ts";
import { type Env, sendAnswer } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { invalid } from "./error_response.ts";
import { checked, fenceOf } from "./input.ts";
import { bornOf, holderOf, type RouteParts, sessionOf, WRITE, writeOf } from "./noun.ts";
import {
  FenceParams,
  HistoryLineShape,
  HistoryShape,
  json,
  NameParam,
  OnceHeaders,
  ProblemShape,
  QueuedShape,
  ReleasedShape,
  RenewBody,
  responses,
  responsesAs,
  WholeQuery,
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
import { type GrantNoun, grantRoutes } from "./grant_routes.ts";
import { answerWaiting } from "./queued.ts";

const SEMAPHORE = "semaphore";

const take = createRoute({
  method: "post",
  path: "/v1/semaphores/{name}",
  summary: "Take permits, or wait in a FIFO queue for up to waitMs; all who use it at a time say the same limit",
  request: {
    params: NameParam,
    query: WholeQuery,
    headers: OnceHeaders,
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
  request: { params: FenceParams, query: WholeQuery, headers: WriteHeaders, body: json(RenewBody) },
  security: needs({ noun: SEMAPHORE, verb: "write" }),
  responses: responses(SemaphoreGrantShape, [...WRITE, "lost", "not-found"]),
});
const SHARED: GrantNoun = {
  noun: SEMAPHORE,
  path: "/v1/semaphores",
  fence: "fence",
  fenceParams: FenceParams,
  summaries: {
    release: "Give the permits of a grant back; 404 for a fence that was never granted",
    force: "End every grant of a name (admin)",
    get: "State of a semaphore; one never used is free and has no limit",
    history: "How the latest grants ended",
    list: "Semaphores by prefix, in pages; each item is read on its own",
  },
  shapes: {
    release: ReleasedShape,
    get: SemaphoreStateShape,
    history: HistoryShape,
    historyLine: HistoryLineShape,
    list: SemaphorePageShape,
  },
};

export function semaphoreRoutes(app: OpenAPIHono<Env>, semaphores: SemaphoreService, parts: RouteParts): void {
  const { newId } = parts;
  publish(app, take, async (c) => {
    const { caller, name } = writeOf(c, SEMAPHORE, newId);
    const { holder, metadata, session, renews, ...body } = checked(TakeBody, await readObject(c), "body");
    if (body.permits > body.limit) throw invalid("permits", `is more than the limit of ${body.limit}`);
    const request = {
      ...body,
      holder: holderOf("holder", holder, body.waitMs, caller),
      ...(metadata !== undefined && { metadata }),
      ...(renews && { renews }),
      ...sessionOf(c, session, caller),
    };
    const born = bornOf(c, caller);
    return await answerWaiting(
      c,
      parts,
      body.waitMs,
      caller,
      (waiter) => semaphores.take(name, request, { ...caller, ...born, ...waiter }),
    );
  });

  publish(app, renew, async (c) => {
    const { caller, name } = writeOf(c, SEMAPHORE, newId);
    const fence = fenceOf(c);
    const { ttlMs } = checked(RenewBody, await readObject(c), "body");
    return sendAnswer(c, await semaphores.renew(name, fence, ttlMs === undefined ? {} : { ttlMs }, caller));
  });

  grantRoutes(app, SHARED, semaphores, (name, fence, caller) => semaphores.release(name, fence, caller), parts);
}
