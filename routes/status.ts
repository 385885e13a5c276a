/** The node's own status. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { NodeStatus } from "../src/api.ts";
import { allows, type Noun } from "../src/auth/scopes.ts";
import type { ClusterFaults } from "../src/http/problem.ts";
import type { NodeService } from "../src/service/service.ts";
import { type Ctx, type Env, send } from "./answer.ts";
import { publish } from "./docs.ts";
import { queryOf } from "./input.ts";
import { ChangingShape } from "./members.ts";
import { faultShape, NoQuery, responses } from "./schemas.ts";

const StatusShape = z.strictObject({
  id: z.string(),
  cluster: z.string(),
  members: z.array(z.strictObject({
    id: z.string(),
    url: z.string(),
    reachable: z.boolean().openapi({
      description: "The last request to it got a usable answer, also if it does not vote. Always true of this node.",
    }),
    rttMs: z.number(),
    heardAgoMs: z.number().nullable().openapi({
      description: "How long ago it answered last; null: never, or it is this node.",
    }),
    version: z.string().optional().openapi({ description: "Its release, where it has said so." }),
    wire: z.int().optional().openapi({
      description: "The wire that the two speak; of this node the newest it speaks.",
    }),
    fault: z.strictObject(faultShape).optional(),
  })),
  others: z.array(z.strictObject({ id: z.string(), ...faultShape })).optional(),
  epoch: z.int(),
  changing: ChangingShape.optional(),
  voting: z.boolean(),
  reason: z.string().optional(),
  seq: z.int(),
  boot: z.int(),
  clock: z.string().openapi({ description: "Its wall clock as it answers, in ISO 8601." }),
  store: z.strictObject({
    fault: z.string().optional().openapi({ description: "Why it fails as a whole; absent if it does not." }),
    slow: z.boolean().openapi({ description: "For ten seconds commits took above 250 ms." }),
  }).openapi({ description: "How its store does." }),
  stopped: z.strictObject({
    count: z.int(),
    names: z.array(z.strictObject({ noun: z.string(), name: z.string(), reason: z.string() })),
  }).optional(),
  version: z.string(),
  machine: z.strictObject({
    version: z.int().openapi({ description: "What names are raised to." }),
    knows: z.int().openapi({ description: "The newest that this node could apply." }),
  }).optional().openapi({
    description: "The version of the machine that names are raised to, and the newest that this node knows.",
  }),
}).openapi("NodeStatus");
const status = createRoute({
  method: "get",
  path: "/v1/status",
  summary: "What this node knows of itself and its peers",
  responses: responses(StatusShape, []),
});

/** What is wrong with this node and others. A stranger may be one that should have been listed as a member. */
export function faultsOf(node: NodeService): ClusterFaults {
  const { members, others = [], reason } = node.status();
  const peers = [...members.flatMap(({ id, fault }) => fault === undefined ? [] : [{ id, ...fault }]), ...others];
  return { own: reason === undefined || reason === "learner" ? null : reason, peers };
}

export function statusRoutes(app: OpenAPIHono<Env>, node: NodeService): void {
  publish(app, status, async (c) => {
    queryOf(c, NoQuery);
    await node.look();
    return send(c, 200, visible(c, node.status()));
  });
}

/** Without the names that the caller may not know of; a session's id is its own subject's alone. */
function visible(c: Ctx, { stopped, ...status }: NodeStatus): NodeStatus {
  if (stopped === undefined) return status;
  const { scopes } = c.get("client");
  const names = stopped.names.filter(({ noun, name }) => {
    const may = (verb: "read" | "admin") => allows(scopes, { noun: noun as Noun, verb }, name);
    return may("admin") || (noun !== "session" && may("read"));
  });
  return { ...status, stopped: { ...stopped, names } };
}
