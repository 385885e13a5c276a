import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { COMMANDS_PER_VALUE, DEDUP_WINDOW } from "../../src/limits.ts";
import {
  addEntry,
  ENTRY_FRAME_BYTES,
  ENTRY_MAX_BYTES,
  findEntry,
  NO_TAG,
  openWindow,
} from "../../src/machine/dedup.ts";
import { isKept, type Kept, readResult, writeResult } from "../../src/machine/result_code.ts";
import { trimWindowV1 } from "../../src/machine/window_v1.ts";
import { contentOf, digest, KeyLog, machine } from "./key_log.ts";

const key = (i: number) => digest(`key${i}`).slice(0, 16);
const FENCE = "9".repeat(20);

Deno.test("every outcome comes out of the window as it went in, and no entry is longer than it may be", () => {
  const fates = ["lost", "released", "already-released", "taken-over", "forced", "ended", "never-granted"] as const;
  const results: Kept[] = [
    { outcome: "granted", fence: FENCE, ttlMs: 3_600_000 },
    { outcome: "renewed", fence: "1025", ttlMs: Number.MAX_SAFE_INTEGER },
    { outcome: "queued", place: key(2), position: 256 },
    { outcome: "forced-all", count: 64 },
    ...fates.map((outcome) => ({ outcome, fence: FENCE })),
    { outcome: "limit-mismatch", limit: 1_024 },
    { outcome: "written", revision: FENCE },
    { outcome: "deleted", revision: FENCE },
    { outcome: "absent", revision: "0" },
    { outcome: "precondition-failed", revision: FENCE },
    { outcome: "fence-too-low", fence: FENCE },
    ...(["opened", "session-kept", "bound"] as const).map((outcome) => ({ outcome, ttlMs: 3_600_000 })),
    ...(["unbound", "closed", "no-session", "session-ended"] as const).map((outcome) => ({ outcome })),
    { outcome: "freed", count: 320 },
    { outcome: "is-bound", fence: FENCE },
    ...(["held", "cooling", "queue-full", "left", "too-large"] as const).map((outcome) => ({ outcome })),
  ];
  const window = openWindow([], 0);
  results.forEach((result, i) =>
    addEntry(window, `${100_000 + i}`, key(i), "0badcafe", Number.MAX_SAFE_INTEGER, result)
  );
  results.forEach((result, i) => {
    assertEquals(findEntry(window.items, key(i)), { body: "0badcafe", instance: Number.MAX_SAFE_INTEGER, result });
  });
  for (const item of window.items) assertLessOrEqual(item.length + ENTRY_FRAME_BYTES, ENTRY_MAX_BYTES);
  assertEquals(findEntry(window.items, key(99)), null);
  for (const result of results) {
    assert(isKept(result));
    assertEquals(readResult(writeResult(result), key(2)), result);
  }
});

Deno.test("readResult: a text that no result is written as is none", () => {
  for (
    const text of [
      "",
      "g",
      "z1",
      "g1025",
      "g1025,",
      "h1",
      "g1025,30000,1",
      "q01x",
      "w",
      `w${"9".repeat(21)}`,
      "constructor",
    ]
  ) {
    assertEquals(readResult(text, "p"), null, text);
  }
});

Deno.test("trimWindowV1: the last 32 of before and all of the instance stay; evicted is the highest that left", () => {
  const window = openWindow([], 0);
  for (let i = 1; i <= 40; i++) addEntry(window, NO_TAG, key(i), "00000000", i, { outcome: "held" });
  const whole = trimWindowV1(window);
  assertEquals([whole.evicted, whole.items], [0, window.items]);
  const next = openWindow(whole.items, whole.evicted);
  addEntry(next, NO_TAG, key(41), "00000000", 41, { outcome: "held" });
  const trimmed = trimWindowV1(next);
  assertEquals(trimmed.evicted, 40 - DEDUP_WINDOW);
  assertEquals(findEntry(trimmed.items, key(8)), null);
  for (let i = 9; i <= 41; i++) assertEquals(findEntry(trimmed.items, key(i))?.instance, i);
});

Deno.test("the same command again: the first result, and nothing that the state says changes", () => {
  const log = new KeyLog();
  const acquire = log.ask("h");
  const first = log.one(acquire);
  const release = log.command({ type: "release", fence: "1025", atMs: 1 });
  const second = log.one(release);
  const third = log.one(log.ask("i"));
  const before = log.state;
  assertEquals(log.one(acquire), first);
  assertEquals(log.one(release), second);
  assertEquals(contentOf(log.state), contentOf(before));
  assertEquals(third.outcome, "granted");
});

