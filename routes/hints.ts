/** What was probably meant by a path that nothing, or nothing for this method, is at. */

/** What a noun's names are called in a query. */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ["locks", "name"],
  ["elections", "name"],
  ["semaphores", "name"],
  ["kv", "key"],
]);
/** A longer one is not repeated. */
const SHOWN_MAX_CHARS = 200;

/** null: nothing is known of it. @param path as it was sent */
export function hintFor(path: string): string | null {
  const [, version, noun = "", first, ...rest] = path.split("/");
  const field = version === "v1" ? FIELDS.get(noun) : undefined;
  if (field === undefined || first === undefined) return null;
  const below = `/v1/${noun}`;
  if (rest.length === 0) return first === "events" ? `what is named events is at ${eventsOf(below, field)}` : null;
  if (rest.length === 1 && rest[0] === "") return "leave out the slash at the end";
  const name = [first, ...rest].join("/").replace(/\/+$/, "");
  const how = "a slash within a name is written %2F, or the name stands in the query";
  if (name.length > SHOWN_MAX_CHARS) return how;
  // What has a meaning of its own in a query has none in a path.
  const inQuery = name.replace(/[+&]/g, (char) => encodeURIComponent(char));
  return `${how}: ${below}/${name.replaceAll("/", "%2F")}, ${below}/-?${field}=${inQuery}`;
}

/** Where the thing is that is named as the stream of all is. */
export function eventsOf(path: string, field: string): string {
  return `${path}/-?${field}=events`;
}
