/** Hand-overs that are answered before their confirmation (PROTOCOL.md §7), on nodes in memory. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Grant } from "../../src/api.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { QuorateError } from "../../src/errors.ts";
import { CONFIRM_AFTER_MS, DRIFT, HANDOVER_TTL_MS } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { viewGrants } from "../../src/machine/view.ts";
import { Confirmations } from "../../src/service/confirmations.ts";
import { confirmIdOf } from "../../src/service/grant_ids.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

const machine = createMachine({ digest: sha256Hex });
const TOLD_MS = Math.floor(HANDOVER_TTL_MS * (1 - DRIFT));

/** @param times 0.1 is so much slower than life that nothing is confirmed by time alone before a test has looked */
async function withCluster(run: (cluster: MemoryCluster) => Promise<void>, times = 1): Promise<void> {
  const cluster = await memoryCluster(3, { clock: fastClock(times) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

const slow = () => caller();

/** With what the node has voted for, which it may have to be told yet that it is decided. */
async function stateAt(cluster: MemoryCluster, id: string) {
  const stored = await cluster.store(id).update("lock/x", (record) => ({ record: null, reply: record }));
  const { instance, state, vote } = stored!;
  return vote === null ? state : machine.apply(state, instance, vote.value);
}

/** `a` gives back what somebody waits for through `b`. */
async function handedOver(cluster: MemoryCluster, more: Record<string, unknown>, who = slow()): Promise<Grant> {
  const [a, b] = cluster.ids.map((id) => cluster.node(id).locks);
  const { body: held } = await a!.acquire("x", request("holder"), slow());
  const waiting = b!.acquire("x", request("waiter", { waitMs: 60_000, ...more }), who);
  await until("it waits", async () => viewGrants(await stateAt(cluster, "a")).waiters.length === 1);
  await a!.release("x", held.fence, slow());
  return (await waiting).body;
}

async function confirmation(cluster: MemoryCluster, { subject, idempotencyKey }: ReturnType<typeof slow>) {
  return machine.lookup(await stateAt(cluster, "b"), subject, confirmIdOf(idempotencyKey))?.outcome ?? null;
}

Deno.test("early grants: who renews is told of ten seconds, and is confirmed after that", () =>
  withCluster(async (cluster) => {
    const mine = slow();
    const grant = await handedOver(cluster, { renews: true }, mine);
    assertEquals([grant.ttlMs, grant.guaranteedForMs], [30_000, TOLD_MS]);
    assertEquals(await confirmation(cluster, mine), null, "nobody has confirmed it");
    await until("it is confirmed", async () => await confirmation(cluster, mine) === "renewed");
    const { body } = await cluster.node("b").locks.renew("x", grant.fence, {}, slow());
    assertEquals(body.guaranteedForMs, 29_700);
  }, 0.1));

Deno.test("early grants: what is given back at once takes its confirmation along", () =>
  withCluster(async (cluster) => {
    const mine = slow();
    const grant = await handedOver(cluster, { renews: true }, mine);
    const before = (await cluster.node("b").locks.get("x", { stale: false, timeoutMs: 30_000 })).receipt.instance;
    const { body, receipt } = await cluster.node("b").locks.release("x", grant.fence, slow());
    assertEquals(body.outcome, "released");
    assertEquals(receipt.instance, before + 1, "one value for both");
    assertEquals(await confirmation(cluster, mine), "renewed");
  }, 0.1));

for (
  const [what, more] of [["that does not say so", {}], ["with a lock delay", {
    renews: true,
    lockDelayMs: 1_000,
  }]] as const
) {
  Deno.test(`early grants: a caller ${what} is told once it is confirmed, and keeps the whole ttl`, () =>
    withCluster(async (cluster) => {
      const mine = slow();
      const grant = await handedOver(cluster, more, mine);
      assertEquals(grant.guaranteedForMs, 29_700);
      assertEquals(await confirmation(cluster, mine), "renewed");
    }));
}

Deno.test("early grants: what is bound to a session is told once it is confirmed", () =>
  withCluster(async (cluster) => {
    const { body: session } = await cluster.node("b").sessions.open({ holder: "me", ttlMs: 20_000 }, slow());
    const mine = slow();
    const grant = await handedOver(cluster, { renews: true, session: session.id }, mine);
    assertEquals(grant.guaranteedForMs, 19_800);
    assertEquals(await confirmation(cluster, mine), "renewed");
  }));

Deno.test("early grants: a late try of a request whose grant was told and is over takes nothing anew", () =>
  withCluster(async (cluster) => {
    const [a, , c] = cluster.ids.map((id) => cluster.node(id).locks);
    const mine = slow();
    const grant = await handedOver(cluster, { renews: true }, mine);
    // Nobody ever confirms it.
    for (const peer of ["a", "c"]) cluster.network.cut(peer, "b");
    await a!.release("x", grant.fence, slow());
    await until("c knows", async () => viewGrants(await stateAt(cluster, "c")).holders.length === 0);
    const again = () => c!.acquire("x", request("waiter", { waitMs: 60_000, renews: true }), mine);
    assertEquals((await assertRejects(again, QuorateError)).code, "lost");
    const { state } = (await a!.get("x", { stale: false, timeoutMs: 30_000 })).body;
    assertEquals(state, "free");
  }, 0.1));

Deno.test("early grants: who goes away in the moment of the answer gives it back, as far as nobody has renewed it", () =>
  withCluster(async (cluster) => {
    let looks = 0;
    // Still there when its turn has come, and gone by the answer.
    class Going extends EventTarget {
      get aborted(): boolean {
        return ++looks > 2;
      }
      throwIfAborted(): void {
        throw new DOMException("gone", "AbortError");
      }
    }
    const signal = new Going() as unknown as AbortSignal;
    const who = { ...slow(), anonymous: true as const, signal };
    await assertRejects(() => handedOver(cluster, { renews: true }, who), DOMException);
    assertEquals((await cluster.node("b").locks.get("x", { stale: false, timeoutMs: 30_000 })).body.state, "free");
  }));

Deno.test("early grants: who went away before the answer gets nothing, and the next one does", () =>
  withCluster(async (cluster) => {
    const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
    const { body: held } = await a!.acquire("x", request("holder"), slow());
    const gone = new AbortController();
    const who = { ...slow(), anonymous: true as const, signal: gone.signal };
    const waiting = assertRejects(
      () => b!.acquire("x", request("gone", { waitMs: 60_000, renews: true }), who),
      DOMException,
    );
    await until("it waits", async () => viewGrants(await stateAt(cluster, "a")).waiters.length === 1);
    const next = c!.acquire("x", request("next", { waitMs: 60_000, renews: true }), slow());
    await until("both wait", async () => viewGrants(await stateAt(cluster, "a")).waiters.length === 2);
    // It is in the middle of being handed over.
    const released = a!.release("x", held.fence, slow());
    gone.abort();
    await Promise.all([released, waiting]);
    const { body } = await next;
    assertEquals(body.holder, "next");
    assert(BigInt(body.fence) > BigInt(held.fence));
  }));

Deno.test("early grants: leaders and holders of permits are told early too", () =>
  withCluster(async (cluster) => {
    const [a, b] = cluster.ids.map((id) => cluster.node(id));
    const { body: led } = await a!.elections.campaign("x", { candidate: "one", ttlMs: 30_000, waitMs: 0 }, slow());
    const campaign = { candidate: "two", ttlMs: 30_000, waitMs: 60_000, renews: true };
    const leading = b!.elections.campaign("x", campaign, slow());
    await until("it waits", async () => {
      return (await a!.elections.get("x", { stale: false, timeoutMs: 30_000 })).body.waiterCount === 1;
    });
    await a!.elections.resign("x", led.term, slow());
    assertEquals((await leading).body.guaranteedForMs, TOLD_MS);
    const take = { limit: 1, permits: 1, ttlMs: 30_000, lockDelayMs: 0 };
    const { body: taken } = await a!.semaphores.take("x", { ...take, holder: "one", waitMs: 0 }, slow());
    const waits = b!.semaphores.take("x", { ...take, holder: "two", waitMs: 60_000, renews: true }, slow());
    await until("it waits", async () => {
      return (await a!.semaphores.get("x", { stale: false, timeoutMs: 30_000 })).body.waiterCount === 1;
    });
    await a!.semaphores.release("x", taken.fence, slow());
    assertEquals((await waits).body.guaranteedForMs, TOLD_MS);
  }));

Deno.test("confirmations: one is sent after a moment, or with the next command about its grant, and once", async () => {
  const clock = new ManualClock();
  const confirmations = new Confirmations(clock);
  const sent: string[] = [];
  confirmations.later("a", "1025", () => sent.push("a 1025"));
  confirmations.later("a", "2049", () => sent.push("a 2049"));
  confirmations.now("b", "1025");
  await clock.pass(CONFIRM_AFTER_MS - 1);
  assertEquals(sent, []);
  confirmations.now("a", "2049");
  assertEquals(sent, ["a 2049"]);
  await clock.pass(1);
  confirmations.now("a", "1025");
  await clock.pass(10 * CONFIRM_AFTER_MS);
  assertEquals(sent, ["a 2049", "a 1025"]);
});
