/** Watching over HTTP, the same for every noun: long poll, events of one name, events of a prefix. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { QuorateError } from "../src/errors.ts";
import type { Answer } from "../src/api.ts";
import { NAME_FIELDS, type WatchedNoun } from "../src/nouns.ts";
import { sessionEnded } from "../src/service/results.ts";
import type { NodeService, SessionService } from "../src/service/service.ts";
import type { NameRange, WatchEvent, WatchService } from "../src/service/watch_service.ts";
import { type Ctx, type Env, sendAnswer, sendBody, withReceipt } from "./answer.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { invalid } from "./error_response.ts";
import { eventBytes, type EventStream, type EventStreams } from "./event_stream.ts";
import { ElectionStateShape } from "./election_schemas.ts";
import { KeyParam, KeyQuery, KeyStateQuery, KvGoneShape, KvValueShape, valueRenderer } from "./kv.ts";
import { eventsOf } from "./hints.ts";
import { type NameQuery, targetOf } from "./noun.ts";
import { SemaphoreStateShape } from "./semaphore_schemas.ts";
import { permit, readable } from "./gate.ts";
import { checkedPrefix, hasQuery, queryOf, refuseToWait, sessionIdOf, whileConnected } from "./input.ts";
import {
  LastEventId,
  LockStateShape,
  NamedQuery,
  NamedStateQuery,
  NameParam,
  PollQuery,
  PrefixShape,
  RangeEventsQuery,
  responsesOfEvents,
  WholeQuery,
} from "./schemas.ts";
import { IdParam, SessionGoneShape, SessionStateShape } from "./session_schemas.ts";

type Watched = {
  readonly noun: WatchedNoun;
  readonly path: string;
  /** Its events have data of this shape. */
  readonly shape: z.ZodType;
  /** How a poll is answered, where a GET is not JSON. */
  readonly renderer?: (c: Ctx) => (answer: Answer<never>) => Response;
  /** Only of sessions: each is its subject's alone, whatever a scope says, and one that ended never comes back. */
  readonly sessions?: SessionService;
};

/** How one is named, by what that is called, and what else the query of its events or of a poll may say. */
const ASKED = {
  name: { params: NameParam, events: NamedQuery, poll: NamedStateQuery },
  key: { params: KeyParam, events: KeyQuery, poll: KeyStateQuery },
  id: { params: IdParam, events: WholeQuery, poll: PollQuery },
} as const;

/** The nouns that can be watched; a further one is a row. */
function watched(sessions: SessionService): readonly Watched[] {
  return [
    { noun: "lock", path: "/v1/locks", shape: LockStateShape },
    { noun: "election", path: "/v1/elections", shape: ElectionStateShape },
    { noun: "semaphore", path: "/v1/semaphores", shape: SemaphoreStateShape },
    { noun: "kv", path: "/v1/kv", shape: z.union([KvValueShape, KvGoneShape]), renderer: valueRenderer },
    { noun: "session", path: "/v1/sessions", shape: z.union([SessionStateShape, SessionGoneShape]), sessions },
  ];
}

/** To be mounted before the nouns' own routes: `/v1/locks/events` and `/v1/locks/NAME?after=` are theirs too. */
export function watchRoutes(
  app: OpenAPIHono<Env>,
  { watches, sessions }: Pick<NodeService, "watches" | "sessions">,
  streams: EventStreams,
): void {
  for (const row of watched(sessions)) {
    const { noun, path, shape } = row;
    const isSession = row.sessions !== undefined;
    const asked = ASKED[NAME_FIELDS[noun]];
    const ranges = createRoute({
      method: "get",
      path: `${path}/events`,
      summary: `Events of every ${noun} with a prefix, as far as the caller may read; \`resync\` says: list again`,
      request: { query: RangeEventsQuery, headers: LastEventId },
      security: needs({ noun, verb: "read" }),
      ...(isSession ? {} : { "x-filtered-by-scope": true }),
      responses: responsesOfEvents(z.union([shape, PrefixShape]), []),
    });
    const one = createRoute({
      method: "get",
      path: `${path}/{${NAME_FIELDS[noun]}}/events`,
      summary: `Events of one ${noun}, the first with its present state${isSession ? "; its end is the last" : ""}`,
      request: { params: asked.params, query: WholeQuery, headers: LastEventId },
      security: needs({ noun, verb: "read" }),
      responses: responsesOfEvents(shape, isSession ? ["lost", "not-found"] : []),
    });

    publish(app, ranges, (c) => answerRanges(c, row, watches, streams));
    publish(app, one, (c) => answerEvents(c, row, watches, streams));
    app.get(`${path}/:name`, (c, next) => {
      if (!hasQuery(c, "after")) return next();
      return answerPoll(c, row, watches, streams);
    });
  }
}

