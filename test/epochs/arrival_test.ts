import { assertEquals } from "@std/assert";
import { Arrival } from "../../src/epochs/arrival.ts";
import { QuorateError } from "../../src/errors.ts";
import { CATCH_UP_MS, KEYS_PER_REPLY, SWEEP_EPOCH_RETRY_MS } from "../../src/limits.ts";
import { Presence } from "../../src/replica/presence.ts";
import type { View } from "../../src/replica/own_record.ts";
import { ManualClock } from "../transport/manual_clock.ts";

function arriving(names: number) {
  const clock = new ManualClock();
  const all = Array.from({ length: names }, (_, i) => `kv/${String(i).padStart(5, "0")}`);
  const it = {
    isRetired: true,
    hasQuorum: true,
    own: new Set<string>(),
    asked: [] as string[],
    silent: "",
    wrong: "",
    failing: "",
  };
  const arrival = new Arrival({
    clock,
    page: ({ prefix, after, limit }) => {
      if (!it.hasQuorum) return Promise.reject(new QuorateError("no-quorum", "not now"));
      const keys = all.filter((key) => key.startsWith(prefix) && key > after).slice(0, limit);
      return Promise.resolve({ keys, more: keys.length === limit });
    },
    shown: (key) =>
      [it.wrong, it.failing].includes(key)
        ? Promise.reject(new QuorateError("not-ready", "nothing can be said of it"))
        : Promise.resolve({ isImported: it.own.has(key) } as View),
    isStopped: (key) => it.wrong === key,
    refresh: (key) => {
      it.asked.push(key);
      if (it.silent === key) return Promise.resolve(false);
      it.own.add(key);
      return Promise.resolve(true);
    },
    isRetired: () => it.isRetired,
  });
  return { clock, arrival, all, it };
}

Deno.test("arrival: every name without a record here is asked for once, page after page, and then nothing is lacking", async () => {
  const { clock, arrival, all, it } = arriving(2 * KEYS_PER_REPLY + 3);
  it.own.add(all[1]!);
  it.wrong = all[2]!;
  arrival.start();
  assertEquals(arrival.isLeft, true);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...it.asked].sort(), all.filter((_, i) => i !== 1 && i !== 2));
  assertEquals([arrival.isLeft, clock.timers], [false, 0]);
});

Deno.test("arrival: while no quorum answers, of the list or of one name, something is lacking, and it is tried again", async () => {
  const { clock, arrival, all, it } = arriving(5);
  it.hasQuorum = false;
  it.silent = all[3]!;
  arrival.start();
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([arrival.isLeft, it.asked], [true, []]);
  it.hasQuorum = true;
  await clock.pass(2 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([arrival.isLeft, it.asked.filter((key) => key === all[0]).length], [true, 1]);
  it.silent = "";
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(arrival.isLeft, false);
});

Deno.test("arrival: a name of which nothing can be said for a moment keeps none of the others back, and is asked for later", async () => {
  const { clock, arrival, all, it } = arriving(KEYS_PER_REPLY + 3);
  it.failing = all[2]!;
  arrival.start();
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...it.asked].sort(), all.filter((_, i) => i !== 2));
  assertEquals(arrival.isLeft, true);
  it.failing = "";
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.asked.at(-1), arrival.isLeft, clock.timers], [all[2], false, 0]);
});

Deno.test("arrival: nothing is asked before the epoch before is known to be retired, nor after the end", async () => {
  const { clock, arrival, it } = arriving(5);
  it.isRetired = false;
  arrival.start();
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  // No name is taken for fresh so far.
  assertEquals([arrival.isLeft, it.asked], [false, []]);
  it.isRetired = true;
  assertEquals(arrival.isLeft, true);
  arrival.close();
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.asked, clock.timers], [[], 0]);
  arrival.start();
  assertEquals(clock.timers, 0);
});

Deno.test("presence: who was away asks for some time, and a new member for as long as names are lacking", async () => {
  const { clock, arrival, it } = arriving(5);
  it.hasQuorum = false;
  const [first, back, late] = [new Presence(clock), new Presence(clock), new Presence(clock, arrival)];
  first.start(false);
  back.start(true);
  late.start(false);
  const areBack = () => [first, back, late].map((presence) => presence.cameBackMs() !== null);
  assertEquals(areBack(), [false, true, true]);
  await clock.pass(CATCH_UP_MS);
  assertEquals(areBack(), [false, false, true]);
  it.hasQuorum = true;
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(areBack(), [false, false, false]);
  for (const presence of [first, back, late]) presence.close();
  assertEquals(clock.timers, 0);
});
