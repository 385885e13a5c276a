/** What a trace is shown of the requests of every noun, and how it is drawn. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { chartOf } from "../../src/observe/chart.ts";
import { textChart } from "../../src/observe/chart_text.ts";
import { TraceRing } from "../../src/observe/trace.ts";
import { realClock } from "../../src/compose/world.ts";
import { KEY_PREFIXES, type WatchedNoun } from "../../src/nouns.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

const READ = { stale: false, timeoutMs: 30_000 };

Deno.test("traced: requests of every noun and their answers, good and bad, between the messages that decided them", async () => {
  const rings = new Map(["a", "b", "c"].map((id) => [id, new TraceRing(id, realClock)]));
  const cluster = await memoryCluster(3, { trace: (id) => rings.get(id)! });
  try {
    const { locks, elections, semaphores, registers, sessions } = cluster.node("b");
    const list = { prefix: "", limit: 1, cursor: null, timeoutMs: 30_000 };
    await locks.release("n", (await locks.acquire("n", request("h"), caller())).body.fence, caller());
    await locks.list(list);
    await elections.campaign("n", { candidate: "h", ttlMs: 30_000, waitMs: 0 }, caller());
    await assertRejects(() => elections.campaign("n", { candidate: "i", ttlMs: 30_000, waitMs: 0 }, caller()));
    await semaphores.take(
      "n",
      { holder: "h", ttlMs: 30_000, waitMs: 0, lockDelayMs: 0, limit: 2, permits: 1 },
      caller(),
    );
    await registers.put("n", { bytes: "dg==", contentType: "text/plain" }, caller({ idempotencyKey: "put-it" }));
    await registers.get("n", READ);
    const { id } = (await sessions.open({ holder: "h", ttlMs: 30_000 }, caller())).body;
    await sessions.keep(id, caller());
    await sessions.end(id, caller());

    const shown = (noun: WatchedNoun, name: string) =>
      rings.get("b")!.events(KEY_PREFIXES[noun] + name).flatMap((event) =>
        event.kind === "response" ? [`${event.what}: ${event.outcome}`] : event.kind === "request" ? [event.what] : []
      );
    assertEquals(shown("lock", "n"), ["acquire", "acquire: ok", "release", "release: ok"]);
    assertEquals(shown("election", "n"), ["campaign", "campaign: ok", "campaign", "campaign: led"]);
    assertEquals(shown("semaphore", "n"), ["take", "take: ok"]);
    assertEquals(shown("kv", "n"), ["put", "put: ok", "get", "get: ok"]);
    assertEquals(shown("session", id), ["keep", "keep: ok", "end", "end: ok"]);
    const chart = textChart(chartOf([...rings.values()].map((ring) => ring.events("kv/n"))));
    assert(
      /request put c1[^]*Accept![^]*response put c1: ok, (open-)?fast 1[^]*response get: ok, read/.test(chart),
      chart,
    );
  } finally {
    cluster.close();
  }
});
