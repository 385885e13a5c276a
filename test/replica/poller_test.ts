/** A turn through many keys goes on at once, but for rests that grow with what the keys cost. */
import { assertEquals } from "@std/assert";
import { Poller } from "../../src/replica/poller.ts";
import { VirtualClock } from "../../src/testing/virtual_clock.ts";

const EVERY_MS = 10_000;
const KEYS = Array.from({ length: 5 }, (_, i) => `k/${i}`);

/** When each key is looked at within two turns, where a look takes so long; `failures`: lists that fail before that. */
async function looks(lookMs: number, failures = 0): Promise<readonly (readonly [key: string, atMs: number])[]> {
  const clock = new VirtualClock();
  const seen: [string, number][] = [];
  const startMs = clock.now();
  const poller = new Poller(
    { clock, random: { next: () => 0, id: () => "" } },
    EVERY_MS,
    () => [{ prefix: "k/", after: "" }],
    async (key) => {
      seen.push([key, clock.now() - startMs]);
      await clock.sleep(lookMs);
    },
    (_prefix, after, limit) => {
      if (failures-- > 0) return Promise.reject(new Error("the store failed"));
      const keys = KEYS.filter((key) => key > after).slice(0, limit);
      return Promise.resolve({ keys, more: keys.length === limit });
    },
    { maxKeys: 2, restMs: (tookMs) => Math.max(80, 9 * tookMs) },
  );
  poller.start();
  await clock.run(clock.sleep(2 * EVERY_MS + 5_000), 10 * EVERY_MS);
  poller.stop();
  return seen.sort(([a, at], [b, other]) => at - other || (a < b ? -1 : 1));
}

Deno.test("poller: rounds of a turn follow each other after a rest, so many times as long as they took and no shorter than that", async () => {
  const turn = (firstMs: number, gapMs: number) =>
    KEYS.map((key, i) => [key, firstMs + Math.floor(i / 2) * gapMs] as [string, number]);
  // The third round finds less than it asked for, and so ends the turn.
  assertEquals(await looks(1), [...turn(EVERY_MS, 81), ...turn(2 * EVERY_MS + 2 * 81 + 1, 81)]);
  assertEquals(await looks(50), [...turn(EVERY_MS, 500), ...turn(2 * EVERY_MS + 2 * 500 + 50, 500)]);
});

Deno.test("poller: after a list that failed it waits as long as between turns", async () => {
  assertEquals((await looks(1, 1))[0], ["k/0", 2 * EVERY_MS]);
});
