import { assertEquals } from "@std/assert";
import { HOLDERS_PER_KEY, PLACE_TTL_MS } from "../../src/limits.ts";
import { holdOfFence, holdOfHolder, placesOfNode, viewGrants, viewHistory } from "../../src/machine/view.ts";
import { KeyLog, machine } from "./key_log.ts";

Deno.test("a lock that was never used is free", () => {
  const log = new KeyLog();
  assertEquals(viewGrants(log.state), {
    state: "free",
    holders: [],
    waiters: [],
    lastFence: "0",
    revision: "0",
    cooling: null,
    limit: null,
    available: HOLDERS_PER_KEY,
  });
  assertEquals(viewHistory(log.state), { items: [], revision: "0" });
});

Deno.test("held, with who waits and by which lease, then cooling, then free, each fence in the history", () => {
  const log = new KeyLog();
  log.grant("h", { metadata: "m", lockDelayMs: 3_000, atMs: 1_000 });
  log.acquire("w1", { wait: "a", id: "w1" });
  log.acquire("w2", { wait: "b", mode: "shared", id: "w2" });
  const leaseOf = (id: string, instance: number) => {
    return { id: `p:${machine.placeId("s", id)}`, by: `a/n/${instance}`, ttlMs: PLACE_TTL_MS };
  };
  const held = viewGrants(log.state);
  assertEquals(held.state, "held");
  const lease = { id: "f:1025", by: "a/n/1", ttlMs: 30_000 };
  assertEquals(held.holders, [{ holder: "h", fence: "1025", mode: "exclusive", metadata: "m", fromMs: 1_000, lease }]);
  assertEquals(held.waiters, [
    { holder: "w1", mode: "exclusive", lease: leaseOf("w1", 2) },
    { holder: "w2", mode: "shared", lease: leaseOf("w2", 3) },
  ]);
  log.lapse("f:1025");
  const cooling = viewGrants(log.state);
  assertEquals([cooling.state, cooling.cooling?.ttlMs, cooling.lastFence], ["cooling", 3_000, "1025"]);
  assertEquals(viewHistory(log.state).items, [
    { fence: "1025", holder: "h", subject: "s", fromMs: 1_000, toMs: 31_000, end: "lapsed", lastFence: "1025" },
  ]);
});

Deno.test("holds and places are found by fence, holder, command and node", () => {
  const log = new KeyLog();
  log.grant("h", { id: "k" });
  log.acquire("w1", { wait: "a", id: "w1" });
  log.acquire("w2", { wait: "b", id: "w2" });
  assertEquals(holdOfFence(log.state, "1025")?.holder, "h");
  assertEquals(holdOfFence(log.state, "1026"), null);
  assertEquals(holdOfHolder(log.state, "s", "h")?.fence, "1025");
  assertEquals(holdOfHolder(log.state, "t", "h"), null);
  assertEquals(machine.holdOfCommand(log.state, "s", "k")?.fence, "1025");
  assertEquals(machine.holdOfCommand(log.state, "s", "w2"), null);
  assertEquals(machine.placeOfCommand(log.state, "s", "w2")?.position, 2);
  assertEquals(machine.placeOfCommand(log.state, "s", "k"), null);
  assertEquals(placesOfNode(log.state, "b").map(({ id }) => id), [machine.placeId("s", "w2")]);
});
