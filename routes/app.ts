/** The HTTP side of one node: everything mounted, and what every request goes through. */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Rate } from "../src/auth/rate.ts";
import type { ClientToken } from "../src/auth/tokens.ts";
import { QuorateError } from "../src/errors.ts";
import { Admission } from "../src/http/admission.ts";
import { Bodies } from "../src/http/bounded_body.ts";
import { PROBLEMS } from "../src/http/problem.ts";
import { rawPath, refuseBadHost, requestIdOf } from "../src/http/request_head.ts";
import type { NodeMetrics } from "../src/observe/node_metrics.ts";
import type { Report } from "../src/ports.ts";
import { NO_SPANS, type Spans } from "../src/spans.ts";
import type { NodeService } from "../src/service/service.ts";
import { accessRoutes } from "./access.ts";
import { withRoom } from "./admit.ts";
import type { Ctx, Env } from "./answer.ts";
import { backupRoutes } from "./backup.ts";
import { raiseRoutes } from "./raise.ts";
import { repairRoutes } from "./repair.ts";
import { batchRoutes } from "./batch.ts";
import { dashboardRoutes, noPage } from "./dashboard.ts";
import { docsRoutes } from "./docs.ts";
import { answerError, type Explain, internal, problem } from "./error_response.ts";
import { epochRoutes, type HearEpoch } from "./epoch.ts";
import { EventStreams } from "./event_stream.ts";
import { electionRoutes } from "./elections.ts";
import { clientOf } from "./gate.ts";
import { faultsOf, statusRoutes } from "./status.ts";
import { probeRoutes } from "./probes.ts";
import { hintFor } from "./hints.ts";
import { type Init, initRoutes } from "./init.ts";
import { kvRoutes } from "./kv.ts";
import { lockRoutes } from "./locks.ts";
import { MEMBERS_PATH, membersRoutes, type MembersService } from "./members.ts";
import { paxosRoutes } from "./paxos.ts";
import { metricsRoutes } from "./metrics.ts";
import { noticesOf } from "./notices.ts";
import type { PeerSide } from "./peer_head.ts";
import { limitRequest, limitsOf } from "./rate_limit.ts";
import { semaphoreRoutes } from "./semaphores.ts";
import { sessionRoutes } from "./sessions.ts";
import { withSpans } from "./spans.ts";
import { METHODS, methodsAt } from "./templates.ts";
import { traceRoutes, type TraceSource } from "./trace.ts";
import type { UnderWay } from "./under_way.ts";
import { watchRoutes } from "./watch.ts";

export type AppOptions = {
  /** Read at each request. null: none are configured, and the node listens on loopback only. Every caller is then the subject `local`. */
  readonly tokens: readonly ClientToken[] | null;
  /** Origins of pages that are let in though there are no tokens. Default: none but the node's own. */
  readonly origins?: readonly string[];
  /** How often one subject may ask; null: as often as it likes. */
  readonly rate: Rate | null;
  /** null: a cluster of one node; there is no /paxos. */
  readonly peers: PeerSide | null;
  /** Absent: the node is not traced, and there is no /v1/trace. */
  readonly trace?: TraceSource;
  /** How long writes of the node's store take, in ms. Default: no time. */
  readonly commitMs?: () => number;
  /** Absent: there is no /v1/init. */
  readonly init?: Init;
  /** The epoch that the node is in, for as long as it is asked through this. Absent: answers do not say it. */
  readonly epoch?: number;
  /** Absent: there is no /v1/members. */
  readonly members?: MembersService;
  /** What a node that gives way to another answers its requests by. Absent: it never does. */
  readonly underWay?: UnderWay;
  /** Told of epochs by other nodes; absent, or without peers: nobody can. */
  readonly hearEpoch?: HearEpoch;
  /** A fresh id of visible ASCII, at most 64 characters: for X-Request-Id and Idempotency-Key. */
  readonly newId: () => string;
  /** Monotonic, in ms. */
  readonly now: () => number;
  /** Calls back once after `ms`; returns what cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Told of every exception that became a 500; the caller is not told its text. */
  readonly report: (error: Error, request: { requestId: string; method: string; path: string }) => void;
  /** Absent: nothing is counted, and there is no /metrics. */
  readonly metrics?: NodeMetrics;
  /** Default: none. */
  readonly spans?: Spans;
  /** For the operator: what the node keeps from its clients. Default: nobody is told. */
  readonly tell?: Report;
};

/**
 * `app.fetch(request)` answers; every error is `application/problem+json`. The URL of the request has to be as it was
 * sent (as `Deno.serve` gives it): a parsed one has lost `..` and `.` before names are checked.
 */