Deno.test("twice in one value is once", () => {
  const log = new KeyLog();
  const acquire = log.ask("h");
  const [first, second] = log.decide([acquire, acquire]);
  assertEquals(first, second);
  assertEquals(log.holders, ["h"]);
});

Deno.test("a retry may have another label, another node to wait at, or none; another ask is a mismatch", () => {
  const log = new KeyLog();
  log.grant("h");
  const first = log.acquire("w", { id: "k", wait: "a" });
  assertEquals(first.outcome, "queued");
  assertEquals(log.acquire("w", { id: "k", wait: "b", atMs: 77 }), first);
  assertEquals(log.acquire("w", { id: "k" }), first);
  const other = [{ ttlMs: 1_000 }, { lockDelayMs: 1 }, { metadata: "m" }, { mode: "shared" }] as const;
  for (const asking of other) {
    assertEquals(log.acquire("w", { id: "k", ...asking }), { outcome: "idempotency-mismatch" });
  }
  assertEquals(log.acquire("v", { id: "k" }), { outcome: "idempotency-mismatch" });
  assertEquals(log.do({ type: "force", reason: "", atMs: 1 }, "s", "k"), { outcome: "idempotency-mismatch" });
  assertEquals(log.waiters, ["w"]);
});

Deno.test("an id belongs to its subject", () => {
  const log = new KeyLog();
  log.grant("h", { id: "k" });
  assertEquals(log.acquire("h", { id: "k", subject: "t" }), { outcome: "held" });
});

Deno.test("also answers of no change are told again, though they would differ now", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const held = log.ask("i");
  assertEquals(log.one(held), { outcome: "held" });
  log.release(fence);
  assertEquals(log.one(held), { outcome: "held" });
  assertEquals(log.holders, []);
});

Deno.test("an old renewal that comes again does not undo a newer one", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const old = log.command({ type: "renew", fence, ttlMs: 1_000 });
  log.one(old);
  log.renew(fence, 60_000);
  const { hold } = log;
  assertEquals(log.one(old), { outcome: "renewed", fence, ttlMs: 1_000 });
  assertEquals(log.hold, hold);
});

Deno.test("version 1: evicted and gone is expired; evicted and still held or waiting is found", () => {
  const log = new KeyLog(1);
  const gone = log.ask("gone");
  const fence = log.one(gone);
  assert(fence.outcome === "granted");
  log.release(fence.fence);
  const holds = log.ask("holds", { metadata: "m" });
  const held = log.one(holds);
  const waits = log.ask("waits", { wait: "a" });
  log.one(waits);
  for (let i = 0; i <= DEDUP_WINDOW; i++) log.renew(log.hold.fence);
  assertEquals(machine.lookup(log.state, "s", holds.id), null);
  const before = log.state;
  assertEquals(log.one(gone), { outcome: "expired-command" });
  assertEquals(log.one(holds), held);
  assertEquals(log.one(waits), { outcome: "queued", place: machine.placeId("s", waits.id), position: 1 });
  assertEquals(log.one({ ...holds, op: { ...holds.op, holder: "x" } as never }), { outcome: "idempotency-mismatch" });
  assertEquals(log.state, before);
});

Deno.test("version 1: expired begins with the very command that left last: born then or before, never after", () => {
  const log = new KeyLog(1);
  const first = log.ask("first");
  log.one(first);
  log.release("1025");
  for (let i = 0; i < DEDUP_WINDOW; i++) log.renew("1025");
  assertEquals(log.state.evicted, 1);
  assertEquals(log.one(first), { outcome: "expired-command" });
  assertEquals(log.one({ ...log.ask("late"), born: 2 }).outcome, "granted");
});

Deno.test("what lost an instance to a full batch is not expired when it is applied in the next", () => {
  const log = new KeyLog();
  for (let i = 0; i < 3; i++) {
    const loser = log.ask(`loser${i}`);
    log.decide(Array.from({ length: COMMANDS_PER_VALUE }, (_, j) => log.ask(`${i}.${j}`)));
    const batch = Array.from({ length: COMMANDS_PER_VALUE - 1 }, (_, j) => log.ask(`${i}:${j}`));
    assertEquals(log.decide([...batch, loser]).at(-1)?.outcome, "held");
  }
});

Deno.test("the shell reads each command's result out of the state it was applied in", () => {
  const log = new KeyLog();
  const commands = Array.from({ length: COMMANDS_PER_VALUE }, (_, i) => log.ask(`h${i}`, { wait: "a" }));
  const results = log.decide(commands);
  assertEquals(commands.map((command) => machine.resultOf(log.state, command)), [...results]);
  assertEquals(machine.resultOf(log.state, log.ask("x")), null);
});
