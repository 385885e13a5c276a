/** A span for each request, but for those of probes and scrapers, and of peers that work for none. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Spans } from "../src/spans.ts";
import type { Env } from "./answer.ts";

/** They come every few seconds, for nobody. */
const UNSEEN: ReadonlySet<string> = new Set(["/livez", "/healthz", "/readyz", "/metrics"]);
/** Between nodes, where what is done for no span would be a trace of its own. */
const PEERS = "/paxos/";

/** To be mounted before all else. */
export function withSpans(app: OpenAPIHono<Env>, spans: Spans): void {
  app.use("*", async (c, next) => {
    const traceparent = c.req.raw.headers.get("traceparent");
    const { path, method } = c.req;
    if (UNSEEN.has(path) || (traceparent === null && path.startsWith(PEERS))) return await next();
    await spans.serve(method, traceparent, async (span) => {
      await next();
      span.end({ route: c.get("route") ?? null, status: c.res.status });
    });
  });
}
