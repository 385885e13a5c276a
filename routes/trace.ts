/** What just happened to one name on this node, where it is traced: as events, or drawn. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { NOUNS } from "../src/auth/scopes.ts";
import { QuorateError } from "../src/errors.ts";
import { KEY_PREFIXES } from "../src/nouns.ts";
import type { NodeService } from "../src/service/service.ts";
import { chartOf } from "../src/observe/chart.ts";
import { svgChart } from "../src/observe/chart_svg.ts";
import { textChart } from "../src/observe/chart_text.ts";
import type { TraceEvent } from "../src/observe/trace.ts";
import { type Env, send, sendText } from "./answer.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit } from "./gate.ts";
import { nameOf, queryOf } from "./input.ts";
import { refuseEmptyNames } from "./noun.ts";
import { NameParam, responsesAs } from "./schemas.ts";

export interface TraceSource {
  /** In the order they happened on this node. */
  events(key: string): readonly TraceEvent[];
}

const TraceQuery = z.strictObject({
  noun: z.enum(NOUNS, { error: `is not one of ${NOUNS.join(", ")}` }).default("lock")
    .openapi({ description: "Of what the name is; of a session it is the id. It takes the scope that reads it." }),
  format: z.enum(["json", "text", "svg"], { error: "is not one of json, text, svg" }).default("json"),
});
const NamedTraceQuery = TraceQuery.extend({ name: z.string().optional() });
const TraceShape = z.strictObject({
  node: z.string(),
  key: z.string(),
  events: z.array(z.looseObject({ kind: z.string() })),
})
  .openapi("Trace");

const trace = createRoute({
  method: "get",
  path: "/v1/trace/{name}",
  summary: "The newest messages of a name as this node saw them; charts of several nodes are merged by the client",
  request: { params: NameParam, query: TraceQuery },
  security: NOUNS.flatMap((noun) => needs({ noun, verb: "read" })),
  responses: responsesAs(TraceShape, ["not-found", "not-ready"], {
    "text/plain": z.string(),
    "image/svg+xml": z.string(),
  }),
});

export function traceRoutes(
  app: OpenAPIHono<Env>,
  { id, sessions }: Pick<NodeService, "id" | "sessions">,
  source: TraceSource,
): void {
  publish(app, trace, async (c) => {
    const { name: named, noun, format } = queryOf(c, NamedTraceQuery);
    const name = nameOf(c, named);
    permit(c, { noun, verb: "read" }, name);
    // By the own record, as all that is told here: to ask others would show in what is drawn.
    if (noun === "session" && !await sessions.owns(name, c.get("client").subject)) {
      throw new QuorateError("not-found", `there is no session ${name}`);
    }
    const key = KEY_PREFIXES[noun] + name;
    const events = source.events(key);
    if (format === "json") return send(c, 200, { node: id, key, events });
    const chart = chartOf([events]);
    return format === "text"
      ? sendText(c, 200, textChart(chart), { "Content-Type": "text/plain; charset=utf-8" })
      : sendText(c, 200, svgChart(chart), { "Content-Type": "image/svg+xml" });
  });

  refuseEmptyNames(app, "/v1/trace");
}
