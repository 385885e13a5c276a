/** Amnesia on real processes and real Deno KV files: rolled back, emptied, copied (PROTOCOL.md §9). */
import { assert, assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { call, pause, RealCluster, type Reply } from "./real_cluster.ts";
import { copyStore, recordsOf, restoreStore, votesIn } from "./store_files.ts";

async function take(cluster: RealCluster, id: string, name: string): Promise<string> {
  const reply = await call(cluster.url(id), "POST", `/v1/locks/${name}`, { holder: "me", ttlMs: 3_600_000 });
  assertEquals(reply?.status, 200, JSON.stringify(reply));
  return String(reply!.body["fence"]);
}

/** Its /readyz, once it says what `pattern` wants. */
async function readyzSays(cluster: RealCluster, id: string, pattern: RegExp): Promise<Reply> {
  let last: Reply | null = null;
  await until(() => `${id} says ${pattern}; it says ${JSON.stringify(last?.body)}; ${cluster.output(id)}`, async () => {
    last = await call(cluster.url(id), "GET", "/readyz");
    return last !== null && pattern.test(String(last.body["detail"]));
  });
  return last! as Reply;
}

Deno.test("standing on files: a node whose file was put back from a copy is quarantined; the others go on without it", async (t) => {
  const cluster = await RealCluster.start(3);
  const copy = `${cluster.folder}/copy`;
  try {
    const held = new Map<string, string>();
    for (let i = 0; i < 5; i++) held.set(`before-${i}`, await take(cluster, "c", `before-${i}`));
    await cluster.kill("c");
    await copyStore(cluster, "c", copy);
    await cluster.startNode("c");
    for (let i = 0; i < 5; i++) held.set(`after-${i}`, await take(cluster, "c", `after-${i}`));
    await cluster.kill("c");
    await restoreStore(cluster, "c", copy);
    const before = await votesIn(cluster, "c");

    await t.step("its /readyz says so with 503, and so do its answers", async () => {
      await cluster.startNode("c", [], { ready: false });
      const { status, body } = await readyzSays(cluster, "c", /quarantined/);
      assertEquals([status, body["code"]], [503, "not-ready"]);
      const refused = await call(cluster.url("c"), "POST", "/v1/locks/mine?timeoutMs=300", {});
      assertEquals(refused?.status, 503, JSON.stringify(refused));
      // It is told once the quarantine is on disk.
      await cluster.says("c", "quarantined");
      const said = cluster.output("c").split("\n").filter((line) => /quarantined/.test(line));
      assertEquals(said.length, 1, cluster.output("c"));
    });

    await t.step("the others have everything acknowledged, and decide without it", async () => {
      for (const [name, fence] of held) {
        const state = await call(cluster.url("a"), "GET", `/v1/locks/${name}`);
        assertEquals((state!.body["holders"] as { fence: string }[])[0]?.fence, fence, name);
      }
      for (let i = 0; i < 5; i++) await take(cluster, "b", `without-${i}`);
      const status = await call(cluster.url("c"), "GET", "/v1/status");
      assertEquals(status?.body["voting"], false);
    });

    await t.step("it does not become the quorum that is missing", async () => {
      await cluster.kill("b");
      const refused = await call(cluster.url("a"), "POST", "/v1/locks/two-of-three?timeoutMs=500", {});
      assert(refused !== null && [503, 504].includes(refused.status), JSON.stringify(refused));
      await cluster.startNode("b");
    });

    await t.step("its file has no vote that was not in the copy, and a restart changes nothing", async () => {
      await cluster.kill("c");
      assertEquals(await votesIn(cluster, "c"), before);
      await cluster.startNode("c", [], { ready: false });
      await readyzSays(cluster, "c", /quarantined/);
    });
  } finally {
    await cluster.stop();
  }
});

Deno.test("standing on files: a node that lost its file never votes, and --init is refused while somebody knows it", async () => {
  const cluster = await RealCluster.start(3);
  try {
    const fence = await take(cluster, "b", "kept");
    await cluster.kill("b");
    await restoreStore(cluster, "b", null);

    await cluster.startNode("b", [], { ready: false });
    const { status } = await readyzSays(cluster, "b", /--init/);
    assertEquals(status, 503);
    await take(cluster, "a", "meanwhile");
    await cluster.kill("b");
    assertEquals(await recordsOf(cluster, "b"), []);

    await cluster.startNode("b", ["--init"], { ready: false });
    await cluster.says("b", "second life");
    await cluster.says("b", /[ac] has another store of member b on record/);
    await cluster.kill("b");
    assertEquals(await recordsOf(cluster, "b"), []);
    const state = await call(cluster.url("c"), "GET", "/v1/locks/kept");
    assertEquals((state!.body["holders"] as { fence: string }[])[0]?.fence, fence);
  } finally {
    await cluster.stop();
  }
});

Deno.test("standing on files: rolled back, and opened some times while nobody answered: still quarantined when they do", async () => {
  const cluster = await RealCluster.start(3);
  const copy = `${cluster.folder}/copy`;
  try {
    await take(cluster, "c", "before");
    await cluster.kill("c");
    await copyStore(cluster, "c", copy);
    // Two commits that others hear of: its start, and one vote for a lock of b.
    await cluster.startNode("c");
    await take(cluster, "c", "lost");
    await pause(50);
    for (const id of cluster.ids) await cluster.kill(id);
    await restoreStore(cluster, "c", copy);
    // Each open numbers a commit: after some of them the numbers alone hide what was lost.
    for (let i = 0; i < 6; i++) {
      await cluster.startNode("c", [], { ready: false });
      await readyzSays(cluster, "c", /waiting|quarantined/);
      await cluster.kill("c");
    }
    await Promise.all(cluster.ids.map((id) => cluster.startNode(id, [], { ready: false })));
    await Promise.all(["a", "b"].map((id) => cluster.ready(id)));
    let body: Record<string, unknown> = {};
    await until(() => `c is found out, or votes: ${JSON.stringify(body)}`, async () => {
      body = (await call(cluster.url("c"), "GET", "/v1/status"))?.body ?? {};
      return body["voting"] === true || /quarantined/.test(String(body["reason"]));
    });
    assertEquals(body["voting"], false, `it votes with a store that lost commits: ${JSON.stringify(body)}`);
  } finally {
    await cluster.stop();
  }
});
