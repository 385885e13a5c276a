/** Who calls under /v1: the one place that checks clients' credentials, and what keeps web pages out. */
import { type Access, allows, type NameRange, type Noun, readableRanges, VERBS } from "../src/auth/scopes.ts";
import { authenticate, type Client, type ClientToken } from "../src/auth/tokens.ts";
import { QuorateError } from "../src/errors.ts";
import type { Ctx } from "./answer.ts";
import { authority } from "./input.ts";

const LOCAL: Client = { subject: "local", scopes: [{ noun: "*", verbs: VERBS, pattern: "*" }] };
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?$/i;

/**
 * The client behind a request. `tokens` null: none are configured and the node listens on loopback only.
 * Throws `unauthenticated` or `cross-site`.
 */
export function clientOf(c: Ctx, tokens: readonly ClientToken[] | null): Client {
  if (tokens === null) {
    refuseWebPages(c.req.raw);
    return LOCAL;
  }
  const client = authenticate(c.req.raw.headers.get("authorization"), tokens);
  if (client === null) throw new QuorateError("unauthenticated", "this needs a known token: Authorization: Bearer …");
  return client;
}

/** Without tokens, being on this machine is the credential, and so every page open in its browsers would have it. */
function refuseWebPages(request: Request): void {
  const { headers } = request;
  // A page's own name can be made to resolve to 127.0.0.1: its requests then carry that name. The URL's authority
  // besides, because a request line may hold a full URL, which then rules over Host.
  const host = headers.get("host") || authority(request.url);
  if (!LOOPBACK.test(host) || !LOOPBACK.test(authority(request.url))) {
    throw new QuorateError("cross-site", "without tokens, Host must be localhost, 127.0.0.1 or [::1]");
  }
  const origin = headers.get("origin");
  if (origin !== null && origin !== `http://${host}` && origin !== `https://${host}`) {
    throw new QuorateError("cross-site", "without tokens, pages of another origin are refused");
  }
  const site = headers.get("sec-fetch-site");
  // `none`: typed in by the user. `same-site` is another port of this machine, so another program's page.
  if (site !== null && site !== "same-origin" && site !== "none") {
    throw new QuorateError("cross-site", "without tokens, pages of another origin are refused");
  }
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
  return new QuorateError("forbidden", `no scope of ${c.get("client").subject} allows ${noun}:${verb} here`);
}
