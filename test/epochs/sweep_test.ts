import { assertEquals } from "@std/assert";
import { PREFIXES } from "../../src/epochs/reserved_keys.ts";
import { EpochSweep, type SweepParts } from "../../src/epochs/sweep.ts";
import { QuorateError } from "../../src/errors.ts";
import { KEYS_PER_REPLY, SWEEP_EPOCH_AT_ONCE, SWEEP_EPOCH_OTHERS_MS, SWEEP_EPOCH_RETRY_MS } from "../../src/limits.ts";
import { ManualClock } from "../transport/manual_clock.ts";

const noQuorum = () => new QuorateError("no-quorum", "not now");

function standing(names: number, more: Partial<SweepParts> = {}) {
  const clock = new ManualClock();
  const all = Array.from({ length: names }, (_, i) => `kv/${String(i).padStart(5, "0")}`);
  const brought: string[] = [];
  const it = { open: 0, most: 0, stuck: new Set<string>(), retired: null as number | null, told: [] as number[] };
  const sweep = new EpochSweep({
    clock,
    keys: {
      retired: () => Promise.resolve(it.retired),
      retire: (first) => Promise.resolve(it.retired ??= first),
    },
    page: ({ prefix, after, limit }) => {
      const keys = all.filter((key) => key.startsWith(prefix) && key > after).slice(0, limit);
      return Promise.resolve({ keys, more: keys.length === limit });
    },
    bring: async (key) => {
      it.most = Math.max(it.most, ++it.open);
      await null;
      it.open--;
      brought.push(key);
      return !it.stuck.has(key);
    },
    first: 1,
    isMine: () => true,
    onRetired: (first) => void it.told.push(first),
    ...more,
  });
  sweep.start();
  return { clock, sweep, all, brought, it };
}

Deno.test("sweep: every name is brought, some at a time, and only then the epoch before is retired", async () => {
  const { clock, sweep, all, brought, it } = standing(2 * KEYS_PER_REPLY + 7);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...brought].sort(), all);
  assertEquals([it.most, it.retired, it.told], [SWEEP_EPOCH_AT_ONCE, 1, [1]]);
  assertEquals(sweep.progress, { moved: all.length, total: all.length });
  await clock.pass(60_000);
  assertEquals([it.told, clock.timers], [[1], 0]);
});

Deno.test("sweep: while one name cannot be brought nothing is retired, and it is tried again", async () => {
  const { clock, sweep, it } = standing(20);
  it.stuck.add("kv/00007");
  await clock.pass(10 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.retired, sweep.progress], [null, { moved: 19, total: 20 }]);
  it.stuck.clear();
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, [1]);
});

Deno.test("sweep: what has been brought is not brought again, nor listed, however often a name fails", async () => {
  let pages = 0;
  const { clock, sweep, all, brought, it } = standing(40, {
    page: ({ prefix, after }) => {
      pages++;
      return Promise.resolve({ keys: all.filter((key) => key.startsWith(prefix) && key > after), more: false });
    },
  });
  it.stuck.add(all[7]!).add(all[30]!);
  await clock.pass(10 * SWEEP_EPOCH_RETRY_MS);
  assertEquals(brought.filter((key) => !it.stuck.has(key)).length, 38);
  assertEquals([pages, sweep.progress], [PREFIXES.length, { moved: 38, total: 40 }]);
  it.stuck.delete(all[7]!);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.retired, sweep.progress], [null, { moved: 39, total: 40 }]);
  it.stuck.clear();
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, [1]);
});

Deno.test("sweep: without a quorum it waits, and it goes on when there is one", async () => {
  let fails = true;
  const { clock, it } = standing(3, {
    page: () => fails ? Promise.reject(noQuorum()) : Promise.resolve({ keys: [], more: false }),
  });
  await clock.pass(20 * SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, []);
  fails = false;
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, [1]);
});

Deno.test("sweep: while a member before this one is there, it moves nothing but hears of the end; for so long", async () => {
  const other = standing(3, { isMine: () => false });
  await other.clock.pass(10 * SWEEP_EPOCH_RETRY_MS);
  assertEquals(other.brought, []);
  other.it.retired = 1;
  await other.clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([other.brought, other.it.told], [[], [1]]);
  const late = standing(3, { isMine: () => false });
  await late.clock.pass(SWEEP_EPOCH_OTHERS_MS + 2 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([late.brought.length, late.it.told], [3, [1]]);
});

Deno.test("sweep: closed, it does nothing more, whatever comes", async () => {
  const { clock, sweep, brought, it } = standing(3);
  sweep.close();
  await clock.pass(SWEEP_EPOCH_OTHERS_MS);
  assertEquals([brought, it.told, clock.timers], [[], [], 0]);
});
