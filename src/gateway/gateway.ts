/**
 * A gateway: takes requests near their callers and hands each to the nearest node, or to the next if that one fails. It has
 * no vote, no store and no secret; all it remembers is how far each node is, and the instance it saw last of each name.
 */
import { QuorateError } from "../errors.ts";
import { Bodies } from "../http/bounded_body.ts";
import { isLate, lateStream } from "../http/late_stream.ts";
import { targetFor } from "../http/named.ts";
import { PROBLEM_TYPE, problemDocument, PROBLEMS, retryAfter } from "../http/problem.ts";
import { NO_SPANS, type Spans } from "../spans.ts";
import { isLoopback, rawPath, refuseBadHost, refuseWebPages, requestIdOf, VISIBLE } from "../http/request_head.ts";
import { askInTurn, type FailoverParts, type Fetch, isStream, type Start } from "../client/failover.ts";
import { askForInstance, Instances } from "../client/instances.ts";
import { MetricsReaders } from "./metrics_readers.ts";
import { leave, placesOf, untilLeft } from "./leaving.ts";
import { LearnedNodes } from "../client/members.ts";
import { type Clock, Nearest } from "../client/nearest.ts";
import { type Outgoing, outgoingOf, PASSED_ON } from "../client/outgoing.ts";

/** The nodes behind a gateway, and what the runtime gives it. */
export type GatewayOptions = {
  /** Origins of nodes, in any order: `http://10.0.0.1:8701`. */
  readonly nodes: readonly string[];
  /** Whether nodes that become members are asked too, as those that are trusted tell of them. Default: true. */
  readonly learnMembers?: boolean;
  readonly fetch: Fetch;
  /** Origins of pages that are let in though nodes are on loopback. Default: none but the gateway's own. */
  readonly origins?: readonly string[];
  readonly clock: Clock;
  /** A fresh id of visible ASCII, at most 64 characters: for X-Request-Id and Idempotency-Key. */
  readonly newId: () => string;
  /** Told of every exception that became a 500; the caller is not told its text. */
  readonly report: (error: Error, request: { requestId: string; method: string; path: string }) => void;
  /** Absent: nothing is counted, and there is no /metrics. */
  readonly meter?: GatewayMeter;
  /** Default: none. */
  readonly spans?: Spans;
  /** Aborts when the gateway is told to stop: what is cancelled from then on is no sign that a client went away. */
  readonly closing?: AbortSignal;
};

/** What a gateway counts. */
export type GatewayMeter = {
  /** A request of a client was answered, after `ms`. */
  answered(method: string, status: number, ms: number): void;
  /** The gateway refused one by itself; `isUnknown`: it told a caller that nobody knows the outcome. */
  refused(code: string, isUnknown: boolean): void;
  /** A node was handed a request; false: it gave no answer. One that was given up meanwhile is not told of. */
  asked(node: string, hasAnswered: boolean): void;
  /** In Prometheus' text form. `rttMs`: of each node, 0: not known; null: it failed when it was last asked. */
  text(rttMs: ReadonlyMap<string, number | null>): string;
};

/** What all requests have in common. */
type Memory = {
  readonly nearest: Nearest;
  readonly learned: LearnedNodes | null;
  readonly instances: Instances;
  readonly bodies: Bodies;
  readonly readers: MetricsReaders;
};

/** What is known of one request, as it becomes so. */
type Context = {
  readonly request: Request;
  readonly path: string;
  readonly requestId: string;
  readonly startedMs: number;
  /** Its span as the nodes are told it; null: there is none that is recorded. */
  readonly traceparent: string | null;
  outgoing?: Outgoing;
};

const READY_WITHIN_MS = 2_000;
/** Methods of what the gateway says for itself. */
const OWN = ["GET", "HEAD"] as const;

/**
 * Answers `/healthz`, `/livez` and `/metrics` for itself, `/readyz` for the nodes, and passes on `/v1`, `/openapi.json` and `/docs`. The URL of a
 * request has to be as it was sent, as for `createApp`.
 */
