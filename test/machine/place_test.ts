import { assertEquals } from "@std/assert";
import type { Place } from "../../src/machine/op.ts";
import { indexOfPlace, packPlace, unpackPlace } from "../../src/machine/place.ts";

const place: Place = {
  id: "0123456789abcdef",
  holder: "h",
  subject: "s",
  mode: "shared",
  ttlMs: 1,
  lockDelayMs: 2,
  node: "a",
  by: "a/n/1",
};

const bound = [{ ...place, session: "S" }, { ...place, metadata: "", session: "S" }];

Deno.test("a place comes out of its row as it went in, with metadata and session and without", () => {
  for (const each of [place, { ...place, metadata: "" }, { ...place, mode: "exclusive" } as const, ...bound]) {
    assertEquals(unpackPlace(JSON.parse(JSON.stringify(packPlace(each)))), each);
  }
});

Deno.test("places are found by id", () => {
  const queue = [packPlace({ ...place, id: "x" }), packPlace(place)];
  assertEquals(indexOfPlace(queue, place.id), 1);
  assertEquals(indexOfPlace(queue, "y"), -1);
});
