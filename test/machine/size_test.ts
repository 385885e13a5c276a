import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { HOLDERS_PER_KEY, ROW_MAX_BYTES } from "../../src/limits.ts";
import { jsonBytes, listBytes } from "../../src/machine/size.ts";
import { contentOf, KeyLog, machine } from "./key_log.ts";

const WIDE = { metadata: '"'.repeat(256), subject: "é".repeat(64) };
const holder = (i: number) => `"\\${i}`.padEnd(128, "\\");

Deno.test("bytes are counted as UTF-8 of the JSON text", () => {
  assertEquals(jsonBytes({ a: 'é"' }), new TextEncoder().encode('{"a":"é\\""}').length);
});

Deno.test("a list is counted by its items as its text is, again and again", () => {
  const log = new KeyLog();
  log.grant("h");
  for (let i = 0; i < 8; i++) log.acquire(holder(i), { ...WIDE, wait: "a" });
  for (let i = 0; i < 4; i++) log.release(log.hold.fence, i === 0 ? undefined : WIDE.subject);
  const { holders, queue, history } = log.state;
  assert(queue.length > 0 && history.length > 0);
  for (const list of [[], holders, queue, queue, history, [...queue, ...history]]) {
    assertEquals(listBytes(list), jsonBytes(list));
  }
});

Deno.test("what would not fit is too-large, changes nothing but the window, and is told again", () => {
  const log = new KeyLog();
  log.grant("h");
  let i = 0;
  while (log.acquire(holder(i), { ...WIDE, wait: "a" }).outcome === "queued") i++;
  assertGreater(i, 30);
  const before = log.state;
  const ask = log.ask(holder(i), { ...WIDE, wait: "a" });
  assertEquals(log.one(ask), { outcome: "too-large" });
  const { evicted, floors = [] } = log.state;
  assertEquals({ ...contentOf(log.state), window: "", floors }, { ...contentOf(before), window: "", evicted, floors });
  assertEquals(machine.lookup(log.state, WIDE.subject, ask.id), { outcome: "too-large" });
  assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
  log.release(log.hold.fence);
  log.release(log.hold.fence, WIDE.subject);
  assertEquals(log.acquire(holder(i), { ...WIDE, wait: "a" }).outcome, "queued");
});

Deno.test("the widest queue stays in its row when all of it is granted, renewed, forced and put into history", () => {
  const log = new KeyLog();
  log.grant("h");
  let full = false;
  for (let i = 0; !full; i++) {
    full = log.acquire(holder(i), { ...WIDE, mode: "shared", wait: "a" }).outcome !== "queued";
  }
  const check = () => assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
  log.release(log.hold.fence);
  check();
  assert(log.holders.length > 20 && log.holders.length <= HOLDERS_PER_KEY);
  const renewals = log.state.holders.map(({ fence }) => log.command({ type: "renew", fence }, WIDE.subject));
  log.decide(renewals, { id: "f".repeat(64) });
  check();
  const count = log.holders.length;
  assertEquals(log.do({ type: "force", reason: '"'.repeat(256), atMs: 1 }), { outcome: "forced-all", count });
  check();
  assertGreater(log.state.history.length, 20);
});

Deno.test("history yields to holders and waiters, oldest first", () => {
  const log = new KeyLog();
  for (let i = 0; i < 32; i++) {
    log.grant(holder(i), WIDE);
    log.do({ type: "force", reason: '"'.repeat(256), atMs: 1 });
  }
  assertEquals(log.state.history.length, 32);
  const newest = log.state.history.at(-1);
  log.grant("h");
  for (let i = 0; i < 220; i++) log.acquire(`waiter-${i}`.padEnd(64), { wait: "a" });
  assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
  assert(log.state.history.length < 32);
  assertEquals(log.state.history.at(-1), newest);
  assertEquals(log.waiters.length, 220);
});
