import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HOLDERS_PER_KEY, WAITERS_PER_KEY } from "../../src/limits.ts";
import { InvariantError } from "../../src/assert.ts";
import { KeyLog, machine } from "./key_log.ts";

Deno.test("a free lock is granted, with the fence of its instance, and held then", () => {
  const log = new KeyLog();
  assertEquals(log.acquire("h"), { outcome: "granted", fence: "1025", ttlMs: 30_000 });
  assertEquals(log.acquire("other", { subject: "t" }), { outcome: "held" });
  assertEquals(log.acquire("other", { mode: "shared" }), { outcome: "held" });
  assertEquals(log.holders, ["h"]);
  assertEquals(log.hold.unconfirmed, false);
  assertEquals(log.hold.by, "a/n/1");
});

Deno.test("it is not reentrant, exclusive or shared", () => {
  for (const mode of ["exclusive", "shared"] as const) {
    const log = new KeyLog();
    log.grant("h", { mode });
    assertEquals(log.acquire("h", { mode }), { outcome: "held" });
    assertEquals(log.acquire("h", { mode, wait: "a" }).outcome, "queued");
    log.release(log.hold.fence);
    assertEquals(log.holders, ["h"]);
  }
});

Deno.test("shared holders share, an exclusive asker waits for all of them", () => {
  const log = new KeyLog();
  const first = log.grant("r1", { mode: "shared" });
  const second = log.grant("r2", { mode: "shared" });
  log.acquire("w", { wait: "a" });
  log.release(first);
  assertEquals(log.waiters, ["w"]);
  log.release(second);
  assertEquals([log.holders, log.waiters], [["w"], []]);
});

Deno.test("a shared asker does not pass an earlier waiter, though the holders would have it", () => {
  const log = new KeyLog();
  const first = log.grant("r1", { mode: "shared" });
  log.acquire("w", { wait: "a" });
  assertEquals(log.acquire("r2", { mode: "shared" }), { outcome: "held" });
  assertEquals(log.acquire("r3", { mode: "shared", wait: "a" }).outcome, "queued");
  log.release(first);
  assertEquals([log.holders, log.waiters], [["w"], ["r3"]]);
});

Deno.test("shared holders are limited; the next waits", () => {
  const log = new KeyLog();
  for (let i = 0; i < HOLDERS_PER_KEY; i++) log.grant(`r${i}`, { mode: "shared" });
  assertEquals(log.acquire("more", { mode: "shared" }), { outcome: "held" });
  assertEquals(log.acquire("more", { mode: "shared", wait: "a" }).outcome, "queued");
  log.release(log.hold.fence);
  assertEquals(log.holders.length, HOLDERS_PER_KEY);
  assertEquals(log.holders.at(-1), "more");
});

Deno.test("waiters get it in the order of the decided enqueue, and shared ones at the head together", () => {
  const log = new KeyLog();
  log.grant("h");
  const modes = ["shared", "shared", "exclusive", "shared"] as const;
  const queued = log.decide(modes.map((mode, i) => log.ask(`w${i}`, { mode, wait: "a" })));
  assertEquals(queued.map((result) => result.outcome === "queued" && result.position), [1, 2, 3, 4]);
  log.release(log.hold.fence);
  assertEquals([log.holders, log.waiters], [["w0", "w1"], ["w2", "w3"]]);
  for (const { fence } of log.state.holders) log.release(fence);
  assertEquals(log.holders, ["w2"]);
  log.release(log.hold.fence);
  assertEquals([log.holders, log.waiters], [["w3"], []]);
});

Deno.test("grants of one value have consecutive fences, and a hand-over is unconfirmed until renewed", () => {
  const log = new KeyLog();
  log.grant("h");
  for (const holder of ["w1", "w2"]) log.acquire(holder, { wait: "b", mode: "shared", ttlMs: 60_000 });
  log.release("1025");
  assertEquals(log.state.holders.map(({ fence }) => fence), ["4097", "4098"]);
  assertEquals(log.state.lastFence, "4098");
  assert(log.state.holders.every(({ unconfirmed, by }) => unconfirmed && by === "a/n/4"));
  assertEquals(log.renew("4097"), { outcome: "renewed", fence: "4097", ttlMs: 60_000 });
  assertEquals(log.state.holders.map(({ unconfirmed }) => unconfirmed), [false, true]);
});

