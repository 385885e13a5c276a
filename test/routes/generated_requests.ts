/** Requests made from an OpenAPI document and a seed: what it allows, what it forbids, and what is in between. */
import type { OpenApi, Operation, Parameter } from "../../routes/document.ts";

export type Generated = {
  /** The operation, as the document names it. */
  readonly path: string;
  readonly method: string;
  /** What is sent: path and query. */
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
};

/** What an answer with a grant, a term, or a session has. */
type Granted = {
  readonly name?: string;
  readonly id?: string;
  readonly fence?: string;
  readonly term?: string;
  readonly revision: string;
};

type Schema = {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly examples?: readonly unknown[];
  readonly const?: unknown;
};

const NAMES = ["a", "b", "c/d", "deploy/api", "ü", "events", "history"];
const KEYS = ["k1", "k2", "k3", "k4", "k5"];
const CHARACTERS = [..."abcXYZ019 /.-_:;,'\"\\{}<>&", "é", "日", "😀", "\u0000", "\n", "\u202e"];
/** Bodies that are no JSON, or too much of it. */
const RAW_BODIES = [
  "{",
  "[]",
  "null",
  '""',
  "{}{}",
  '{"a":}',
  "\u0000",
  "[".repeat(40),
  " ".repeat(65_537),
  "\ufeff{}",
];

export class RequestGenerator {
  readonly #sessions: string[] = [];
  readonly #document: OpenApi;
  readonly #random: () => number;
  readonly #operations: readonly { readonly path: string; readonly method: string; readonly operation: Operation }[];
  /** What was granted lately, by noun, to be used again. */
  readonly #grants = new Map<string, Granted[]>();

