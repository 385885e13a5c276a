/** GET /metrics, for a scraper: open where there are no tokens, else for a token with the scope `metrics:read:*`. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { NodeMetrics } from "../src/observe/node_metrics.ts";
import type { NodeService } from "../src/service/service.ts";
import { type Env, sendBody } from "./answer.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { clientOf, type Door, permit } from "./gate.ts";
import { queryOf } from "./input.ts";
import { NoQuery } from "./schemas.ts";

const METRICS = { noun: "metrics", verb: "read" } as const;
const metrics = createRoute({
  method: "get",
  path: "/metrics",
  summary: "What this node counts, in Prometheus' text form; no label holds a name",
  security: needs(METRICS),
  responses: { 200: { description: "OK", content: { "text/plain": { schema: z.string() } } } },
});

/** @param streams how many are open */
export function metricsRoutes(
  app: OpenAPIHono<Env>,
  node: NodeService,
  counted: NodeMetrics,
  door: Door,
  streams: () => number,
): void {
  publish(app, metrics, async (c) => {
    c.set("client", clientOf(c, door));
    permit(c, METRICS, null);
    queryOf(c, NoQuery);
    const checks = await node.checks();
    const faultOf = (check: string) => checks.find(({ name }) => name === check)?.fault ?? null;
    const text = await counted.text({
      status: node.status(),
      hasQuorum: faultOf("quorum") === null,
      storeFault: faultOf("store"),
      streams: streams(),
    });
    return sendBody(c, 200, text, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
  });
}