/** The name that a request is about, allowed; of a session rejects as its GET does, where it has ended too. */
async function watchedOf(
  c: Ctx,
  { noun, sessions }: Watched,
  query: NameQuery & { readonly timeoutMs: number },
): Promise<string> {
  if (noun !== "session") return targetOf(c, noun, "read", query);
  const id = sessionIdOf(c);
  permit(c, { noun, verb: "read" }, id);
  await sessions?.get(id, { subject: c.get("client").subject, timeoutMs: query.timeoutMs });
  return id;
}

async function answerPoll(c: Ctx, row: Watched, watches: WatchService, streams: EventStreams): Promise<Response> {
  const { noun, sessions, renderer } = row;
  const query = queryOf(c, ASKED[NAME_FIELDS[noun]].poll);
  const { timeoutMs, after = "0", waitMs } = query;
  refuseToWait(c, waitMs);
  const render = renderer?.(c) ?? ((answer: Answer<never>) => sendAnswer(c, answer));
  const name = await watchedOf(c, row, query);
  const poll = () =>
    whileConnected(
      c.req.raw,
      (signal) => watches.poll(noun, name, BigInt(after), { waitMs, timeoutMs, signal }),
    );
  // A read is next to nothing, and what waits then is bounded as streams are.
  if (waitMs > 0) c.get("leave")?.();
  const { isNewer, body, receipt } = await (waitMs === 0 ? poll() : streams.during(poll));
  if (!isNewer) return sendBody(c, 304, null, withReceipt({}, receipt));
  if (body === null && sessions !== undefined) throw sessionEnded(name, receipt);
  if (body === null) throw new QuorateError("not-found", `${name} is deleted`, { receipt });
  return render({ body: body as never, receipt });
}

async function answerEvents(c: Ctx, row: Watched, watches: WatchService, streams: EventStreams): Promise<Response> {
  const { noun, sessions } = row;
  const query = queryOf(c, ASKED[NAME_FIELDS[noun]].events);
  const name = await watchedOf(c, row, query);
  const last = c.req.raw.headers.get("last-event-id") || null;
  const after = last !== null && REVISION.test(last) ? BigInt(last) : null;
  // One of another stream, or of nothing, is no mistake of the caller's: it is told the state, and that it knows no better.
  let isResync = last !== null && after === null;
  return await streams.answer(
    c,
    (stream) =>
      watches.watch(noun, name, after, query.timeoutMs, (event) => {
        tell(stream, isResync && event.type === "changed" ? { ...event, type: "resync" } : event);
        isResync = false;
        // Nothing can follow. Whoever reconnects is told 410, which ends a browser's EventSource for good.
        if (sessions !== undefined && event.type === "deleted") stream.end();
      }),
  );
}

async function answerRanges(c: Ctx, row: Watched, watches: WatchService, streams: EventStreams): Promise<Response> {
  const { noun, path } = row;
  if (!hasQuery(c, "prefix")) {
    const field = NAME_FIELDS[noun];
    const other = field === "id" ? "" : `; what is named events is at ${eventsOf(path, field)}`;
    throw invalid("prefix", `is needed, and may be empty${other}`);
  }
  const { prefix: named } = queryOf(c, RangeEventsQuery);
  const prefix = checkedPrefix(named);
  const ranges = rangesOf(c, row, prefix);
  // One of another node, or of nothing, is no mistake of the caller's: it begins with a resync.
  const last = c.req.raw.headers.get("last-event-id");
  return await streams.answer(
    c,
    (stream) =>
      watches.watchRanges(noun, ranges, last, (event) => {
        if (event.body !== null) tell(stream, event);
        else stream.send(eventBytes(event.type, { prefix }, event.id));
      }, c.get("client").subject),
  );
}

const REVISION = /^(0|[1-9][0-9]{0,19})$/;

function rangesOf(c: Ctx, { noun, sessions }: Watched, prefix: string): readonly NameRange[] {
  if (sessions === undefined) return readable(c, noun, prefix);
  permit(c, { noun, verb: "read" }, null);
  return [{ prefix, exact: false }];
}

/** Thousands may watch the same: its text is made once. */
const encoded = new WeakMap<WatchEvent, Uint8Array>();

function tell(stream: EventStream, event: WatchEvent): void {
  let bytes = encoded.get(event);
  if (bytes === undefined) {
    bytes = eventBytes(event.type, event.body, event.id);
    encoded.set(event, bytes);
  }
  stream.send(bytes);
}
