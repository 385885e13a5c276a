/** What is written beside a text, to find out whether it is read again as it was. It keeps nobody from changing both. */
import { createHash } from "node:crypto";

const HEX = 8;

/** The first 8 hex digits of SHA-256: over the bytes, or those of the text as UTF-8. */
export function checksum(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex").slice(0, HEX);
}
