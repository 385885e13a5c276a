/** A node that waits to be made a member: nodes of the cluster tell it of its epoch, and nobody else is served. */
import { OpenAPIHono } from "@hono/zod-openapi";
import { QuorateError } from "../src/errors.ts";
import { Bodies } from "../src/http/bounded_body.ts";
import { notReady } from "../src/http/not_ready.ts";
import { rawPath, requestIdOf } from "../src/http/request_head.ts";
import type { NodeId } from "../src/ports.ts";
import type { Env } from "./answer.ts";
import { epochRoutes, type HearEpoch } from "./epoch.ts";
import { answerError, internal } from "./error_response.ts";
import { answeredIn, type PeerSide } from "./peer_head.ts";

export type JoiningParts = {
  readonly id: NodeId;
  readonly peers: PeerSide;
  readonly hear: HearEpoch;
  readonly newId: () => string;
  readonly after: (ms: number, run: () => void) => () => void;
  readonly now: () => number;
  readonly report: (error: Error) => void;
};

export function createJoiningApp({ id, peers, hear, newId, after, now, report }: JoiningParts): OpenAPIHono<Env> {
  const app = new OpenAPIHono<Env>({ getPath: rawPath });
  app.use("*", async (c, next) => {
    const started = now();
    c.set("elapsedMs", () => now() - started);
    c.set("requestId", requestIdOf(c.req.raw, newId));
    c.set("wire", answeredIn(c, peers));
    await next();
  });
  epochRoutes(app, id, { ...peers, bodies: new Bodies(after) }, hear);
  const waiting = `this node waits to be made a member of cluster ${peers.cluster}`;
  app.notFound((c) => notReady(c.req.raw, waiting, newId));
  app.onError((error, c) => {
    if (error instanceof QuorateError) return answerError(c, error);
    report(error);
    return answerError(c, internal(c));
  });
  return app;
}