Deno.test("a release and the next acquire in one value both happen", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const results = log.decide([log.command({ type: "release", fence, atMs: 1 }), log.ask("i")]);
  assertEquals(results, [{ outcome: "released", fence }, { outcome: "granted", fence: "2049", ttlMs: 30_000 }]);
});

Deno.test("a full queue says so", () => {
  const log = new KeyLog();
  log.grant("h");
  for (let i = 0; i < WAITERS_PER_KEY; i++) {
    const holder = `0b91f2c4-8a53-4f7e-9d4c-${String(i).padStart(12, "0")}`;
    const result = log.acquire(holder, { wait: "node-a", subject: "team-payments-ci" });
    assertEquals(result.outcome, "queued", `waiter ${i}`);
  }
  assertEquals(log.acquire("late", { wait: "a" }), { outcome: "queue-full" });
});

Deno.test("a renewal sets the lease's value and ttl, and only the owner's does", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  assertEquals(log.renew(fence, 5_000), { outcome: "renewed", fence, ttlMs: 5_000 });
  assertEquals([log.hold.by, log.hold.ttlMs], ["a/n/2", 5_000]);
  assertEquals(log.renew(fence), { outcome: "renewed", fence, ttlMs: 5_000 });
  assertEquals(log.renew(fence, 9_000, "thief"), { outcome: "lost", fence });
  assertEquals([log.hold.by, log.hold.ttlMs], ["a/n/3", 5_000]);
  assertEquals(log.renew("9999"), { outcome: "never-granted", fence: "9999" });
  log.release(fence);
  assertEquals(log.renew(fence), { outcome: "lost", fence });
});

Deno.test("a renewal as such is no change of the revision, another ttl is", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  log.renew(fence);
  assertEquals(log.state.revision, "1025");
  log.renew(fence, 9_000);
  assertEquals(log.state.revision, "3073");
});

Deno.test("a release that names a lease spares a hold that was taken up since", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const { by } = log.hold;
  log.renew(fence);
  assertEquals(log.do({ type: "release", fence, by, atMs: 1 }), { outcome: "renewed", fence, ttlMs: 30_000 });
  assertEquals(log.holders, ["h"]);
  assertEquals(log.do({ type: "release", fence, by: log.hold.by, atMs: 1 }).outcome, "released");
  assertEquals(log.do({ type: "release", fence, by, atMs: 1 }).outcome, "already-released");
});

Deno.test("what became of a released fence", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  assertEquals(log.release(fence), { outcome: "released", fence });
  assertEquals(log.release(fence), { outcome: "already-released", fence });
  log.grant("i");
  assertEquals(log.release(fence), { outcome: "already-released", fence });
});

Deno.test("what became of a lapsed fence: ended while nobody followed, then taken over", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  log.lapse(`f:${fence}`);
  assertEquals(log.release(fence), { outcome: "ended", fence });
  log.grant("i");
  assertEquals(log.release(fence), { outcome: "taken-over", fence });
});

Deno.test("a shared fence that lapsed among later ones was not taken over by them", () => {
  const log = new KeyLog();
  const fence = log.grant("r1", { mode: "shared" });
  log.grant("r2", { mode: "shared" });
  log.lapse(`f:${fence}`);
  assertEquals(log.release(fence), { outcome: "ended", fence });
  log.grant("r3", { mode: "shared" });
  assertEquals(log.release(fence), { outcome: "taken-over", fence });
});

Deno.test("what became of a forced fence, of one beyond the history, and of one never granted", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  log.do({ type: "force", reason: "stuck", atMs: 7 }, "admin");
  assertEquals(log.release(fence), { outcome: "forced", fence });
  for (let i = 0; i < 40; i++) log.release(log.grant(`h${i}`));
  assertEquals(log.release(fence), { outcome: "ended", fence });
  assertEquals(log.release("999999"), { outcome: "never-granted", fence: "999999" });
  assertEquals(log.release("12"), { outcome: "never-granted", fence: "12" });
});

