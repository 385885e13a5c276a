/** Locks under /v1/locks: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { AcquireRequest, Caller, LockService } from "../src/service/service.ts";
import { type Env, sendAnswer } from "./answer.ts";
import { readObject } from "./body.ts";
import { invalid } from "./error_response.ts";
import { publish } from "./docs.ts";
import { permit } from "./gate.ts";
import { checked, checkedName, fenceOf, queryOf, refuseToWait, whileConnected } from "./input.ts";
import { bornAfter, bornOf, callerOf, holderOf, type RouteParts, sessionOf, WRITE, writeOf } from "./noun.ts";
import {
  AcquireAllBody,
  AcquireBody,
  FenceParams,
  GrantSetShape,
  GrantShape,
  HistoryLineShape,
  HistoryShape,
  json,
  LockPageShape,
  LockStateShape,
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
import { needs } from "./document.ts";
import { type GrantNoun, grantRoutes } from "./grant_routes.ts";
import { answerWaiting } from "./queued.ts";

const LOCK = "lock";

const acquire = createRoute({
  method: "post",
  path: "/v1/locks/{name}",
  summary: "Acquire, or wait in a FIFO queue for up to waitMs",
  request: { params: NameParam, query: WholeQuery, headers: OnceHeaders, body: json(AcquireBody) },
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
  request: { params: FenceParams, query: WholeQuery, headers: WriteHeaders, body: json(RenewBody) },
  security: needs({ noun: LOCK, verb: "write" }),
  responses: responses(GrantShape, [...WRITE, "lost", "not-found"]),
});
const SHARED: GrantNoun = {
  noun: LOCK,
  path: "/v1/locks",
  fence: "fence",
  fenceParams: FenceParams,
  summaries: {
    release: "Release a grant; 404 for a fence that was never granted",
    force: "End every grant of a name (admin)",
    get: "State of a lock; one never used is free",
    history: "How the latest grants ended",
    list: "Locks by prefix, in pages; each item is read on its own",
  },
  shapes: {
    release: ReleasedShape,
    get: LockStateShape,
    history: HistoryShape,
    historyLine: HistoryLineShape,
    list: LockPageShape,
  },
};

export function lockRoutes(app: OpenAPIHono<Env>, locks: LockService, parts: RouteParts): void {
  const { newId } = parts;
  publish(app, acquire, async (c) => {
    const { caller, name } = writeOf(c, LOCK, newId);
    const body = checked(AcquireBody, await readObject(c), "body");
    const request = requestOf(body, sessionOf(c, body.session, caller), caller);
    const born = bornOf(c, caller);
    return await answerWaiting(
      c,
      parts,
      request.waitMs,
      caller,
      (waiter) => locks.acquire(name, request, { ...caller, ...born, ...waiter }),
    );
  });

  publish(app, acquireAll, async (c) => {
    const { timeoutMs } = queryOf(c, WholeQuery);
    const body = checked(AcquireAllBody, await readObject(c), "body");
    const names = body.names.map((name) => checkedName(name, "names"));
    for (const name of names) permit(c, { noun: LOCK, verb: "write" }, name);
    const caller = callerOf(c, newId, timeoutMs);
    if (caller.hedge !== undefined) throw invalid("Quorate-Hedge", "is not for several names");
    const one = requestOf(body, sessionOf(c, body.session, caller), caller);
    const request = { ...one, ...(body.born === undefined ? {} : { born: bornByName(body.born, names) }) };
    refuseToWait(c, request.waitMs);
    const onPosition = () => c.get("leave")?.();
    const answer = whileConnected(
      c.req.raw,
      (signal) => locks.acquireAll(names, request, { ...caller, signal, onPosition }),
    );
    return sendAnswer(c, await answer);
  });

  publish(app, renew, async (c) => {
    const { caller, name } = writeOf(c, LOCK, newId);
    const fence = fenceOf(c);
    const { ttlMs } = checked(RenewBody, await readObject(c), "body");
    return sendAnswer(c, await locks.renew(name, fence, ttlMs === undefined ? {} : { ttlMs }, caller));
  });

  grantRoutes(app, SHARED, locks, (name, fence, caller) => locks.release(name, fence, caller), parts);
}

function bornByName(given: Readonly<Record<string, number>>, names: readonly string[]) {
  const asked = Object.entries(given).filter(([name]) => names.includes(name));
  return Object.fromEntries(asked.map(([name, instance]) => [name, bornAfter(instance)]));
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
    ...(body.renews && { renews: true }),
    ...bound,
  };
}
