/**
 * Spans of requests, and of what nodes ask each other for them, through the runtime's own OpenTelemetry. No attribute holds
 * a name, a key or a subject: those that the runtime makes by itself hold URLs, so these stand in their place.
 */
import { METHODS } from "./http_methods.ts";
import { NO_SPANS, type Span, type SpanEnd, type Spans } from "../spans.ts";

type Identified = { readonly traceId: string; readonly spanId: string; readonly traceFlags: number };
type RuntimeSpan = {
  spanContext(): Identified;
  setAttribute(name: string, value: string | bigint): void;
  updateName(name: string): void;
  setStatus(status: { readonly code: number }): void;
  end(): void;
};
type RuntimeContext = { getValue(key: symbol): unknown; setValue(key: symbol, value: unknown): RuntimeContext };
type SpanOptions = {
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string>>;
  readonly links?: readonly { readonly context: Identified }[];
};

/** As far as it is used, what `Deno.telemetry` has: the provider and the manager of `@opentelemetry/api`. */
export type Telemetry = {
  readonly tracerProvider: {
    getTracer(name: string, version: string): {
      startSpan(name: string, options: SpanOptions, context: RuntimeContext): RuntimeSpan;
    };
  };
  readonly contextManager: {
    active(): RuntimeContext;
    with<T>(context: RuntimeContext, run: () => T): T;
  };
};

/** The key under which every library of OpenTelemetry for JavaScript keeps the span of a context. */
const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");
const SERVER = 1;
const CLIENT = 2;
const SAMPLED = 1;
const ERROR = 2;
/** From here on it is the server that failed. */
const FIRST_FAILURE = 500;
/** https://www.w3.org/TR/trace-context: later versions may say more behind what the first one has. */
const TRACEPARENT =
  /^(?:00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?)$/;
const NOTHING = /^0+$/;

export type SpansOptions = {
  /** What runs here: `a`, or a gateway. */
  readonly node: string;
  readonly version: string;
  readonly telemetry: Telemetry;
};

/** @param options null: they are off */
export function createSpans(options: SpansOptions | null): Spans {
  if (options === null) return NO_SPANS;
  const { node, version, telemetry: { tracerProvider, contextManager } } = options;
  const tracer = tracerProvider.getTracer("quorate", version);
  const active = () => contextManager.active().getValue(SPAN) as RuntimeSpan | undefined;
  const within = (parent: Identified | null): RuntimeContext => {
    const context = contextManager.active();
    return parent === null ? context : context.setValue(SPAN, { spanContext: () => parent });
  };
  return {
    on: true,
    here: () => told(active()),
    serve(sent, traceparent, run) {
      const method = METHODS.has(sent) ? sent : "_OTHER";
      const caller = parsed(traceparent);
      // Who says that its trace is not recorded wants no part of it to be.
      if (caller !== null && (caller.traceFlags & SAMPLED) === 0) return NO_SPANS.serve(sent, traceparent, run);
      // Where the runtime makes spans of its own, its span of this request is the parent.
      const context = within(active() === undefined ? caller : null);
      const span = tracer.startSpan(method, {
        kind: SERVER,
        attributes: { "http.request.method": method, "quorate.node": node },
      }, context);
      return contextManager.with(context.setValue(SPAN, span), () => run(ending(span, method)));
    },
    ask(peer, mailbox, of) {
      const [parent = null, ...others] = of.flatMap((text) => parsed(text) ?? []);
      const path = `/paxos/${mailbox}`;
      const span = tracer.startSpan(`POST ${path}`, {
        kind: CLIENT,
        attributes: { "http.request.method": "POST", "url.template": path, "quorate.node": node, "quorate.peer": peer },
        links: others.map((context) => ({ context })),
      }, within(parent));
      return ending(span, "POST");
    },
  };
}

function ending(span: RuntimeSpan, method: string): Span {
  return {
    traceparent: told(span),
    end({ route = null, status, error = null }: SpanEnd) {
      if (route !== null) {
        span.updateName(`${method} ${route}`);
        span.setAttribute("http.route", route);
      }
      if (status !== undefined) span.setAttribute("http.response.status_code", BigInt(status));
      const failed = error ?? (status !== undefined && status >= FIRST_FAILURE ? `${status}` : null);
      if (failed !== null) {
        span.setAttribute("error.type", failed);
        span.setStatus({ code: ERROR });
      }
      span.end();
    },
  };
}

/** What a peer is told of it; null: it is not recorded. */
function told(span: RuntimeSpan | undefined): string | null {
  if (span === undefined) return null;
  const { traceId, spanId, traceFlags } = span.spanContext();
  return (traceFlags & SAMPLED) === 0 || NOTHING.test(traceId) ? null : `00-${traceId}-${spanId}-01`;
}

/** Null: it is none, and counts for nothing. */
function parsed(traceparent: string | null): Identified | null {
  const found = TRACEPARENT.exec(traceparent ?? "")?.slice(1).filter((part) => part !== undefined);
  if (found === undefined) return null;
  const [traceId, spanId, flags] = found as [string, string, string];
  if (NOTHING.test(traceId) || NOTHING.test(spanId)) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) };
}