Deno.test("another subject's fence is as if never granted, held or ended", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  assertEquals(log.release(fence, "thief"), { outcome: "never-granted", fence });
  assertEquals(log.holders, ["h"]);
  log.release(fence);
  assertEquals(log.release(fence, "thief"), { outcome: "never-granted", fence });
});

Deno.test("force ends every holder and the cooling period, and hands over", () => {
  const log = new KeyLog();
  const fence = log.grant("r1", { mode: "shared", lockDelayMs: 9_000 });
  log.grant("r2", { mode: "shared" });
  log.grant("r3", { mode: "shared" });
  log.lapse(`f:${fence}`);
  log.acquire("w", { wait: "a" });
  assert(log.state.cooling !== null);
  assertEquals(log.do({ type: "force", reason: "stuck", atMs: 7_777 }, "admin"), { outcome: "forced-all", count: 2 });
  assertEquals([log.holders, log.state.cooling], [["w"], null]);
  const ended = log.state.history.at(-1);
  assertEquals([ended?.end, ended?.reason, ended?.toMs], ["forced", "stuck", 7_777]);
});

Deno.test("forcing a free lock counts none and changes nothing", () => {
  const log = new KeyLog();
  assertEquals(log.do({ type: "force", reason: "", atMs: 1 }), { outcome: "forced-all", count: 0 });
  assertEquals([log.state.revision, log.state.kind], ["0", "unused"]);
});

Deno.test("leave gives up the own place; the next moves up", () => {
  const log = new KeyLog();
  log.grant("r", { mode: "shared" });
  log.acquire("w", { wait: "a", id: "w" });
  log.acquire("r2", { wait: "a", mode: "shared" });
  const place = machine.placeId("s", "w");
  assertEquals(log.do({ type: "leave", place, atMs: 1 }, "thief"), { outcome: "left" });
  assertEquals(log.waiters, ["w", "r2"]);
  assertEquals(log.do({ type: "leave", place, atMs: 1 }), { outcome: "left" });
  // The exclusive waiter kept the shared one back.
  assertEquals([log.holders, log.waiters], [["r", "r2"], []]);
  assertEquals(log.do({ type: "leave", place, atMs: 1 }), { outcome: "left" });
});

Deno.test("leave answers with the grant that came first, and to its owner only", () => {
  const log = new KeyLog();
  log.grant("h");
  log.acquire("w", { wait: "a", id: "w" });
  log.release(log.hold.fence);
  const place = machine.placeId("s", "w");
  assertEquals(log.do({ type: "leave", place, atMs: 1 }, "thief"), { outcome: "left" });
  assertEquals(log.do({ type: "leave", place, atMs: 1 }), {
    outcome: "granted",
    fence: log.hold.fence,
    ttlMs: 30_000,
  });
  assertEquals(log.holders, ["w"]);
});

Deno.test("keep-places renews a node's own places, and adopts only where it says so", () => {
  const log = new KeyLog();
  log.grant("h");
  for (const [holder, node] of [["w1", "a"], ["w2", "b"], ["w3", "a"]] as const) {
    log.acquire(holder, { wait: node, id: holder });
  }
  const places = ["w1", "w2", "nobody"].map((id) => machine.placeId("s", id));
  const { revision } = log.state;
  assertEquals(log.do({ type: "keep-places", places }, "a"), { outcome: "kept" });
  assertEquals(log.places.map(({ by }) => by), ["a/n/5", "a/n/3", "a/n/4"]);
  log.do({ type: "keep-places", places, adopt: true }, "b");
  assertEquals(log.places.map(({ node, by }) => [node, by]), [["b", "a/n/6"], ["b", "a/n/6"], ["a", "a/n/4"]]);
  assertEquals([log.state.revision, log.waiters], [revision, ["w1", "w2", "w3"]]);
});

Deno.test("fences may not go back: a state is applied to later instances only", () => {
  const log = new KeyLog();
  for (let i = 0; i < 3; i++) log.release(log.grant("h"));
  const again = { id: "x", proposer: "a", commands: [log.ask("h")] };
  try {
    machine.apply(log.state, 1, again);
  } catch (error) {
    assert(error instanceof InvariantError);
    assertStringIncludes(error.message, "fences grow");
    return;
  }
  assert(false, "it was applied");
});
