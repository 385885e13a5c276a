/** What becomes of a request when something dies or is lost at the worst moment (PROTOCOL.md §1 and §4). */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { keyState } from "../../src/machine/state.ts";
import { until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";
import { nameOfCoordinator } from "./scenario.ts";

/** Three requests whose Accept! cross: each of the proposers has voted for its own before any other's arrives. */
function collide(cluster: MemoryCluster, name: string, nodes: readonly string[]) {
  // At c, d and e each arrives in another order, so that no value can get a quorum.
  const undo = cluster.network.delay(({ kind, content, from, to }) => {
    const first = kind === "request" && content.type === "accept" && content.instance === 1 &&
      content.ballot[0] === 0 &&
      content.ballot[2] === 0;
    return first ? 20 + 5 * ((nodes.indexOf(from) + cluster.ids.indexOf(to)) % nodes.length) : 0;
  });
  const ends = nodes.map((id) => ended(cluster.node(id).locks.acquire(name, request(id), caller())));
  return { ends: Promise.all(ends).finally(undo) };
}

async function ended(answer: Promise<unknown>): Promise<"granted" | "held" | string> {
  try {
    await answer;
    return "granted";
  } catch (error) {
    return error instanceof QuorateError ? error.code : String(error);
  }
}

/** How often the key's window says that a command was applied: once each, whatever happened. */
async function applied(cluster: MemoryCluster, id: string, name: string): Promise<number> {
  const record = await cluster.store(id).update(`lock/${name}`, (stored) => ({ record: null, reply: stored }));
  const keys = keyState(record!.state).window.split(";").filter((entry) => entry !== "").map((entry) =>
    entry.slice(0, 16)
  );
  assertEquals(new Set(keys).size, keys.length, "no command twice");
  return keys.length;
}

Deno.test("what if the coordinator is dead at the moment of the collision: a Prepare ends it, each decided once", async () => {
  const cluster = await memoryCluster(5);
  try {
    const name = nameOfCoordinator("dead-", "e", cluster.ids);
    cluster.kill("e");
    const ends = await collide(cluster, name, ["a", "b", "c"]).ends;
    assertEquals([...ends].sort(), ["granted", "held", "held"]);
    await cluster.node("d").locks.get(name, { stale: false, timeoutMs: 3_000 });
    assertEquals(await applied(cluster, "a", name), 3);
  } finally {
    cluster.close();
  }
});

Deno.test("what if the coordinator restarts after sending Accept!: no second value in its ballot, each decided once", async () => {
  const cluster = await memoryCluster(5);
  try {
    const name = nameOfCoordinator("restart-", "e", cluster.ids);
    const values = new Set<string>();
    // Of its recovery's Accept! only that to d arrives.
    const heal = cluster.network.drop(({ kind, content, from, to }) => {
      const isPick = kind === "request" && content.type === "accept" && content.key === `lock/${name}` &&
        from === "e" &&
        content.ballot[0] === 0 && content.ballot[2] === 1;
      if (isPick) values.add(content.value.id);
      return isPick && to !== "d";
    });
    const { ends } = collide(cluster, name, ["a", "b", "c"]);
    await until("the coordinator picked", () => values.size > 0);
    cluster.kill("e");
    heal();
    await cluster.restart("e");
    assertEquals([...await ends].sort(), ["granted", "held", "held"]);
    await cluster.node("d").locks.get(name, { stale: false, timeoutMs: 3_000 });
    assertEquals(await applied(cluster, "a", name), 3);
    assertEquals(values.size, 1, "one value in one ballot, before and after");
  } finally {
    cluster.close();
  }
});

Deno.test("what if the winner's node dies before it answers: the same key through another node gets that grant", async () => {
  const cluster = await memoryCluster(5);
  try {
    for (let round = 0; round < 5; round++) {
      const name = `winner-${round}`;
      let accepted = 0;
      // Everybody votes for it, and the one that asked hears of none of it.
      const heal = cluster.network.drop(({ kind, content, to }) => {
        const isVote = kind === "reply" && content.type === "accepted" && to === "a";
        if (isVote) accepted++;
        return isVote;
      });
      const same = caller();
      const lost = ended(cluster.node("a").locks.acquire(name, request("me"), same));
      await until("the others voted", () => accepted >= 4);
      cluster.kill("a");
      heal();
      const { body } = await cluster.node("b").locks.acquire(name, request("me"), same);
      const again = await cluster.node("c").locks.acquire(name, request("me"), same);
      assertEquals(again.body.fence, body.fence);
      assertEquals(await applied(cluster, "b", name), 1);
      assertEquals(await ended(cluster.node("d").locks.acquire(name, request("you"), caller())), "held");
      await cluster.restart("a");
      const { body: state } = await cluster.node("a").locks.get(name, { stale: false, timeoutMs: 3_000 });
      assertEquals(state.holders[0]?.fence, body.fence);
      void lost;
    }
  } finally {
    cluster.close();
  }
});

Deno.test("what if Any is lost: a node that has not heard of the instance does not vote, and is brought up", async () => {
  const cluster = await memoryCluster(5);
  try {
    // The standing ballot of an instance is an Any told by the decision before it: e hears of none of them.
    const heal = cluster.network.drop(({ to, from, content }) =>
      (to === "e" || from === "e") && content.type !== "view" && content.type !== "read"
    );
    let fence = 0n;
    for (let i = 0; i < 3; i++) {
      const { body } = await cluster.node("a").locks.acquire("any", request("me"), caller());
      fence = BigInt(body.fence);
      await cluster.node("b").locks.release("any", body.fence, caller());
    }
    heal();
    const value = { id: "b/n/7", proposer: "b", commands: [] };
    const accept = { type: "accept", key: "lock/any", epoch: 0, instance: 7, ballot: [0, "", 0], value } as const;
    const [reply] = await cluster.node("e").receive("b", "acceptor", [accept]);
    assertEquals(reply?.type, "behind");
    const { body } = await cluster.node("e").locks.acquire("any", request("late"), caller());
    assertGreater(BigInt(body.fence), fence);
  } finally {
    cluster.close();
  }
});

Deno.test("what if a request is dropped in a collision: it is decided in the next instance, and nobody asked again", async () => {
  const cluster = await memoryCluster(5);
  try {
    let asked = 0;
    const ends = await Promise.all(["a", "b"].map((id) => {
      asked++;
      return ended(cluster.node(id).locks.acquire("dropped", request(id, { waitMs: 5_000, ttlMs: 1_000 }), caller()));
    }));
    assertEquals(ends, ["granted", "granted"]);
    assertEquals(asked, 2);
    assert(await applied(cluster, "a", "dropped") >= 2);
  } finally {
    cluster.close();
  }
});
