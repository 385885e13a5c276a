/** Digests as lower-case hex. Synchronous (node:crypto), so that pure code can have them injected; hosted Deno has it too. */
import { createHash, createHmac } from "node:crypto";

/** 64 hex digits. Text is hashed as UTF-8. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** HMAC-SHA256, 64 hex digits. Texts are taken as UTF-8. */
export function hmacSha256Hex(key: string | Uint8Array, data: string | Uint8Array): string {
  return createHmac("sha256", key).update(data).digest("hex");
}

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

/**
 * `hmacSha256Hex` with one key for many texts, which costs half of making an HMAC anew: the key's two blocks (RFC 2104,
 * section 4) are made once.
 */
export function hmacSha256HexOf(key: string | Uint8Array): (data: string | Uint8Array) => string {
  const bytes = typeof key === "string" ? new TextEncoder().encode(key) : key;
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(bytes.length > BLOCK_BYTES ? createHash("sha256").update(bytes).digest() : bytes);
  const inner = block.map((byte) => byte ^ 0x36);
  const outer = new Uint8Array(BLOCK_BYTES + DIGEST_BYTES);
  outer.set(block.map((byte) => byte ^ 0x5c));
  return (data) => {
    // As hex and back: to hand out bytes costs the runtime more than all else here.
    outer.subarray(BLOCK_BYTES).setFromHex(createHash("sha256").update(inner).update(data).digest("hex"));
    return sha256Hex(outer);
  };
}

/** Whether two digests are equal, in a time that depends on their length only, which is no secret. */
export function equalDigests(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  // Nothing ends it early; a native comparison would first copy both, which costs forty times as much.
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
