import { assert, assertEquals, assertFalse } from "@std/assert";
import { equalDigests, hmacSha256Hex, hmacSha256HexOf, sha256Hex } from "../../src/auth/digest.ts";

Deno.test("sha256Hex: the vectors of FIPS 180-2", () => {
  assertEquals(sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assertEquals(sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

Deno.test("sha256Hex: text is hashed as UTF-8", () => {
  assertEquals(sha256Hex("käse 🧀"), sha256Hex(new TextEncoder().encode("käse 🧀")));
});

Deno.test("hmacSha256Hex: test case 2 of RFC 4231", () => {
  assertEquals(
    hmacSha256Hex("Jefe", "what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});

Deno.test("equalDigests: equal only if every character is", () => {
  const digest = sha256Hex("a");
  assert(equalDigests(digest, sha256Hex("a")));
  assertFalse(equalDigests(digest, sha256Hex("b")));
  assertFalse(equalDigests(digest, digest.slice(1)));
  assertFalse(equalDigests(digest, ""));
});

Deno.test("hmacSha256HexOf: what hmacSha256Hex says, for keys of every length about a block, text after text", () => {
  for (const length of [0, 1, 63, 64, 65, 131]) {
    for (const key of ["k".repeat(length), new Uint8Array(length).fill(0xaa)]) {
      const mac = hmacSha256HexOf(key);
      for (const text of ["", "a", "wäre", "x".repeat(5_000)]) assertEquals(mac(text), hmacSha256Hex(key, text));
    }
  }
});
