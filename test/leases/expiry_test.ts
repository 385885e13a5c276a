/** A lease that runs out while nobody waits for the thing (PROTOCOL.md §7): its watchers see to it, and are told. */
import { assert, assertEquals } from "@std/assert";
import type { ElectionState, LockState } from "../../src/api.ts";
import type { WatchEvent } from "../../src/service/watch_service.ts";
import { Expiry } from "../../src/leases/expiry.ts";
import type { QueueParts } from "../../src/leases/queue.ts";
import { Turns } from "../../src/leases/turns.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { type Observed, withCluster } from "../trace/observed_cluster.ts";
import { caller, request } from "../replica/memory_cluster.ts";

const TTL_MS = 2_000;

Deno.test("expiry: a node that has left its epoch begins to watch nothing, whatever of it comes to its end then", async () => {
  const clock = new ManualClock();
  const acceptor = { view: () => Promise.reject(new Error("it has left")) };
  const expiry = new Expiry({ clock, acceptor, turns: new Turns(clock) } as unknown as QueueParts);
  expiry.watch("kv/before", 10);
  assertEquals(clock.timers, 1);
  expiry.close();
  expiry.watch("kv/after", 10);
  await clock.pass(5_000);
  assertEquals(clock.timers, 0);
});

/** Its holder says nothing more; virtual time passes until the watchers have seen the end of it. */
async function untilFree(cluster: Observed, events: readonly WatchEvent[], isFree: (event: WatchEvent) => boolean) {
  for (let i = 0; i < 200 && !events.some(isFree); i++) await cluster.clock.sleep(100);
  assert(events.some(isFree), JSON.stringify(events));
}

const isFreed = ({ type, body }: WatchEvent) =>
  type === "changed" && (body as LockState).state === "free" && (body as LockState).lastFence !== "0";

for (const n of [3, 5]) {
  Deno.test(`expiry, n=${n}: who watches a lock is told that its holder is gone, by name and by prefix, also of one held before`, () =>
    withCluster(n, async (cluster) => {
      const { locks } = cluster.node("a");
      await locks.acquire("old", request("h", { ttlMs: TTL_MS }), caller());
      const events: WatchEvent[] = [];
      const all: WatchEvent[] = [];
      const { watches } = cluster.node("b");
      await watches.watch("lock", "named", null, 3_000, (event) => events.push(event));
      await watches.watchRanges("lock", [{ prefix: "", exact: false }], null, (event) => all.push(event));
      const { body } = await locks.acquire("named", request("h", { ttlMs: TTL_MS }), caller());
      // Whoever granted it is of no help.
      cluster.kill("a");
      await untilFree(cluster, events, isFreed);
      for (const name of ["old", "named"]) {
        await untilFree(cluster, all, (event) => isFreed(event) && (event.body as LockState).name === name);
      }
      const history = await cluster.node("c").locks.history("named", { timeoutMs: 30_000 });
      assertEquals(history.body.items.map(({ fence, end }) => [fence, end]), [[body.fence, "lapsed"]]);
    }));
}

Deno.test("expiry: who watches an election is told that the leader is gone; one that renews stays", () =>
  withCluster(3, async (cluster) => {
    const campaign = { candidate: "x", ttlMs: TTL_MS, waitMs: 0 };
    const { body } = await cluster.node("a").elections.campaign("e", campaign, caller());
    const events: WatchEvent[] = [];
    await cluster.node("c").watches.watch("election", "e", null, 3_000, (event) => events.push(event));
    const leaderless = ({ body }: WatchEvent) => (body as ElectionState).leader === null;
    for (let i = 0; i < 6; i++) {
      await cluster.clock.sleep(TTL_MS / 2);
      await cluster.node("a").elections.proclaim("e", body.term, {}, caller());
    }
    assert(!events.some(leaderless), JSON.stringify(events));
    await untilFree(cluster, events, leaderless);
  }));

Deno.test("expiry: what nobody watches and nobody wants is left to the sweep", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").locks.acquire("idle", request("h", { ttlMs: TTL_MS }), caller());
    await cluster.clock.sleep(10 * TTL_MS);
    const { body } = await cluster.node("b").locks.history("idle", { timeoutMs: 30_000 });
    assertEquals(body.items, []);
  }));
