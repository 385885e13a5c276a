/** Linearizable reads (PROTOCOL.md §5) on whole nodes in memory. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { fastClock, SEED, seeded, until } from "./clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";

async function read(cluster: MemoryCluster, id: string, name: string, timeoutMs = 30_000) {
  return (await cluster.node(id).locks.get(name, { stale: false, timeoutMs })).body;
}

const TROUBLES = [
  { what: "all is calm", down: null, learnLost: false },
  { what: "every Learn is lost", down: null, learnLost: true },
  { what: "one acceptor is down", down: "d", learnLost: false },
  { what: "one acceptor is down and every Learn is lost", down: "b", learnLost: true },
] as const;

for (const n of [3, 4, 5]) {
  // The even one, whose quorums overlap most, under the worst only.
  const rounds = n === 3 ? 200 : 100;
  for (const { what, down, learnLost } of n === 4 ? TROUBLES.slice(-1) : TROUBLES) {
    const dead = down === "d" && n === 3 ? "c" : down;
    Deno.test(`reader, n=${n}: ${rounds} rounds, ${what}: a read through any node sees what any other acknowledged (seed ${SEED})`, async () => {
      const random = seeded(SEED + n);
      // Lost Learns cost the reads that follow a wait each; it need not be a real one.
      const cluster = await memoryCluster(n, learnLost ? { clock: fastClock(20) } : {});
      try {
        if (dead !== null) cluster.kill(dead);
        if (learnLost) cluster.network.drop(({ kind, content }) => kind === "request" && content.type === "learn");
        const up = cluster.ids.filter((id) => id !== dead);
        const any = () => up[Math.floor(random() * up.length)]!;
        let fence: string | null = null;
        for (let round = 0; round < rounds; round++) {
          const writer = any();
          if (fence === null) {
            const { body } = await cluster.node(writer).locks.acquire(
              "x",
              request(`r${round}`),
              caller({ timeoutMs: 30_000 }),
            );
            fence = body.fence;
          } else {
            await cluster.node(writer).locks.release("x", fence, caller({ timeoutMs: 30_000 }));
            fence = null;
          }
          const reader = any();
          const { state, holders } = await read(cluster, reader, "x");
          assertEquals(
            [state, holders[0]?.fence ?? null],
            [fence === null ? "free" : "held", fence],
            `round ${round}, written by ${writer}, read by ${reader}`,
          );
        }
      } finally {
        cluster.close();
      }
    });
  }
}

Deno.test("reader: a read of a calm key commits nothing anywhere", async () => {
  const cluster = await memoryCluster(5);
  try {
    await cluster.node("a").locks.acquire("calm", request("me"), caller());
    await until(
      "all have it",
      () => cluster.ids.every((id) => /"instance":2/.test(cluster.disk(id).records.get("lock/calm") ?? "")),
    );
    const seqs = () => cluster.ids.map((id) => cluster.store(id).seq());
    const before = seqs();
    for (const id of cluster.ids) await read(cluster, id, "calm");
    for (const id of cluster.ids) await read(cluster, id, "never used");
    assertEquals(seqs(), before);
    assert(!cluster.disk("a").records.has("lock/never used"));
  } finally {
    cluster.close();
  }
});

Deno.test("reader: a value that its dead proposer may have answered for is finished by the read, and stays", async () => {
  const cluster = await memoryCluster(5);
  try {
    // a's Accept! reaches b and c only: with a's own vote, a proposer-inclusive quorum. Nothing comes back to a.
    cluster.network.drop(({ kind, from, to, content }) =>
      kind === "reply" && to === "a" ||
      kind === "request" && from === "a" && ["d", "e"].includes(to) && content.type === "accept"
    );
    const same = caller({ timeoutMs: 60 });
    const lost = cluster.node("a").locks.acquire("stuck", request("me"), same).catch(() => null);
    const voted = (id: string) => /"vote":\{/.test(cluster.disk(id).records.get("lock/stuck") ?? "");
    await until("b and c voted", () => voted("b") && voted("c"));
    cluster.kill("a");
    const first = await read(cluster, "d", "stuck");
    assertEquals(first.holders.map(({ holder }) => holder), ["me"]);
    for (const id of ["e", "b", "c"]) assertEquals((await read(cluster, id, "stuck")).lastFence, first.lastFence);
    await lost;
    const again = await cluster.node("e").locks.acquire("stuck", request("me"), { ...same, timeoutMs: 3_000 });
    assertEquals(again.body.fence, first.lastFence);
  } finally {
    cluster.close();
  }
});

Deno.test("reader: what its read showed as undecided stays so: a vote too few is not shown and then taken back", async () => {
  const cluster = await memoryCluster(5);
  try {
    // Only b hears of it; with a gone, nobody can have answered.
    cluster.network.drop(({ kind, from, to, content }) =>
      kind === "reply" && to === "a" ||
      kind === "request" && from === "a" && to !== "b" && content.type === "accept"
    );
    const lost = cluster.node("a").locks.acquire("few", request("me"), caller({ timeoutMs: 60 })).catch(() => null);
    await until("b voted", () => /"vote":\{/.test(cluster.disk("b").records.get("lock/few") ?? ""));
    cluster.kill("a");
    await lost;
    const first = await read(cluster, "c", "few");
    for (let i = 0; i < 10; i++) {
      const next = await read(cluster, "bcde"[i % 4]!, "few");
      assert(BigInt(next.lastFence) >= BigInt(first.lastFence));
      if (first.state === "held") assertEquals(next.state, "held");
    }
    // Whatever it came to, the key works.
    const fence = (await read(cluster, "e", "few")).lastFence;
    if (fence !== "0") await cluster.node("e").locks.release("few", fence, caller());
    await cluster.node("d").locks.acquire("few", request("you"), caller());
  } finally {
    cluster.close();
  }
});

Deno.test("reader: reads while two nodes write at once never go back", async () => {
  const cluster = await memoryCluster(5);
  try {
    let writing = true;
    const writers = ["a", "b"].map(async (id) => {
      for (let i = 0; i < 40; i++) {
        const grant = await cluster.node(id).locks.acquire("both", request(id), caller()).catch(() => null);
        if (grant !== null) await cluster.node(id).locks.release("both", grant.body.fence, caller());
      }
    });
    Promise.all(writers).finally(() => writing = false);
    let last = 0n;
    let reads = 0;
    for (; writing && reads < 5_000; reads++) {
      const { revision } = await read(cluster, "cde"[reads % 3]!, "both");
      assert(BigInt(revision) >= last, `${revision} after ${last}`);
      last = BigInt(revision);
    }
    await Promise.all(writers);
    assert(reads > 0 && last > 0n);
  } finally {
    cluster.close();
  }
});

Deno.test("reader: without a read quorum it says no-quorum at its deadline, and answers again when there is one", async () => {
  const cluster = await memoryCluster(3);
  try {
    const { body } = await cluster.node("a").locks.acquire("gone", request("me"), caller());
    cluster.kill("b");
    cluster.kill("c");
    const refused = await assertRejects(() => read(cluster, "a", "gone", 200), QuorateError);
    assertEquals([refused.code, refused.facts.outcome], ["no-quorum", "none"]);
    await cluster.restart("c");
    assertEquals((await read(cluster, "a", "gone")).lastFence, body.fence);
  } finally {
    cluster.close();
  }
});

Deno.test("reader: a read whose first questions were lost asks again before its deadline", async () => {
  const cluster = await memoryCluster(3, { deadlineMs: 60 });
  try {
    const { body } = await cluster.node("a").locks.acquire("again", request("me"), caller());
    let asked = 0;
    cluster.network.drop(({ kind, content }) => kind === "request" && content.type === "read" && ++asked <= 2);
    assertEquals((await read(cluster, "a", "again", 1_500)).lastFence, body.fence);
  } finally {
    cluster.close();
  }
});

Deno.test("reader: a node that is behind answers with what the others know, and a stale read with what it knows itself", async () => {
  const cluster = await memoryCluster(3);
  try {
    cluster.network.drop(({ to, kind, content }) => to === "c" && kind === "request" && content.type !== "read");
    const { body } = await cluster.node("a").locks.acquire("behind", request("me"), caller());
    assertEquals((await read(cluster, "c", "behind")).lastFence, body.fence);
    const stale = await cluster.node("c").locks.get("behind", { stale: true, timeoutMs: 100 });
    assertEquals(stale.body.state, "free");
  } finally {
    cluster.close();
  }
});
