/** A take that is repeated under its key: renewed for the request that repeats it, or lost (PROTOCOL.md §7). */
import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { VirtualClock } from "../sim/virtual_time.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

type World = { readonly cluster: MemoryCluster; readonly clock: VirtualClock };

async function withCluster(run: (world: World) => Promise<void>): Promise<void> {
  const clock = new VirtualClock();
  const cluster = await memoryCluster(3, { clock });
  try {
    await clock.run(run({ cluster, clock }), 120_000);
  } finally {
    cluster.close();
  }
}

const codeOf = async (run: () => Promise<unknown>) => (await assertRejects(run, QuorateError)).code;

Deno.test("repeated while it is held: the same fence, told as replayed, and its lease begins with this request", () =>
  withCluster(async ({ cluster, clock }) => {
    const key = caller({ idempotencyKey: "k", timeoutMs: 20_000 });
    const take = (id: string) => cluster.node(id).locks.acquire("x", request("me", { ttlMs: 8_000 }), key);
    const { body: first } = await take("a");
    assertEquals([first.replayed, first.guaranteedForMs], [undefined, 7_920]);
    // Each time more than half of it is over.
    for (const id of ["b", "c", "a", "b"]) {
      await clock.sleep(5_000);
      const { body } = await take(id);
      assertEquals([body.fence, body.replayed, body.guaranteedForMs], [first.fence, true, 7_920], id);
    }
    const { body: state } = await cluster.node("c").locks.get("x", { stale: false, timeoutMs: 20_000 });
    assertEquals(state.holders.map(({ fence }) => fence), [first.fence]);
  }));

Deno.test("repeated after its lease ran out it is renewed while its end is not decided, and lost once it is; a node alone does not say", () =>
  withCluster(async ({ cluster, clock }) => {
    const key = caller({ idempotencyKey: "k", timeoutMs: 5_000 });
    const take = (id: string) => cluster.node(id).locks.acquire("x", request("me", { ttlMs: 2_000 }), key);
    const { body: first } = await take("a");
    // The others have learned of it.
    await clock.sleep(100);
    cluster.network.drop(({ from, to }) => from === "a" || to === "a");
    await clock.sleep(first.lapsesInMs);
    // Nobody else asked, so nobody else has it or can have had it.
    const { body: again } = await take("c");
    assertEquals([again.fence, again.replayed, again.guaranteedForMs], [first.fence, true, 1_980]);
    await clock.sleep(again.lapsesInMs + 100);
    const { body: rival } = await cluster.node("b").locks.acquire("x", request("rival"), caller());
    assertGreater(BigInt(rival.fence), BigInt(first.fence));
    assertEquals(await codeOf(() => take("c")), "lost");
    // It hears nothing of the renewal that it sent, and from then on it knows that it is alone.
    assertEquals(await codeOf(() => take("a")), "outcome-unknown");
    assertEquals(await codeOf(() => take("a")), "no-quorum");
  }));

Deno.test("elections, semaphores and sessions: repeated they are renewed too, and count from the request that asked", () =>
  withCluster(async ({ cluster }) => {
    const key = caller({ idempotencyKey: "k", timeoutMs: 20_000 });
    const takes = {
      campaign: (id: string) =>
        cluster.node(id).elections.campaign("x", { candidate: "me", ttlMs: 9_000, waitMs: 0 }, key),
      take: (id: string) =>
        cluster.node(id).semaphores.take(
          "x",
          { holder: "me", ttlMs: 9_000, waitMs: 0, lockDelayMs: 0, limit: 2, permits: 1 },
          key,
        ),
      open: (id: string) => cluster.node(id).sessions.open({ holder: "me", ttlMs: 9_000 }, key),
    };
    for (const [what, take] of Object.entries(takes)) {
      assertEquals((await take("a")).body.replayed, undefined, what);
      const { body } = await take("b");
      assertEquals([body.replayed, body.guaranteedForMs], [true, 8_910], what);
    }
  }));

Deno.test("copies of one hedged request are one request: none of them is a repetition", () =>
  withCluster(async ({ cluster }) => {
    const hedged = caller({ idempotencyKey: "h", hedge: 0, timeoutMs: 20_000 });
    const answers = await Promise.all(
      cluster.ids.map((id) => cluster.node(id).locks.acquire("x", request("me"), hedged)),
    );
    assertEquals(answers.map(({ body }) => body.replayed), [undefined, undefined, undefined]);
  }));

Deno.test("a renewal is one each time it is sent, under whatever key; a leader's word is applied once", () =>
  withCluster(async ({ cluster, clock }) => {
    const slow = caller();
    const { body: grant } = await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 8_000 }), slow);
    const key = caller({ idempotencyKey: "renew", timeoutMs: 20_000 });
    for (const id of ["b", "c", "a", "b"]) {
      await clock.sleep(5_000);
      const { body } = await cluster.node(id).locks.renew("x", grant.fence, {}, key);
      assertEquals([body.fence, body.guaranteedForMs], [grant.fence, 7_920]);
    }
    const campaign = { candidate: "me", ttlMs: 60_000, waitMs: 0 };
    const { body: { term } } = await cluster.node("a").elections.campaign("e", campaign, slow);
    const say = (value: string, who = caller()) => cluster.node("b").elections.proclaim("e", term, { value }, who);
    const first = caller({ idempotencyKey: "word", timeoutMs: 20_000 });
    await say("one", first);
    await say("two");
    const { body } = await say("one", first);
    assertEquals(body.guaranteedForMs, 59_400);
    const { body: { leader } } = await cluster.node("c").elections.get("e", { stale: false, timeoutMs: 20_000 });
    assertEquals(leader?.value, "two");
  }));
