/** Elections under /v1/elections: parse, call, render. */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { ElectionService } from "../src/replica/service.ts";
import { type Env, send, sendAnswer, sendRead } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import {
  CampaignBody,
  ElectionHistoryShape,
  ElectionPageShape,
  ElectionStateShape,
  LeadershipShape,
  LedShape,
  ProclaimBody,
  ResignedShape,
  TermParams,
} from "./election_schemas.ts";
import { checked, fenceOf, whileConnected } from "./input.ts";
import { historyOf, holderOf, listOf, READ, readOf, refuseEmptyNames, sessionOf, WRITE, writeOf } from "./noun.ts";
import {
  ForceBody,
  ForcedShape,
  json,
  ListQuery,
  NamedQuery,
  NameParam,
  ReleaseBody,
  responses,
  StateQuery,
  WriteHeaders,
} from "./schemas.ts";

const campaign = createRoute({
  method: "post",
  path: "/v1/elections/{name}",
  summary: "Campaign, or wait in a FIFO queue for up to waitMs; the leader's term is a fence",
  request: { params: NameParam, query: NamedQuery, headers: WriteHeaders, body: json(CampaignBody) },
  responses: responses(LeadershipShape, [...WRITE, "led", "queue-full", "lost", "not-found"], LedShape),
});
const proclaim = createRoute({
  method: "put",
  path: "/v1/elections/{name}/{term}",
  summary: "Stay the leader, and say another value if one is given",
  request: { params: TermParams, query: NamedQuery, headers: WriteHeaders, body: json(ProclaimBody) },
  responses: responses(LeadershipShape, [...WRITE, "lost", "not-found"]),
});
const resign = createRoute({
  method: "delete",
  path: "/v1/elections/{name}/{term}",
  summary: "Resign; 404 for a term that never was",
  request: { params: TermParams, query: NamedQuery, headers: WriteHeaders },
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
  responses: responses(ForcedShape, WRITE),
});
const get = createRoute({
  method: "get",
  path: "/v1/elections/{name}",
  summary: "The leader and what it says; without one `leader` is null",
  request: { params: NameParam, query: StateQuery },
  responses: responses(ElectionStateShape, READ),
});
const history = createRoute({
  method: "get",
  path: "/v1/elections/{name}/history",
  summary: "How the latest terms ended",
  request: { params: NameParam, query: NamedQuery },
  responses: responses(ElectionHistoryShape, READ),
});
const list = createRoute({
  method: "get",
  path: "/v1/elections",
  summary: "Elections by prefix, in pages; each item is read on its own",
  request: { query: ListQuery },
  responses: responses(ElectionPageShape, READ),
});

const ELECTION = "election";

/** `newId` makes the Idempotency-Key of a write that came without. */
export function electionRoutes(app: OpenAPIHono<Env>, elections: ElectionService, newId: () => string): void {
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
    if (waitMs === 0) return sendAnswer(c, await elections.campaign(name, request, caller));
    const answer = whileConnected(c.req.raw, (signal) => elections.campaign(name, request, { ...caller, signal }));
    return sendAnswer(c, await answer);
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
    return sendAnswer(c, await elections.history(name, { timeoutMs }));
  });

  publish(app, list, async (c) => send(c, 200, await elections.list(listOf(c, ELECTION))));

  refuseEmptyNames(app, "/v1/elections");
}
