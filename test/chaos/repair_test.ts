/** Repair of a record on real processes and real Deno KV files: one that holds junk, then two. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ballotRow } from "../../src/store/key_space.ts";
import { run } from "../cli/command.ts";
import { until } from "../replica/clocks.ts";
import { call, RealCluster } from "./real_cluster.ts";

const KEY = "kv/x";

async function put(cluster: RealCluster, id: string, body: string): Promise<number> {
  const response = await fetch(`${cluster.url(id)}/v1/kv/x?timeoutMs=5000`, { method: "PUT", body });
  await response.body?.cancel();
  return response.status;
}

async function stale(cluster: RealCluster, id: string): Promise<string> {
  return await (await fetch(`${cluster.url(id)}/v1/kv/x?consistency=stale`)).text();
}

/** The gauge of names that the node says nothing of. */
async function gaugeOf(cluster: RealCluster, id: string): Promise<string | undefined> {
  const text = await (await fetch(`${cluster.url(id)}/metrics`)).text();
  return /^quorate_stopped_names (\d+)$/m.exec(text)?.[1];
}

/** Junk in the place of its record, while it is down. */
async function spoil(cluster: RealCluster, id: string): Promise<void> {
  await cluster.kill(id);
  using kv = await Deno.openKv(cluster.store(id));
  await kv.set(ballotRow(KEY), new TextEncoder().encode("junk"));
}

// Its stores are files: processes that serve one database are tried in shared_store_contract_test.ts.
Deno.test("repair on files: a command says first what it will do, then a record of junk is one of a quorum again", async (t) => {
  const cluster = await RealCluster.start(3, 0, { isolates: 1 });
  const urls = cluster.ids.map((id) => cluster.url(id)).join(",");
  const repair = (...more: string[]) => run(["repair", "x", "--noun", "kv", "--url", urls, ...more]);
  try {
    assertEquals(await put(cluster, "a", "sound"), 200);
    await until("c has x", async () => (await stale(cluster, "c")) === "sound");
    await spoil(cluster, "c");
    await cluster.startNode("c");

    await t.step("at first it only says what it would do", async () => {
      const { code, out } = await repair();
      const said = out.join("\n");
      assertEquals(code, 1, said);
      assertMatch(said, /^a\tsound\t2\t[0-9a-f]{32}\t-$/m);
      assertMatch(said, /^c\tdamaged\t-\t-\t.*damaged/m);
      assertMatch(said, /^c\trepair\t.*above instance 3/m);
      assertStringIncludes(said, "nothing was changed");
      assertEquals(await put(cluster, "c", "more"), 503);
      assertEquals(await gaugeOf(cluster, "c"), "1");
      const doctor = await run(["doctor", ...urls.split(",")]);
      assertMatch(doctor.out.join("\n"), /^critical\tstopped\tc .*kv x\n\t\tdo: quorate repair/m);
      assertMatch((await run(["status", "--url", urls])).out.join("\n"), /^c\t.*1 names stopped$/m);
    });

    await t.step("told to, it does that, and once is enough", async () => {
      const { code, out } = await repair("--yes");
      assertEquals(code, 0, out.join("\n"));
      assertMatch(out.join("\n"), /^c\trepaired\t[4-9]\t[0-9a-f]{32}$/m);
      const again = await repair("--yes");
      assertEquals([again.code, again.out.at(-1)], [0, "no record that was asked about is wrong"]);
      assertEquals(await gaugeOf(cluster, "c"), "0");
      await cluster.says("c", "answers here again");
    });

    await t.step("it votes, also after a restart", async () => {
      await cluster.kill("b");
      assertEquals(await put(cluster, "c", "later"), 200);
      await cluster.kill("c");
      await cluster.startNode("c");
      assertEquals(await put(cluster, "a", "last"), 200);
      assertEquals(await (await fetch(`${cluster.url("c")}/v1/kv/x`)).text(), "last");
      await cluster.startNode("b");
    });

    await t.step("two of three wrong: refused, until a person says which state it is to be", async () => {
      for (const id of ["a", "b"]) {
        await spoil(cluster, id);
        await cluster.startNode(id);
      }
      const seen = await repair("--json");
      const { members, plans } = JSON.parse(seen.out.join("\n"));
      assertEquals(plans.map(({ node, action }: Record<string, string>) => [node, action]), [["a", "accept"], [
        "b",
        "accept",
      ]]);
      const { hash, instance } = members[2];
      const both = await repair("--yes", "--accept", hash);
      assertEquals(both.code, 2, both.err.join("\n"));
      const one = await run(["repair", "x", "--noun", "kv", "--url", cluster.url("a"), "--yes", "--accept", hash]);
      assertEquals(one.code, 0, [...one.out, ...one.err].join("\n"));
      const rest = await repair("--yes");
      assertEquals(rest.code, 0, [...rest.out, ...rest.err].join("\n"));
      assertEquals(await put(cluster, "b", "after"), 200);
      const read = await call(cluster.url("a"), "GET", "/v1/status");
      assertEquals(read?.body["stopped"], undefined);
      const response = await fetch(`${cluster.url("c")}/v1/kv/x`);
      assertEquals(await response.text(), "after");
      assert(Number(response.headers.get("consensus-instance")) > instance + 2 ** 32);
    });
  } finally {
    await cluster.stop();
  }
});
