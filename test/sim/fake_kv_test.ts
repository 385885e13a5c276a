import { assertEquals, assertRejects } from "@std/assert";
import { COMMIT_FAULTS, FakeDatabase, type KvFault, type KvWatch } from "./fake_kv.ts";
import { seededRandomness, VirtualClock } from "./virtual_time.ts";

const KEY = ["r", "x"];
const TEXT = new TextEncoder();
const NOBODY: KvWatch = {
  read: () => {},
  commit: () => ({ ready: () => {}, committed: () => {}, doubtful: () => {} }),
};

function database() {
  const clock = new VirtualClock();
  const made = new FakeDatabase(clock, seededRandomness(1));
  const client = made.connect(NOBODY);
  const kv = client.asKv();
  const commit = (text: string, versionstamp: string | null = null) =>
    kv.atomic().check({ key: KEY, versionstamp }).set(KEY, TEXT.encode(text)).commit();
  return { clock, made, client, kv, commit };
}

async function outcomeOf(commit: Promise<{ readonly ok: boolean }>, clock: VirtualClock): Promise<string> {
  const silence = clock.sleep(400).then(() => "nothing");
  return await clock.run(Promise.race([commit.then(({ ok }) => `${ok}`, () => "error"), silence]), 2_000);
}

Deno.test("fake database: each fault is what it says, once", async () => {
  const heard: Record<string, readonly [heard: string, applied: boolean]> = {};
  for (const fault of COMMIT_FAULTS) {
    const { clock, made, commit } = database();
    made.failNext(fault);
    heard[fault] = [await outcomeOf(commit("v"), clock), made.get(KEY).value !== null];
    // Nothing is left of it.
    const { versionstamp } = made.get(KEY);
    if (fault !== "hang-late") assertEquals(await outcomeOf(commit("w", versionstamp), clock), "true", fault);
  }
  assertEquals(
    heard,
    {
      "error-applied": ["error", true],
      "error-lost": ["error", false],
      "refused-applied": ["false", true],
      "refused-lost": ["false", false],
      "hang-applied": ["nothing", true],
      "hang-lost": ["nothing", false],
      "hang-late": ["nothing", false],
    } satisfies Record<string, readonly [string, boolean]>,
  );
});

Deno.test("fake database: what is applied late is applied only where its checks still hold", async () => {
  for (const isOvertaken of [false, true]) {
    const { clock, made, commit } = database();
    made.failNext("hang-late");
    const late = commit("late");
    await clock.run(clock.sleep(100), 200);
    if (isOvertaken) await outcomeOf(commit("first"), clock);
    await clock.run(Promise.race([late, clock.sleep(20_000)]), 30_000);
    assertEquals(made.get(KEY).value, TEXT.encode(isOvertaken ? "first" : "late"));
  }
});

Deno.test("fake database: a lost check, reads in order, failing reads, and a client that is dead", async () => {
  const { clock, made, client, kv, commit } = database();
  assertEquals(await outcomeOf(commit("v"), clock), "true");
  assertEquals(await outcomeOf(commit("w"), clock), "false");
  const names = ["b", "a", "\u{1f600}", "\uffee"];
  for (const name of names) await clock.run(kv.atomic().set(["r", name], TEXT.encode(name)).commit(), 100);
  const listed = async () => {
    const found: unknown[] = [];
    for await (const { key } of kv.list({ prefix: ["r"], start: ["r", "b"] }, { limit: 3 })) found.push(key[1]);
    return found;
  };
  assertEquals(await clock.run(listed(), 100), ["b", "x", "\uffee"]);
  made.failNext("read-error");
  await assertRejects(() => clock.run(kv.getMany([KEY]), 100), Error, "connection lost");
  made.failNext("read-hang" satisfies KvFault);
  await assertRejects(() => clock.run(kv.getMany([KEY]), 100), Error, "not done within 100 ms");
  const [{ value }] = await clock.run(kv.getMany<[Uint8Array]>([KEY]), 100);
  assertEquals(value, TEXT.encode("v"));
  client.crash();
  await assertRejects(() => clock.run(kv.getMany([KEY]), 100), Error, "not done within 100 ms");
  assertEquals(made.counts, { unknownCommits: 0, hungCalls: 1, conflicts: 1 });
});
