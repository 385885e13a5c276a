import { assertEquals } from "@std/assert";
import { Ancestry, Frontier } from "./frontier.ts";
import { StateSet } from "./state_set.ts";

Deno.test("state set: what was added is there, through every growth, and nothing else is", () => {
  const set = new StateSet(8);
  const hash = (i: number) => [Math.imul(i, 0x9e3779b9), i & 7, 0, Math.imul(i, 0x85ebca6b)] as const;
  for (let i = 1; i <= 50_000; i++) assertEquals(set.add(...hash(i)), true);
  for (let i = 1; i <= 50_000; i++) assertEquals(set.add(...hash(i)), false);
  assertEquals(set.size, 50_000);
});

Deno.test("state set: each of the 128 bits tells two states apart, and all zeros are a state too", () => {
  const set = new StateSet();
  for (let bit = 0; bit < 128; bit++) {
    const lanes = [0, 0, 0, 0] as [number, number, number, number];
    lanes[bit >> 5] = 1 << (bit & 31);
    assertEquals(set.add(...lanes), true, `bit ${bit}`);
  }
  assertEquals(set.add(0, 0, 0, 0), false, "zeros count as the state that has the last lane's lowest bit alone");
  assertEquals(new StateSet().add(0, 0, 0, 0), true);
});

Deno.test("frontier: rows come out as they went in, first in first out, over the ends of pieces", () => {
  const frontier = new Frontier();
  const row = (i: number) => ({
    parts: [i, 127, 128, 2 ** 31 - 1],
    sent: Array.from({ length: i % 40 }, (_, k) => k * i),
  });
  for (let i = 0; i < 60_000; i++) frontier.push(row(i));
  for (let i = 0; i < 60_000; i++) assertEquals(frontier.shift(), row(i));
  assertEquals(frontier.size, 0);
});

Deno.test("ancestry: the way to a state, first action first", () => {
  const ancestry = new Ancestry();
  ancestry.add(0, 0);
  for (let state = 1; state < 2_200_000; state++) ancestry.add(state >> 1, state & 1);
  assertEquals(ancestry.pathTo(0), []);
  assertEquals(ancestry.pathTo(0b1011), [1, 0, 1, 1]);
  assertEquals(ancestry.pathTo(0b1000000000000000000001).length, 22);
});
