/** Which pages of other origins a browser lets read what is answered here. */
import { Hono } from "hono";
import { cors } from "hono/cors";
import { rawPath } from "../src/http/request_head.ts";

/** What an answer says besides its body that a page may want to read. */
const EXPOSED = [
  "Consensus-Path",
  "Consensus-Instance",
  "Consensus-Ballot",
  "ETag",
  "Idempotency-Key",
  "Quorate-Stale-Ms",
  "Retry-After",
  "Server-Timing",
  "X-Request-Id",
];
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"];
const PREFLIGHT_SECONDS = 600;

type Handler = (request: Request) => Response | Promise<Response>;

/**
 * Answers preflights of these origins, and lets their pages read what `handler` answers; `*` is any origin. Pages of others
 * get what they got before, and their browser keeps it from them. No cookie counts here, so none is asked for. What is between
 * nodes, under `/paxos`, is for no page.
 */
export function withCors(origins: readonly string[], handler: Handler): Handler {
  if (origins.length === 0) return handler;
  const app = new Hono({ getPath: rawPath });
  const origin = origins.includes("*") ? "*" : [...origins];
  app.use("*", cors({ origin, allowMethods: METHODS, exposeHeaders: EXPOSED, maxAge: PREFLIGHT_SECONDS }));
  app.all("*", (c) => handler(c.req.raw));
  return (request) => rawPath(request).startsWith("/paxos") ? handler(request) : app.fetch(request);
}
