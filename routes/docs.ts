/** /openapi.json: the routes' own description of themselves. */
import type { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import { type Ctx, type Env, send } from "./answer.ts";

/**
 * Mounts a route and puts it into the document. Not `app.openapi`, whose validators decode leniently, read bodies
 * without a limit and take JSON by Content-Type; handlers check with the schemas their route publishes instead.
 */
export function publish(
  app: OpenAPIHono<Env>,
  route: ReturnType<typeof createRoute>,
  handle: (c: Ctx) => Response | Promise<Response>,
): void {
  describe(app, route);
  app.on(route.method, route.getRoutingPath(), handle);
}

/** Puts a route into the document that is mounted elsewhere. */
export function describe(app: OpenAPIHono<Env>, route: ReturnType<typeof createRoute>): void {
  app.openAPIRegistry.registerPath(route);
}

/** OpenAPI 3.1, made on the first request. */
export function docsRoutes(app: OpenAPIHono<Env>, version: () => string): void {
  let document: unknown = null;
  app.get("/openapi.json", (c) => {
    document ??= makeDocument(app, version());
    return send(c, 200, document);
  });
}

function makeDocument(app: OpenAPIHono<Env>, version: string): unknown {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  return app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Quorate", version },
    // Without tokens, on loopback, none is asked for.
    security: [{ bearer: [] }, {}],
  });
}
