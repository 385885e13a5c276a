/** A request as a gateway hands it to nodes: read once, and the same however often it is sent. */
import { QuorateError } from "../errors.ts";
import type { Bodies } from "../http/bounded_body.ts";
import { type Named, namedOf } from "../http/named.ts";
import { rawPath } from "../http/request_head.ts";
import { isKeptByUrl } from "../http/request_target.ts";
import {
  BATCH_MAX_BYTES,
  BODY_MAX_BYTES,
  KV_VALUE_MAX_BYTES,
  TIMEOUT_DEFAULT_MS,
  TIMEOUT_MAX_MS,
  WAIT_MAX_MS,
} from "../limits.ts";
import { instanceOf } from "./instances.ts";

export type Outgoing = {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly target: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** The body of a POST as JSON; undefined: it is none. */
  readonly said: unknown;
  readonly isWrite: boolean;
  /** Undefined: it is a read, or a write that has none. */
  readonly idempotencyKey: string | undefined;
  /** The name it is about. */
  readonly named: Named | null;
  /** It may bear `Quorate-Born` and came without, so that the gateway may say it. */
  readonly lacksBorn: boolean;
  /** `Quorate-Born` as it came. */
  readonly born: number | undefined;
  /** A second node may be sent it though a first may have it: it is decided once, or decides nothing. */
  readonly mayRepeat: boolean;
  /** How long a node may rightly say nothing, beyond what its work takes. */
  readonly waitMs: number;
  readonly timeoutMs: number;
};

/** What some node answers. */
export const PASSED_ON = ["GET", "HEAD", "POST", "PUT", "DELETE"] as const;
const WRITES: ReadonlySet<string> = new Set(["POST", "PUT", "DELETE"]);
const BATCH = "/v1/batch";
/** What a node does to its own store: at the next it is another thing, key or not. */
const OF_ONE_NODE: ReadonlySet<string> = new Set(["/v1/repair", "/v1/init"]);
/** What takes of a name, and what writes it, by the noun. */
const BORN_BY_METHOD: Readonly<Record<string, readonly string[]>> = {
  locks: ["POST"],
  elections: ["POST"],
  semaphores: ["POST"],
  kv: ["PUT", "DELETE"],
};

const CALLER: ReadonlySet<string> = new Set([
  "authorization",
  "accept-encoding",
  "x-request-id",
  "origin",
  "sec-fetch-site",
]);

/** They are for one connection (RFC 9110, section 7.6.1), or for fetch to say. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "host",
  // Nodes know none, and a browser's are for whoever else is under the gateway's name.
  "cookie",
  "set-cookie",
]);

/**
 * Reads the body to its end. Rejects as `Bodies.read` does, with `invalid-request` for a path that fetch would change, and
 * with `method-not-allowed` for a method that it would not send as it is.
 * `newId` makes the Idempotency-Key of a write that came without.
 */
export async function outgoingOf(
  request: Request,
  requestId: string,
  newId: () => string,
  bodies: Bodies,
): Promise<Outgoing> {
  const { method } = request;
  const path = rawPath(request);
  const target = targetOf(request, path);
  refuseUnsendable(method, target);
  const isWrite = WRITES.has(method);
  const hasBody = method !== "GET" && method !== "HEAD";
  const body = hasBody ? await bodies.read(request, limitOf(method, path)) : null;
  const headers = passedOn(request.headers);
  headers.delete("content-length");
  // What fetch would unpack and a node would have packed for it: entity tags are weak then, and match nothing.
  headers.set("accept-encoding", "identity");
  headers.set("x-request-id", requestId);
  const isBatch = path === BATCH;
  // A batch has none itself, and whoever hedges sends its own to several nodes: without one that is refused.
  const needsKey = isWrite && !isBatch && !headers.has("quorate-hedge");
  if (needsKey && !headers.has("idempotency-key")) headers.set("idempotency-key", newId());
  const idempotencyKey = isWrite && !isBatch ? headers.get("idempotency-key") ?? undefined : undefined;
  const said = method === "POST" ? jsonOf(body) : undefined;
  const named = namedOf(target);
  const isBorn = named?.isWhole === true && BORN_BY_METHOD[named.noun]!.includes(method);
  return {
    method,
    target,
    headers,
    body: body !== null && body.length === 0 ? null : body,
    said,
    isWrite,
    idempotencyKey,
    named,
    lacksBorn: isBorn && !headers.has("quorate-born") && !headers.has("quorate-hedge"),
    born: isBorn ? instanceOf(headers.get("quorate-born")) : undefined,
    mayRepeat: !isWrite || (isBatch ? bringsKeys(said) : idempotencyKey !== undefined && !OF_ONE_NODE.has(path)),
    waitMs: Math.min(WAIT_MAX_MS, Math.max(numberIn(target, "waitMs") ?? 0, waitOf(said))),
    // Each operation of a batch has its own, and those of one name come one after another.
    timeoutMs: isBatch ? TIMEOUT_MAX_MS : Math.min(TIMEOUT_MAX_MS, numberIn(target, "timeoutMs") ?? TIMEOUT_DEFAULT_MS),
  };
}

