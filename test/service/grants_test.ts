import { assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { realClock } from "../../src/compose/world.ts";
import { QuorateError } from "../../src/errors.ts";
import { DEDUP_WINDOW, PLACE_TTL_MS } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";
import type { Caller, LockService } from "../../src/service/service.ts";
import { withCluster } from "../trace/observed_cluster.ts";

const machine = createMachine({ digest: sha256Hex });
const HOUR_MS = 3_600_000;

/** Which node keeps the place of that key in the queue of `x`, as the record of `id` has it. */
async function keeperOf(cluster: MemoryCluster, id: string, key: string): Promise<string | null> {
  const record = await cluster.store(id).update("lock/x", (record) => ({ record: null, reply: record }));
  return record === null ? null : machine.placeOfCommand(record.state, "tester", key)?.place.node ?? null;
}

Deno.test("grants: a place that another node keeps by now is given up all the same, not only said to be", async () => {
  const cluster = await memoryCluster(3);
  try {
    const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
    const waiters = async () => (await b!.get("x", { stale: false, timeoutMs: 30_000 })).body.waiterCount;
    const slow = () => caller();
    await a!.acquire("x", request("holder"), slow());
    const mine = slow();
    const asked = request("waiter", { waitMs: 10_000 });
    const first = assertRejects(() => a!.acquire("x", asked, mine), QuorateError);
    await until("it waits through a", async () => await keeperOf(cluster, "c", mine.idempotencyKey) === "a");
    cluster.network.cut("a", "c");
    cluster.network.cut("b", "c");
    const again = assertRejects(() => b!.acquire("x", asked, mine), QuorateError);
    await until("b keeps its place", async () => await keeperOf(cluster, "b", mine.idempotencyKey) === "b");
    assertEquals(await keeperOf(cluster, "c", mine.idempotencyKey), "a");
    cluster.network.heal("a", "c");
    cluster.network.heal("b", "c");
    const left = await c!.leave("x", mine.idempotencyKey, slow());
    assertEquals(left.body.outcome, "left");
    assertEquals(await waiters(), 0);
    for (const waiting of [first, again]) assertEquals((await waiting).code, "held");
  } finally {
    cluster.close();
  }
});

/** One waits through `a`, one behind it through `c`; with what `elsewhere` does of the same request at `b`, the first has its turn. */
async function keepsItsTurn(
  elsewhere: (
    b: LockService,
    asked: ReturnType<typeof request>,
    who: Caller,
    keeper: (at: string) => Promise<string | null>,
  ) => Promise<void>,
): Promise<void> {
  const clock = fastClock(20);
  const cluster = await memoryCluster(3, { clock });
  try {
    const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
    const slow = () => caller({ timeoutMs: 60_000 });
    const held = await c!.acquire("x", request("holder", { ttlMs: HOUR_MS }), slow());
    const mine = slow();
    const keeper = (at: string) => keeperOf(cluster, at, mine.idempotencyKey);
    const asked = request("waiter", { waitMs: 200_000, ttlMs: HOUR_MS });
    const waiting = a!.acquire("x", asked, mine);
    await until("it waits through a", async () => await keeper("b") === "a");
    const behind = c!.acquire("x", request("other", { waitMs: 200_000, ttlMs: HOUR_MS }), slow());
    // Whichever fails is told of where it is waited for.
    for (const one of [waiting, behind]) one.catch(() => {});
    const waiters = async () => (await b!.get("x", { stale: false, timeoutMs: 60_000 })).body.waiterCount;
    await until("both wait", async () => await waiters() === 2);
    await elsewhere(b!, asked, mine, keeper);
    await new Promise<void>((resolve) => clock.after(2 * PLACE_TTL_MS, resolve));
    await c!.release("x", held.body.fence, slow());
    const first = await Promise.race([waiting, behind]);
    assertEquals(first.body.holder, "waiter");
    await a!.release("x", first.body.fence, slow());
    await behind;
  } finally {
    cluster.close();
  }
}

Deno.test("grants: a try whose caller has gone takes no place over from the node that keeps it for another try", () =>
  keepsItsTurn(async (b, asked, mine, keeper) => {
    // As a node that was slow does, whose client has been answered by another.
    await assertRejects(() => b.acquire("x", asked, { ...mine, signal: AbortSignal.abort() }), DOMException);
    assertEquals(await keeper("a"), "a");
  }));

Deno.test("grants: a place that was taken over for a try whose caller then goes is kept for the try that still waits", () =>
  keepsItsTurn(async (b, asked, mine, keeper) => {
    const gone = new AbortController();
    const again = assertRejects(() => b.acquire("x", asked, { ...mine, signal: gone.signal }), DOMException);
    await until("b keeps its place", async () => await keeper("a") === "b");
    gone.abort();
    await again;
    await until("a keeps its place", async () => await keeper("b") === "a");
  }));

Deno.test("grants: a waiter that went away and was taken out of the queue is looked for no more", async () => {
  const clock = fastClock(50);
  const cluster = await memoryCluster(3, { clock });
  try {
    const [a, b] = cluster.ids.map((id) => cluster.node(id).locks);
    const slow = () => caller({ timeoutMs: 60_000 });
    await a!.acquire("x", request("holder", { ttlMs: 600_000 }), slow());
    const gone = new AbortController();
    const waiting = a!.acquire("x", request("waiter", { waitMs: 200_000 }), {
      ...slow(),
      anonymous: true,
      signal: gone.signal,
    });
    const waiters = async () => (await b!.get("x", { stale: false, timeoutMs: 60_000 })).body.waiterCount;
    await until("it waits", async () => await waiters() === 1);
    gone.abort();
    await assertRejects(() => waiting, DOMException);
    assertEquals(await waiters(), 0);
    let reads = 0;
    cluster.network.drop(({ content }) => {
      if (content.type === "read") reads++;
      return false;
    });
    await new Promise<void>((resolve) => clock.after(5_000, resolve));
    assertEquals(reads, 0);
  } finally {
    cluster.close();
  }
});

Deno.test("grants: a refusal of before a repeated take came is no answer to it, also at a node that is behind", async () => {
  const cluster = await memoryCluster(3);
  try {
    const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
    const slow = () => caller();
    const { body: held } = await a!.acquire("x", request("holder"), slow());
    await until("c knows", async () => (await c!.get("x", { stale: true, timeoutMs: 1 })).body.holders.length === 1);
    for (const peer of ["a", "b"]) cluster.network.cut(peer, "c");
    const mine = slow();
    const refused = await assertRejects(() => b!.acquire("x", request("me"), mine), QuorateError);
    assertEquals(refused.code, "held");
    await a!.release("x", held.fence, slow());
    for (const peer of ["a", "b"]) cluster.network.heal(peer, "c");
    const unknown = await assertRejects(() => c!.acquire("x", request("me"), mine), QuorateError);
    assertEquals([unknown.code, unknown.facts.idempotencyKey], ["outcome-unknown", mine.idempotencyKey]);
    // Nothing of it is under way that could be granted after yet another try was told that it is held.
    const { body: after } = await c!.get("x", { stale: false, timeoutMs: 30_000 });
    assertEquals([after.state, after.waiterCount], ["free", 0]);
    const { body } = await c!.acquire("x", request("me"), mine);
    assertEquals(body.holder, "me");
  } finally {
    cluster.close();
  }
});

Deno.test("grants: a node that no quorum tells how far it is passes on no refusal of another try: it may be an old one", async () => {
  const cluster = await memoryCluster(3);
  try {
    const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
    const slow = () => caller();
    await a!.acquire("x", request("holder"), slow());
    await until("c knows", async () => (await c!.get("x", { stale: true, timeoutMs: 1 })).body.holders.length === 1);
    for (const peer of ["a", "b"]) cluster.network.cut(peer, "c");
    const mine = slow();
    const refused = await assertRejects(() => b!.acquire("x", request("me"), mine), QuorateError);
    assertEquals(refused.code, "held");
    for (const peer of ["a", "b"]) cluster.network.heal(peer, "c");
    cluster.network.drop(({ from, content }) => from === "c" && content.type === "read");
    const again = await assertRejects(() => c!.acquire("x", request("me"), mine), QuorateError);
    assertEquals([again.code, again.facts.idempotencyKey], ["outcome-unknown", mine.idempotencyKey]);
  } finally {
    cluster.close();
  }
});

Deno.test("grants: a try whose place was left goes on where another try of the request has a newer one, and is else over", async () => {
  for (const isOver of [false, true]) {
    const cluster = await memoryCluster(3);
    try {
      const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
      const slow = () => caller();
      const { body: held } = await a!.acquire("x", request("holder"), slow());
      const mine = slow();
      const first = assertRejects(() => a!.acquire("x", request("me", { waitMs: 150 }), mine), QuorateError);
      await until("it waits", async () => await keeperOf(cluster, "b", mine.idempotencyKey) === "a");
      for (const peer of ["a", "c"]) cluster.network.cut(peer, "b");
      const behind = b!.acquire("x", request("me", { waitMs: 60_000 }), mine);
      assertEquals((await first).code, "held");
      await until("c knows", async () => await keeperOf(cluster, "c", mine.idempotencyKey) === null);
      const again = isOver ? null : c!.acquire("x", request("me", { waitMs: 60_000 }), mine);
      if (!isOver) {
        await until("it waits anew", async () => {
          return (await a!.get("x", { stale: false, timeoutMs: 30_000 })).body.waiterCount === 1;
        });
      }
      for (const peer of ["a", "c"]) cluster.network.heal(peer, "b");
      if (again === null) {
        assertEquals((await assertRejects(() => behind, QuorateError)).code, "held");
      } else {
        await until("it is kept by b", async () => await keeperOf(cluster, "b", `${mine.idempotencyKey} ~1`) !== null);
        await a!.release("x", held.fence, slow());
        const grants = await Promise.all([behind, again]);
        assertEquals(new Set(grants.map(({ body }) => body.fence)).size, 1);
      }
    } finally {
      cluster.close();
    }
  }
});

Deno.test("grants: a page asked for by age has what was granted so long ago by the lister's clock, renewed or not, and its cursor goes on", async () => {
  // An hour later than the nodes that grant.
  const late = { ...realClock, wall: () => realClock.wall() + HOUR_MS };
  const cluster = await memoryCluster(3, { clockOf: (id) => id === "c" ? late : null });
  try {
    const [a, b, c] = ["a", "b", "c"].map((id) => cluster.node(id));
    for (const name of ["x/1", "x/3"]) await a!.locks.acquire(name, request("h"), caller());
    await c!.locks.acquire("x/2", request("young"), caller());
    const { body: held } = await b!.locks.get("x/1", { stale: false, timeoutMs: 30_000 });
    await c!.locks.renew("x/1", held.lastFence, {}, caller());
    await a!.elections.campaign("x", { candidate: "me", ttlMs: 30_000, waitMs: 0 }, caller());
    await a!.semaphores.take(
      "x",
      { holder: "me", limit: 2, permits: 1, ttlMs: 30_000, waitMs: 0, lockDelayMs: 0 },
      caller(),
    );
    const page = { prefix: "x", limit: 10, cursor: null, timeoutMs: 30_000 };
    const namesOf = ({ items }: { readonly items: readonly { readonly name: string }[] }) =>
      items.map(({ name }) => name);
    const half = { ...page, heldForMs: HOUR_MS / 2 };
    assertEquals(namesOf(await c!.locks.list(half)), ["x/1", "x/3"]);
    assertEquals(namesOf(await a!.locks.list(half)), []);
    assertEquals(namesOf(await c!.elections.list(half)), ["x"]);
    assertEquals(namesOf(await c!.semaphores.list(half)), ["x"]);
    assertEquals(namesOf(await b!.semaphores.list(half)), []);
    const first = await c!.locks.list({ ...half, limit: 2 });
    assertEquals([namesOf(first), first.cursor], [["x/1"], "x/2"]);
    const rest = await c!.locks.list({ ...half, limit: 2, cursor: first.cursor });
    assertEquals([namesOf(rest), rest.cursor], [["x/3"], null]);
    await a!.locks.release(
      "x/3",
      (await a!.locks.get("x/3", { stale: false, timeoutMs: 30_000 })).body.lastFence,
      caller(),
    );
    assertEquals(namesOf(await c!.locks.list(half)), ["x/1"]);
    // Whoever asks acceptors directly gives no date.
    await a!.locks.acquire("y", request("direct"), caller({ hedge: 0, timeoutMs: 20_000 }));
    assertEquals(namesOf(await c!.locks.list({ ...page, prefix: "y" })), ["y"]);
    assertEquals(namesOf(await c!.locks.list({ ...page, prefix: "y", heldForMs: 0 })), []);
  } finally {
    await cluster.close();
  }
});

Deno.test("grants: a waiter that loses its place waits on, though its holder held the name before", () =>
  withCluster(3, async (cluster) => {
    const [a, b, c] = cluster.ids.map((id) => cluster.node(id).locks);
    const waiters = async () => (await a!.get("x", { stale: false, timeoutMs: 30_000 })).body.waiterCount;
    const before = (await a!.acquire("x", request("w"), caller())).body;
    await a!.release("x", before.fence, caller());
    const held = (await a!.acquire("x", request("other", { ttlMs: 600_000 }), caller())).body;
    const waiting = b!.acquire("x", request("w", { waitMs: 300_000, renews: true }), caller());
    await cluster.clock.sleep(500);
    // Its entry leaves the window, its place stays.
    for (let i = 0; i < 2 * DEDUP_WINDOW; i++) {
      assertEquals((await assertRejects(() => a!.acquire("x", request(`${i}`), caller()), QuorateError)).code, "held");
    }
    for (const peer of "ac") cluster.network.cut("b", peer);
    const next = c!.acquire("x", request("next", { waitMs: 300_000 }), caller());
    await cluster.clock.sleep(2 * PLACE_TTL_MS);
    assertEquals(await waiters(), 1, "its place has lapsed");
    for (const peer of "ac") cluster.network.heal("b", peer);
    await cluster.clock.sleep(PLACE_TTL_MS);
    assertEquals(await waiters(), 2);
    await a!.release("x", held.fence, caller());
    await c!.release("x", (await next).body.fence, caller());
    assertEquals((await waiting).body.holder, "w");
  }, { limitMs: 900_000 }));
