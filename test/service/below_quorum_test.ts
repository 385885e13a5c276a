/** What is refused before anything of it is sent, and what is not. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import type { Mode } from "../../src/paxos/message.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { type QuorumView, refusingBelowQuorum } from "../../src/service/below_quorum.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

/** Never passes: whoever is answered was answered at once. */
const LONG_MS = 600_000;

const patient = () => caller({ timeoutMs: LONG_MS });

function isSaid(cluster: MemoryCluster, id: string, missing: readonly string[]) {
  return until(`${id} knows that ${missing} are gone`, async () => {
    await cluster.node(id).readiness();
    const { members } = cluster.node(id).status();
    return missing.every((one) => members.find(({ id }) => id === one)?.fault !== undefined);
  });
}

async function refusedAtOnce(ask: () => Promise<unknown>): Promise<void> {
  const { code, facts, message } = await assertRejects(ask, QuorateError);
  assertEquals([code, facts.outcome], ["no-quorum", "none"]);
  assert(message.startsWith("nothing was sent: only "), message);
}

Deno.test("below a quorum, every noun refuses at once what needs one, sends nothing, and serves what does not", async () => {
  const cluster = await memoryCluster(3);
  try {
    const node = cluster.node("a");
    const held = await node.locks.acquire("x", request("me"), patient());
    cluster.kill("b");
    cluster.kill("c");
    await isSaid(cluster, "a", ["b", "c"]);
    const proposed: string[] = [];
    cluster.network.drop(({ content }) => {
      if (content.type !== "read") proposed.push(content.type);
      return false;
    });
    const put = { bytes: "", contentType: "text/plain" };
    const read = { stale: false, timeoutMs: LONG_MS };
    const page = { prefix: "", limit: 10, cursor: null, timeoutMs: LONG_MS };
    const asks: (() => Promise<unknown>)[] = [
      () => node.locks.acquire("y", request("me"), patient()),
      () => node.locks.acquireAll(["y", "z"], request("me"), patient()),
      () => node.locks.renew("x", held.body.fence, {}, patient()),
      () => node.locks.release("x", held.body.fence, patient()),
      () => node.locks.leave("x", "k", patient()),
      () => node.locks.force("x", "why", patient()),
      () => node.locks.get("x", read),
      () => node.locks.history("x", { timeoutMs: LONG_MS }),
      () => node.locks.list(page),
      () => node.elections.get("x", read),
      () => node.semaphores.get("x", read),
      () => node.registers.put("x", put, patient()),
      () => node.registers.get("x", read),
      () => node.sessions.open({ holder: "me", ttlMs: 10_000 }, patient()),
      () => node.sessions.keep("s", patient()),
    ];
    for (const ask of asks) await refusedAtOnce(ask);
    assertEquals(proposed, []);
    assertEquals((await node.locks.get("x", { ...read, stale: true })).body.state, "held");
    assertEquals(await node.sessions.owns("s", "tester"), false);
  } finally {
    cluster.close();
  }
});

Deno.test("below a quorum, a member that is back serves the very next request", async () => {
  const cluster = await memoryCluster(3);
  try {
    cluster.kill("b");
    cluster.kill("c");
    await isSaid(cluster, "a", ["b", "c"]);
    await refusedAtOnce(() => cluster.node("a").locks.acquire("x", request("me"), patient()));
    await cluster.restart("c");
    const { body } = await cluster.node("a").locks.acquire("x", request("me"), caller());
    assertEquals(body.holder, "me");
  } finally {
    cluster.close();
  }
});

Deno.test("below a quorum, what was proposed before stays of unknown outcome, whatever is known by then", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(10) });
  try {
    const node = cluster.node("a");
    // Its own vote is cast, the others' are lost.
    for (const peer of ["b", "c"]) cluster.network.cut("a", peer);
    const voted = assertRejects(
      () => node.locks.acquire("x", request("me"), caller({ timeoutMs: 5_000 })),
      QuorateError,
    );
    await isSaid(cluster, "a", ["b", "c"]);
    const { code, facts } = await voted;
    assertEquals([code, facts.outcome], ["outcome-unknown", "unknown"]);
  } finally {
    cluster.close();
  }
});

Deno.test("below a quorum, what a coordinator that answers proposes is not refused: it may reach the others", async () => {
  const gone = new Set(["c", "d", "e"]);
  const modes: Readonly<Record<string, Mode>> = {
    "lock/fast": { kind: "fast", recovery: "coordinated", coordinator: "b" },
    "lock/prepare": { kind: "prepare" },
    "lock/own": { kind: "classic", coordinator: "a" },
    "lock/far": { kind: "classic", coordinator: "c" },
    "lock/near": { kind: "classic", coordinator: "b" },
  };
  let asked = 0;
  const view: QuorumView = {
    me: "a",
    quorums: new QuorumSystem(["a", "b", "c", "d", "e"]),
    cannot: () => null,
    suspected: () => gone,
    down: () => gone,
    askSuspected() {
      asked++;
      return Promise.resolve();
    },
    modeOf: (key) => Promise.resolve(modes[key]!),
  };
  const service = refusingBelowQuorum("lock", { take: (name: string | string[]) => Promise.resolve(name) }, view);
  for (const name of ["fast", "prepare", "own", "far"]) await refusedAtOnce(() => service.take(name));
  assertEquals(asked, 4);
  assertEquals(await service.take("near"), "near");
  assertEquals(await service.take(["far", "near"]), ["far", "near"]);
  // Two that failed once and answer now are not missed.
  gone.delete("c");
  assertEquals(await service.take("fast"), "fast");
});

Deno.test("below a quorum, a node that does not vote goes on while one member answers", async () => {
  const cluster = await memoryCluster(3, { learners: 1, clock: fastClock(10) });
  try {
    for (const peer of ["a", "b"]) cluster.network.cut("v", peer);
    const node = cluster.node("v");
    await until("it knows", async () => {
      await node.readiness();
      return node.status().members.filter(({ fault }) => fault !== undefined).length === 2;
    });
    const { body } = await node.locks.acquire("x", request("me"), caller());
    assertEquals(body.holder, "me");
  } finally {
    cluster.close();
  }
});