/** The headers of a request that say who asks, for another request on its behalf. */
export function callerOf(headers: Headers): Headers {
  return new Headers([...headers].filter(([name]) => CALLER.has(name)));
}

/** Headers without those that end here. */
export function passedOn(headers: Headers): Headers {
  const named = (headers.get("connection") ?? "").split(",").map((name) => name.trim().toLowerCase());
  const kept = [...headers].filter(([name]) => !NOT_PASSED_ON.has(name) && !named.includes(name));
  return new Headers(kept);
}

/** Throws where a URL cannot hold what was sent: it would be another name that a node hears of. */
function targetOf({ url }: Request, path: string): string {
  const hash = url.indexOf("#");
  const sent = hash < 0 ? url : url.slice(0, hash);
  const query = sent.indexOf("?");
  const target = path + (query < 0 ? "" : sent.slice(query));
  if (isKeptByUrl(target)) return target;
  if (path.split("/").some((segment) => /^(\.|%2e){1,2}$/i.test(segment))) {
    const field = path.startsWith("/v1/kv/") ? "key" : "name";
    throw new QuorateError("invalid-request", `${field} holds a segment . or ..`, { field });
  }
  throw new QuorateError("invalid-request", "path is not as a URL keeps it; percent-encode it", {
    field: "path",
  });
}

/** Throws for what no fetch would send: no node would hear of it, and each would be taken for one that fails. */
function refuseUnsendable(method: string, target: string): void {
  if (methodSent(method, target) === method) return;
  throw new QuorateError(
    "method-not-allowed",
    `${method} cannot be passed on; it is not one of ${PASSED_ON.join(", ")}`,
  );
}

/** Null: none. A `post` becomes a POST, and what is taken for a read here would be a write there. */
function methodSent(method: string, target: string): string | null {
  try {
    return new Request(`http://node${target}`, { method }).method;
  } catch {
    return null;
  }
}

function limitOf(method: string, path: string): number {
  if (path === BATCH) return BATCH_MAX_BYTES;
  return method === "PUT" && path.startsWith("/v1/kv/") ? KV_VALUE_MAX_BYTES : BODY_MAX_BYTES;
}

/** What is no number is for the node to refuse, and it does so at once. */
function numberIn(target: string, parameter: string): number | undefined {
  const text = new RegExp(`[?&]${parameter}=([0-9]{1,9})(?=&|$)`).exec(target)?.[1];
  return text === undefined ? undefined : Number(text);
}

/** undefined: no JSON; the node says so. */
function jsonOf(body: Uint8Array | null): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body ?? new Uint8Array()));
  } catch {
    return undefined;
  }
}

function waitOf(said: unknown): number {
  const { waitMs } = typeof said === "object" && said !== null ? said as { waitMs?: unknown } : {};
  return typeof waitMs === "number" ? waitMs : 0;
}

/** Whether each write of a batch has a key of its own: one without is another command at each node it comes to. */
function bringsKeys(operations: unknown): boolean {
  return Array.isArray(operations) && operations.every((operation: { method?: unknown; headers?: unknown } | null) => {
    if (operation?.method === "GET" || operation?.method === "HEAD") return true;
    return Object.keys(operation?.headers ?? {}).some((name) => name.toLowerCase() === "idempotency-key");
  });
}
