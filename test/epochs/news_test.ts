import { assertEquals } from "@std/assert";
import { firstIn, type Known, type News, newsIn, rowInto } from "../../src/epochs/news.ts";
import { RESTORE_STEP } from "../../src/limits.ts";
import type { EpochsRow } from "../../src/ports.ts";
import { epochOf, rowOf } from "./samples.ts";

const [E0, E1, E2, E3] = [epochOf(0, "abc"), epochOf(1, "abd"), epochOf(2, "abe"), epochOf(3, "bde")];
const IN_0: Known = { current: E0, row: null };
const IN_1: Known = { current: E1, row: rowOf(E0, E1) };
const RETIRED_0: Known = { current: E1, row: rowOf(E0, E1, 1) };
const MOVED = { ...E0, members: E0.members.map(({ id }) => ({ id, url: `http://moved:${id.charCodeAt(0)}` })) };

const CASES: readonly (readonly [string, Known, EpochsRow | null, News["type"]])[] = [
  ["nothing", IN_0, null, "none"],
  ["the next epoch", IN_0, rowOf(E0, E1), "next"],
  ["the next epoch, where the one before has other URLs", IN_0, rowOf(MOVED, E1), "next"],
  ["the next epoch, retired already", IN_0, rowOf(E0, E1, 1), "next"],
  ["the same epoch", IN_1, rowOf(E0, E1), "none"],
  ["an old epoch", { current: E2, row: rowOf(E1, E2) }, rowOf(E0, E1, 1), "none"],
  ["that the one before is retired", IN_1, rowOf(E0, E1, 1), "retired"],
  ["what it knows of that", RETIRED_0, rowOf(E0, E1, 1), "none"],
  ["less than it knows of that", RETIRED_0, rowOf(E0, E1), "none"],
  ["another first instance", RETIRED_0, rowOf(E0, E1, 2), "contradiction"],
  ["other members of its epoch", IN_1, rowOf(E0, epochOf(1, "abe")), "contradiction"],
  [
    "other modes of its epoch",
    IN_1,
    rowOf(E0, epochOf(1, "abd", { modes: [{ prefix: "lock/", mode: "multi" }] })),
    "contradiction",
  ],
  ["a next one after other members than its own", IN_0, rowOf(epochOf(0, "abd"), E1), "contradiction"],
  ["a next one, before it knows that the one before its own is retired", IN_1, rowOf(E1, E2), "next"],
  ["an epoch two ahead", IN_0, rowOf(E1, E2), "next"],
  ["an epoch three ahead", IN_0, rowOf(E2, E3, 1), "next"],
  [
    "an epoch of another cluster",
    IN_0,
    rowOf({ ...E0, cluster: "q-other" }, { ...E1, cluster: "q-other" }),
    "contradiction",
  ],
];

Deno.test("news: what a node makes of epochs it is told of", () => {
  for (const [name, known, heard, type] of CASES) assertEquals(newsIn(known, heard).type, type, name);
});

Deno.test("news: one that is told twice, or late, changes nothing the second time", () => {
  for (const [name, known, heard] of CASES) {
    const news = newsIn(known, heard);
    const after = news.type === "next"
      ? { current: news.row.current, row: news.row }
      : news.type === "retired"
      ? { current: known.current, row: { ...known.row!, first: news.first } }
      : known;
    const again = newsIn(after, heard).type;
    assertEquals(again, news.type === "contradiction" ? "contradiction" : "none", name);
  }
});

Deno.test("news: the store goes on from what it has, and names begin where they began", () => {
  assertEquals(rowInto(IN_0, E1), rowOf(E0, E1));
  const moved: Known = { current: { ...E1, members: MOVED.members }, row: rowOf(E0, E1, 1) };
  assertEquals(rowInto(moved, E2), rowOf(E1, E2));
  const restored = epochOf(0, "abc", { restored: { count: 2, digest: "x" } });
  assertEquals(firstIn(restored), 2 * RESTORE_STEP + 1);
  assertEquals(rowInto({ current: restored, row: null }, E1).beforeFirst, 2 * RESTORE_STEP + 1);
});
