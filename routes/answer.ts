/** What every answer carries, and the one place that makes a Response. */
import type { Context } from "hono";
import type { Answer, Receipt } from "../src/api.ts";
import type { Client } from "../src/auth/tokens.ts";
import type { Bodies } from "../src/http/bounded_body.ts";
import type { ClusterFaults } from "../src/http/problem.ts";
import type { ReadAnswer } from "../src/service/service.ts";
import { VERSION_HEADER, WIRE_HEADER } from "../src/version.ts";

export type Env = {
  /** `isOperation`: it is one of a batch. */
  Bindings: { readonly isOperation?: true };
  Variables: {
    requestId: string;
    elapsedMs: () => number;
    /** As the document has its path, once a route has it. */
    route?: string;
    /** What reads the bodies of clients. */
    bodies: Bodies;
    /** Set under /v1. */
    client: Client;
    /** Set under /v1: the epoch that this node is in, where its answers tell it. */
    epoch?: number;
    /** Set under /v1 but for operations of a batch, of what has a body: waits for room to work on the request. */
    admit?: (bytes: number, places?: number) => Promise<void>;
    /** Set where there is room for the request: it waits for something other than this node from now on. */
    leave?: () => void;
    /** Set where a 503 or 504 tells what is wrong between members: under /v1, and at /readyz, which needs no credential. */
    cluster?: () => ClusterFaults;
    /** Set once it was answered though its work goes on: what becomes of that is told to nobody. */
    isCutOff?: true;
    /** Set once a write has one. */
    idempotencyKey?: string;
    /** Set under /paxos: what the answer is in, and what this node says of itself. */
    wire?: { readonly wire: number; readonly version: string };
  };
};
export type Ctx = Context<Env>;

/** JSON with `X-Request-Id`, `Server-Timing` and, for a write, its `Idempotency-Key`. */
export function send(c: Ctx, status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return sendText(c, status, JSON.stringify(body), headers);
}

/** As `send`, of a body that is JSON already. */
export function sendText(c: Ctx, status: number, json: string, headers: Record<string, string> = {}): Response {
  headers["Content-Type"] ??= "application/json";
  return sendBody(c, status, json, headers);
}

/** What every answer carries, around any body or none. */
export function sendBody(c: Ctx, status: number, body: BodyInit | null, headers: Record<string, string>): Response {
  headers["X-Request-Id"] = c.get("requestId");
  headers["Server-Timing"] = `total;dur=${c.get("elapsedMs")().toFixed(2)}`;
  // Who holds a lock is true for a moment only; no cache between may keep it.
  headers["Cache-Control"] = "no-store";
  const key = c.get("idempotencyKey");
  if (key !== undefined) headers["Idempotency-Key"] = key;
  // By it clients see that members have changed. A stranger is not told.
  const epoch = c.get("epoch");
  if (epoch !== undefined) headers["Quorate-Epoch"] = `${epoch}`;
  // On refusals too: by it the sender tells why from who else might have refused.
  const wire = c.get("wire");
  if (wire !== undefined) {
    headers[WIRE_HEADER] = `${wire.wire}`;
    headers[VERSION_HEADER] = wire.version;
  }
  // Afterwards and one by one: in the constructor so many cost the runtime a fifth of a request more (Deno 2.9), and what is set
  // through the context is copied twice.
  const response = new Response(body, { status });
  for (const name in headers) response.headers.set(name, headers[name]!);
  return response;
}

/** 200 with its receipt. */
export function sendAnswer(c: Ctx, answer: Answer<unknown>, headers: Record<string, string> = {}): Response {
  return send(c, 200, answer.body, withReceipt(headers, answer.receipt));
}

/** As `sendAnswer`, of a read: `Quorate-Stale-Ms` says how old the own record is where that was asked for. */
export function sendRead(c: Ctx, answer: ReadAnswer<unknown>): Response {
  return sendAnswer(c, answer, withAge({}, answer));
}

export function withAge(headers: Record<string, string>, { staleMs }: ReadAnswer<unknown>): Record<string, string> {
  if (staleMs !== undefined) headers["Quorate-Stale-Ms"] = `${Math.ceil(staleMs)}`;
  return headers;
}

/** `Consensus-Path`, `Consensus-Instance`, `Consensus-Ballot`: how an answer or a refusal came about. */
export function withReceipt(headers: Record<string, string>, receipt: Receipt): Record<string, string> {
  headers["Consensus-Path"] = receipt.path;
  headers["Consensus-Instance"] = `${receipt.instance}`;
  headers["Consensus-Ballot"] = receipt.ballot;
  return headers;
}
