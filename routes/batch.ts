/** Many operations in one request: each goes through the whole app, as if it had come alone. */
import { createRoute, type OpenAPIHono, type z } from "@hono/zod-openapi";
import { QuorateError } from "../src/errors.ts";
import { namedOf } from "../src/http/named.ts";
import { PROBLEM_TYPE, problemDocument, PROBLEMS } from "../src/http/problem.ts";
import { authority } from "../src/http/request_head.ts";
import { isKeptByUrl } from "../src/http/request_target.ts";
import { BATCH_AT_ONCE, BATCH_MAX_BYTES } from "../src/limits.ts";
import { type Ctx, type Env, send } from "./answer.ts";
import { jsonIn } from "./body.ts";
import { publish } from "./docs.ts";
import { invalid } from "./error_response.ts";
import { checked, queryOf, refuseInBatch } from "./input.ts";
import type { Limits } from "./rate_limit.ts";
import { BATCH_HEADERS, BATCH_RESULT_HEADERS } from "./batch_headers.ts";
import { BatchBody, BatchShape, json, NoQuery, responses } from "./schemas.ts";

type Operation = z.output<typeof BatchBody>[number];
type Result = z.output<typeof BatchShape>[number];

const batch = createRoute({
  method: "post",
  path: "/v1/batch",
  summary: "Independent operations; those of one name in their order, results in the order of all",
  request: { body: { ...json(BatchBody), required: true } },
  responses: responses(BatchShape, ["request-timeout", "too-large"]),
});

/** What an operation may say for itself. Who calls, and from where, is said once for all. */
const OWN_HEADERS: ReadonlySet<string> = new Set(BATCH_HEADERS.map((name) => name.toLowerCase()));
const SHARED_HEADERS = ["authorization", "host", "origin", "sec-fetch-site"];

export function batchRoutes(app: OpenAPIHono<Env>, limits: Limits): void {
  publish(app, batch, async (c) => {
    // What is no list of operations is refused as a whole, before any of it is done.
    const { operations, bytes } = await operationsOf(c).catch((error) => {
      throw charged(c, limits, error);
    });
    const results: Result[] = [];
    const names = [...byName(operations)];
    const atOnce = Math.min(BATCH_AT_ONCE, names.length);
    // So many are begun at a time: as one request it would let in what no node has time for.
    await c.get("admit")?.(bytes, atOnce);
    const work = async () => {
      for (let indices = names.shift(); indices !== undefined; indices = names.shift()) {
        for (const i of indices) results[i] = await run(app, c, limits, operations[i]!, `${c.get("requestId")}.${i}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    return send(c, 200, results);
  });
}

async function operationsOf(c: Ctx): Promise<{ readonly operations: readonly Operation[]; readonly bytes: number }> {
  refuseInBatch(c, "path", "is a batch itself");
  queryOf(c, NoQuery);
  const bytes = await c.get("bodies").read(c.req.raw, BATCH_MAX_BYTES);
  return { operations: checked(BatchBody, jsonIn(bytes), "body"), bytes: bytes.length };
}

/** What is refused before it is any request costs what one does. Returns what its caller is refused with. */
function charged(c: Ctx, limits: Limits, refusal: unknown): unknown {
  try {
    limits.take(c);
    return refusal;
  } catch (limited) {
    return limited;
  }
}

/** What is wrong with one operation is its own answer, as it would be alone. */
async function run(
  app: OpenAPIHono<Env>,
  c: Ctx,
  limits: Limits,
  operation: Operation,
  requestId: string,
): Promise<Result> {
  let request: Request;
  try {
    request = requestOf(c, operation, requestId);
  } catch (refusal) {
    const error = charged(c, limits, refusal);
    if (!(error instanceof QuorateError)) throw error;
    const body = problemDocument(error, { requestId, idempotencyKey: undefined });
    return { status: PROBLEMS[error.code].status, headers: { "Content-Type": PROBLEM_TYPE }, body };
  }
  return await resultOf(await app.fetch(request, { isOperation: true }), isOfBytes(operation));
}

function requestOf(c: Ctx, operation: Operation, requestId: string): Request {
  const { method, path, body, headers = {} } = operation;
  const { raw } = c.req;
  // It could not come alone either: the parsed URL has another name than was written.
  if (!isKeptByUrl(path)) throw invalid("path", "is not as a URL keeps it; percent-encode it");
  const own = new Headers({ "x-request-id": requestId });
  for (const [name, value] of Object.entries(headers)) {
    if (!OWN_HEADERS.has(name.toLowerCase())) throw invalid(`headers.${name}`, "is not for an operation");
    if (/[^\x20-\x7e]/.test(value)) throw invalid(`headers.${name}`, "is not printable ASCII");
    own.set(name, value);
  }
  for (const name of SHARED_HEADERS) {
    const value = raw.headers.get(name);
    if (value !== null) own.set(name, value);
  }
  if (body !== undefined && method === "GET") throw invalid("body", "is not for a GET");
  if (body !== undefined && typeof body !== "string" && !own.has("content-type")) {
    own.set("content-type", "application/json");
  }
  const bytes = body === undefined ? null : bodyOf(operation);
  // With the host of the batch it would pass for one that came alone, whose length says whether there is a body.
  if (bytes !== null) own.set("content-length", `${bytes.length}`);
  return new Request(`http://${authority(raw.url)}${path}`, { method, headers: own, signal: raw.signal, body: bytes });
}

function bodyOf({ body, base64 }: Operation): Uint8Array<ArrayBuffer> {
  if (base64 !== true) return new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  try {
    if (typeof body === "string") return Uint8Array.fromBase64(body);
  } catch { /* told below */ }
  throw invalid("body", "is not base64");
}

/** Indices of the operations by the name they are about, so that a name sees them in the order of the batch. */
function byName(operations: readonly Operation[]): Iterable<number[]> {
  const groups = new Map<string, number[]>();
  operations.forEach(({ path }, i) => {
    // What is about no one name is of its path.
    const name = namedOf(path)?.key ?? path.split("?")[0]!;
    const group = groups.get(name) ?? [];
    groups.set(name, group);
    group.push(i);
  });
  return groups.values();
}

/** Whether what a 200 brings are bytes that somebody put, which are not this service's to read, whatever their type says. */
function isOfBytes({ method, path }: Operation): boolean {
  return method === "GET" && /^\/v1\/kv\/[^/?]+(\?|$)/.test(path);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

async function resultOf(response: Response, isBytes: boolean): Promise<Result> {
  const { status, headers: given } = response;
  const headers: Record<string, string> = {};
  for (const name of BATCH_RESULT_HEADERS) {
    const value = given.get(name);
    if (value !== null) headers[name] = value;
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isJson = /^application\/(problem\+)?json/.test(given.get("content-type") ?? "") && !(isBytes && status === 200);
  if (bytes.length === 0) return { status, headers, body: isBytes && status === 200 ? "" : null };
  try {
    const text = utf8.decode(bytes);
    return { status, headers, body: isJson ? JSON.parse(text) : text };
  } catch {
    return { status, headers, body: bytes.toBase64(), base64: true };
  }
}
