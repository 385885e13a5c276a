/**
 * What a client token may do. A scope is `noun:verb[,verb]:pattern`, or `admin:pattern` for the verb `admin` on every
 * noun. The noun may be `*`. `metrics:read:*` is for /metrics, which is about no name. A pattern is `*` (every name), `deploy/*` (every name below `deploy/`) or one exact name.
 *
 * `admin` implies neither `read` nor `write`: a token that is to have them says so.
 */
import { QuorateError } from "../errors.ts";
import { NAME_MAX_BYTES } from "../limits.ts";

export const NOUNS = ["lock", "election", "semaphore", "kv", "session"] as const;
/** What a scope may be about besides names: it takes the verb `read` and the pattern `*`. */
export const METRICS = "metrics";
export const VERBS = ["read", "write", "admin"] as const;

export type Noun = (typeof NOUNS)[number];
export type Verb = (typeof VERBS)[number];

/** Names that begin so, or, with `exact`, this one. */
export type NameRange = { readonly prefix: string; readonly exact: boolean };

export type Scope = {
  readonly noun: Noun | typeof METRICS | "*";
  readonly verbs: readonly Verb[];
  readonly pattern: string;
};

/** `noun` `*` is for what belongs to no noun (members, backup): only a scope of every noun covers it. */
export type Access = { readonly noun: Noun | typeof METRICS | "*"; readonly verb: Verb };

/** Throws QuorateError `invalid-request` that names `field` and says what is wrong with `text`. */
export function parseScope(text: string, field: string): Scope {
  const [first = "", ...rest] = text.split(":");
  if (first === "admin") return { noun: "*", verbs: ["admin"], pattern: parsePattern(rest.join(":"), text, field) };

  if (first === METRICS) {
    if (text !== `${METRICS}:read:*`) refuse(field, text, `of ${METRICS} there is "${METRICS}:read:*" alone`);
    return { noun: METRICS, verbs: ["read"], pattern: "*" };
  }
  const noun = first === "*" ? first : NOUNS.find((known) => known === first);
  if (noun === undefined) refuse(field, text, `"${first}" is not one of ${NOUNS.join(", ")}, ${METRICS}, *, admin`);
  if (rest.length < 2) refuse(field, text, 'it is not of the form "noun:verb,verb:pattern" or "admin:pattern"');
  const verbs = (rest[0] ?? "").split(",").map((name) =>
    VERBS.find((known) => known === name) ?? refuse(field, text, `"${name}" is not one of ${VERBS.join(", ")}`)
  );
  // A name may hold colons: the pattern is all that is left.
  return { noun, verbs, pattern: parsePattern(rest.slice(1).join(":"), text, field) };
}

/** Whether some scope lets its owner do this to `name`; null: to no name in particular, which takes the pattern `*`. */
export function allows(scopes: readonly Scope[], access: Access, name: string | null): boolean {
  return scopes.some((scope) => grants(scope, access) && covers(scope.pattern, name));
}

/**
 * The names below `prefix` that the owner of these scopes may read, as ranges in byte order that do not overlap; null if
 * it may read no name of the noun at all, wherever.
 */
export function readableRanges(scopes: readonly Scope[], noun: Noun, prefix: string): readonly NameRange[] | null {
  const readable = scopes.filter((scope) => grants(scope, { noun, verb: "read" }));
  if (readable.length === 0) return null;
  const ranges = readable.flatMap(({ pattern }): NameRange[] => {
    const below = pattern === "*" ? "" : prefixOf(pattern);
    if (below === null) return pattern.startsWith(prefix) ? [{ prefix: pattern, exact: true }] : [];
    if (prefix.startsWith(below)) return [{ prefix, exact: false }];
    return below.startsWith(prefix) ? [{ prefix: below, exact: false }] : [];
  });
  const isIn = (inner: NameRange, outer: NameRange) =>
    outer.exact ? inner.exact && inner.prefix === outer.prefix : inner.prefix.startsWith(outer.prefix);
  return ranges
    .filter((range, i) => !ranges.some((other, j) => i !== j && isIn(range, other) && (j < i || !isIn(other, range))))
    .sort((a, b) => compareUtf8(a.prefix, b.prefix));
}

function grants(scope: Scope, access: Access): boolean {
  return (scope.noun === "*" || scope.noun === access.noun) && scope.verbs.includes(access.verb);
}

function covers(pattern: string, name: string | null): boolean {
  if (pattern === "*") return true;
  if (name === null) return false;
  const below = prefixOf(pattern);
  // The slash is part of the prefix: `deploy/*` is about neither `deployx` nor `deploy` itself.
  return below === null ? name === pattern : name.length > below.length && name.startsWith(below);
}

function prefixOf(pattern: string): string | null {
  return pattern.endsWith("/*") ? pattern.slice(0, -1) : null;
}

function parsePattern(pattern: string, text: string, field: string): string {
  if (pattern === "*") return pattern;
  const stem = pattern.endsWith("/*") ? pattern.slice(0, -2) : pattern;
  if (stem === "" || stem.startsWith("/") || stem.endsWith("/")) refuse(field, text, "its pattern names nothing");
  // `deploy*` would read as a prefix and match nothing: say so instead.
  if (stem.includes("*")) refuse(field, text, 'a * stands alone or as the last segment, as in "deploy/*"');
  if (new TextEncoder().encode(stem).length > NAME_MAX_BYTES) {
    refuse(field, text, `it is above ${NAME_MAX_BYTES} bytes`);
  }
  return pattern;
}

function refuse(field: string, text: string, why: string): never {
  throw new QuorateError("invalid-request", `${field}: ${JSON.stringify(text)} is not a scope: ${why}`, { field });
}

/** In the order in which names are listed; UTF-16's own differs above U+D7FF. */
function compareUtf8(a: string, b: string): number {
  const left = [...a].map((char) => char.codePointAt(0)!);
  const right = [...b].map((char) => char.codePointAt(0)!);
  const at = left.findIndex((point, i) => point !== right[i]);
  return at < 0 ? left.length - right.length : left[at]! - (right[at] ?? -1);
}
