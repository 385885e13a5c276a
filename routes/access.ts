/** What the caller may do to one name: for those who show a button only where it would work. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { allows, METRICS, NOUNS, VERBS } from "../src/auth/scopes.ts";
import { type Env, send } from "./answer.ts";
import { publish } from "./docs.ts";
import { checkedName, queryOf } from "./input.ts";
import { isName, responses } from "./schemas.ts";

const ABOUT = [...NOUNS, METRICS] as const;
const AccessQuery = z.strictObject({
  noun: z.enum(ABOUT, { error: `is not one of ${ABOUT.join(", ")}` }),
  name: z.string().optional().openapi({
    ...isName,
    description: "Of a register its key, of a session its id. Without it: what is allowed whatever the name.",
  }),
});
const AccessShape = z.strictObject({
  subject: z.string().openapi({ description: "Who the caller is by its token; `local` where there are none." }),
  verbs: z.array(z.enum(VERBS)).openapi({
    description: "What its scopes allow, whether there is such a thing or not; a session is its own subject's alone.",
  }),
}).openapi("Access");

const access = createRoute({
  method: "get",
  path: "/v1/access",
  summary: "What the caller may do to a name, by its token",
  request: { query: AccessQuery },
  responses: responses(AccessShape, []),
});

export function accessRoutes(app: OpenAPIHono<Env>): void {
  publish(app, access, (c) => {
    const { noun, name } = queryOf(c, AccessQuery);
    const about = name === undefined ? null : checkedName(name);
    const { subject, scopes } = c.get("client");
    return send(c, 200, { subject, verbs: VERBS.filter((verb) => allows(scopes, { noun, verb }, about)) });
  });
}
