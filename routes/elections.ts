/** Elections under /v1/elections: parse, call, render. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { ElectionService } from "../src/service/service.ts";
import { type Env, sendAnswer } from "./answer.ts";
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
import { bornOf, holderOf, type RouteParts, sessionOf, WRITE, writeOf } from "./noun.ts";
import {
  json,
  NameParam,
  OnceHeaders,
  ProblemShape,
  QueuedShape,
  responses,
  responsesAs,
  WholeQuery,
  WriteHeaders,
} from "./schemas.ts";
import { needs } from "./document.ts";
import { type GrantNoun, grantRoutes } from "./grant_routes.ts";
import { answerWaiting } from "./queued.ts";

const ELECTION = "election";

const campaign = createRoute({
  method: "post",
  path: "/v1/elections/{name}",
  summary: "Campaign, or wait in a FIFO queue for up to waitMs; the leader's term is a fence",
  request: { params: NameParam, query: WholeQuery, headers: OnceHeaders, body: json(CampaignBody) },
  security: needs({ noun: ELECTION, verb: "write" }),
  responses: responsesAs(LeadershipShape, [...WRITE, "led", "queue-full", "lost", "too-many-streams", "not-found"], {
    "text/event-stream": z.union([QueuedShape, LeadershipShape, ProblemShape]),
  }, LedShape),
});
const proclaim = createRoute({
  method: "put",
  path: "/v1/elections/{name}/{term}",
  summary: "Stay the leader, and say another value if one is given",
  request: { params: TermParams, query: WholeQuery, headers: WriteHeaders, body: json(ProclaimBody) },
  security: needs({ noun: ELECTION, verb: "write" }),
  responses: responses(LeadershipShape, [...WRITE, "lost", "not-found"]),
});
const SHARED: GrantNoun = {
  noun: ELECTION,
  path: "/v1/elections",
  fence: "term",
  fenceParams: TermParams,
  summaries: {
    release: "Resign; 404 for a term that never was",
    force: "End the leader's term (admin)",
    get: "The leader and what it says; without one `leader` is null",
    history: "How the latest terms ended",
    list: "Elections by prefix, in pages; each item is read on its own",
  },
  shapes: {
    release: ResignedShape,
    get: ElectionStateShape,
    history: ElectionHistoryShape,
    historyLine: ElectionHistoryLineShape,
    list: ElectionPageShape,
  },
};

export function electionRoutes(app: OpenAPIHono<Env>, elections: ElectionService, parts: RouteParts): void {
  const { newId } = parts;
  publish(app, campaign, async (c) => {
    const { caller, name } = writeOf(c, ELECTION, newId);
    const body = checked(CampaignBody, await readObject(c), "body");
    const { candidate, value, ttlMs, waitMs, session, renews } = body;
    const request = {
      candidate: holderOf("candidate", candidate, waitMs, caller),
      ttlMs,
      waitMs,
      ...(renews && { renews }),
      ...(value !== undefined && { value }),
      ...sessionOf(c, session, caller),
    };
    const born = bornOf(c, caller);
    return await answerWaiting(
      c,
      parts,
      waitMs,
      caller,
      (waiter) => elections.campaign(name, request, { ...caller, ...born, ...waiter }),
    );
  });

  publish(app, proclaim, async (c) => {
    const { caller, name } = writeOf(c, ELECTION, newId);
    const term = fenceOf(c, "term");
    const { ttlMs, value } = checked(ProclaimBody, await readObject(c), "body");
    const request = { ...(ttlMs !== undefined && { ttlMs }), ...(value !== undefined && { value }) };
    return sendAnswer(c, await elections.proclaim(name, term, request, caller));
  });

  grantRoutes(app, SHARED, elections, (name, term, caller) => elections.resign(name, term, caller), parts);
}
