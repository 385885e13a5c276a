/** The parts of `deno task chaos` together, on real processes and short: that they find nothing, and that they could. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { limitedFiles, mountDisks } from "./disk.ts";
import { History } from "./history.ts";
import { PausedHolders } from "./paused_holders.ts";
import { votesOf } from "./quarantine.ts";
import { call, RealCluster } from "./real_cluster.ts";
import { lostUpdates, Resource } from "./resource.ts";
import { runMix } from "./run_mix.ts";
import { LOCKS, Workload } from "./workload.ts";

Deno.test("a short mix: lossy links between five nodes; nothing is lost, and everything can be written again", async () => {
  const result = await runMix({ mix: "lossy", seed: 1, calmMs: 400, faultsMs: 2_000 }, () => {});
  assertEquals([result.lost, result.contradictions, result.fencedViolations], [[], [], []]);
  assertGreater(result.grants, 0);
  assertEquals(result.heal.writable.length, LOCKS);
  const { carried, ...faults } = result.links;
  assertGreater(carried, 0);
  assertGreater(Object.values(faults).reduce((a, b) => a + b), 0);
  // It was read back: each lock through each node.
  const read = new Set(
    result.history.operations.filter(({ process }) => process === "reader").map(({ key, node }) => `${key} ${node}`),
  );
  const keys = new Set(result.history.operations.map(({ key }) => key));
  assertEquals(read.size, keys.size * 5);
});

Deno.test("the control: a holder process that was stopped writes late, which only the fence check survives", async () => {
  const cluster = await RealCluster.start(1);
  const nodes = new Map([["a", cluster.url("a")]]);
  const [guarded, unguarded] = [new Resource({ guarded: true }), new Resource({ guarded: false })];
  const options = { nodes, history: new History(), seed: 1, guarded, unguarded };
  const [holders, workload] = [new PausedHolders(options), new Workload(options)];
  try {
    await until("an update is lost", () => lostUpdates(unguarded.writes).length > 0 && guarded.refused > 0);
    assertEquals(lostUpdates(guarded.writes), []);
    assertGreater(holders.pauses, 0);
  } finally {
    await Promise.all([holders.stop(), workload.stop()]);
    await cluster.stop();
  }
});

Deno.test("rollback: the watch complains of a node that votes, and of one that is never found out", async () => {
  const cluster = await RealCluster.start(1);
  try {
    assertEquals(await votesOf(cluster, "a", () => false), ["a votes with a store that was put back"]);
    await cluster.kill("a");
    assertEquals(await votesOf(cluster, "a", () => true, 3), ["a was not found out: its store was put back"]);
  } finally {
    await cluster.stop();
  }
});

for (const [kind, open] of Object.entries({ tmpfs: mountDisks, RLIMIT_FSIZE: () => Promise.resolve(limitedFiles()) })) {
  const name = `full disk (${kind}): nothing is promised while it is full, and the node goes on when it is not`;
  Deno.test({
    name,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      const disks = await open(["a"]);
      if (disks === null) {
        console.log(`${kind}: this user may not mount, so this kind is not tried here`);
        return;
      }
      const store = disks.folder === null ? {} : { store: (id: string) => `${disks.folder!(id)}/store.sqlite` };
      const cluster = await RealCluster.start(1, 0, { through: disks.through, ...store });
      const take = (name: string) =>
        call(cluster.url("a"), "POST", `/v1/locks/${name}?timeoutMs=1000`, { holder: name });
      try {
        assertEquals((await take("before"))?.status, 200);
        await disks.fill(cluster, "a");
        const statuses: (number | undefined)[] = [];
        // The file may have room of its own for a few.
        await until("a write is refused", async () => {
          statuses.push((await take(`full-${statuses.length}`))?.status);
          return statuses.at(-1) !== 200;
        });
        assert([503, 504].includes(statuses.at(-1)!), `${statuses.at(-1)}`);
        await disks.free(cluster, "a");
        await until("it writes again", async () => (await take("after"))?.status === 200);
        for (const name of ["before", "after", ...statuses.slice(0, -1).map((_, i) => `full-${i}`)]) {
          const state = await call(cluster.url("a"), "GET", `/v1/locks/${name}`);
          assertEquals((state?.body["holders"] as { holder: string }[])[0]?.holder, name);
        }
      } finally {
        await cluster.stop();
        await disks.close();
      }
    },
  });
}
