/** Bodies: read up to a limit, then parsed as a JSON object of bounded depth. */
import { QuorateError } from "../src/errors.ts";
import { BODY_MAX_BYTES, JSON_MAX_DEPTH } from "../src/limits.ts";
import { invalid } from "./error_response.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Rejects with `too-large` as soon as more than `maxBytes` are announced or have come. */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (request.body === null) return new Uint8Array();
  const announced = request.headers.get("content-length");
  if (announced !== null && Number(announced) > maxBytes) throw tooLarge(maxBytes);
  try {
    // Content-Length frames the body, so the server cannot take in more; a chunked body can go on for ever.
    if (announced !== null && !request.headers.has("transfer-encoding")) {
      const bytes = new Uint8Array(await request.arrayBuffer());
      // Only a Request made in this process can lie about it.
      if (bytes.length > maxBytes) throw tooLarge(maxBytes);
      return bytes;
    }
    return await readCounted(request.body, maxBytes);
  } catch (error) {
    if (error instanceof QuorateError) throw error;
    // The connection broke in the middle of the body: nobody reads this answer, and it is no fault of the node.
    throw invalid("body", "ended early");
  }
}

async function readCounted(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop by a throw cancels the stream: nothing beyond the limit is read.
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** The object in the body, whatever its Content-Type; `{}` if there is no body. */
export async function readObject(request: Request): Promise<object> {
  const value = await readJson(request, BODY_MAX_BYTES);
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("body", "is not a JSON object");
  }
  return value;
}

/** Any JSON in the body; undefined if there is no body. */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  const bytes = await readBytes(request, maxBytes);
  if (bytes.length === 0) return undefined;
  if (tooDeep(bytes)) throw invalid("body", `is nested deeper than ${JSON_MAX_DEPTH} levels`);
  const text = decodeUtf8(bytes);
  try {
    return JSON.parse(text);
  } catch {
    throw invalid("body", "is not JSON");
  }
}

export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw invalid("body", "is not UTF-8");
  }
}

/** Counts brackets outside strings, so that depth is known before anything is built from the text. */
function tooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (++depth > JSON_MAX_DEPTH) return true;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
  }
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

function tooLarge(maxBytes: number): QuorateError {
  return new QuorateError("too-large", `the body is over ${maxBytes} bytes`);
}
