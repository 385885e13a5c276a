import { assertEquals } from "@std/assert";
import { checksum } from "../../src/store/checksum.ts";

Deno.test("checksum: what stands on disk is the beginning of SHA-256, of a text as UTF-8", () => {
  assertEquals(checksum(""), "e3b0c442");
  assertEquals(checksum("abc"), "ba7816bf");
  const text = 'é"\0\u{1f600}';
  assertEquals(checksum(text), checksum(new TextEncoder().encode(text)));
});
