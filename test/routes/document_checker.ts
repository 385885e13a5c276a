/**
 * Whether an answer is one that /openapi.json says its operation may give: status, media type, body, code; and whether a
 * request is one that it allows, which is then not refused as invalid.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { Media, OpenApi, Operation, Parameter } from "../../routes/document.ts";

export type Answered = { readonly status: number; readonly contentType: string | null; readonly text: string };

export type Asked = {
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
};

export class DocumentChecker {
  readonly #document: OpenApi;
  // A validator of its own, not zod again, which made both the document and the checks.
  readonly #ajv = new Ajv2020({ strict: false });
  readonly #compiled = new Map<object, ValidateFunction>();

  constructor(document: OpenApi) {
    this.#document = document;
    // As the document says of itself, lengths are of UTF-8, and half a surrogate pair has none.
    this.#ajv.removeKeyword("maxLength");
    this.#ajv.addKeyword({
      keyword: "maxLength",
      type: "string",
      schemaType: "number",
      validate: (max: number, text: string) => text.isWellFormed() && new TextEncoder().encode(text).length <= max,
    });
    this.#ajv.addSchema({ $id: "doc", components: document.components });
  }

  /** null if all is as documented, else what is not. */
  complaint(path: string, method: string, { status, contentType, text }: Answered): string | null {
    const response = this.#document.paths[path]?.[method.toLowerCase()]?.responses[`${status}`];
    if (status === 500) return "failed";
    if (response === undefined) return `status ${status} is not documented`;
    if (response.content === undefined) return text === "" ? null : "has a body";
    const type = contentType?.split(";")[0] ?? "";
    const media = response.content[type] ?? response.content["*/*"];
    if (media === undefined) return `media type ${contentType} of status ${status} is not documented`;
    for (const value of valuesIn(type, text)) {
      const wrong = this.wrongIn(media, value);
      if (wrong !== null) return `${status}: ${wrong}: ${JSON.stringify(value).slice(0, 300)}`;
      const inData = this.#wrongInData(media, value);
      if (inData !== null) return `${status}: data: ${inData}: ${JSON.stringify(value).slice(0, 300)}`;
      // A problem bears a code; the same status in words, as of a probe, does not.
      const codes = type === "application/problem+json" || status === 200 ? response["x-codes"] : undefined;
      const { code, status: said } = Object(value);
      if (codes !== undefined && !codes.includes(code)) return `code ${code} of status ${status} is not documented`;
      if (codes !== undefined && said !== status) return `says that its status is ${said}, which is ${status}`;
    }
    return null;
  }

  /** The data of an event are JSON with the shape that the document says is in them. */
  #wrongInData({ schema }: Media, value: unknown): string | null {
    const { properties } = schema as { properties?: { data?: { contentSchema?: object } } };
    const inData = properties?.data?.contentSchema;
    if (inData === undefined) return null;
    return this.wrongIn({ schema: inData }, JSON.parse((value as { data: string }).data));
  }

  /** As `complaint`, and of a request that is allowed also that it is not refused as invalid. */
  complaintOf(path: string, method: string, asked: Asked, answer: Answered): string | null {
    const complaint = this.complaint(path, method, answer);
    if (complaint !== null || ![400, 413].includes(answer.status)) return complaint;
    // What is bound to a session, and what is not, no request can know.
    if (method === "PUT" && answer.text.includes("ttlMs is that of the session")) return null;
    // Nor who the members are, have been and can be.
    if (path === "/v1/members" && answer.text.includes('"field":"members"')) return null;
    return this.allows(path, method, asked) ? `allowed, and refused: ${answer.text}` : null;
  }

  /** Whether the document allows the request, by its schemas and by what it says besides them. */
  allows(path: string, method: string, { target, headers, body }: Asked): boolean {
    const { parameters = [], requestBody }: Operation = this.#document.paths[path]![method.toLowerCase()]!;
    const [route = "", query = ""] = target.split("?");
    const given = new Map<string, string>();
    try {
      const segments = route.split("/");
      for (const [i, open] of path.split("/").entries()) {
        if (open.startsWith("{")) given.set(`path ${open.slice(1, -1)}`, decodeURIComponent(segments[i] ?? ""));
      }
      for (const pair of query.split("&").filter((pair) => pair !== "")) {
        const [name = "", ...value] = pair.split("=");
        const key = `query ${decodeURIComponent(name)}`;
        if (given.has(key)) return false;
        given.set(key, decodeURIComponent(value.join("=").replaceAll("+", " ")));
      }
    } catch {
      return false;
    }
    if (route.split("/").length !== path.split("/").length) return false;
    for (const [name, value] of Object.entries(headers)) {
      if (/^(accept|content-type)$/i.test(name)) continue;
      given.set(`header ${name}`, value);
    }
    const known = new Map(parameters.map((parameter) => [`${parameter.in} ${parameter.name}`, parameter]));
    if (![...given].every(([key, value]) => known.has(key) && this.#fits(known.get(key)!, value))) return false;
    if (parameters.some((one) => one.required === true && !given.has(`${one.in} ${one.name}`))) return false;
    return this.#allowsBody(requestBody, body);
  }

  #fits({ schema }: Parameter, text: string): boolean {
    const isNumber = schema["type"] === "integer" && /^(0|-?[1-9][0-9]*)$/.test(text);
    return this.wrongIn({ schema }, isNumber ? Number(text) : text) === null;
  }

  #allowsBody(requestBody: Operation["requestBody"], body: string | null): boolean {
    if (body === null || body === "") return requestBody?.required !== true;
    if (requestBody === undefined) return false;
    const json = requestBody.content["application/json"];
    if (json === undefined) {
      return Object.values(requestBody.content).every((media) => this.wrongIn(media, body) === null);
    }
    try {
      const value = JSON.parse(body);
      return this.wrongIn(json, value) === null && !(Object(value).permits > Object(value).limit);
    } catch {
      return false;
    }
  }

  /** null if the value has the shape. */
  wrongIn({ schema }: Media, value: unknown): string | null {
    let validate = this.#compiled.get(schema);
    if (validate === undefined) {
      validate = this.#ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"doc#/')));
      this.#compiled.set(schema, validate);
    }
    return validate(value) ? null : this.#ajv.errorsText(validate.errors);
  }
}

function valuesIn(type: string, text: string): unknown[] {
  switch (type) {
    case "application/json":
    case "application/problem+json":
      return [JSON.parse(text)];
    case "application/x-ndjson":
      return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
    case "text/event-stream":
      return text.split("\n\n").filter((block) => /^data: /m.test(block)).map(eventIn);
    default:
      return [text];
  }
}

function eventIn(block: string): object {
  return Object.fromEntries([...block.matchAll(/^(event|id|data): (.*)$/gm)].map(([, field, value]) => [field, value]));
}

/** A stream of watching is read as far as it comes at once: it has no end. */
export async function answered(response: Response): Promise<Answered> {
  const { status } = response;
  const contentType = response.headers.get("content-type");
  if (contentType !== "text/event-stream") return { status, contentType, text: await response.text() };
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const timer = setTimeout(() => reader.cancel(), STREAM_READ_MS);
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  } finally {
    clearTimeout(timer);
  }
  return { status, contentType, text };
}

const STREAM_READ_MS = 20;
