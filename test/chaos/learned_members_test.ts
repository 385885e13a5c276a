/** Clients and gateways that outlive every node they were given, on real processes. */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { directMembers, type DirectOp, submitDirect } from "../../src/client/direct.ts";
import { connect } from "../../src/mod.ts";
import { startGateway } from "./gateway_process.ts";
import { withMembers } from "./member_cluster.ts";
import { call } from "./real_cluster.ts";

const acquire: DirectOp = {
  type: "acquire",
  holder: "me",
  mode: "exclusive",
  ttlMs: 30_000,
  lockDelayMs: 0,
  atMs: 0,
};

Deno.test("learned members: a gateway and a client go on though no node lives that they were given; who must not learn does not", () =>
  withMembers("abc", async (cluster) => {
    const seeds = [..."abc"].map((id) => cluster.url(id));
    const gateways = [await startGateway(seeds), await startGateway(seeds, { QUORATE_FIXED_NODES: "1" })] as const;
    const [gateway, fixed] = gateways;
    try {
      const client = connect(seeds);
      const deaf = connect(seeds, { learnMembers: false, timeout: 1_000 });
      const behind = connect(gateway.url);
      const lock = await client.locks.acquire("kept", { ttl: 600_000 });
      let members = "abc";
      for (const [gone, next] of [["c", "d"], ["a", "e"], ["b", "f"]] as const) {
        members = await cluster.replace(members, gone, next);
        // What they are asked for tells them; who was replaced goes only then.
        for (let i = 0; i < 5; i++) {
          await client.kv.put("from-client", next);
          const put = await call(gateway.url, "PUT", "/v1/kv/from-gateway", { next });
          assertEquals([put?.status, put?.headers.get("quorate-epoch")], [200, null]);
          await behind.kv.put("from-behind", next);
        }
        await cluster.kill(gone);
      }
      assertEquals([...members].sort().join(""), "def");
      await client.kv.put("last", "1");
      assertEquals((await call(gateway.url, "GET", "/v1/kv/from-gateway"))?.body, { next: "f" });
      assertEquals((await call(gateway.url, "GET", "/readyz"))?.status, 200);
      assertEquals((await behind.kv.get("last"))?.text(), "1");
      await lock.release();
      assertEquals((await call(fixed.url, "GET", "/readyz"))?.status, 503);
      const error = await deaf.kv.get("last").then(() => null, (error) => error);
      assertEquals(error?.code, "not-ready");
      const text = await (await fetch(`${gateway.url}/metrics`)).text();
      for (const id of "def") assert(text.includes(`quorate_gateway_node_up{node="${cluster.url(id)}"} 1`), text);

      const options = { subject: "local", fetch, digest: (text: string) => Promise.resolve(sha256Hex(text)) };
      const listed = await directMembers(options, cluster.url("d"));
      assertEquals([listed?.epoch, Object.keys(listed!.members).sort().join("")], [3, "def"]);
      // The members are right, but the epoch is not: nobody votes, and a node settles it, once.
      const old = { ...options, members: listed!.members };
      assertEquals(await submitDirect(old, "lock/direct", acquire, "k1", 0), { type: "unsettled" });
      const headers = { "Idempotency-Key": "k1", "Quorate-Hedge": "0" };
      const settled = await call(cluster.url("e"), "POST", "/v1/locks/direct", { holder: "me" }, headers);
      assertEquals(settled?.status, 200);
      const fence = `${settled!.body["fence"]}`;
      const renew: DirectOp = { type: "renew", fence };
      let outcome: string | null = null;
      // An acceptor that has not learned of what was decided last casts no vote, and the command may be decided later: another
      // is another request, that goes on from what a node has read.
      for (let i = 0; i < 50 && outcome === null; i++) {
        const seen = await call(cluster.url("e"), "GET", "/v1/locks/direct");
        const born = Number(seen!.headers.get("consensus-instance"));
        const end = await submitDirect({ ...options, ...listed! }, "lock/direct", renew, `renew-${i}`, born);
        if (end.type === "decided") outcome = end.result.outcome;
      }
      assertEquals(outcome, "renewed");
      assertEquals((await call(cluster.url("e"), "DELETE", `/v1/locks/direct/${fence}`))?.status, 200);
      assertEquals((await call(cluster.url("e"), "GET", "/v1/locks/direct"))?.body["state"], "free");
    } finally {
      for (const one of gateways) await one.stop();
    }
  }));