export function createApp(node: NodeService, options: AppOptions): OpenAPIHono<Env> {
  const { tokens, rate, peers, trace, init, newId, now, after, report, metrics } = options;
  const { spans = NO_SPANS, tell = () => {} } = options;
  const { members, hearEpoch, underWay, epoch } = options;
  const notices = noticesOf(now, tell, metrics);
  const streams = new EventStreams(after, notices.cut);
  const limits = limitsOf(rate, now, (thing, subject) => node.isHeld(thing, subject), notices.limited);
  underWay?.onOver(() => streams.endAll());
  const bodies = new Bodies(after);
  const admission = new Admission(now, after, options.commitMs);
  const app = new OpenAPIHono<Env>({ getPath: rawPath });

  const counted = (error: QuorateError): QuorateError => {
    metrics?.refused(error, PROBLEMS[error.code].outcome === "unknown");
    return error;
  };
  const explain: Explain = (c, error) => {
    if (error instanceof QuorateError) return counted(error);
    if (c.get("isCutOff") !== true) {
      report(error, { requestId: c.get("requestId"), method: c.req.method, path: c.req.path });
    }
    return counted(internal(c));
  };

  if (spans.on) withSpans(app, spans);
  app.use("*", async (c, next) => {
    const started = now();
    c.set("elapsedMs", () => now() - started);
    c.set("bodies", bodies);
    c.set("requestId", requestIdOf(c.req.raw, newId));
    refuseBadHost(c.req.raw);
    try {
      await next();
      metrics?.answered(c.get("route") ?? "none", c.req.method, c.res.status, now() - started);
    } catch (thrown) {
      // Hono takes nothing but an Error to onError.
      throw thrown instanceof Error ? thrown : new Error("something other than an Error was thrown", { cause: thrown });
    }
  });

  // Not over /paxos, where each call says whether it is a peer's or a client's; here a peer's MAC counts for nothing.
  app.use("/v1/*", async (c, next) => {
    c.set("client", clientOf(c, options));
    if (epoch !== undefined) c.set("epoch", epoch);
    c.set("cluster", () => faultsOf(node));
    await limitRequest(c, limits);
    // Its batch was let in, with room for as many as it does at a time.
    if (c.env?.isOperation === true) return next();
    const answered = () => withRoom(c, admission, next);
    // Who changes the members is answered by the node that did it.
    await (underWay === undefined || c.req.path === MEMBERS_PATH ? answered() : underWay.during(c, answered));
  });

  probeRoutes(app, node);
  statusRoutes(app, node);
  if (metrics !== undefined) metricsRoutes(app, node, metrics, options, () => streams.count);
  watchRoutes(app, node, streams);
  const parts = { newId, streams, explain };
  lockRoutes(app, node.locks, parts);
  electionRoutes(app, node.elections, parts);
  semaphoreRoutes(app, node.semaphores, parts);
  kvRoutes(app, node.registers, newId);
  sessionRoutes(app, node.sessions, newId);
  batchRoutes(app, limits);
  accessRoutes(app);
  backupRoutes(app, node);
  raiseRoutes(app, node);
  repairRoutes(app, node.id, node.repairs);
  if (init !== undefined) initRoutes(app, init);
  if (members !== undefined) membersRoutes(app, members);
  if (trace !== undefined) traceRoutes(app, node, trace);
  docsRoutes(app, () => node.status().version, tokens === null);
  dashboardRoutes(app, {
    tokens: tokens !== null,
    trace: trace !== undefined,
    metrics: metrics !== undefined,
  });
  if (peers !== null) {
    paxosRoutes(
      app,
      node,
      { ...peers, bodies: new Bodies(after) },
      { ...options, limits, admission },
      (error, mailbox) => {
        report(error, { requestId: newId(), method: "frame", path: `/paxos/${mailbox}` });
      },
    );
    if (hearEpoch !== undefined) epochRoutes(app, node.id, { ...peers, bodies: new Bodies(after) }, hearEpoch);
  }

  app.notFound((c) => notFound(app, c, counted));
  app.onError((error, c) => answerError(c, explain(c, error)));
  return app;
}

/** 405 with Allow where another method has a route, else 404. Looked up here, so that good requests pay nothing. */
function notFound(app: OpenAPIHono<Env>, c: Ctx, counted: (error: QuorateError) => QuorateError): Response {
  const { method, path } = c.req;
  const allowed = methodsAt(app, path) ??
    METHODS.filter((each) => app.router.match(each, path)[0].some(([[, route]]) => route.method === each));
  const hint = hintFor(path);
  if (allowed.length === 0) {
    const page = noPage(c);
    if (page !== null) return page;
    return problem(c, counted(new QuorateError("no-route", `nothing is here; ${hint ?? "see /openapi.json"}`)));
  }
  const detail = `${method} is not allowed here; allowed: ${allowed.join(", ")}${hint === null ? "" : `; ${hint}`}`;
  return problem(c, counted(new QuorateError("method-not-allowed", detail)), { Allow: allowed.join(", ") });
}
