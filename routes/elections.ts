/** Elections under /v1/elections: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { ElectionService } from "../src/replica/service.ts";
import { type Env, sendAnswer, sendRead } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import {
  CampaignBody,
  ElectionHistoryLineShape,
  ElectionHistoryShape,
  ElectionPageShape,
  ElectionStateShape,
  LeadershipShape,
  LedShape,
  ProclaimBody,
  ResignedShape,
  TermParams,
} from "./election_schemas.ts";
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
  ForceBody,
  ForcedShape,
  json,
  ListQuery,
  NamedQuery,
  NameParam,
  NOT_MODIFIED,
  ProblemShape,
  QueuedShape,
  ReleaseBody,
  responses,
  responsesAs,
  WatchableQuery,
  WriteHeaders,
} from "./schemas.ts";
import { needs } from "./document.ts";
import { answerWaiting } from "./queued.ts";

const ELECTION = "election";

const campaign = createRoute({
  method: "post",
  path: "/v1/elections/{name}",
  summary: "Campaign, or wait in a FIFO queue for up to waitMs; the leader's term is a fence",
  request: { params: NameParam, query: NamedQuery, headers: WriteHeaders, body: json(CampaignBody) },
  security: needs({ noun: ELECTION, verb: "write" }),
  responses: responsesAs(LeadershipShape, [...WRITE, "led", "queue-full", "lost", "too-many-streams", "not-found"], {
    "text/event-stream": z.union([QueuedShape, LeadershipShape, ProblemShape]),
  }, LedShape),
});
const proclaim = createRoute({
  method: "put",
  path: "/v1/elections/{name}/{term}",
  summary: "Stay the leader, and say another value if one is given",
  request: { params: TermParams, query: NamedQuery, headers: WriteHeaders, body: json(ProclaimBody) },
  security: needs({ noun: ELECTION, verb: "write" }),
  responses: responses(LeadershipShape, [...WRITE, "lost", "not-found"]),
});
const resign = createRoute({
  method: "delete",
  path: "/v1/elections/{name}/{term}",
  summary: "Resign; 404 for a term that never was",
  request: { params: TermParams, query: NamedQuery, headers: WriteHeaders },
  security: needs({ noun: ELECTION, verb: "write" }),
  responses: responses(ResignedShape, [...WRITE, "not-found"]),
});
const force = createRoute({
  method: "delete",
  path: "/v1/elections/{name}",
  summary: "End the leader's term (admin)",
  request: {
    params: NameParam,
    query: NamedQuery,
    headers: WriteHeaders,
    body: { ...json(ForceBody), required: true },
  },
  security: needs({ noun: ELECTION, verb: "admin" }),
  responses: responses(ForcedShape, WRITE),
});
const get = createRoute({
  method: "get",
  path: "/v1/elections/{name}",
  summary: "The leader and what it says; without one `leader` is null",
  request: { params: NameParam, query: WatchableQuery },
  security: needs({ noun: ELECTION, verb: "read" }),
  responses: { ...responses(ElectionStateShape, [...READ, "too-many-streams"]), ...NOT_MODIFIED },
});
const history = createRoute({
  method: "get",
  path: "/v1/elections/{name}/history",
  summary: "How the latest terms ended",
  request: { params: NameParam, query: NamedQuery },
  security: needs({ noun: ELECTION, verb: "read" }),
  responses: responsesAs(ElectionHistoryShape, READ, { [JSON_LINES]: ElectionHistoryLineShape }),
});
const list = createRoute({
  method: "get",
  path: "/v1/elections",
  summary: "Elections by prefix, in pages; each item is read on its own",
  request: { query: ListQuery },
  security: needs({ noun: ELECTION, verb: "read" }),
  "x-filtered-by-scope": true,
  responses: responses(ElectionPageShape, READ),
});

export function electionRoutes(app: OpenAPIHono<Env>, elections: ElectionService, parts: RouteParts): void {
  const { newId } = parts;
  publish(app, campaign, async (c) => {
    const { caller, name } = writeOf(c, ELECTION, newId);
    const given = await readObject(c.req.raw);
    const { candidate, value, ttlMs, waitMs, session } = checked(CampaignBody, given, "body");
    const request = {
      candidate: holderOf("candidate", candidate, waitMs, caller),
      ttlMs,
      waitMs,
      ...(value !== undefined && { value }),
      ...sessionOf(c, session, given, caller),
    };
    return await answerWaiting(
      c,
      parts,
      waitMs,
      (waiter) => elections.campaign(name, request, { ...caller, ...waiter }),
    );
  });

  publish(app, proclaim, async (c) => {
    const { caller, name } = writeOf(c, ELECTION, newId);
    const term = fenceOf(c, "term");
    const { ttlMs, value } = checked(ProclaimBody, await readObject(c.req.raw), "body");
    const request = { ...(ttlMs !== undefined && { ttlMs }), ...(value !== undefined && { value }) };
    return sendAnswer(c, await elections.proclaim(name, term, request, caller));
  });

  publish(app, resign, async (c) => {
    const { caller, name } = writeOf(c, ELECTION, newId);
    const term = fenceOf(c, "term");
    checked(ReleaseBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await elections.resign(name, term, caller));
  });

  publish(app, force, async (c) => {
    const { caller, name } = writeOf(c, ELECTION, newId, "admin");
    const { reason } = checked(ForceBody, await readObject(c.req.raw), "body");
    return sendAnswer(c, await elections.force(name, reason, caller));
  });

  publish(app, get, async (c) => {
    const { name, options } = readOf(c, ELECTION);
    return sendRead(c, await elections.get(name, options));
  });

  publish(app, history, async (c) => {
    const { name, timeoutMs } = historyOf(c, ELECTION);
    return sendHistory(c, name, await elections.history(name, { timeoutMs }));
  });

  publish(app, list, (c) => listReadable(c, ELECTION, (request) => elections.list(request)));

  refuseEmptyNames(app, "/v1/elections");
}
