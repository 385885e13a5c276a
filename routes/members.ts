/** The members of the cluster, and how an operator changes them. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { MembersChanged, MembersState } from "../src/api.ts";
import { MEMBERS_MAX } from "../src/limits.ts";
import { memberId, memberUrl } from "../src/epochs/epoch_config.ts";
import { type Env, send } from "./answer.ts";
import { readObject } from "./body.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit } from "./gate.ts";
import { checked, queryOf } from "./input.ts";
import { READ, WRITE } from "./noun.ts";
import { NoQuery, responses, whole, WholeQuery } from "./schemas.ts";

export type MembersService = {
  state(): MembersState;
  /** Rejects as `MemberChanges.change` does. */
  change(
    request: { readonly expect: number; readonly members: readonly { readonly id: string; readonly url: string }[] },
    timeoutMs: number,
  ): Promise<MembersChanged["outcome"]>;
};

export const MEMBERS_PATH = "/v1/members";

const ACCESS = { noun: "*", verb: "admin" } as const;
const MemberShape = z.strictObject({ id: z.string(), url: z.string() });
export const ChangingShape = z.strictObject({
  from: z.int(),
  to: z.int(),
  sealed: z.int().openapi({
    description: "Members of the epoch before that are in this one, as far as this node has heard.",
  }),
  of: z.int().openapi({ description: "Members of the epoch before." }),
  moved: z.int().openapi({ description: "Names that this node has seen to." }),
  total: z.int().nullable().openapi({
    description: "Names there are; null: this node does not move them, or not yet.",
  }),
  spare: z.int().openapi({ description: "Members of the epoch before that may fail until all names have moved." }),
}).openapi("Changing", { description: "Names that have to move from the epoch before into this one." });
const shape = {
  cluster: z.string(),
  epoch: z.int(),
  members: z.array(MemberShape),
  before: z.array(z.string()).optional().openapi({
    description: "Ids of the members of the epoch before; absent in the first epoch.",
  }),
  changing: ChangingShape.optional(),
};
const MembersShape = z.strictObject(shape).openapi("Members");
const ChangedShape = z.strictObject({ outcome: z.enum(["changed", "unchanged"]), ...shape }).openapi("MembersChanged");

const listed = (check: (value: string, field: string) => string, what: string) =>
  z.string({ error: what }).refine((value) => {
    try {
      return check(value, "") === value;
    } catch {
      return false;
    }
  }, { error: what });
const Body = z.strictObject({
  expect: whole(0, 1_000_000).openapi({ description: "The epoch that the caller takes for the current one." }),
  members: z.array(z.strictObject({
    id: listed(memberId, 'is not 1 to 32 of a-z, 0-9 and "-"').openapi({ pattern: "^[a-z0-9-]{1,32}$" }),
    url: listed(memberUrl, "is no http or https URL of a host alone").openapi({ pattern: "^https?://[^/?#@\\s]+$" }),
  })).min(1).max(MEMBERS_MAX).openapi({ description: "All that are to be members: 1 or 3 to 9." }),
}).openapi("ChangeMembers");

const get = createRoute({
  method: "get",
  path: MEMBERS_PATH,
  summary: "The members, and how far names are that have to move to them",
  security: needs(ACCESS),
  responses: responses(MembersShape, ["not-ready"]),
});
const change = createRoute({
  method: "post",
  path: MEMBERS_PATH,
  summary: "Makes these the members; names move to them afterwards. Repeated, it changes nothing",
  request: { query: WholeQuery, body: { required: true, content: { "application/json": { schema: Body } } } },
  security: needs(ACCESS),
  responses: responses(ChangedShape, [...READ, ...WRITE, "precondition-failed", "not-upgraded"]),
});

export function membersRoutes(app: OpenAPIHono<Env>, members: MembersService): void {
  publish(app, get, (c) => {
    queryOf(c, NoQuery);
    permit(c, ACCESS, null);
    return Promise.resolve(send(c, 200, members.state()));
  });
  publish(app, change, async (c) => {
    const { timeoutMs } = queryOf(c, WholeQuery);
    permit(c, ACCESS, null);
    const request = checked(Body, await readObject(c), "body");
    const outcome = await members.change(request, timeoutMs);
    return send(c, 200, { outcome, ...members.state() });
  });
}
