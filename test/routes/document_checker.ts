/** Whether an answer is one that /openapi.json says its operation may give: status, media type, body, code. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { Media, OpenApi } from "../../routes/document.ts";

export type Answered = { readonly status: number; readonly contentType: string | null; readonly text: string };

export class DocumentChecker {
  readonly #document: OpenApi;
  // A validator of its own, not zod again, which made both the document and the checks.
  readonly #ajv = new Ajv2020({ strict: false });
  readonly #compiled = new Map<object, ValidateFunction>();

  constructor(document: OpenApi) {
    this.#document = document;
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
      const codes = response["x-codes"];
      const { code, status: said } = Object(value);
      if (codes !== undefined && !codes.includes(code)) return `code ${code} of status ${status} is not documented`;
      if (codes !== undefined && said !== status) return `says that its status is ${said}, which is ${status}`;
    }
    return null;
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
      return [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, data]) => JSON.parse(data!));
    default:
      return [text];
  }
}

/** Of a stream of watching only what comes at once: it has no end. */
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