export function createGateway(options: GatewayOptions): (request: Request) => Promise<Response> {
  const { clock, newId, report, meter, spans = NO_SPANS, learnMembers = true } = options;
  const nearest = new Nearest(options.nodes, (node, signal) => probe(options.fetch, node, "/healthz", signal), clock);
  const memory = {
    nearest,
    learned: learnMembers ? new LearnedNodes(options, options.nodes, (all) => nearest.become(all)) : null,
    instances: new Instances(),
    bodies: new Bodies((ms, run) => clock.after(ms, run)),
    readers: new MetricsReaders(),
  };
  // Nodes without tokens listen on loopback only, and there they refuse by Host, which they cannot see through this.
  const isLocal = options.nodes.some((node) => isLoopback(new URL(node).host));

  const answer = async (context: Context): Promise<Response> => {
    const { request } = context;
    try {
      refuseBadHost(request);
      const { path } = context;
      if (path === "/healthz" || path === "/livez") return ownAnswer(context, { ok: true });
      if (path === "/readyz") return await readiness(options, nearest.nodes, context);
      if (path === "/metrics" && meter !== undefined) {
        if (isLocal) refuseWebPages(request, options.origins ?? []);
        return await metrics(options, meter, memory, context);
      }
      if (!isPassedOn(path)) throw new QuorateError("no-route", nothingAt(path));
      if (isLocal && isUnderV1(path)) refuseWebPages(request, options.origins ?? []);
      return await passOn(options, memory, context);
    } catch (error) {
      const told = error instanceof QuorateError ? error : internal(report, context, error as Error);
      meter?.refused(told.code, (told.facts.outcome ?? PROBLEMS[told.code].outcome) === "unknown");
      return problemOf(context, told);
    }
  };
  const counted = async (context: Context): Promise<Response> => {
    const response = await answer(context);
    if (isPassedOn(context.path)) {
      meter?.answered(context.request.method, response.status, clock.now() - context.startedMs);
    }
    return response;
  };

  return (request) => {
    const context: Context = {
      request,
      path: rawPath(request),
      requestId: requestIdOf(request, newId),
      startedMs: clock.now(),
      traceparent: null,
    };
    if (!spans.on || !isPassedOn(context.path)) return counted(context);
    return spans.serve(request.method, request.headers.get("traceparent"), async (span) => {
      const response = await counted({ ...context, traceparent: span.traceparent });
      span.end({ status: response.status });
      return response;
    });
  };
}

/** Not `/paxos`: what stands there is between nodes, and a gateway is none. */
function isPassedOn(path: string): boolean {
  return isUnderV1(path) || path === "/openapi.json" || path === "/docs";
}

/** The dashboard is not passed on either: it shows what one node sees, and each answer here may be another's. */
function nothingAt(path: string): string {
  const where = path === "/" ? "the dashboard is at / of each node; " : "";
  return `nothing is here; ${where}see /openapi.json`;
}

function isUnderV1(path: string): boolean {
  return path === "/v1" || path.startsWith("/v1/");
}

async function passOn(options: GatewayOptions, memory: Memory, context: Context): Promise<Response> {
  const { request, requestId, startedMs } = context;
  const outgoing = context.outgoing = await outgoingOf(request, requestId, options.newId, memory.bodies);
  if (context.traceparent !== null) outgoing.headers.set("traceparent", context.traceparent);
  // Let in here by name; a node would take it for any page's.
  if (options.origins?.includes(outgoing.headers.get("origin") ?? "")) {
    for (const name of ["origin", "sec-fetch-site"]) outgoing.headers.delete(name);
  }
  const parts = partsFor(options, memory, outgoing);
  const start = { ...await startOf(parts, memory, outgoing, request.signal), startedMs };
  const { response, isUnknown, born, isGone } = await askInTurn(parts, outgoing, start, request.signal);
  const { isWrite, idempotencyKey } = outgoing;
  const places = placesOf(request, outgoing);
  const giveUp = async () => {
    if (places.length > 0 && options.closing?.aborted !== true) await leave(parts, places, outgoing);
  };
  if (isGone) await giveUp();
  // That one node did nothing does not say so of another.
  if (isWrite && isUnknown) throw unknownOutcome(idempotencyKey, born);
  if (response === null) throw noAnswer(isWrite);
  // It is about nodes, and this is none: whoever is before a gateway stays there.
  response.headers.delete("quorate-epoch");
  if (response.status >= 500 && isLate(request, context.path, noAnswer(isWrite))) {
    await response.body?.cancel();
    throw noAnswer(isWrite);
  }
  if (idempotencyKey !== undefined && !response.headers.has("idempotency-key")) tellKey(response.headers, outgoing);
  if (places.length === 0 || !isStream(response) || response.body === null) return response;
  return new Response(untilLeft(response.body, giveUp), { status: response.status, headers: response.headers });
}

