/** Digests as lower-case hex. Synchronous (node:crypto), so that pure code can have them injected; hosted Deno has it too. */
import { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** 64 hex digits. Text is hashed as UTF-8. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** HMAC-SHA256, 64 hex digits. Texts are taken as UTF-8. */
export function hmacSha256Hex(key: string | Uint8Array, data: string | Uint8Array): string {
  return createHmac("sha256", key).update(data).digest("hex");
}

const BLOCK_BYTES = 64;

/**
 * `hmacSha256Hex` with one key for many texts. The hash of the key's two blocks (RFC 2104, section 4) is taken once and
 * copied for each text, which costs half of making an HMAC anew.
 */
export function hmacSha256HexOf(key: string | Uint8Array): (data: string | Uint8Array) => string {
  const bytes = typeof key === "string" ? new TextEncoder().encode(key) : key;
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(bytes.length > BLOCK_BYTES ? createHash("sha256").update(bytes).digest() : bytes);
  const [inner, outer] = [0x36, 0x5c].map((pad) => createHash("sha256").update(block.map((byte) => byte ^ pad)));
  return (data) => outer!.copy().update(inner!.copy().update(data).digest()).digest("hex");
}

/** Whether two digests are equal, in a time that depends on their length only, which is no secret. */
export function equalDigests(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
