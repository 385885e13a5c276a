/** What a client may send straight to the acceptors, by noun: checked as under /v1, and nothing that needs a node. */
import { z } from "@hono/zod-openapi";
import type { Noun } from "../src/auth/scopes.ts";
import { FENCE } from "../src/http/fence.ts";
import { CONTENT_TYPE_MAX_CHARS, ENTITY_TAGS_MAX, KV_VALUE_MAX_BYTES } from "../src/limits.ts";
import { CampaignBody, ProclaimBody } from "./election_schemas.ts";
import { invalid } from "./error_response.ts";
import { checked, checkedFence } from "./input.ts";
import { AcquireBody, ReleaseBody, RenewBody, ttlMs } from "./schemas.ts";
import { TakeBody } from "./semaphore_schemas.ts";

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const tag = { error: `is not an array of at most ${ENTITY_TAGS_MAX} revisions, or of *` };
const tags = z.array(z.string(tag).regex(/^(\*|[1-9][0-9]{0,19})$/, tag), tag).max(ENTITY_TAGS_MAX, tag).optional();
const conditions = {
  ifMatch: tags,
  ifNoneMatch: tags,
  fence: z.string().regex(FENCE, { error: "is not a decimal number from 1 on" }).optional(),
};
const PutOp = z.strictObject({
  bytes: z.string({ error: "is not base64" }).regex(BASE64, { error: "is not base64" })
    .refine((text) => sizeOf(text) <= KV_VALUE_MAX_BYTES, { error: `is over ${KV_VALUE_MAX_BYTES} bytes` }),
  contentType: z.string({ error: "is not a media type" })
    .regex(/^[\x21-\x7e]+\/[\x20-\x7e]+$/, { error: "is not a media type" })
    .max(CONTENT_TYPE_MAX_CHARS, { error: `is over ${CONTENT_TYPE_MAX_CHARS} characters` }),
  ttlMs: ttlMs.optional(),
  ...conditions,
});

/** `of`: of a grant, by its fence; `by`: asks for one, in this name. */
type OpRow = { readonly schema: z.ZodType<object>; readonly of?: "fence"; readonly by?: "holder" | "candidate" };
const RENEW: OpRow = { schema: RenewBody, of: "fence" };
const RELEASE: OpRow = { schema: ReleaseBody, of: "fence" };
const OPS: Readonly<Partial<Record<Noun, Readonly<Record<string, OpRow>>>>> = {
  lock: { acquire: { schema: AcquireBody, by: "holder" }, renew: RENEW, release: RELEASE },
  election: {
    campaign: { schema: CampaignBody, by: "candidate" },
    proclaim: { schema: ProclaimBody, of: "fence" },
    release: RELEASE,
  },
  semaphore: { take: { schema: TakeBody, by: "holder" }, renew: RENEW, release: RELEASE },
  // Sessions have none: their ids are made, and what is bound to them is entered there first, by a node.
  kv: { put: { schema: PutOp }, delete: { schema: z.strictObject(conditions) } },
};

/** How many bytes the base64 text stands for. */
function sizeOf(base64: string): number {
  return base64.length / 4 * 3 - (/=*$/.exec(base64)?.[0].length ?? 0);
}

export function hasDirectOps(noun: Noun): boolean {
  return OPS[noun] !== undefined;
}

/** Throws `invalid-request`. */
export function checkDirectOp(noun: Noun, op: { readonly type: string }, at: string): void {
  const { type, atMs, ...all } = op as Readonly<Record<string, unknown>>;
  const known = OPS[noun] ?? {};
  const row = Object.hasOwn(known, `${type}`) ? known[`${type}`] : undefined;
  if (row === undefined) throw invalid(`${at}.type`, `is not one of ${Object.keys(known).join(", ")}`);
  // A label would have to be the same on every node, and nobody here can vouch for it.
  if (atMs !== undefined && atMs !== 0) throw invalid(`${at}.atMs`, "is not 0");
  const { fence, ...others } = all;
  const fields = row.of === undefined ? all : others;
  if (row.of !== undefined) checkedFence(typeof fence === "string" ? fence : "", "fence");
  const asked = checked(row.schema, fields, "body") as Readonly<Record<string, unknown>>;
  if (row.by === undefined) return;
  if (asked[row.by] === undefined) throw invalid(row.by, "is required");
  if (asked["waitMs"] !== 0) throw invalid("waitMs", "needs a node to wait at");
  // It is said to the node that answers, and is no part of what is decided.
  if (all["renews"] !== undefined) throw invalid("renews", "needs a node to wait at");
  if (asked["session"] !== undefined) throw invalid("session", "needs a node that enters it there");
}