/** Every answer about the name, whoever asked for what, says what it has come to. */
function partsFor(
  { fetch, clock, meter }: GatewayOptions,
  { nearest, learned, instances }: Memory,
  { named, headers }: Outgoing,
): FailoverParts {
  const noting: Fetch = async (url, init) => {
    try {
      const response = await fetch(url, init);
      const { origin } = new URL(url);
      meter?.asked(origin, true);
      learned?.note(origin, response.headers, headers.get("authorization"));
      if (named !== null) instances.note(named, response.headers);
      return response;
    } catch (error) {
      if (init.signal?.aborted !== true) meter?.asked(new URL(url).origin, false);
      throw error;
    }
  };
  return { nearest, clock, fetch: noting };
}

/** The nodes in their order, and what is known of the name for a request that should say so. */
async function startOf(
  parts: FailoverParts,
  { instances }: Memory,
  outgoing: Outgoing,
  gone: AbortSignal,
): Promise<Pick<Start, "nodes" | "known">> {
  const nodes = await parts.nearest.order();
  const { named, lacksBorn } = outgoing;
  if (named === null || !lacksBorn) return { nodes, known: undefined };
  if (nodes[0] !== undefined && instances.get(named) === undefined) {
    await askForInstance(parts, nodes[0], outgoing, targetFor(named, "", "consistency=stale"), gone);
  }
  return { nodes, known: instances.get(named) };
}

function unknownOutcome(idempotencyKey: string | undefined, born: number | undefined): QuorateError {
  if (idempotencyKey === undefined) {
    return new QuorateError("outcome-unknown", "no node answered in time, and some of it may be done");
  }
  const again = "no node answered in time; repeat it with the same Idempotency-Key";
  if (born === undefined) return new QuorateError("outcome-unknown", again);
  return new QuorateError("outcome-unknown", `${again} and Quorate-Born: ${born}`, { more: { born } });
}

function noAnswer(isWrite: boolean): QuorateError {
  return new QuorateError("not-ready", "no node answers", isWrite ? { outcome: "none" } : {});
}

/** A key that a node refused is not repeated. */
function tellKey(headers: Headers, { idempotencyKey }: Outgoing): void {
  if (idempotencyKey !== undefined && VISIBLE.test(idempotencyKey)) headers.set("Idempotency-Key", idempotencyKey);
}

async function readiness(options: GatewayOptions, nodes: readonly string[], context: Context): Promise<Response> {
  const { fetch, clock } = options;
  const abort = new AbortController();
  const cancel = clock.after(READY_WITHIN_MS, () => abort.abort());
  try {
    await Promise.any(nodes.map((node) => probe(fetch, node, "/readyz", abort.signal)));
    return ownAnswer(context, { ready: true });
  } catch {
    throw new QuorateError("not-ready", `none of ${nodes.length} nodes is ready`);
  } finally {
    cancel();
    abort.abort();
  }
}

/**
 * A gateway knows no token: who may read the metrics of a node may read these. The first node that answers says so, and
 * whoever it let in stays let in while none answers, since then they are needed most.
 */
