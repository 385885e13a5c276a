/** Bearer tokens of clients (api.md, "Client tokens"). Only their digests are configured, so the setting is no secret. */
import { QuorateError } from "../errors.ts";
import { SUBJECT_MAX_BYTES } from "../limits.ts";
import { equalDigests, sha256Hex } from "./digest.ts";
import { parseScope, type Scope } from "./scopes.ts";

export type ClientToken = {
  /** Owns what it holds; several tokens may have the same, so that one can be rotated. */
  readonly subject: string;
  /** SHA-256 of the token, 64 lower-case hex digits. */
  readonly sha256: string;
  readonly scopes: readonly Scope[];
};

export type Client = { readonly subject: string; readonly scopes: readonly Scope[] };

/** A presented token above this is not hashed at all. */
const TOKEN_MAX_CHARS = 4_096;
const FIELDS = new Set(["subject", "sha256", "scopes"]);

/**
 * Parses the text of `QUORATE_TOKENS`, a JSON array of `{subject, sha256, scopes}`.
 * Throws QuorateError `invalid-request` whose `field` names entry and field, as in `QUORATE_TOKENS[1].sha256`.
 */
export function parseTokens(text: string): readonly ClientToken[] {
  const entries = parseArray(text);
  const tokens = entries.map((entry, index) => parseToken(entry, `QUORATE_TOKENS[${index}]`));
  const seen = new Map<string, number>();
  tokens.forEach((token, index) => {
    const before = seen.get(token.sha256);
    // Two owners of one token: whose holds would it renew?
    if (before !== undefined) refuse(`QUORATE_TOKENS[${index}].sha256`, `is that of entry ${before} too`);
    seen.set(token.sha256, index);
  });
  return tokens;
}

/** Who presents this `Authorization` header (`Bearer TOKEN`), or null if nobody known. */
export function authenticate(authorization: string | null, tokens: readonly ClientToken[]): Client | null {
  const presented = /^bearer +([\x21-\x7e]+)$/i.exec(authorization ?? "")?.[1];
  if (presented === undefined || presented.length > TOKEN_MAX_CHARS) return null;
  const digest = sha256Hex(presented);
  let client: Client | null = null;
  // No early exit: how long this takes must not tell which entry came how near.
  for (const token of tokens) {
    if (equalDigests(digest, token.sha256)) client = { subject: token.subject, scopes: token.scopes };
  }
  return client;
}

function parseArray(text: string): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The engine's message quotes the text, which holds what nobody should read in a log or an answer.
    refuse("QUORATE_TOKENS", "is not JSON: an array of {subject, sha256, scopes}");
  }
  if (!Array.isArray(value)) refuse("QUORATE_TOKENS", "is not an array of {subject, sha256, scopes}");
  // Nobody could ever call; whoever wants no tokens leaves the setting out.
  if (value.length === 0) refuse("QUORATE_TOKENS", "lists no token");
  return value;
}

function parseToken(entry: unknown, field: string): ClientToken {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) refuse(field, "is not an object");
  // Its name is not told: it may be the token.
  if (Object.keys(entry).some((name) => !FIELDS.has(name))) {
    refuse(field, `has a field besides ${[...FIELDS].join(", ")}`);
  }
  const { subject, sha256, scopes } = entry as Record<string, unknown>;

  // deno-lint-ignore no-control-regex
  if (typeof subject !== "string" || subject === "" || /[\x00-\x1f\x7f]/.test(subject) || !subject.isWellFormed()) {
    refuse(`${field}.subject`, "is not a text of at least one character and no control characters");
  }
  if (new TextEncoder().encode(subject).length > SUBJECT_MAX_BYTES) {
    refuse(`${field}.subject`, `is above ${SUBJECT_MAX_BYTES} bytes`);
  }
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/i.test(sha256)) {
    refuse(`${field}.sha256`, "is not 64 hex digits, the SHA-256 of the token");
  }
  if (!Array.isArray(scopes) || scopes.length === 0) refuse(`${field}.scopes`, "is not an array of at least one scope");
  return {
    subject,
    sha256: sha256.toLowerCase(),
    scopes: scopes.map((scope: unknown, index) => {
      const at = `${field}.scopes[${index}]`;
      return typeof scope === "string" ? parseScope(scope, at) : refuse(at, "is not a text");
    }),
  };
}

function refuse(field: string, what: string): never {
  throw new QuorateError("invalid-request", `${field} ${what}`, { field });
}
