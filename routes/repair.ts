/** Repair of this node's record of a name that is damaged, or has stopped, for who may do everything. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { KEY_PREFIXES, type WatchedNoun } from "../src/nouns.ts";
import type { RepairService } from "../src/service/service.ts";
import { type Env, send } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit } from "./gate.ts";
import { checked, checkedName, queryOf } from "./input.ts";
import { READ } from "./noun.ts";
import { isName, json, responses, WholeQuery } from "./schemas.ts";

const ACCESS = { noun: "*", verb: "admin" } as const;
const noun = z.enum(Object.keys(KEY_PREFIXES) as [WatchedNoun, ...WatchedNoun[]], { error: "is no noun" });
const hash = z.string().regex(/^[0-9a-f]{32}$/, { error: "is not 32 hex digits" });
const named = {
  noun: noun.openapi({ description: "What kind of name it is." }),
  name: z.string().openapi({ ...isName, description: "The name; of a session its id." }),
};
const instance = z.int().openapi({ description: "The instance that is open." });
const PlanShape = z.strictObject({
  node: z.string().openapi({ description: "Whose record would be repaired: the node that answers." }),
  members: z.array(
    z.strictObject({
      id: z.string(),
      record: z.enum(["sound", "stopped", "damaged", "silent"]).openapi({
        description: "`stopped`: it answers nothing of the name, and may be damaged; `silent`: nothing is known of it.",
      }),
      instance: instance.optional(),
      hash: z.string().optional().openapi({ description: "Of the whole state." }),
      reason: z.string().optional(),
    }).openapi("RepairMember"),
  ),
  action: z.enum(["none", "repair", "wait", "accept"]).openapi({
    description:
      "`none`: the record is sound; `repair`: it can be repaired now; `wait`: too few others answer; `accept`: a " +
      "person has to say which state it is to be.",
  }),
  detail: z.string().openapi({ description: "The same in a sentence." }),
}).openapi("RepairPlan");
const RepairedShape = z.strictObject({
  node: z.string().openapi({ description: "Whose record it is: the node that answers." }),
  outcome: z.enum(["repaired", "accepted", "sound"]).openapi({ description: "`sound`: it was so already." }),
  instance,
  hash: z.string().openapi({ description: "Of the whole state." }),
}).openapi("Repaired");
const Query = WholeQuery.extend(named);
const Body = z.strictObject({
  ...named,
  accept: hash.optional().openapi({
    description: "The hash of the state that it is to be, where members cannot agree.",
  }),
}).openapi("Repair");

const plan = createRoute({
  method: "get",
  path: "/v1/repair",
  summary: "What members hold of a name, and what a repair of this node's record of it would do",
  request: { query: Query },
  security: needs(ACCESS),
  responses: responses(PlanShape, READ),
});
const repair = createRoute({
  method: "post",
  path: "/v1/repair",
  summary: "Repair this node's record of a name that is damaged or has stopped, from what enough other members hold",
  request: { query: WholeQuery, body: { ...json(Body), required: true } },
  security: needs(ACCESS),
  responses: responses(RepairedShape, [...READ, "precondition-failed", "request-timeout", "too-large"]),
});

export function repairRoutes(app: OpenAPIHono<Env>, node: string, repairs: RepairService): void {
  publish(app, plan, async (c) => {
    permit(c, ACCESS, null);
    const key = keyOf(queryOf(c, Query));
    return send(c, 200, { node, ...await repairs.plan(key) });
  });

  publish(app, repair, async (c) => {
    permit(c, ACCESS, null);
    const { timeoutMs } = queryOf(c, WholeQuery);
    const { accept = null, ...about } = checked(Body, await readObject(c), "body");
    return send(c, 200, { node, ...await repairs.repair(keyOf(about), accept, timeoutMs) });
  });
}

function keyOf({ noun, name }: { readonly noun: WatchedNoun; readonly name: string }): string {
  return KEY_PREFIXES[noun] + checkedName(name);
}
