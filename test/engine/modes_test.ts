/** Each mode of the standing ballot on whole nodes: who may propose, what it costs, what happens when nobody answers. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import type { ModeName } from "../../src/engine/modes.ts";
import { VirtualClock } from "../sim/virtual_time.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

const MODES = (["auto", "fast", "uncoordinated", "classic", "multi", "prepare"] as const).map((mode) => ({
  prefix: `lock/${mode}/`,
  mode,
}));

const withModes = (n: number) => memoryCluster(n, { modes: MODES });

for (const n of [3, 4, 5]) {
  for (const { mode } of MODES) {
    Deno.test(`modes, n=${n}: ${mode}: every node takes and releases in turn, each change decided once`, async () => {
      const cluster = await withModes(n);
      try {
        let last = 0n;
        for (const id of [...cluster.ids, ...cluster.ids]) {
          const { locks } = cluster.node(id);
          const { body: grant, receipt } = await locks.acquire(`${mode}/x`, request(id), caller());
          assertGreater(BigInt(grant.fence), last);
          last = BigInt(grant.fence);
          assert(PATHS[mode].includes(receipt.path), `${mode}: ${receipt.path}`);
          assertEquals((await locks.release(`${mode}/x`, grant.fence, caller())).body.outcome, "released");
        }
      } finally {
        cluster.close();
      }
    });
  }
}

const PATHS: Record<ModeName, readonly string[]> = {
  auto: ["fast", "open-fast", "classic"],
  fast: ["fast", "open-fast"],
  uncoordinated: ["fast", "open-fast"],
  classic: ["classic"],
  multi: ["recovered", "classic"],
  prepare: ["recovered"],
};

Deno.test("modes: multi: the first value pays a Prepare, those after it go through its proposer alone", async () => {
  const cluster = await withModes(5);
  try {
    const { body, receipt } = await cluster.node("b").locks.acquire("multi/y", request("me"), caller());
    assertEquals(receipt.path, "recovered");
    for (const id of ["b", "c", "e", "a"]) {
      const { receipt: next } = await cluster.node(id).locks.renew("multi/y", body.fence, {}, caller());
      assertEquals([next.path, next.ballot], ["classic", "0..0"], id);
    }
  } finally {
    cluster.close();
  }
});

Deno.test("modes: classic: a dead coordinator is taken over once, not at every instance", async () => {
  const cluster = await withModes(5);
  try {
    const { body } = await cluster.node("a").locks.acquire("multi/z", request("me"), caller());
    cluster.kill("a");
    const { receipt: takeover } = await cluster.node("c").locks.renew("multi/z", body.fence, {}, caller());
    assertEquals(takeover.path, "recovered");
    for (const id of ["c", "d", "e"]) {
      const { receipt } = await cluster.node(id).locks.renew("multi/z", body.fence, {}, caller());
      assertEquals(receipt.path, "classic", id);
    }
  } finally {
    cluster.close();
  }
});

for (const { n, down } of [{ n: 3, down: 0 }, { n: 4, down: 0 }, { n: 5, down: 0 }, { n: 5, down: 1 }]) {
  Deno.test(`modes, n=${n}, ${down} down: uncoordinated: collisions end with every command decided once`, async () => {
    const cluster = await withModes(n);
    try {
      for (const id of cluster.ids.slice(n - down)) cluster.kill(id);
      const paths: Record<string, number> = {};
      for (let round = 0; round < 15; round++) {
        const undo = cluster.network.delay(({ content }) => content.type === "accept" ? Math.random() * 30 : 0);
        const ends = await Promise.allSettled(
          cluster.ids.slice(0, 3).map((id) =>
            cluster.node(id).locks.acquire(`uncoordinated/c-${round}`, request(id), caller())
          ),
        );
        undo();
        const granted = ends.flatMap((end) => end.status === "fulfilled" ? [end.value] : []);
        assertEquals(granted.length, 1);
        const how = `${granted[0]!.receipt.path} ${granted[0]!.receipt.ballot.split(".")[0]}.${
          granted[0]!.receipt.ballot.split(".")[2]
        }`;
        paths[how] = (paths[how] ?? 0) + 1;
      }
      console.log(n, down, JSON.stringify(paths));
    } finally {
      cluster.close();
    }
  });
}

Deno.test("modes: a coordinator that may not vote is taken over at once: nobody waits for what it was given", async () => {
  const clock = new VirtualClock();
  const play = async () => {
    const cluster = await memoryCluster(5, { modes: MODES, clock, learners: 1 });
    try {
      const { body } = await cluster.node("a").locks.acquire("multi/q", request("me"), caller());
      await cluster.store("a").quarantine("for the test");
      const fromMs = clock.now();
      const { receipt } = await cluster.node("c").locks.renew("multi/q", body.fence, {}, caller());
      assertEquals(receipt.path, "recovered");
      // Its patience with one that is only silent is 100 ms or more.
      assert(clock.now() - fromMs < 100);
      await cluster.store("c").quarantine("for the test");
      const againMs = clock.now();
      await cluster.node("v").locks.renew("multi/q", body.fence, {}, caller());
      assert(clock.now() - againMs < 100);
    } finally {
      cluster.close();
    }
  };
  await clock.run(play(), 60_000);
});
