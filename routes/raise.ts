/** The end of an upgrade: from then on nodes use what older ones do not know. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { NodeService } from "../src/service/service.ts";
import { type Env, send } from "./answer.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit } from "./gate.ts";
import { queryOf } from "./input.ts";
import { WRITE } from "./noun.ts";
import { responses, WholeQuery } from "./schemas.ts";

const ACCESS = { noun: "*", verb: "admin" } as const;
const RaisedShape = z.strictObject({
  machine: z.int().openapi({ description: "The version of the machine that names are raised to from now on." }),
  before: z.int().openapi({ description: "What it was; the same where there was nothing to raise." }),
}).openapi("Raised");
const raise = createRoute({
  method: "post",
  path: "/v1/raise",
  summary: "Raises the machine of the cluster to what this node knows, for good; refused while a node knows less",
  request: { query: WholeQuery },
  security: needs(ACCESS),
  responses: responses(RaisedShape, [...WRITE, "not-upgraded"]),
});

export function raiseRoutes(app: OpenAPIHono<Env>, node: NodeService): void {
  publish(app, raise, async (c) => {
    permit(c, ACCESS, null);
    const { timeoutMs } = queryOf(c, WholeQuery);
    return send(c, 200, await node.raise(timeoutMs));
  });
}
