/** The peer secret of a real cluster is changed node by node, without a moment in which it does not serve. */
import { assert, assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { call, RealCluster } from "./real_cluster.ts";

const OLD = "a secret of this test only";
const NEW = "another secret of this test";

Deno.test("two live peer secrets: a cluster goes from one to the other, serving at every step; a node left behind is out", async () => {
  const cluster = await RealCluster.start(3);
  try {
    let fence = 0n;
    const restart = async (id: string, secrets: string) => {
      await cluster.kill(id);
      await cluster.startNode(id, [], { env: { QUORATE_PEER_SECRET: secrets } });
      // Ready says that a quorum answers it, so that its signature is accepted; and so is theirs by it.
      for (const via of cluster.ids) {
        // However busy the machine is.
        const grant = await call(cluster.url(via), "POST", "/v1/locks/rotated?timeoutMs=20000", {});
        assertEquals(grant?.status, 200, `${id} has ${secrets}: ${via} says ${JSON.stringify(grant?.body)}`);
        assert(BigInt(`${grant!.body["fence"]}`) > fence);
        fence = BigInt(`${grant!.body["fence"]}`);
        const other = cluster.ids.find((another) => another !== via)!;
        assertEquals((await call(cluster.url(other), "DELETE", `/v1/locks/rotated/${fence}`))?.status, 200);
      }
    };
    // Each accepts both before any signs with the new one, and all sign with it before the old one goes.
    for (const secrets of [`${OLD},${NEW}`, `${NEW},${OLD}`, NEW]) {
      for (const id of cluster.ids) await restart(id, secrets);
    }

    await cluster.kill("c");
    await cluster.startNode("c", [], { ready: false, env: { QUORATE_PEER_SECRET: OLD } });
    await until(
      () => `c answers: ${cluster.output("c")}`,
      async () => await call(cluster.url("c"), "GET", "/healthz") !== null,
    );
    assertEquals((await call(cluster.url("c"), "GET", "/readyz"))?.body["code"], "not-ready");
    const lost = await call(cluster.url("c"), "POST", "/v1/locks/rotated?timeoutMs=300", {});
    assertEquals(lost?.status, 503, JSON.stringify(lost?.body));
    assertEquals((await call(cluster.url("a"), "POST", "/v1/locks/rotated", {}))?.status, 200);
  } finally {
    await cluster.stop();
  }
});
