/** Backup, page by page, for who may do everything. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { NodeService } from "../src/service/service.ts";
import { type Env, send } from "./answer.ts";
import { publish } from "./docs.ts";
import { needs } from "./document.ts";
import { permit } from "./gate.ts";
import { queryOf } from "./input.ts";
import { READ } from "./noun.ts";
import { responses, WholeQuery } from "./schemas.ts";

const ACCESS = { noun: "*", verb: "admin" } as const;
const BackupShape = z.strictObject({
  cluster: z.string(),
  restored: z.int().openapi({ description: "How many restores lie behind this cluster." }),
  origin: z.array(z.strictObject({ id: z.string(), incarnation: z.string() })).openapi({
    description: "Stores that the cluster began with, as this node has met them: another cluster may have the same id.",
  }),
  items: z.array(
    z.strictObject({
      key: z.string().openapi({ description: "The noun and the name." }),
      instance: z.int().openapi({ description: "The instance that is open." }),
      hash: z.string().openapi({ description: "Of the whole state." }),
      state: z.looseObject({}).openapi({ description: "All that was decided of it, as nodes have it." }),
    }).openapi("BackupRecord"),
  ).openapi({ description: "In byte order of keys." }),
  cursor: z.string().nullable(),
}).openapi("BackupPage");
const Query = WholeQuery.extend({ after: z.string().optional() });
const backup = createRoute({
  method: "get",
  path: "/v1/backup",
  summary: "A page of a backup: each key as a read of its own has it; `quorate backup` makes a file of them",
  request: { query: Query },
  security: needs(ACCESS),
  responses: responses(BackupShape, READ),
});

export function backupRoutes(app: OpenAPIHono<Env>, node: NodeService): void {
  publish(app, backup, async (c) => {
    permit(c, ACCESS, null);
    const { after = "", timeoutMs } = queryOf(c, Query);
    const page = await node.backup(after, timeoutMs);
    return send(c, 200, { cluster: node.status().cluster, ...page });
  });
}
