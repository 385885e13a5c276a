import { assertEquals } from "@std/assert";
import { listRanges } from "../../routes/listing.ts";

const NAMES = ["a", "a/1", "a/2", "a/3", "b", "b2", "c/1", "c/2"];

function list(prefix: string, limit: number, cursor: string | null) {
  const found = NAMES.filter((name) => name.startsWith(prefix) && name > (cursor ?? ""));
  const items = found.slice(0, limit).map((name) => ({ name }));
  return Promise.resolve({ items, cursor: found.length > limit ? items.at(-1)!.name : null });
}

const RANGES = [{ prefix: "a/", exact: false }, { prefix: "b", exact: true }, { prefix: "c/", exact: false }];
const VISIBLE = ["a/1", "a/2", "a/3", "b", "c/1", "c/2"];

Deno.test("listing: pages of any size show what is in the ranges, each once, and name nothing else", async () => {
  for (let limit = 1; limit <= VISIBLE.length + 1; limit++) {
    const shown: string[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < 20; page++) {
      const answer: { items: { name: string }[]; cursor: string | null } = await listRanges(
        RANGES,
        limit,
        cursor,
        list,
      );
      assertEquals(answer.items.length <= limit, true);
      shown.push(...answer.items.map(({ name }) => name));
      cursor = answer.cursor;
      if (cursor === null) break;
      assertEquals(VISIBLE.includes(cursor), true, cursor);
    }
    assertEquals([shown, cursor], [VISIBLE, null], `${limit} a page`);
  }
});

Deno.test("listing: registers, whose names are keys, are told apart and go on alike", async () => {
  const registers = async (prefix: string, limit: number, cursor: string | null) => {
    const page = await list(prefix, limit, cursor);
    return { ...page, items: page.items.map(({ name }) => ({ key: name })) };
  };
  const first = await listRanges(RANGES, 3, null, registers);
  assertEquals(first, { items: [{ key: "a/1" }, { key: "a/2" }, { key: "a/3" }], cursor: "a/3" });
  const rest = await listRanges(RANGES, 3, first.cursor, registers);
  assertEquals(rest, { items: [{ key: "b" }, { key: "c/1" }, { key: "c/2" }], cursor: null });
});

Deno.test("listing: no range, nothing", async () => {
  assertEquals(await listRanges([], 10, null, list), { items: [], cursor: null });
  assertEquals(await listRanges([{ prefix: "zz", exact: true }], 10, null, list), { items: [], cursor: null });
  assertEquals(await listRanges([{ prefix: "b", exact: true }], 1, "b", list), { items: [], cursor: null });
});
