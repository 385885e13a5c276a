/** What locks, elections and semaphores have alike: a grant given back, all of them ended, state, history, list. */
import { createRoute, type OpenAPIHono, type z } from "@hono/zod-openapi";
import type { Answer, Forced, Left, Page } from "../src/api.ts";
import type { Caller, GrantListRequest, ReadAnswer, ReadOptions } from "../src/service/service.ts";
import { type Env, sendAnswer, sendRead } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { invalid } from "./error_response.ts";
import { checked, fenceOf, keyOf, queryOf } from "./input.ts";
import {
  historyOf,
  JSON_LINES,
  listReadable,
  READ,
  readOf,
  refuseEmptyNames,
  type RouteParts,
  sendHistory,
  WRITE,
  writeOf,
} from "./noun.ts";
import {
  ForceBody,
  ForcedShape,
  GrantListQuery,
  json,
  LeftShape,
  NameParam,
  NOT_MODIFIED,
  QueueParams,
  ReleaseBody,
  responses,
  responsesAs,
  StateQuery,
  WholeQuery,
  WriteHeaders,
} from "./schemas.ts";

type What = "release" | "force" | "get" | "history" | "list";

export type GrantNoun = {
  readonly noun: "lock" | "election" | "semaphore";
  readonly path: `/v1/${string}`;
  /** What the noun calls a fence. */
  readonly fence: "fence" | "term";
  readonly fenceParams: z.ZodObject;
  readonly summaries: Readonly<Record<What, string>>;
  readonly shapes: Readonly<Record<"release" | "get" | "history" | "historyLine" | "list", z.ZodType>>;
};

export type GrantService = {
  leave(name: string, key: string, caller: Caller): Promise<Answer<Left>>;
  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>>;
  get(name: string, options: ReadOptions): Promise<ReadAnswer<object>>;
  history(
    name: string,
    options: { readonly timeoutMs: number },
  ): Promise<Answer<{ readonly items: readonly object[] }>>;
  list(request: GrantListRequest): Promise<Page<{ readonly name: string }>>;
};

export function grantRoutes(
  app: OpenAPIHono<Env>,
  { noun, path, fence, fenceParams, summaries, shapes }: GrantNoun,
  service: GrantService,
  release: (name: string, fence: string, caller: Caller) => Promise<Answer<object>>,
  { newId }: RouteParts,
): void {
  const releaseRoute = createRoute({
    method: "delete",
    path: `${path}/{name}/{${fence}}`,
    summary: summaries.release,
    request: { params: fenceParams, query: WholeQuery, headers: WriteHeaders },
    security: needs({ noun, verb: "write" }),
    responses: responses(shapes.release, [...WRITE, "not-found"]),
  });
  publish(app, releaseRoute, async (c) => {
    const { caller, name } = writeOf(c, noun, newId);
    const given = fenceOf(c, fence);
    checked(ReleaseBody, await readObject(c), "body");
    return sendAnswer(c, await release(name, given, caller));
  });

  const howToRelease = `To give back what is yours: DELETE ${path}/NAME/${fence.toUpperCase()}`;
  const forceRoute = createRoute({
    method: "delete",
    path: `${path}/{name}`,
    summary: summaries.force,
    request: {
      params: NameParam,
      query: WholeQuery,
      headers: WriteHeaders,
      body: { ...json(ForceBody), required: true },
    },
    security: needs({ noun, verb: "admin" }),
    responses: responses(ForcedShape, WRITE),
  });
  publish(app, forceRoute, async (c) => {
    const { caller, name } = writeOf(c, noun, newId, "admin");
    const given = await readObject(c);
    // Whoever forgot its fence must not be led to take the name from everybody.
    if (!("reason" in given)) {
      throw invalid("reason", `is needed: this ends by force whatever is held. ${howToRelease}`);
    }
    const { reason } = checked(ForceBody, given, "body");
    return sendAnswer(c, await service.force(name, reason, caller));
  });

  const leaveRoute = createRoute({
    method: "delete",
    path: `${path}/{name}/queue/{key}`,
    summary:
      "Take your waiter with that Idempotency-Key out of the queue; a grant it was told of stays, once it is confirmed",
    request: { params: QueueParams, query: WholeQuery, headers: WriteHeaders },
    security: needs({ noun, verb: "write" }),
    responses: responses(LeftShape, WRITE),
  });
  publish(app, leaveRoute, async (c) => {
    const { caller, name } = writeOf(c, noun, newId);
    const key = keyOf(c);
    checked(ReleaseBody, await readObject(c), "body");
    return sendAnswer(c, await service.leave(name, key, caller));
  });

  app.delete(`${path}/:name/queue/`, () => {
    throw invalid("key", "is empty");
  });

  const getRoute = createRoute({
    method: "get",
    path: `${path}/{name}`,
    summary: summaries.get,
    request: { params: NameParam, query: StateQuery },
    security: needs({ noun, verb: "read" }),
    responses: { ...responses(shapes.get, [...READ, "too-many-streams"]), ...NOT_MODIFIED },
  });
  publish(app, getRoute, async (c) => {
    const { name, options } = readOf(c, noun);
    return sendRead(c, await service.get(name, options));
  });

  const historyRoute = createRoute({
    method: "get",
    path: `${path}/{name}/history`,
    summary: summaries.history,
    request: { params: NameParam, query: WholeQuery },
    security: needs({ noun, verb: "read" }),
    responses: responsesAs(shapes.history, READ, { [JSON_LINES]: shapes.historyLine }),
  });
  publish(app, historyRoute, async (c) => {
    const { name, timeoutMs } = historyOf(c, noun);
    return sendHistory(c, name, await service.history(name, { timeoutMs }));
  });

  const listRoute = createRoute({
    method: "get",
    path,
    summary: summaries.list,
    request: { query: GrantListQuery },
    security: needs({ noun, verb: "read" }),
    "x-filtered-by-scope": true,
    responses: responses(shapes.list, READ),
  });
  publish(app, listRoute, (c) => {
    const { heldForMs, ...query } = queryOf(c, GrantListQuery);
    const held = heldForMs === undefined ? {} : { heldForMs };
    return listReadable(c, noun, (request) => service.list({ ...request, ...held }), query);
  });

  refuseEmptyNames(app, path);
}
