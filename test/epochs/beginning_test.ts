import { assertEquals, assertThrows } from "@std/assert";
import { beginningOf, urlsIn } from "../../src/epochs/beginning.ts";
import { QuorateError } from "../../src/errors.ts";
import { epochOf, rowOf } from "./samples.ts";

const [E0, E1] = [epochOf(0, "abc"), epochOf(1, "abd")];
const ROW = rowOf(E0, E1);
const flagged = (ids: string, cluster = "q-of-these") => ({ genesis: epochOf(0, ids, { cluster }), isGiven: true });

Deno.test("beginning: flags say what the members are until a store says more", () => {
  const genesis = flagged("abc");
  assertEquals(beginningOf(genesis, null), { current: genesis.genesis, row: null });
});

Deno.test("beginning: then the store does, whether the flag lists the first members, the new ones, or none", () => {
  assertEquals(beginningOf(flagged("abc", E0.cluster), ROW), { current: E1, row: ROW });
  assertEquals(beginningOf({ genesis: epochOf(0, "d", { cluster: "q-d" }), isGiven: false }, ROW), {
    current: E1,
    row: ROW,
  });
  const moved = { ...epochOf(0, "abd").members[0]!, url: "http://moved" };
  const members = [moved, ...epochOf(0, "abd").members.slice(1)];
  const known = beginningOf({ genesis: epochOf(0, "abd", { members, cluster: "q-x" }), isGiven: true }, ROW);
  assertEquals(known, { current: { ...E1, members }, row: ROW });
  assertEquals(urlsIn(known)["a"], "http://moved");
  assertEquals(Object.keys(urlsIn(known)).sort(), ["a", "b", "c", "d"]);
});

Deno.test("beginning: a flag that lists others is refused, with what the members are", () => {
  const error = assertThrows(
    () => beginningOf(flagged("abe"), ROW),
    QuorateError,
    "the members are a, b, d, since epoch 1",
  );
  assertEquals(error.facts.field, "--cluster");
});
