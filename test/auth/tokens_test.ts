import { assert, assertEquals, assertThrows } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { authenticate, parseTokens } from "../../src/auth/tokens.ts";
import { QuorateError } from "../../src/errors.ts";

const entry = (subject: string, token: string) => ({ subject, sha256: sha256Hex(token), scopes: ["lock:read:*"] });

Deno.test("authenticate: the subject of the token that is presented", () => {
  const tokens = parseTokens(JSON.stringify([entry("ci", "one"), entry("ops", "two"), entry("ci", "three")]));
  const subject = (header: string | null) => authenticate(header, tokens)?.subject ?? null;
  assertEquals(subject("Bearer one"), "ci");
  assertEquals(subject("bearer two"), "ops");
  // A rotated token is another token of the same subject.
  assertEquals(subject("Bearer three"), "ci");
  assertEquals(authenticate("Bearer one", tokens)?.scopes.map((scope) => scope.pattern), ["*"]);
});

Deno.test("authenticate: nobody without a known token", () => {
  const tokens = parseTokens(JSON.stringify([entry("ci", "one")]));
  const headers = [null, "", "one", "Bearer", "Bearer ", "Bearer onee", "Bearer one two", "Basic one", " Bearer one"];
  for (const header of [...headers, `Bearer ${sha256Hex("one")}`, `Bearer ${"x".repeat(5_000)}`]) {
    assertEquals(authenticate(header, tokens), null, String(header));
  }
});

Deno.test("parseTokens: digests in capitals are the same digests", () => {
  const text = JSON.stringify([{ ...entry("ci", "one"), sha256: sha256Hex("one").toUpperCase() }]);
  assertEquals(authenticate("Bearer one", parseTokens(text))?.subject, "ci");
});

Deno.test("parseTokens: errors name entry and field", () => {
  const good = entry("ci", "one");
  const cases: readonly [string, unknown, string][] = [
    ["QUORATE_TOKENS", {}, "not an array"],
    ["QUORATE_TOKENS", [], "lists no token"],
    ["QUORATE_TOKENS[1]", [good, "x"], "not an object"],
    ["QUORATE_TOKENS[1]", [good, null], "not an object"],
    ["QUORATE_TOKENS[0]", [{ ...good, token: "one" }], "has a field besides subject, sha256, scopes"],
    ["QUORATE_TOKENS[0].subject", [{ ...good, subject: "" }], "not a text"],
    ["QUORATE_TOKENS[0].subject", [{ ...good, subject: "a\nb" }], "control characters"],
    ["QUORATE_TOKENS[0].subject", [{ ...good, subject: "é".repeat(65) }], "above 128 bytes"],
    ["QUORATE_TOKENS[0].sha256", [{ ...good, sha256: "abc" }], "64 hex digits"],
    ["QUORATE_TOKENS[0].sha256", [{ subject: "ci", scopes: good.scopes }], "64 hex digits"],
    ["QUORATE_TOKENS[0].scopes", [{ ...good, scopes: "lock:read:*" }], "not an array"],
    ["QUORATE_TOKENS[0].scopes", [{ ...good, scopes: [] }], "at least one"],
    ["QUORATE_TOKENS[0].scopes[1]", [{ ...good, scopes: ["admin:*", 7] }], "not a text"],
    ["QUORATE_TOKENS[0].scopes[0]", [{ ...good, scopes: ["lock:fly:*"] }], '"fly" is not one of'],
    ["QUORATE_TOKENS[1].sha256", [good, { ...good, subject: "ops" }], "entry 0 too"],
  ];
  for (const [field, value, why] of cases) {
    const error = assertThrows(() => parseTokens(JSON.stringify(value)), QuorateError, why);
    assertEquals(error.facts.field, field);
  }
  for (const text of ["@tokens.json", "canary-plain-token", '[{"subject":"canary', "canary'\u0000"]) {
    const { message } = assertThrows(() => parseTokens(text), QuorateError, "QUORATE_TOKENS is not JSON");
    // Whatever it is, no character of it is told.
    assert(!message.includes("canary") && !message.includes("tokens.json"), message);
  }
});

Deno.test("parseTokens: no error has a character of what may be a token put in its place", () => {
  const token = "canary-plain-token-abc";
  const texts = [token, `"${token}`, `[${token}]`, `{"${token}"`, `[{"${token}": ["lock:read:*"]}]`, `["${token}"]`];
  for (const text of texts) {
    const { message, facts } = assertThrows(() => parseTokens(text), QuorateError);
    assert(!/canary|plain|token-/.test(message + facts.field), message);
  }
});
