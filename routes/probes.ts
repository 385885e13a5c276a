/** Probes, for whoever starts, stops and sends traffic to this process: none needs a token. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { QuorateError } from "../src/errors.ts";
import { RETRY_AFTER_MS } from "../src/http/problem.ts";
import { type Check, CHECKS, type NodeService } from "../src/service/service.ts";
import { type Ctx, type Env, send, sendBody } from "./answer.ts";
import { publish } from "./docs.ts";
import { queryOf } from "./input.ts";
import { contentOf, ProblemShape, responses, responsesAs } from "./schemas.ts";
import { faultsOf } from "./status.ts";

const Alive = z.strictObject({ ok: z.literal(true) });
const answersAlone = (path: string) =>
  createRoute({
    method: "get",
    path,
    summary: "The process answers, whatever its store and its peers do",
    security: [],
    responses: responses(Alive, []),
  });

const names = { error: `is not one of ${CHECKS.join(", ")}` };
const ReadyQuery = z.strictObject({
  verbose: z.enum(["", "1", "true"], { error: "is given without a value, or is 1 or true" }).optional()
    .openapi({ description: "A line of text for each check, `[+] NAME ok` or `[-] NAME failing: why`." }),
  exclude: z.array(z.enum(CHECKS, names)).optional().openapi({
    description: "This check does not count. The parameter may be repeated.",
    type: "string",
    enum: [...CHECKS],
  }),
});
const TEXT = { "text/plain": z.string() };
const NOT_READY = {
  description: "not-ready",
  content: { ...contentOf(TEXT), "application/problem+json": { schema: ProblemShape } },
  "x-codes": ["not-ready"],
};
const readyz = createRoute({
  method: "get",
  path: "/readyz",
  summary: "A classic quorum of members votes; a member that does not vote is not ready itself",
  security: [],
  request: { query: ReadyQuery },
  responses: { ...responsesAs(z.strictObject({ ready: z.literal(true) }), [], TEXT), 503: NOT_READY },
});

export function probeRoutes(app: OpenAPIHono<Env>, node: NodeService): void {
  for (const path of ["/livez", "/healthz"]) publish(app, answersAlone(path), (c) => send(c, 200, { ok: true }));

  publish(app, readyz, async (c) => {
    const { verbose, exclude = [] } = queryOf(c, ReadyQuery, ["exclude"]);
    const excluded = new Set<string>(exclude);
    if (verbose === undefined && excluded.size === 0) return ready(c, node, await node.readiness());
    const checks = await node.checks();
    const failing = checks.find(({ name, fault }) => fault !== null && !excluded.has(name));
    if (verbose === undefined) return ready(c, node, failing?.fault ?? null);
    return told(c, checks, excluded, failing !== undefined);
  });
}

function ready(c: Ctx, node: NodeService, reason: string | null): Response {
  c.set("cluster", () => faultsOf(node));
  if (reason !== null) throw new QuorateError("not-ready", reason);
  return send(c, 200, { ready: true });
}

/** In the form of Kubernetes' own probes. */
function told(c: Ctx, checks: readonly Check[], excluded: ReadonlySet<string>, isFailing: boolean): Response {
  const lines = checks.map(({ name, fault }) => {
    if (excluded.has(name)) return `[+] ${name} excluded`;
    return fault === null ? `[+] ${name} ok` : `[-] ${name} failing: ${fault}`;
  });
  const text = [...lines, `readyz check ${isFailing ? "failed" : "passed"}`, ""].join("\n");
  const type = { "Content-Type": "text/plain; charset=utf-8" };
  const later = { "Retry-After": `${RETRY_AFTER_MS / 1_000}` };
  return sendBody(c, isFailing ? 503 : 200, text, isFailing ? { ...type, ...later } : type);
}
