import { assertEquals } from "@std/assert";
import { Freshness } from "../../src/replica/freshness.ts";
import { ManualClock } from "../transport/manual_clock.ts";

Deno.test("heard: the age counts from the last word, and is unknown where there was none", async () => {
  const clock = new ManualClock();
  const heard = new Freshness(clock);
  assertEquals(heard.ageMs("k"), null);
  heard.note("k");
  await clock.pass(7);
  assertEquals(heard.ageMs("k"), 7);
  heard.note("k");
  assertEquals(heard.ageMs("k"), 0);
});

Deno.test("heard: bounded: those not heard of for longest are forgotten", () => {
  const heard = new Freshness(new ManualClock(), 2);
  for (const key of ["a", "b", "a", "c"]) heard.note(key);
  assertEquals(["a", "b", "c"].map((key) => heard.ageMs(key)), [0, null, 0]);
});
