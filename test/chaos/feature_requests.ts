/** The requests of the table of features, and whether a request that was sent is one of them. */
import { assert } from "@std/assert";
import { quoted, section, tableRows } from "../pages.ts";

/** A request as a row names it; upper-case words in it stand for any value. */
export type Shown = {
  readonly method: string;
  /** With `:name` for any segment. */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly fields: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
};

export type Feature = { readonly name: string; readonly requests: readonly Shown[] };

/** A request as it went out, and where to. */
export type Sent = {
  readonly origin: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: BodyInit | null;
};

export function features(): readonly Feature[] {
  const [, ...rows] = tableRows(section("docs/api.md", "Features"));
  return rows.map(([name, request]) => ({ name: name!, requests: requestsOf(request!) }));
}

const METHOD = /^(GET|HEAD|POST|PUT|DELETE) (\S+)$/;

/** `METHOD /path?query`, then `{field, field: value}` and `Header: value`, each between backticks. */
export function requestsOf(cell: string): readonly Shown[] {
  const requests: {
    method: string;
    path: string;
    query: Map<string, string>;
    fields: Map<string, string>;
    headers: Map<string, string>;
  }[] = [];
  for (const span of quoted(cell)) {
    const [, method, target] = METHOD.exec(span) ?? [];
    if (method !== undefined) {
      const [path, query = ""] = target!.split("?");
      requests.push({
        method,
        path: path!,
        query: pairs(query.split("&"), "="),
        fields: new Map(),
        headers: new Map(),
      });
      continue;
    }
    const request = requests.at(-1);
    assert(request !== undefined, `no request before ${span}`);
    const fields = /^\{(.+)\}$/.exec(span)?.[1];
    if (fields !== undefined) request.fields = pairs(fields.split(", "), ": ");
    else request.headers = new Map([...request.headers, ...pairs([span], ": ")]);
  }
  assert(requests.length > 0, `no request in ${cell}`);
  return requests;
}

function pairs(texts: readonly string[], separator: string): Map<string, string> {
  return new Map(
    texts.filter((text) => text !== "").map((text) => {
      const at = text.indexOf(separator);
      return at < 0 ? [text, "ANY"] : [text.slice(0, at), text.slice(at + separator.length)];
    }),
  );
}

export function isShown(shown: Shown, sent: Sent): boolean {
  const [path, query = ""] = sent.path.split("?");
  const given = new URLSearchParams(query);
  return shown.method === sent.method && pathPattern(shown.path).test(path!) &&
    [...shown.query].every(([name, value]) => isValue(value, given.get(name))) &&
    [...shown.headers].every(([name, value]) => isValue(value, sent.headers.get(name))) &&
    (shown.fields.size === 0 || hasFields(shown.fields, sent.body));
}

function pathPattern(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(".", "\\.").replace(/:[a-z]+/g, "[^/]+")}$`);
}

function hasFields(fields: ReadonlyMap<string, string>, body: BodyInit | null): boolean {
  if (typeof body !== "string") return false;
  const given = JSON.parse(body) as Record<string, unknown>;
  return [...fields].every(([name, value]) => {
    if (!Object.hasOwn(given, name)) return false;
    return /[A-Z]{3,}/.test(value) || JSON.stringify(given[name]) === value;
  });
}

/** `"REVISION"` stands for any text between quotes, and so on. */
function isValue(shown: string, given: string | null): boolean {
  if (given === null) return false;
  const [before, after] = shown.split(/[A-Z]{3,}/);
  if (after === undefined) return given === shown;
  return given.length > before!.length + after.length && given.startsWith(before!) && given.endsWith(after);
}
