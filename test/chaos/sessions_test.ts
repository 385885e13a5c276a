/** Sessions on three real processes: the death of a node ends none, the silence of a client does, and for good. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { call, callAny, pause, RealCluster, type Reply } from "./real_cluster.ts";

const TTL_MS = 5_000;
/** A machine may be so busy that a client is silent against its will: then it is tried anew. */
const TRIES_MAX = 4;
/** Without a pause between them. */
const ENDED_TRIES = 10_000;

function said(reply: Reply | null, status: number): Record<string, unknown> {
  assertEquals(reply?.status, status, JSON.stringify(reply?.body));
  return reply!.body;
}

async function statusOf(url: string): Promise<number> {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.status;
}

Deno.test("real processes: a session outlives the node of its client, and not the silence of its client", async (t) => {
  const cluster = await RealCluster.start(3);
  const [a, b, c] = cluster.ids.map((id) => cluster.url(id)) as [string, string, string];
  try {
    let session = "";
    let fence = "";
    await t.step("opened here, bound there, listed elsewhere", async () => {
      for (let i = 0; i < TRIES_MAX && fence === ""; i++) {
        session = String(said(await call(a, "POST", "/v1/sessions", { ttlMs: TTL_MS }), 200)["id"]);
        const lock = await call(b, "POST", "/v1/locks/l", { session, holder: "me", waitMs: 60_000 });
        if (lock?.status === 200) fence = String(lock.body["fence"]);
      }
      const put = await fetch(`${c}/v1/kv/svc%2Fme?session=${session}`, { method: "PUT", body: "10.0.0.1" });
      await put.body?.cancel();
      assertEquals(put.status, 200);
    });

    await t.step("its client's node is killed: kept through another it lives on, for longer than its ttl", async () => {
      await cluster.kill("a");
      let keptMs = performance.now();
      const untilMs = keptMs + TTL_MS * 1.5;
      let isKept = true;
      while (isKept && performance.now() < untilMs) {
        const sentMs = performance.now();
        const reply = await callAny([b, c], 0, "PUT", `/v1/sessions/${session}`, undefined, 5);
        if (reply?.status === 200) keptMs = sentMs;
        else isKept = false;
        await pause(100);
      }
      // Only its own silence may have ended it.
      assert(isKept || performance.now() - keptMs > TTL_MS * 0.99, "it was kept, and yet it ended");
      if (isKept) {
        const { holders } = said(await call(c, "GET", "/v1/locks/l"), 200) as { holders: { fence: string }[] };
        assertEquals(holders.map((holder) => holder.fence), [fence]);
        assertEquals(await statusOf(`${b}/v1/kv/svc%2Fme`), 200);
      }
      await cluster.startNode("a");
    });

    await t.step("its client falls silent: who waits gets the lock, and the value is gone", async () => {
      const next = said(await callAny([a, b], 0, "POST", "/v1/locks/l", { holder: "next", waitMs: 60_000 }, 5), 200);
      assertGreater(BigInt(String(next["fence"])), BigInt(fence));
      await until("the value is gone", async () => await statusOf(`${c}/v1/kv/svc%2Fme`) === 404);
      const { items } = said(await call(c, "GET", "/v1/locks/l/history"), 200) as { items: { end: string }[] };
      assertEquals(items.map(({ end }) => end), ["session"]);
    });

    await t.step("it never comes back, not even after every node was killed", async () => {
      await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
      await Promise.all(cluster.ids.map((id) => cluster.startNode(id)));
      for (const url of [a, b, c]) {
        const lost = said(await call(url, "PUT", `/v1/sessions/${session}`), 410);
        assertEquals([lost["code"], lost["session"]], ["lost", session]);
        assertEquals(said(await call(url, "POST", "/v1/locks/m", { session }), 410)["code"], "lost");
      }
      assertEquals(said(await call(b, "GET", "/v1/locks/m"), 200)["state"], "free");
    });

    await t.step(
      "the node that ends one is killed in the same breath: what it held is to be had all the same",
      async () => {
        const mine = String(said(await call(b, "POST", "/v1/sessions", { ttlMs: 3_600_000 }), 200)["id"]);
        for (let i = 0; i < 40; i++) said(await call(b, "POST", `/v1/locks/n${i}`, { session: mine }), 200);
        const ending = call(b, "DELETE", `/v1/sessions/${mine}`);
        let isEnded = false;
        for (let i = 0; i < ENDED_TRIES && !isEnded; i++) {
          isEnded = (await call(c, "GET", `/v1/sessions/${mine}`))?.status === 410;
        }
        await cluster.kill("b");
        await ending;
        assert(isEnded);
        for (let i = 0; i < 40; i++) {
          said(await callAny([a, c], i, "POST", `/v1/locks/n${i}`, { holder: "next", waitMs: 20_000 }, 5), 200);
        }
      },
    );
  } finally {
    await cluster.stop();
  }
});