async function metrics(
  options: GatewayOptions,
  meter: GatewayMeter,
  { nearest, readers }: Memory,
  context: Context,
): Promise<Response> {
  const { request, requestId } = context;
  refuseOtherMethods(request);
  const authorization = request.headers.get("authorization") ?? "";
  const verdict = await verdictOf(options, await nearest.order(), authorization);
  if (verdict !== null) await readers.note(authorization, verdict.ok);
  if (verdict?.ok !== true && !(verdict === null && await readers.has(authorization))) {
    throw verdict === null
      ? noAnswer(false)
      : new QuorateError(verdict.code, "a node refuses its metrics to this token");
  }
  const text = meter.text(
    new Map(nearest.nodes.map((node) => [node, nearest.hasFailed(node) ? null : nearest.rttMs(node)])),
  );
  const headers = {
    "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
    "X-Request-Id": requestId,
    "Cache-Control": "no-store",
  };
  return new Response(request.method === "HEAD" ? null : text, { status: 200, headers });
}

type Verdict = { readonly ok: true } | { readonly ok: false; readonly code: "unauthenticated" | "forbidden" };

/** Null: none answered yes or no. */
async function verdictOf(
  { fetch, clock }: GatewayOptions,
  nodes: readonly string[],
  authorization: string,
): Promise<Verdict | null> {
  const abort = new AbortController();
  const cancel = clock.after(READY_WITHIN_MS, () => abort.abort());
  try {
    for (const node of nodes) {
      const headers = authorization === "" ? {} : { authorization };
      const init = { method: "HEAD", redirect: "manual", headers, signal: abort.signal } as const;
      const status = await fetch(`${node}/metrics`, init).then(async (response) => {
        await response.body?.cancel();
        return response.status;
      }, () => 0);
      if (status === 200) return { ok: true };
      if (status === 401) return { ok: false, code: "unauthenticated" };
      if (status === 403) return { ok: false, code: "forbidden" };
    }
    return null;
  } finally {
    cancel();
  }
}

/** Rejects unless the node answers that it is well. */
async function probe(fetch: Fetch, node: string, path: string, signal: AbortSignal): Promise<void> {
  const response = await fetch(`${node}${path}`, { redirect: "manual", signal });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`${node} answers ${response.status}`);
}

/** What the gateway says for itself. */
function ownAnswer({ request, requestId }: Context, body: object): Response {
  refuseOtherMethods(request);
  const text = JSON.stringify(body);
  const headers = { "Content-Type": "application/json", "X-Request-Id": requestId, "Cache-Control": "no-store" };
  return new Response(request.method === "HEAD" ? null : text, { status: 200, headers });
}

function refuseOtherMethods({ method }: Request): void {
  if (method === "GET" || method === "HEAD") return;
  throw new QuorateError("method-not-allowed", `${method} is not allowed here; allowed: ${OWN.join(", ")}`);
}

function problemOf({ request, path, requestId, outgoing }: Context, error: QuorateError): Response {
  if (isLate(request, path, error)) {
    const { text, headers } = lateStream(error);
    return new Response(text, { headers: { ...headers, "X-Request-Id": requestId, "Cache-Control": "no-store" } });
  }
  const idempotencyKey = outgoing?.idempotencyKey;
  const document = problemDocument(error, { requestId, idempotencyKey });
  const headers = new Headers({
    "Content-Type": PROBLEM_TYPE,
    "X-Request-Id": requestId,
    "Cache-Control": "no-store",
    ...retryAfter(document),
  });
  if (error.code === "method-not-allowed") {
    headers.set("Allow", (isPassedOn(path) ? PASSED_ON : OWN).join(", "));
  }
  if (outgoing !== undefined) tellKey(headers, outgoing);
  return new Response(JSON.stringify(document), { status: PROBLEMS[error.code].status, headers });
}

function internal(report: GatewayOptions["report"], context: Context, error: Error): QuorateError {
  const { request: { method }, path, requestId, outgoing } = context;
  report(error, { requestId, method, path });
  // Once it could be sent, it may have been.
  const outcome = outgoing?.isWrite ? { outcome: "unknown" as const } : {};
  return new QuorateError(
    "internal",
    "the gateway failed to answer; its log has the reason under this requestId",
    outcome,
  );
}
