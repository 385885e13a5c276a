/** The head of a request as it was sent, and who may send it: the same at a node and at a gateway. */
import { QuorateError } from "../errors.ts";
import { IDEMPOTENCY_KEY_MAX_CHARS } from "../limits.ts";

/** An Idempotency-Key. */
export const VISIBLE = new RegExp(`^[\\x21-\\x7e]{1,${IDEMPOTENCY_KEY_MAX_CHARS}}$`);
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?$/i;
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?$/i;

/** Host and port as the URL has them, not validated by anybody yet. */
export function authority(url: string): string {
  const start = url.indexOf("://") + 3;
  const end = url.slice(start).search(/[/?#]/);
  return end < 0 ? url.slice(start) : url.slice(start, start + end);
}

/**
 * The path as it was sent, which is what routes match. Hono's own decoding reads `%FF` and `%25FF` alike, and Deno
 * gives the request line unparsed, so `..` is still there to be refused.
 */
export function rawPath(request: { readonly url: string }): string {
  const { url } = request;
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  const end = url.slice(start).search(/[?#]/);
  return end < 0 ? url.slice(start) : url.slice(start, start + end);
}

/** Whether a host, with its port or without, is one that a request from this machine names. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/** Throws `invalid-request`. */
export function refuseBadHost(request: Request): void {
  // Deno pastes Host in front of the path: one with a slash would choose the route.
  if (!AUTHORITY.test(hostOf(request)) || !AUTHORITY.test(authority(request.url))) {
    throw new QuorateError("invalid-request", "Host is not a host and port", { field: "Host" });
  }
}

/**
 * Without tokens, being on this machine is the credential, and so every page open in its browsers would have it. Throws
 * `cross-site`.
 * @param origins whose pages may all the same
 */
export function refuseWebPages(request: Request, origins: readonly string[]): void {
  const { headers } = request;
  // A page's own name can be made to resolve to 127.0.0.1: its requests then carry that name. The URL's authority
  // besides, because a request line may hold a full URL, which then rules over Host.
  const host = hostOf(request);
  if (!isLoopback(host) || !isLoopback(authority(request.url))) {
    throw new QuorateError("cross-site", "without tokens, Host must be localhost, 127.0.0.1 or [::1]");
  }
  const origin = headers.get("origin");
  if (origin !== null && origins.includes(origin)) return;
  if (origin !== null && origin !== `http://${host}` && origin !== `https://${host}`) {
    throw new QuorateError("cross-site", "without tokens, pages of another origin are refused");
  }
  const site = headers.get("sec-fetch-site");
  // `none`: typed in by the user. `same-site` is another port of this machine, so another program's page.
  if (site !== null && site !== "same-origin" && site !== "none") {
    throw new QuorateError("cross-site", "without tokens, pages of another origin are refused");
  }
}

function hostOf({ headers, url }: Request): string {
  return headers.get("host") || authority(url);
}

/** The caller's `X-Request-Id` if it is fit to be repeated, else a new one: a bad one is no reason to refuse. */
export function requestIdOf(request: Request, newId: () => string): string {
  const given = request.headers.get("x-request-id");
  return given !== null && VISIBLE.test(given) ? given : newId();
}
