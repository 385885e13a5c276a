import { assertEquals } from "@std/assert";
import { KEY_PREFIXES, nounOfKey } from "../src/nouns.ts";

Deno.test("nouns: a key belongs to the noun whose prefix it has, and what belongs to none is nobody's", () => {
  for (const [noun, prefix] of Object.entries(KEY_PREFIXES)) {
    assertEquals(nounOfKey(`${prefix}a/b`) as unknown, { noun, name: "a/b" });
  }
  for (const key of ["readyz", "members/x", "lock"]) assertEquals(nounOfKey(key), null);
});
