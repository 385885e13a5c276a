/** Many operations in one request: each goes through the whole app, as if it had come alone. */
import { createRoute, type OpenAPIHono, type z } from "@hono/zod-openapi";
import { authority } from "../src/http/request_head.ts";
import { BATCH_AT_ONCE, BATCH_MAX_BYTES } from "../src/limits.ts";
import { type Ctx, type Env, send } from "./answer.ts";
import { readJson } from "./body.ts";
import { publish } from "./docs.ts";
import { invalid } from "./error_response.ts";
import { checked, queryOf } from "./input.ts";
import { BatchBody, BatchShape, json, NoQuery, responses } from "./schemas.ts";

type Operation = z.output<typeof BatchBody>[number];
type Result = { readonly status: number; readonly body: unknown };

const batch = createRoute({
  method: "post",
  path: "/v1/batch",
  summary: "Independent operations; those of one name in their order, results in the order of all",
  request: { body: { ...json(BatchBody), required: true } },
  responses: responses(BatchShape, ["request-timeout", "too-large"]),
});

/** What an operation may say for itself. Who calls, and from where, is said once for all. */
const OWN_HEADERS = new Set([
  "idempotency-key",
  "quorate-born",
  "quorate-hedge",
  "if-match",
  "if-none-match",
  "fence",
  "content-type",
  "x-request-id",
]);
const SHARED_HEADERS = ["authorization", "host", "origin", "sec-fetch-site"];

export function batchRoutes(app: OpenAPIHono<Env>): void {
  publish(app, batch, async (c) => {
    queryOf(c, NoQuery);
    const operations = checked(BatchBody, await readJson(c, BATCH_MAX_BYTES), "body");
    // All of it is checked before any of it is done: what is malformed leaves nothing half done.
    const requests = operations.map((operation, i) => requestOf(c, operation, i));
    const results: Result[] = [];
    const names = [...byName(operations)];
    const work = async () => {
      for (let indices = names.shift(); indices !== undefined; indices = names.shift()) {
        for (const i of indices) results[i] = await resultOf(await app.fetch(requests[i]!));
      }
    };
    await Promise.all(Array.from({ length: BATCH_AT_ONCE }, work));
    return send(c, 200, results);
  });
}

function requestOf(c: Ctx, { method, path, body, headers = {} }: Operation, i: number): Request {
  const { raw } = c.req;
  const url = `http://${authority(raw.url)}${path}`;
  const parsed = URL.canParse(url) ? new URL(url) : null;
  // A parsed URL has lost `..` and gained escapes: another name than the one that was written.
  if (parsed === null || parsed.pathname + parsed.search !== path) {
    throw invalid(`${i}.path`, "is not as a request line would have it; percent-encode it");
  }
  const segments = parsed.pathname.split("/");
  if (segments[2] === "batch") throw invalid(`${i}.path`, "is a batch itself");
  if (segments[4] === "events" || (segments[3] === "events" && parsed.searchParams.has("prefix"))) {
    throw invalid(`${i}.path`, "is a stream");
  }
  if (parsed.searchParams.has("waitMs") || (method === "POST" && waits(body))) {
    throw invalid(`${i}.waitMs`, "is not for a batch");
  }
  const own = new Headers({ "x-request-id": `${c.get("requestId")}.${i}` });
  for (const [name, value] of Object.entries(headers)) {
    if (!OWN_HEADERS.has(name.toLowerCase())) throw invalid(`${i}.headers.${name}`, "is not for an operation");
    if (/[^\x20-\x7e]/.test(value)) throw invalid(`${i}.headers.${name}`, "is not printable ASCII");
    own.set(name, value);
  }
  for (const name of SHARED_HEADERS) {
    const value = raw.headers.get(name);
    if (value !== null) own.set(name, value);
  }
  if (body !== undefined && method === "GET") throw invalid(`${i}.body`, "is not for a GET");
  return new Request(url, {
    method,
    headers: own,
    signal: raw.signal,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
}

function waits(body: unknown): boolean {
  const { waitMs } = typeof body === "object" && body !== null ? body as { waitMs?: unknown } : {};
  return waitMs !== undefined && waitMs !== 0;
}

/** Indices of the operations by the name they are about, so that a name sees them in the order of the batch. */
function byName(operations: readonly Operation[]): Iterable<number[]> {
  const groups = new Map<string, number[]>();
  operations.forEach(({ path }, i) => {
    const name = path.split(/[/?]/).slice(2, 4).join("/");
    const group = groups.get(name) ?? [];
    groups.set(name, group);
    group.push(i);
  });
  return groups.values();
}

async function resultOf(response: Response): Promise<Result> {
  const { status } = response;
  const text = await response.text();
  const isJson = /^application\/(problem\+)?json/.test(response.headers.get("content-type") ?? "");
  return { status, body: text === "" ? null : isJson ? JSON.parse(text) : text };
}
