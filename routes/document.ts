/**
 * The OpenAPI document: what the routes say of themselves, and what is true of all. Of each response it lists the codes
 * (`x-codes`) with an example each; of each operation which scope it needs (`security`), and whether it shows only what the
 * scope covers (`x-filtered-by-scope`) instead of refusing.
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Access } from "../src/auth/scopes.ts";
import type { ErrorCode } from "../src/errors.ts";
import type { Env } from "./answer.ts";
import { PROBLEMS } from "../src/http/problem.ts";
import { PROBLEM_EXAMPLES } from "./problem_examples.ts";
import { nameOf, rankOf, SECTIONS } from "./operation_names.ts";
import { isCounted } from "./rate_limit.ts";
import { withTexts } from "./shape_texts.ts";

export type Media = { readonly schema: object; readonly examples?: Readonly<Record<string, object>> };
export type ResponseObject = {
  readonly description: string;
  readonly content?: Readonly<Record<string, Media>>;
  readonly "x-codes"?: readonly ErrorCode[];
};
export type Parameter = {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Readonly<Record<string, unknown>>;
};
export type Operation = {
  readonly operationId?: string;
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, ResponseObject>>;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly "x-filtered-by-scope"?: boolean;
};
export type OpenApi = {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly tags: typeof SECTIONS;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>>; readonly [kind: string]: object };
};

/** What a route asks for: a scope with this noun and verb for the name it is about. Without it any known token will do. */
export function needs({ noun, verb }: Access) {
  return [{ bearer: [`${noun}:${verb}`] }];
}

/** `isOpen`: no tokens are configured, and whoever is on this machine may call. */
export function makeDocument(app: OpenAPIHono<Env>, version: string, isOpen: boolean): OpenApi {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  const made = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Quorate", version, description: DESCRIPTION, license: LICENSE },
    servers: [{ url: "/", description: "The node that this document came from" }],
    tags: [...SECTIONS],
    security: [{ bearer: [] }, ...(isOpen ? [{}] : [])],
  }) as unknown as OpenApi;
  const rank = ([path, item]: [string, object]) => Math.min(...Object.keys(item).map((method) => rankOf(method, path)));
  const paths = Object.fromEntries(
    Object.entries(made.paths).toSorted((a, b) => rank(a) - rank(b)).map(([path, item]) => [
      path,
      Object.fromEntries(
        Object.entries(item).toSorted(([a], [b]) => rankOf(a, path) - rankOf(b, path))
          .map(([method, operation]) => [method, completed(method, path, operation, isOpen)]),
      ),
    ]),
  );
  const components = { ...made.components, schemas: withTexts(made.components.schemas), examples: PROBLEM_EXAMPLES };
  return { ...made, paths, components };
}

const LICENSE = { name: "MIT", url: "https://spdx.org/licenses/MIT.html" };

/** Besides what it is: what no schema can say, as it is about several fields at once. */
const DESCRIPTION = [
  "Locks, leaders and small consistent registers over plain HTTP.",
  "A name may stand in the query instead of the path. Its segment is then `-`: `/v1/locks/-?name=a/b`, " +
  "`/v1/kv/-?key=a/b`. `name` or `key` beside any other segment is refused.",
  "`permits` of a semaphore are at most its `limit`.",
  "A write may go to several nodes at once, and is applied once, if each copy bears the same `Idempotency-Key` and " +
  "`Quorate-Hedge: INSTANCE`, the `Consensus-Instance` last seen of the name or 0. Such a take must name its " +
  "`holder` or `candidate`. Such a write may not have `waitMs`, `session` or `Quorate-Born`. Sessions and sets of locks " +
  "cannot be written so.",
  "Lengths are of UTF-8, in bytes.",
].join(" ");

const PROBLEM = { $ref: "#/components/schemas/Problem" };

function completed(method: string, path: string, operation: Operation, isOpen: boolean): Operation {
  const { responses, security } = operation;
  const codes = new Set(Object.values(responses).flatMap((response) => response["x-codes"] ?? []));
  for (const code of universal(method.toUpperCase(), path, operation)) codes.add(code);
  const all: Record<string, ResponseObject> = {};
  for (const [status, response] of Object.entries(responses)) {
    if (!("x-codes" in response)) all[status] = withEvents(method, response);
  }
  for (const code of codes) {
    const status = `${PROBLEMS[code].status}`;
    const listed = [...(all[status]?.["x-codes"] ?? []), code];
    all[status] = {
      description: listed.join(", "),
      content: {
        ...responses[status]?.content,
        "application/problem+json": {
          schema: responses[status]?.content?.["application/problem+json"]?.schema ?? PROBLEM,
          examples: Object.fromEntries(listed.map((each) => [each, { $ref: `#/components/examples/${each}` }])),
        },
      },
      "x-codes": listed,
    };
  }
  return {
    ...nameOf(method, path),
    ...operation,
    responses: all,
    ...(isOpen && security !== undefined && security.length > 0 ? { security: [...security, {}] } : {}),
  };
}

const STREAM = "text/event-stream";
const EVENTS: Readonly<Record<string, readonly string[]>> = {
  get: ["changed", "deleted", "resync"],
  post: ["queued", "granted", "error"],
};

/** A stream is described by one of its events, whose data are the text of what the route says is in them. */
function withEvents(method: string, response: ResponseObject): ResponseObject {
  const stream = response.content?.[STREAM];
  if (stream === undefined) return response;
  const data = { type: "string", contentMediaType: "application/json", contentSchema: stream.schema };
  const schema = {
    type: "object",
    required: ["event", "data"],
    properties: { event: { type: "string", enum: EVENTS[method] }, id: { type: "string" }, data },
  };
  return { ...response, content: { ...response.content, [STREAM]: { schema } } };
}

/** What any request may be answered, whatever it asks for. */
function universal(method: string, path: string, { security }: Operation): readonly ErrorCode[] {
  const all: ErrorCode[] = ["invalid-request", "internal"];
  if (security?.length === 0) return all;
  all.push("unauthenticated", "cross-site");
  if (security !== undefined) all.push("forbidden");
  // Whoever watches is told of it in a stream.
  const isLimited = path.startsWith("/v1/") && !path.endsWith("/events");
  if (isCounted(method, path) && isLimited) all.push("rate-limited");
  if (isLimited) all.push("overloaded");
  return all;
}
