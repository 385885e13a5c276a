/** Making a database a member's, once: what `--init` is to a node that has its store to itself. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { QuorateError } from "../src/errors.ts";
import type { Identity } from "../src/ports.ts";
import type { Membership } from "../src/replica/vote_gate.ts";
import { type Env, send } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit } from "./gate.ts";
import { checked, queryOf } from "./input.ts";
import { NoQuery, responses } from "./schemas.ts";

/** How a node's store becomes its member's. */
export type Init = {
  readonly member: Membership;
  /** Whose the store is, as far as this process knows. */
  identity(): Identity | null;
  /** Rejects with `invalid-request` if a second life of the member could vote twice. */
  run(): Promise<void>;
};

const InitShape = z.strictObject({
  outcome: z.enum(["initialised", "already"]),
  id: z.string(),
  cluster: z.string(),
}).openapi("Initialised");

/** Said by who asks, so that a request that came to another node than it was meant for does nothing there. */
function bodyFor(id: string) {
  return z.strictObject({ id: z.literal(id, { error: `is not this node's, which is ${id}` }) }).openapi("Init");
}

function routeFor(body: ReturnType<typeof bodyFor>) {
  return createRoute({
    method: "post",
    path: "/v1/init",
    summary:
      "Makes the database of this node its member's, once; refused where another member knows of a first life of it",
    request: { body: { required: true, content: { "application/json": { schema: body } } } },
    security: needs({ noun: "*", verb: "admin" }),
    responses: responses(InitShape, ["not-ready", "request-timeout", "too-large"]),
  });
}

export function initRoutes(app: OpenAPIHono<Env>, { member, identity, run }: Init): void {
  const body = bodyFor(member.id);
  publish(app, routeFor(body), async (c) => {
    queryOf(c, NoQuery);
    permit(c, { noun: "*", verb: "admin" }, null);
    const { id } = checked(body, await readObject(c), "body");
    const known = identity();
    if (known !== null && (known.id !== member.id || known.cluster !== member.cluster)) {
      throw new QuorateError("not-ready", `this store belongs to member ${known.id} of cluster ${known.cluster}`);
    }
    if (known === null) await run();
    return send(c, 200, { outcome: known === null ? "initialised" : "already", id, cluster: member.cluster });
  });
}
