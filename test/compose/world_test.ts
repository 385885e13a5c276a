import { assertEquals, assertMatch } from "@std/assert";
import { realRandomness } from "../../src/compose/world.ts";

Deno.test("realRandomness.id: 96 bits as base64url, and none twice, however many are made", () => {
  const ids = Array.from({ length: 1_000 }, () => realRandomness.id());
  for (const id of ids) assertMatch(id, /^[A-Za-z0-9_-]{16}$/);
  assertEquals(new Set(ids).size, ids.length);
});
