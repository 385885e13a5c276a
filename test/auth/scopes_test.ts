import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { type Access, allows, parseScope, readableRanges } from "../../src/auth/scopes.ts";
import { QuorateError } from "../../src/errors.ts";

const READ: Access = { noun: "lock", verb: "read" };

function may(scope: string, access: Access, name: string | null): boolean {
  return allows([parseScope(scope, "scope")], access, name);
}

Deno.test("a scope ending in /* covers what is below, at the boundary of a segment", () => {
  const scope = "lock:read,write:deploy/*";
  for (const name of ["deploy/a", "deploy/a/b", "deploy/*"]) assert(may(scope, READ, name), name);
  for (const name of ["deploy", "deploy/", "deployx", "deployx/a", "Deploy/a", "a/deploy/b", ""]) {
    assertFalse(may(scope, READ, name), name);
  }
});

Deno.test("a scope with a name covers that name only", () => {
  assert(may("lock:read:deploy", READ, "deploy"));
  for (const name of ["deploy/a", "deplo", "deployx"]) assertFalse(may("lock:read:deploy", READ, name), name);
});

Deno.test("a pattern may hold colons", () => {
  assert(may("lock:read:a:b/*", READ, "a:b/c"));
  assertEquals(parseScope("lock:read:a:b/*", "scope").pattern, "a:b/*");
});

Deno.test("* covers every name, and what has no name", () => {
  assert(may("lock:read:*", READ, "anything/at/all"));
  assert(may("admin:*", { noun: "*", verb: "admin" }, null));
  assertFalse(may("admin:deploy/*", { noun: "*", verb: "admin" }, null));
});

Deno.test("noun and verb must match; admin is its own verb and implies no other", () => {
  assertFalse(may("lock:read:*", { noun: "lock", verb: "write" }, "a"));
  assertFalse(may("lock:read:*", { noun: "kv", verb: "read" }, "a"));
  assert(may("*:read:*", { noun: "kv", verb: "read" }, "a"));
  assert(may("admin:*", { noun: "lock", verb: "admin" }, "a"));
  assert(may("lock:admin:deploy/*", { noun: "lock", verb: "admin" }, "deploy/a"));
  assertFalse(may("lock:admin:*", { noun: "*", verb: "admin" }, null));
  assertFalse(may("admin:*", READ, "a"));
  assertFalse(allows([], READ, "a"));
});

Deno.test("what may be read below a prefix, as ranges that do not overlap, in byte order", () => {
  const ranges = (texts: readonly string[], prefix: string) =>
    readableRanges(texts.map((text) => parseScope(text, "scope")), "lock", prefix)
      ?.map(({ prefix, exact }) => exact ? prefix : `${prefix}…`) ?? null;
  const scopes = ["lock:read:deploy/*", "lock:read,write:one", "lock:write:two", "kv:read:*"];
  assertEquals(ranges(scopes, ""), ["deploy/…", "one"]);
  for (const prefix of ["deploy/", "deploy/a", "deploy/a/"]) assertEquals(ranges(scopes, prefix), [`${prefix}…`]);
  assertEquals(ranges(scopes, "deploy"), ["deploy/…"]);
  for (const prefix of ["o", "one"]) assertEquals(ranges(scopes, prefix), ["one"]);
  for (const prefix of ["deployx/", "two", "one/", "one2"]) assertEquals(ranges(scopes, prefix), [], prefix);
  assertEquals(ranges([...scopes, "*:read:*"], "d"), ["d…"]);
  assertEquals(ranges(["lock:read:a/*", "lock:read:a/b/*", "lock:read:a/c", "lock:read:a/*"], ""), ["a/…"]);
  assertEquals(ranges(["lock:read:\u{1f600}", "lock:read:\uff5e", "lock:read:a", "lock:read:ab"], ""), [
    "a",
    "ab",
    "\uff5e",
    "\u{1f600}",
  ]);
  assertEquals([ranges(["kv:read:*", "lock:write:*", "admin:*"], ""), ranges([], "")], [null, null]);
});

Deno.test("what is not a scope is refused with the reason and the field", () => {
  const cases: readonly [string, string][] = [
    ["", "is not one of"],
    ["locks:read:*", '"locks" is not one of'],
    ["lock:read", "not of the form"],
    ["lock:reed:*", '"reed" is not one of'],
    ["lock::*", '"" is not one of'],
    ["lock:read,:*", '"" is not one of'],
    ["lock:read:", "names nothing"],
    ["lock:read:/*", "names nothing"],
    ["lock:read:a//*", "names nothing"],
    ["lock:read:deploy*", "stands alone"],
    ["lock:read:a/*/b", "stands alone"],
    ["lock:read:*/a", "stands alone"],
    ["admin", "names nothing"],
    [`lock:read:${"x".repeat(513)}`, "above 512 bytes"],
  ];
  for (const [text, why] of cases) {
    const error = assertThrows(() => parseScope(text, "at[1]"), QuorateError, why, text);
    assertEquals([error.code, error.facts.field], ["invalid-request", "at[1]"]);
  }
});