  constructor(document: OpenApi, random: () => number) {
    this.#document = document;
    this.#random = random;
    // Those without a name have less to vary, those without a body besides next to nothing.
    this.#operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).flatMap(([method, operation]) =>
        Array(/\{(name|key)\}/.test(path) ? 6 : operation.requestBody === undefined ? 1 : 3)
          .fill({ path, method, operation })
      )
    );
  }

  /** `path` is that of the operation. */
  granted(path: string, grant: Granted): void {
    const grants = this.#grants.get(nounOf(path)) ?? [];
    this.#grants.set(nounOf(path), grants);
    grants.push(grant);
    if (grants.length > 10) grants.shift();
  }

  next(): Generated {
    const { path, method, operation } = this.#pick(this.#operations);
    const { parameters = [], requestBody } = operation;
    const grant = this.#chance(0.7) ? this.#pick(this.#grants.get(nounOf(path)) ?? []) : undefined;
    const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => this.#segment(name, grant));
    const query: string[] = [];
    const headers: Record<string, string> = {};
    for (const parameter of parameters) {
      if (parameter.in === "query") query.push(...this.#queryOf(parameter, grant));
      if (parameter.in === "header" && this.#chance(0.2)) headers[parameter.name] = this.#header(parameter);
    }
    const byName = target.includes("/-") ? 0.6 : 0.02;
    if (this.#chance(byName)) query.push(`${this.#pick(["name", "key"])}=${encodeURIComponent(this.#pick(NAMES))}`);
    if (this.#chance(0.03)) query.push(this.#pick(["x=1", "%FF=1", "=", "timeoutMs", "name=%00", "key=%00"]));
    // Described in words only, as it goes with some other fields and not with others.
    if (method !== "get" && this.#chance(0.05)) headers["Quorate-Hedge"] = this.#number();
    const types = Object.keys(operation.responses["200"]?.content ?? {});
    if (this.#chance(0.3)) headers["Accept"] = this.#pick([...types, "*/*", "text/unheard-of"]);
    const schema = Object.values(requestBody?.content ?? {})[0]?.schema;
    const body = schema === undefined ? (this.#chance(0.05) ? "{}" : null) : this.#body(schema);
    return {
      path,
      method: method.toUpperCase(),
      target: target + (query.length === 0 ? "" : `?${query.join("&")}`),
      headers,
      body: method === "get" ? null : body,
    };
  }

  /** One that fits. */
  valueOf(schema: Schema, name = ""): unknown {
    const { $ref, type, properties = {}, required = [], items, pattern } = schema;
    if ($ref !== undefined) return this.valueOf(this.#resolved($ref), name);
    if (schema.enum !== undefined) return this.#pick(schema.enum);
    if (schema.const !== undefined) return schema.const;
    if (schema.examples !== undefined && this.#chance(0.7)) return this.#impatient(this.#pick(schema.examples));
    // What only the clock would end is kept short.
    if (name === "waitMs") return Math.floor(this.#random() * 4);
    if (name === "session") return this.#session();
    if (name === "names") return NAMES.filter(() => this.#chance(0.3)).slice(0, 5);
    if (name === "path") return `/v1/locks/${encodeURIComponent(this.#pick(NAMES))}`;
    switch (type) {
      case "object": {
        const wanted = Object.entries(properties).filter(([key]) => required.includes(key) || this.#chance(0.3));
        return Object.fromEntries(wanted.map(([key, inner]) => [key, this.valueOf(inner, key)]));
      }
      case "array": {
        const { minItems = 0, maxItems = 10 } = schema;
        const length = minItems + Math.floor(this.#random() * (Math.min(maxItems, minItems + 5) - minItems));
        return Array.from({ length }, () => this.valueOf(items ?? {}));
      }
      case "integer":
      case "number": {
        const { minimum = 0, maximum = 1e6 } = schema;
        if (this.#chance(0.3)) return this.#pick([minimum, maximum]);
        return minimum + Math.floor(this.#random() * (maximum - minimum));
      }
      case "string":
        return this.#textOf(pattern, schema.minLength ?? 0, schema.maxLength ?? 20);
      default:
        return this.#pick([{}, null, 1, "x"]);
    }
  }

  /** A copy, as whoever asked may spoil it. An example's wait is one that a person would ask for. */
  #impatient(example: unknown): unknown {
    const copy = structuredClone(example);
    const waits = typeof copy === "object" && copy !== null && "waitMs" in copy;
    return waits ? { ...copy, waitMs: this.valueOf({}, "waitMs") } : copy;
  }

  /** One that does not, in one place. */
  #violationOf(schema: Schema): unknown {
    const { $ref, type, properties = {}, items } = schema;
    if ($ref !== undefined) return this.#violationOf(this.#resolved($ref));
    if (this.#chance(0.15)) return this.#pick([null, true, 5, "x", [], {}, -1, 1e308, "0"]);
    switch (type) {
      case "object": {
        const value = this.valueOf(schema) as Record<string, unknown>;
        const keys = Object.keys(properties);
        if (keys.length === 0 || this.#chance(0.2)) return { ...value, [this.#text(1, 5)]: 1 };
        const key = this.#pick(keys);
        if (this.#chance(0.2)) delete value[key];
        else value[key] = this.#violationOf(properties[key]!);
        return value;
      }
      case "array": {
        const { maxItems = 10 } = schema;
        if (this.#chance(0.2)) return Array.from({ length: maxItems + 1 }, () => this.valueOf(items ?? {}));
        const value = this.valueOf(schema) as unknown[];
        return [...value, this.#violationOf(items ?? {})];
      }
      case "integer":
      case "number":
        return this.#pick([(schema.minimum ?? 0) - 1, (schema.maximum ?? 0) + 1, 1.5, "5", null, 2 ** 53, -0.1]);
      case "string":
        return this.#pick([5, null, "", this.#text(1, 3).repeat((schema.maxLength ?? 600) + 1), "\ud800", {}]);
      default:
        return this.#pick([undefined, 5]);
    }
  }

  /** What fits no pattern by chance is a number: most patterns are of one. */
  #textOf(pattern: string | undefined, min: number, max: number): string {
    const text = this.#text(min, max);
    return pattern === undefined || new RegExp(pattern, "u").test(text) ? text : this.#number();
  }

  #body(schema: Schema): string | null {
    if (this.#chance(0.05)) return this.#pick(RAW_BODIES);
    if (this.#chance(0.05)) return null;
    return JSON.stringify(this.#chance(0.25) ? this.#violationOf(schema) : this.valueOf(schema)) ?? "";
  }

  /** A session was opened, which later requests may be about. */
  opened(id: string): void {
    this.#sessions.push(id);
  }

  #segment(name: string, grant: Granted | undefined): string {
    if (name === "id") {
      const known = this.#sessions.at(-1);
      if (known !== undefined && this.#chance(0.7)) return known;
      return this.#pick(["0".repeat(32), "x", "%FF", "0".repeat(33)]);
    }
    if (name === "fence" || name === "term") {
      if (grant !== undefined) return grant.fence ?? grant.term ?? "1";
      return this.#pick(["1", this.#number(), "0", "-1", "x", "01", "1".repeat(30), "%FF"]);
    }
    if (name === "id") return grant?.id ?? this.#pick([this.#session(), "0", "x", "%FF", "F".repeat(32)]);
    // `events` is in a path of its own.
    if (grant?.name !== undefined && grant.name !== "events") return encodeURIComponent(grant.name);
    if (this.#chance(0.05)) return "-";
    if (this.#chance(0.7)) return encodeURIComponent(this.#pick(NAMES.filter((name) => name !== "events")));
    const odd = ["-", "", "%FF", "%00", "%", "a%2F", "%2Fa", encodeURIComponent("n".repeat(513)), "n".repeat(512)];
    if (this.#chance(0.5)) return this.#pick(odd);
    const text = this.#text(1, 40);
    // One or two dots alone are folded by whoever makes a URL of it: the request would be another.
    return encodeURIComponent(/^\.\.?$/.test(text) ? `${text}x` : text);
  }

  #queryOf({ name, required = false, schema }: Parameter, grant: Granted | undefined): string[] {
    if (!required && !this.#chance(name === "timeoutMs" ? 0.9 : 0.12)) return [];
    if (name === "after" && grant !== undefined) return [`after=${grant.revision}`];
    const valid = name === "timeoutMs" ? 100 + Math.floor(this.#random() * 200) : this.valueOf(schema, name);
    const value = this.#chance(0.1) ? this.#violationOf(schema) : valid;
    const pair = `${name}=${encodeURIComponent(wellFormed(String(value)))}`;
    return this.#chance(0.02) ? [pair, pair] : [pair];
  }

  #header({ name, schema }: Parameter): string {
    if (this.#chance(0.1)) return this.#pick(["", "a b", "x".repeat(65), "é", "-1"]);
    return name === "Idempotency-Key"
      ? this.#pick(KEYS)
      : String(this.valueOf(schema, name)).replaceAll(/[^ -~]/g, "x");
  }

  /** One that was opened, or none. */
  #session(): string {
    return this.#pick([...this.#grants.get("sessions") ?? [], { id: "0".repeat(32) }]).id!;
  }

  #number(): string {
    return String(Math.floor(this.#random() * 10 ** (1 + Math.floor(this.#random() * 6))));
  }

  #text(min: number, max: number): string {
    const length = min + Math.floor(this.#random() * (Math.min(max, min + 30) - min + 1));
    return Array.from({ length }, () => this.#pick(CHARACTERS)).join("");
  }

  #resolved(ref: string): Schema {
    return this.#document.components.schemas[ref.slice("#/components/schemas/".length)] as Schema;
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }
}

function nounOf(path: string): string {
  return path.split("/")[2] ?? "";
}

function wellFormed(text: string): string {
  return text.isWellFormed() ? text : "\ufffd";
}
