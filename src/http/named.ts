/** The one name that a request is about, however its path or its query writes it. */

export type Named = {
  /** The same for every request about this name. */
  readonly key: string;
  readonly noun: string;
  /** The path of the name itself, as it was sent. */
  readonly path: string;
  /** The parameter that holds the name where the path does not, as it was sent; else empty. */
  readonly query: string;
  /** Nothing follows the name in the path: neither a fence nor `events`. */
  readonly isWhole: boolean;
};

/** What a query calls the name of each. */
const PARAMETERS = { locks: "name", elections: "name", semaphores: "name", kv: "key" } as const;
const NOUNS: ReadonlySet<string> = new Set(Object.keys(PARAMETERS));
const NAMES: ReadonlySet<string | null> = new Set(Object.values(PARAMETERS));

/**
 * How a request writes this name: in its path, or in its query where the path means the events of all names.
 * @param name well-formed, and neither empty nor `.` nor `..`
 */
export function targetOf(noun: keyof typeof PARAMETERS, name: string): string {
  if (name === "events") return `/v1/${noun}/-?${PARAMETERS[noun]}=${name}`;
  return `/v1/${noun}/${encodeURIComponent(name)}`;
}

/** null: it is about none, or about several, or no node will say which. */
export function namedOf(target: string): Named | null {
  const [path = "", query = ""] = cut(target, "?");
  const [, version, noun = "", segment = "", ...rest] = path.split("/");
  if (version !== "v1" || !NOUNS.has(noun) || segment === "") return null;
  const given = query.split("&").filter((pair) => NAMES.has(decoded(cut(pair, "=")[0]!)));
  const [pair = ""] = given;
  if (given.length > 1 || (given.length === 1 && segment !== "-")) return null;
  const name = given.length === 0 ? decoded(segment) : decoded((cut(pair, "=")[1] ?? "").replaceAll("+", " "));
  if (name === null) return null;
  return { key: `${noun}/${name}`, noun, path: `/v1/${noun}/${segment}`, query: pair, isWhole: rest.length === 0 };
}

/** Where `path` of this name is; `more` is one more parameter. */
export function targetFor({ path, query }: Named, below: string, ...more: readonly string[]): string {
  const parameters = [query, ...more].filter((pair) => pair !== "");
  return `${path}${below}${parameters.length === 0 ? "" : `?${parameters.join("&")}`}`;
}

/** The same of a target that is about one name, without what else its query says. */
export function below(target: string, path: string, ...more: readonly string[]): string {
  return targetFor(namedOf(target)!, path, ...more);
}

function cut(text: string, at: string): readonly string[] {
  const index = text.indexOf(at);
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}

function decoded(raw: string): string | null {
  try {
    return decodeURIComponent(raw);
  } catch {
    return null;
  }
}
