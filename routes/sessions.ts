/** Sessions under /v1/sessions: parse, call, render. */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Caller, SessionService } from "../src/service/service.ts";
import { type Ctx, type Env, send, sendAnswer } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { invalid } from "./error_response.ts";
import { permit } from "./gate.ts";
import { checked, checkedCursor, checkedPrefix, queryOf, sessionIdOf } from "./input.ts";
import { callerOf, holderOf, READ, refuseEmptyNames, WRITE } from "./noun.ts";
import {
  json,
  ListQuery,
  NOT_MODIFIED,
  PollQuery,
  ReleaseBody,
  responses,
  WholeQuery,
  WriteHeaders,
} from "./schemas.ts";
import {
  IdParam,
  OpenBody,
  SessionEndedShape,
  SessionGrantShape,
  SessionPageShape,
  SessionStateShape,
} from "./session_schemas.ts";

const SESSION = "session";

const open = createRoute({
  method: "post",
  path: "/v1/sessions",
  summary: "Open a session; name it in `session` of what is to live as long as it does",
  request: { query: WholeQuery, headers: WriteHeaders, body: json(OpenBody) },
  security: needs({ noun: SESSION, verb: "write" }),
  responses: responses(SessionGrantShape, [...WRITE, "lost"]),
});
const keep = createRoute({
  method: "put",
  path: "/v1/sessions/{id}",
  summary: "Keep a session, and with it everything that is bound to it; 410 once it has ended, and that is final",
  request: { params: IdParam, query: WholeQuery, headers: WriteHeaders },
  security: needs({ noun: SESSION, verb: "write" }),
  responses: responses(SessionGrantShape, [...WRITE, "lost", "not-found"]),
});
const end = createRoute({
  method: "delete",
  path: "/v1/sessions/{id}",
  summary: "End a session: what is bound to it is free, without the delay after a lapse",
  request: { params: IdParam, query: WholeQuery, headers: WriteHeaders },
  security: needs({ noun: SESSION, verb: "write" }),
  responses: responses(SessionEndedShape, [...WRITE, "not-found"]),
});
const get = createRoute({
  method: "get",
  path: "/v1/sessions/{id}",
  summary: "A session of yours and what is bound to it; 410 once it has ended",
  request: { params: IdParam, query: PollQuery },
  security: needs({ noun: SESSION, verb: "read" }),
  responses: {
    ...responses(SessionStateShape, [...READ, "lost", "not-found", "too-many-streams"]),
    ...NOT_MODIFIED,
  },
});
const list = createRoute({
  method: "get",
  path: "/v1/sessions",
  summary:
    "Sessions of yours that have not ended, by prefix of their ids, in pages; a page may be short and not the last",
  request: { query: ListQuery },
  security: needs({ noun: SESSION, verb: "read" }),
  responses: responses(SessionPageShape, READ),
});

/** `newId` makes the Idempotency-Key of a write that came without. */
export function sessionRoutes(app: OpenAPIHono<Env>, sessions: SessionService, newId: () => string): void {
  publish(app, open, async (c) => {
    const { timeoutMs } = queryOf(c, WholeQuery);
    // Its id is not known before: who may open one may keep any of its own.
    permit(c, { noun: SESSION, verb: "write" }, null);
    const caller = unhedged(callerOf(c, newId, timeoutMs));
    const { holder, ttlMs } = checked(OpenBody, await readObject(c), "body");
    return sendAnswer(c, await sessions.open({ holder: holderOf("holder", holder, 0, caller), ttlMs }, caller));
  });

  publish(app, keep, async (c) => {
    const { id, caller } = await writeOf(c, newId);
    return sendAnswer(c, await sessions.keep(id, caller));
  });

  publish(app, end, async (c) => {
    const { id, caller } = await writeOf(c, newId);
    return sendAnswer(c, await sessions.end(id, caller));
  });

  publish(app, get, async (c) => {
    const { timeoutMs } = queryOf(c, PollQuery);
    const id = sessionIdOf(c);
    permit(c, { noun: SESSION, verb: "read" }, id);
    return sendAnswer(c, await sessions.get(id, { subject: c.get("client").subject, timeoutMs }));
  });

  publish(app, list, async (c) => {
    const { prefix, cursor, ...query } = queryOf(c, ListQuery);
    permit(c, { noun: SESSION, verb: "read" }, null);
    const request = { ...query, prefix: checkedPrefix(prefix), cursor: checkedCursor(cursor) };
    return send(c, 200, await sessions.list(request, c.get("client").subject));
  });

  refuseEmptyNames(app, "/v1/sessions");
}

async function writeOf(c: Ctx, newId: () => string): Promise<{ readonly id: string; readonly caller: Caller }> {
  const { timeoutMs } = queryOf(c, WholeQuery);
  const id = sessionIdOf(c);
  permit(c, { noun: SESSION, verb: "write" }, id);
  const caller = unhedged(callerOf(c, newId, timeoutMs));
  checked(ReleaseBody, await readObject(c), "body");
  return { id, caller };
}

function unhedged(caller: Caller): Caller {
  if (caller.hedge !== undefined) throw invalid("Quorate-Hedge", "is not for sessions");
  return caller;
}
