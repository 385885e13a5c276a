import { assertEquals } from "@std/assert";
import type { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import { catchUp as catchUpOf, type CatchUpParts } from "../../src/watch/catch_up.ts";
import type { Learning } from "../../src/replica/learning.ts";
import type { KeyRange, Names } from "../../src/replica/names.ts";
import type { Reader } from "../../src/replica/reader.ts";
import type { Target } from "../../src/replica/poller.ts";
import { Stopped } from "../../src/replica/stopped.ts";
import { ManualClock } from "../transport/manual_clock.ts";

/** What is read of which keys, where a quorum knows these live ones, in order, and these dead ones. */
function rig(live: readonly string[], targets: readonly Target[], dead: readonly string[] = []) {
  const names = {
    page({ prefix, after, limit, which }: KeyRange) {
      const keys = (which === "live" ? live : dead).filter((key) => key.startsWith(prefix) && key > after);
      return Promise.resolve({ keys: keys.slice(0, limit), more: keys.length > limit });
    },
  } as unknown as Names;
  const clock = new ManualClock();
  const read: string[] = [];
  const installed: string[] = [];
  const parts = {
    names,
    clock,
    random: { next: () => 0, id: () => "" },
    acceptor: {
      shown: () => Promise.resolve({ snapshot: { instance: 3 } }),
      stopped: new Stopped(() => {}),
    } as unknown as AcceptorHost,
    reader: {
      read(key: string) {
        read.push(key);
        if (key.endsWith("!")) return Promise.reject(new Error("no quorum"));
        return Promise.resolve({ instance: key.endsWith("+") ? 4 : 3 });
      },
    } as unknown as Reader,
    learning: {
      install(key: string) {
        installed.push(key);
        return Promise.resolve();
      },
    } as unknown as Learning,
    expire: () => {},
  } satisfies CatchUpParts;
  const catchUp = catchUpOf(parts, () => targets);
  const round = async () => {
    read.length = 0;
    await clock.pass(5_000);
    return [...read].sort();
  };
  return { catchUp, clock, round, installed };
}

Deno.test("catching up: each watched key is read, and installed only where a quorum is ahead", async () => {
  const keys = ["p/1", "p/2+", "q/1"];
  const { catchUp, round, installed, clock } = rig(keys, [{ key: "x+" }, { key: "y!" }, {
    prefix: "p/",
    after: "",
  }]);
  assertEquals(clock.timers, 0, "nobody is asked while nobody watches");
  catchUp.start();
  catchUp.start();
  assertEquals(clock.timers, 2, "one for live names, one for all");
  for (let i = 0; i < 2; i++) assertEquals(await round(), ["p/1", "p/2+", "x+", "y!"]);
  assertEquals(installed.sort(), ["p/2+", "p/2+", "x+", "x+"]);
  catchUp.stop();
  assertEquals([await round(), clock.timers], [[], 0]);
});

Deno.test("catching up: names that may be dead are read too, fewer at a time, and keep no live one waiting", async () => {
  const dead = Array.from({ length: 100 }, (_, i) => `p/dead-${String(i).padStart(3, "0")}`);
  const { catchUp, round } = rig(["p/1"], [{ prefix: "p/", after: "" }, { key: "z" }], dead);
  catchUp.start();
  const rounds = [await round(), await round()];
  assertEquals(rounds.map((keys) => keys.filter((key) => !key.startsWith("p/dead-"))), [["p/1", "z"], ["p/1", "z"]]);
  assertEquals(rounds.map((keys) => keys.length), [2 + 64, 2 + 36]);
  catchUp.stop();
});

Deno.test("catching up: more than a round takes is read in turns, and none is left out", async () => {
  const keys = Array.from({ length: 600 }, (_, i) => `p/${String(i).padStart(3, "0")}`);
  const { catchUp, round } = rig(keys, [{ prefix: "p/", after: "" }, { key: "z" }]);
  catchUp.start();
  const rounds = [await round(), await round(), await round()];
  assertEquals(rounds.map(({ length }) => length), [256, 256, 89]);
  assertEquals(rounds.flat().sort(), [...keys, "z"]);
  assertEquals((await round()).length, 256, "and from the start again");
  catchUp.stop();
});
