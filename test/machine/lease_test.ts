import { assertEquals } from "@std/assert";
import { HANDOVER_TTL_MS, PLACE_TTL_MS } from "../../src/limits.ts";
import { contentOf, KeyLog, machine } from "./key_log.ts";

Deno.test("every holder, place and cooling period is a lease, named by what granted or renewed it", () => {
  const log = new KeyLog();
  log.grant("r1", { mode: "shared", lockDelayMs: 4_000 });
  log.grant("r2", { mode: "shared", ttlMs: 60_000 });
  log.acquire("w", { wait: "a", id: "w" });
  log.lapse("f:1025");
  assertEquals(machine.leases(log.state), [
    { id: "f:2049", by: "a/n/2", ttlMs: 60_000 },
    { id: `p:${machine.placeId("s", "w")}`, by: "a/n/3", ttlMs: PLACE_TTL_MS },
    { id: "cooling", by: "a/n/4", ttlMs: 4_000 },
  ]);
});

Deno.test("an unconfirmed hand-over lapses early, or after its ttl if that is shorter", () => {
  for (const [ttlMs, lease] of [[60_000, HANDOVER_TTL_MS], [3_000, 3_000]] as const) {
    const log = new KeyLog();
    log.grant("h");
    log.acquire("w", { wait: "a", ttlMs });
    log.release(log.hold.fence);
    assertEquals(machine.leases(log.state).map((each) => each.ttlMs), [lease]);
    log.renew(log.hold.fence);
    assertEquals(machine.leases(log.state).map((each) => each.ttlMs), [ttlMs]);
  }
});

Deno.test("a claim ends exactly the lease it names", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  log.renew(fence);
  const before = log.state;
  log.lapse(`f:${fence}`, "a/n/1");
  log.lapse("f:9", "a/n/2");
  log.lapse("p:9", "a/n/2");
  log.lapse("cooling", "a/n/2");
  assertEquals(contentOf(log.state), contentOf(before));
  log.lapse(`f:${fence}`, "a/n/2");
  assertEquals([log.holders, log.state.history.at(-1)?.end], [[], "lapsed"]);
});

Deno.test("a claim and the acquire that it makes room for are one value", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const [result] = log.decide([log.ask("i", { atMs: 9_000 })], { claims: [log.lease(`f:${fence}`)] });
  assertEquals(result?.outcome, "granted");
  assertEquals(log.state.history.at(-1)?.toMs, 9_000);
});

Deno.test("a claim on a queued lock serves the queue, not who claims", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  log.acquire("w", { wait: "a" });
  const [result] = log.decide([log.ask("i")], { claims: [log.lease(`f:${fence}`)] });
  assertEquals(result, { outcome: "held" });
  assertEquals(log.holders, ["w"]);
});

Deno.test("a lapse cools the lock down where its holder asked for it, a release does not", () => {
  const log = new KeyLog();
  log.release(log.grant("h", { lockDelayMs: 5_000 }));
  assertEquals(log.state.cooling, null);
  const fence = log.grant("h", { lockDelayMs: 5_000 });
  log.acquire("w", { wait: "a" });
  log.lapse(`f:${fence}`);
  assertEquals(log.state.cooling, { by: "a/n/5", ttlMs: 5_000 });
  assertEquals(log.acquire("i"), { outcome: "cooling" });
  assertEquals([log.holders, log.waiters], [[], ["w"]]);
  log.lapse("cooling");
  assertEquals([log.holders, log.waiters, log.state.cooling], [["w"], [], null]);
});

Deno.test("a second lapse never cuts a cooling period short", () => {
  const log = new KeyLog();
  const first = log.grant("r1", { mode: "shared", lockDelayMs: 9_000 });
  const second = log.grant("r2", { mode: "shared", lockDelayMs: 1_000 });
  const third = log.grant("r3", { mode: "shared" });
  log.lapse(`f:${first}`);
  log.lapse(`f:${second}`);
  assertEquals(log.state.cooling, { by: "a/n/5", ttlMs: 9_000 });
  log.lapse(`f:${third}`);
  assertEquals(log.state.cooling, { by: "a/n/5", ttlMs: 9_000 });
});

Deno.test("a lapsed place is dropped, and whom it kept back gets the lock", () => {
  const log = new KeyLog();
  log.grant("r", { mode: "shared" });
  log.acquire("w", { wait: "a", id: "w" });
  log.acquire("r2", { wait: "a", mode: "shared" });
  log.lapse(`p:${machine.placeId("s", "w")}`);
  assertEquals([log.holders, log.waiters], [["r", "r2"], []]);
});

Deno.test("a place that lapsed in the same value as the hold before it is skipped, in any order of the claims", () => {
  for (const swap of [false, true]) {
    const log = new KeyLog();
    const fence = log.grant("h");
    log.acquire("dead", { wait: "b", id: "dead" });
    log.acquire("alive", { wait: "a" });
    const claims = [log.lease(`f:${fence}`), log.lease(`p:${machine.placeId("s", "dead")}`)];
    log.decide([], { claims: swap ? claims.toReversed() : claims });
    assertEquals([log.holders, log.waiters], [["alive"], []]);
  }
});

Deno.test("a lapse without any label is dated by the hold itself", () => {
  const log = new KeyLog();
  log.grant("h", { atMs: 50_000, ttlMs: 2_000 });
  log.lapse("f:1025");
  assertEquals(log.state.history.at(-1)?.toMs, 52_000);
});
