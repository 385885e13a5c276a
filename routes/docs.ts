/** /openapi.json: the routes' own description of themselves; /docs: the same to be read. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { type Ctx, type Env, send, sendText } from "./answer.ts";
import { docsPage } from "./docs_page.ts";
import { makeDocument, type OpenApi } from "./document.ts";
import { responses } from "./schemas.ts";
import { fits, rivalsOf } from "./templates.ts";

/**
 * Mounts a route and puts it into the document. Not `app.openapi`, whose validators decode leniently, read bodies
 * without a limit and take JSON by Content-Type; handlers check with the schemas their route publishes instead.
 */
export function publish(
  app: OpenAPIHono<Env>,
  route: ReturnType<typeof createRoute>,
  handle: (c: Ctx) => Response | Promise<Response>,
): void {
  app.openAPIRegistry.registerPath(route);
  let rivals: readonly string[] | null = null;
  app.on(route.method, route.getRoutingPath(), (c) => {
    c.set("route", route.path);
    rivals ??= rivalsOf(app, route.path);
    // What the router takes for a name or a fence may be `events`, of which the document has another method.
    return rivals.some((rival) => fits(rival, c.req.path)) ? c.notFound() : handle(c);
  });
}

const document = createRoute({
  method: "get",
  path: "/openapi.json",
  summary: "This document",
  security: [],
  responses: responses(z.looseObject({ openapi: z.string() }), []),
});
const page = createRoute({
  method: "get",
  path: "/docs",
  summary: "This document as a page, which needs nothing from anywhere else",
  security: [],
  responses: { 200: { description: "OK", content: { "text/html": { schema: z.string() } } } },
});

/** Nothing is loaded and nothing runs: the page is text and its own style. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** Both are made on the first request. `isOpen`: no tokens are configured. */
export function docsRoutes(app: OpenAPIHono<Env>, version: () => string, isOpen: boolean): void {
  let made: OpenApi | null = null;
  const make = () => made ??= makeDocument(app, version(), isOpen);
  publish(app, document, (c) => send(c, 200, make()));
  publish(app, page, (c) =>
    sendText(c, 200, docsPage(make()), {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": POLICY,
    }));
}
