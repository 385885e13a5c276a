/** Who calls under /v1: the one place that checks clients' credentials, and what keeps web pages out. */
import { type Access, allows, type NameRange, type Noun, readableRanges, VERBS } from "../src/auth/scopes.ts";
import { authenticate, type Client, type ClientToken } from "../src/auth/tokens.ts";
import { QuorateError } from "../src/errors.ts";
import { refuseWebPages } from "../src/http/request_head.ts";
import type { Ctx } from "./answer.ts";

export type Door = {
  /** null: none are configured and the node listens on loopback only. */
  readonly tokens: readonly ClientToken[] | null;
  /** Whose pages are let in where there are no tokens. Default: none but the node's own. */
  readonly origins?: readonly string[];
};

const LOCAL: Client = { subject: "local", scopes: [{ noun: "*", verbs: VERBS, pattern: "*" }] };

/**
 * The client behind a request.
 * Throws `unauthenticated` or `cross-site`.
 */
export function clientOf(c: Ctx, { tokens, origins = [] }: Door): Client {
  if (tokens === null) {
    refuseWebPages(c.req.raw, origins);
    return LOCAL;
  }
  const client = authenticate(c.req.raw.headers.get("authorization"), tokens);
  if (client === null) throw new QuorateError("unauthenticated", "this needs a known token: Authorization: Bearer …");
  return client;
}

/** Throws `forbidden` unless the client may do this to `name`; null: to no name in particular. */
export function permit(c: Ctx, access: Access, name: string | null): void {
  if (!allows(c.get("client").scopes, access, name)) throw forbidden(c, access);
}

/** The names below `prefix` that the client may read; what it may not is to it as if it were not there. */
export function readable(c: Ctx, noun: Noun, prefix: string): readonly NameRange[] {
  const ranges = readableRanges(c.get("client").scopes, noun, prefix);
  if (ranges === null) throw forbidden(c, { noun, verb: "read" });
  return ranges;
}

function forbidden(c: Ctx, { noun, verb }: Access): QuorateError {
  const detail = `no scope of ${c.get("client").subject} allows ${noun}:${verb} here`;
  const isForce = verb === "admin" && c.req.method === "DELETE";
  return new QuorateError(
    "forbidden",
    isForce ? `${detail}; to give back what is yours takes its fence in the path` : detail,
  );
}
