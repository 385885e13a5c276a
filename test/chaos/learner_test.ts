/** A node that does not vote, as a process of its own beside three members. */
import { assert, assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { call, RealCluster, type Reply } from "./real_cluster.ts";

const OPEN_TRIES = 20;

type Holders = readonly { readonly fence: string }[];

Deno.test("learner process: learns, serves reads and writes, comes back, and makes no quorum", async (t) => {
  const cluster = await RealCluster.start(3, 1);
  const [a, v] = [cluster.url("a"), cluster.url("v")];
  const staleUntil = async (name: string, holders: number) => {
    let reply: Reply | null = null;
    await until(() => `${name} has ${holders} holders: ${cluster.output("v")}`, async () => {
      reply = await call(v, "GET", `/v1/locks/${name}?consistency=stale`);
      return (reply?.body["holders"] as Holders | undefined)?.length === holders;
    });
    return reply! as Reply;
  };
  try {
    await t.step("it says that it does not vote", async () => {
      const status = await call(v, "GET", "/v1/status");
      assertEquals([status?.body["voting"], status?.body["reason"]], [false, "learner"]);
      await cluster.says("v", "is now a learner of cluster");
    });

    await t.step("what a member decides it has a moment later, and says how old that is", async () => {
      const taken = await call(a, "POST", "/v1/locks/x", { holder: "me" });
      const stale = await staleUntil("x", 1);
      assertEquals((stale.body["holders"] as Holders)[0]?.fence, taken?.body["fence"]);
      assert(/^[0-9]+$/.test(stale.headers.get("quorate-stale-ms") ?? ""));
      const now = await call(v, "GET", "/v1/locks/x");
      assertEquals((now?.body["holders"] as Holders)[0]?.fence, taken?.body["fence"]);
    });

    await t.step("it takes requests, openly, in order with those of members", async () => {
      // A member that a busy machine keeps waiting makes it a recovery, and then another name is tried.
      const paths: (string | null | undefined)[] = [];
      for (let i = 0; i < OPEN_TRIES && paths.at(-1) !== "open-fast"; i++) {
        const taken = await call(v, "POST", `/v1/locks/open-${i}`, { holder: "me" });
        assertEquals(taken?.status, 200);
        paths.push(taken?.headers.get("consensus-path"));
      }
      assertEquals(paths.at(-1), "open-fast", paths.join());
      const taken = await call(v, "POST", "/v1/locks/y", { holder: "me" });
      assertEquals((await call(a, "POST", "/v1/locks/y", { holder: "you" }))?.status, 409);
      const fence = taken?.body["fence"];
      assertEquals((await call(v, "PUT", `/v1/locks/y/${fence}`))?.status, 200);
      const waiting = call(v, "POST", "/v1/locks/y", { holder: "next", waitMs: 20_000 });
      await until("it waits", async () => (await call(a, "GET", "/v1/locks/y"))?.body["waiterCount"] === 1);
      assertEquals((await call(a, "DELETE", `/v1/locks/y/${fence}`))?.body["outcome"], "released");
      assertEquals((await waiting)?.body["holder"], "next");
    });

    await t.step("killed and started again it catches up, though nobody uses the key any more", async () => {
      await cluster.kill("v");
      assertEquals((await call(a, "POST", "/v1/locks/z", { holder: "me" }))?.status, 200);
      await cluster.startNode("v");
      await staleUntil("z", 1);
    });

    await t.step("with one member down it still serves; with two it is no substitute for them", async () => {
      await cluster.kill("c");
      assertEquals((await call(v, "POST", "/v1/locks/one-down", { holder: "me" }))?.status, 200);
      await cluster.kill("b");
      for (const url of [a, v]) {
        const write = await call(url, "POST", "/v1/locks/two-down?timeoutMs=1500", { holder: "me" });
        assert([503, 504].includes(write?.status ?? 0), JSON.stringify(write));
        assertEquals((await call(url, "GET", "/v1/locks/x?timeoutMs=500"))?.body["code"], "no-quorum");
      }
      assertEquals((await call(v, "GET", "/readyz"))?.status, 503);
      await staleUntil("x", 1);
    });
  } finally {
    await cluster.stop();
  }
});
