/** Bodies: read up to a limit, then parsed as a JSON object of bounded depth. */
import { BODY_MAX_BYTES, JSON_MAX_DEPTH } from "../src/limits.ts";
import { bodyOf } from "./admit.ts";
import type { Ctx } from "./answer.ts";
import { invalid } from "./error_response.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The object in the body, whatever its Content-Type; `{}` if there is no body. */
export async function readObject(c: Ctx): Promise<object> {
  const value = jsonIn(await bodyOf(c, BODY_MAX_BYTES));
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("body", "is not a JSON object");
  }
  return value;
}

/** What these bytes say; undefined where there are none. Throws `invalid-request`. */
export function jsonIn(bytes: Uint8Array<ArrayBuffer>): unknown {
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
