/** Lists of what has been held for long. */
import { assertEquals } from "@std/assert";
import { realClock } from "../../src/compose/world.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

const HOUR_MS = 3_600_000;

Deno.test("held for: a page has what was granted so long ago by the lister's clock, renewed or not, and its cursor goes on", async () => {
  // An hour later than the nodes that grant.
  const late = { ...realClock, wall: () => realClock.wall() + HOUR_MS };
  const cluster = await memoryCluster(3, { clockOf: (id) => id === "c" ? late : null });
  try {
    const [a, b, c] = ["a", "b", "c"].map((id) => cluster.node(id));
    for (const name of ["x/1", "x/3"]) await a!.locks.acquire(name, request("h"), caller());
    await c!.locks.acquire("x/2", request("young"), caller());
    const { body: held } = await b!.locks.get("x/1", { stale: false, timeoutMs: 3_000 });
    await c!.locks.renew("x/1", held.lastFence, {}, caller());
    await a!.elections.campaign("x", { candidate: "me", ttlMs: 30_000, waitMs: 0 }, caller());
    await a!.semaphores.take(
      "x",
      { holder: "me", limit: 2, permits: 1, ttlMs: 30_000, waitMs: 0, lockDelayMs: 0 },
      caller(),
    );
    const page = { prefix: "x", limit: 10, cursor: null, timeoutMs: 3_000 };
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
      (await a!.locks.get("x/3", { stale: false, timeoutMs: 3_000 })).body.lastFence,
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
