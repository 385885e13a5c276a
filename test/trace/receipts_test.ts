/** Which path each answer took, on whole nodes, with the Accept! messages held until all are on their way. */
import { assert, assertEquals } from "@std/assert";
import type { Answer, Grant } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { SEED, seeded } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

/** First Accept! of each of these nodes for `name`, all on their way before any arrives; `lateMs` orders them. */
async function collide(
  cluster: MemoryCluster,
  name: string,
  nodes: readonly string[],
  lateMs: (from: string, to: string) => number,
): Promise<Ended[]> {
  const undo = cluster.network.delay(({ kind, content, from, to }) => {
    const isProposal = kind === "request" && content.type === "accept" && content.key === `lock/${name}` &&
      content.instance === 1 && content.ballot[0] === 0 && content.ballot[2] === 0;
    return isProposal ? 20 + lateMs(from, to) : 0;
  });
  try {
    return await Promise.all(nodes.map((id) => ended(cluster.node(id).locks.acquire(name, request(id), caller()))));
  } finally {
    undo();
  }
}

type Ended = { readonly path: string; readonly ballot: string; readonly instance: number; readonly granted: boolean };

async function ended(answer: Promise<Answer<Grant>>): Promise<Ended> {
  try {
    const { receipt } = await answer;
    return { ...receipt, granted: true };
  } catch (error) {
    assert(error instanceof QuorateError && error.code === "held", `${error}`);
    const receipt = error.facts.receipt!;
    return { ...receipt, granted: false };
  }
}

Deno.test("receipts: two nodes of five, all up: fast for one, the next instance for the other", async () => {
  const cluster = await memoryCluster(5);
  try {
    const ends = await collide(
      cluster,
      "two",
      ["a", "b"],
      (from, to) => from === "a" && to === "e" || from === "b" && to !== "e" ? 20 : 0,
    );
    const [winner, loser] = [...ends].sort((x, y) => x.instance - y.instance) as [Ended, Ended];
    assertEquals(winner, { path: "fast", ballot: "0..0", instance: 1, granted: true });
    assertEquals(loser.granted, false);
    assertEquals(loser.instance, 2);
  } finally {
    cluster.close();
  }
});

const STUCK = [
  { n: 5, nodes: ["a", "b", "c"], down: [], why: "three nodes of five" },
  { n: 5, nodes: ["a", "b"], down: ["e"], why: "two nodes of five, one acceptor down" },
  { n: 4, nodes: ["a", "b"], down: [], why: "two nodes of four" },
] as const;

for (const { n, nodes, down, why } of STUCK) {
  Deno.test(`receipts: ${why}: stuck splits are recovered with nobody asking again (seed ${SEED})`, async () => {
    const random = seeded(SEED);
    const cluster = await memoryCluster(n);
    try {
      for (const id of down) cluster.kill(id);
      const paths: Record<string, number> = {};
      for (let round = 0; round < 12; round++) {
        const ends = await collide(cluster, `stuck-${round}`, nodes, () => Math.floor(random() * 30));
        assertEquals(ends.filter(({ granted }) => granted).length, 1, "one of them gets it");
        for (const { path, ballot } of ends) {
          // 0..1 is the standing ballot's recovery by its coordinator; others took a Prepare.
          const by = path === "recovered" && ballot !== "0..1" ? "recovered by Prepare" : path;
          paths[by] = (paths[by] ?? 0) + 1;
        }
      }
      console.log(why, JSON.stringify(paths));
      // Who recovers a split with an acceptor down depends on whose timer is first; that somebody does is the promise.
      const recovered = (paths["recovered"] ?? 0) + (paths["recovered by Prepare"] ?? 0);
      assert(recovered > 0, JSON.stringify(paths));
    } finally {
      cluster.close();
    }
  });
}
