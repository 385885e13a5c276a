/** Paths as the document has them: of two that fit a request the one that says more of it counts (OpenAPI 3.1, "Path Templating"). */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Env } from "./answer.ts";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] as const;

/** The methods of the path that is asked for, HEAD besides GET; null: no path of the document fits. */
export function methodsAt(app: OpenAPIHono<Env>, path: string): readonly string[] | null {
  const templates = [...methodsByTemplate(app)].filter(([template]) => fits(template, path));
  const best = templates.find(([template]) =>
    templates.every(([other]) => other === template || saysMore(template, other))
  );
  if (best === undefined) return null;
  return METHODS.filter((method) => best[1].includes(method === "HEAD" ? "GET" : method));
}

/** Templates that say more than this one of paths which fit both. */
export function rivalsOf(app: OpenAPIHono<Env>, template: string): readonly string[] {
  return [...methodsByTemplate(app).keys()].filter((other) => fits(template, other) && saysMore(other, template));
}

/** Whether `path` is one that `template` is of; an empty segment fits none. */
export function fits(template: string, path: string): boolean {
  const given = path.split("/");
  const segments = template.split("/");
  return segments.length === given.length &&
    segments.every((segment, i) => segment === given[i] || (isOpen(segment) && given[i] !== ""));
}

function methodsByTemplate(app: OpenAPIHono<Env>): ReadonlyMap<string, string[]> {
  const templates = new Map<string, string[]>();
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== "route") continue;
    const { path, method } = definition.route;
    templates.set(path, [...templates.get(path) ?? [], method.toUpperCase()]);
  }
  return templates;
}

/** Whether the first of two templates that fit one path is the one that counts. */
function saysMore(template: string, than: string): boolean {
  const others = than.split("/");
  const segments = template.split("/");
  const at = segments.findIndex((segment, i) => isOpen(segment) !== isOpen(others[i]!));
  return at >= 0 && !isOpen(segments[at]!);
}

function isOpen(segment: string): boolean {
  return segment.startsWith("{");
}
