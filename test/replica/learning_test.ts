/** Who is told of a decision, when, and when it need not be (PROTOCOL.md §5). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { PEER_DEADLINE_MS } from "../../src/limits.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import type { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import { Learning } from "../../src/replica/learning.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { fastClock, until } from "./clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";

function instanceOn(cluster: MemoryCluster, id: string, name: string): number {
  const text = cluster.disk(id).records.get(`lock/${name}`);
  return text === undefined ? 1 : (JSON.parse(text) as { instance: number }).instance;
}

/** Learn messages for `name`, as they leave: [instance, to]. */
function watchLearns(cluster: MemoryCluster, name: string): [number, string][] {
  const seen: [number, string][] = [];
  cluster.network.drop(({ kind, to, content }) => {
    if (kind === "request" && content.type === "learn" && content.key === `lock/${name}`) {
      seen.push([content.instance, to]);
    }
    return false;
  });
  return seen;
}

Deno.test("learning: everybody has what was decided, without another message of the key", async () => {
  const cluster = await memoryCluster(5);
  try {
    await cluster.node("a").locks.acquire("x", request("me"), caller());
    await until("all moved on", () => cluster.ids.every((id) => instanceOn(cluster, id, "x") === 2));
    const records = cluster.ids.map((id) => JSON.parse(cluster.disk(id).records.get("lock/x")!).stateHash);
    assertEquals(new Set(records).size, 1);
  } finally {
    cluster.close();
  }
});

Deno.test("learning: a Learn is dropped when the next message of the key says it too", async () => {
  // Slowed down, so that 5 ms are long.
  const cluster = await memoryCluster(5, { clock: fastClock(0.02) });
  try {
    const learns = watchLearns(cluster, "x");
    const { locks } = cluster.node("a");
    const { body } = await locks.acquire("x", request("me", { ttlMs: 600_000 }), caller());
    for (let i = 0; i < 5; i++) await locks.renew("x", body.fence, {}, caller());
    await until("the last one is told", () => learns.length === 4);
    assertEquals(learns.filter(([instance]) => instance < 6), []);
    assertEquals(learns.map(([, to]) => to).sort(), ["b", "c", "d", "e"]);
  } finally {
    cluster.close();
  }
});

Deno.test("learning: a Learn leaves with the next message to its peer, whatever name that is of", async () => {
  // Slowed down, so that 5 ms are longer than the test.
  const cluster = await memoryCluster(3, { clock: fastClock(0.001) });
  try {
    const sent: string[] = [];
    cluster.network.drop(({ kind, to, content }) => {
      if (kind === "request" && "key" in content) sent.push(`${content.type} ${content.key} to ${to}`);
      return false;
    });
    await cluster.node("a").locks.acquire("x", request("me"), caller());
    assertEquals(sent.filter((message) => message.startsWith("learn")), []);
    await cluster.node("a").locks.acquire("y", request("me"), caller());
    for (const to of ["b", "c"]) {
      const at = sent.indexOf(`learn lock/x to ${to}`);
      assert(at >= 0 && at < sent.indexOf(`accept lock/y to ${to}`), sent.join("; "));
    }
  } finally {
    cluster.close();
  }
});

Deno.test("learning: who is known to have voted for a value is told that it won, and no more; the others get it", async () => {
  const cluster = await memoryCluster(5);
  try {
    const learns: (readonly [to: string, isVoter: boolean, hasValue: boolean])[] = [];
    cluster.network.drop(({ kind, to, content }) => {
      if (kind === "request" && content.type === "learn" && content.certificate !== null) {
        learns.push([to, content.certificate.acceptors.includes(to), content.value !== undefined]);
      }
      return false;
    });
    await cluster.node("a").locks.acquire("x", request("me"), caller());
    await until("all were told", () => learns.length === 4);
    assertEquals(learns.filter(([, isVoter, hasValue]) => isVoter === hasValue), []);
    assert(learns.some(([, isVoter]) => isVoter));
    await until("all moved on", () => cluster.ids.every((id) => instanceOn(cluster, id, "x") === 2));
  } finally {
    cluster.close();
  }
});

Deno.test("learning: a node that was cut off gets the state when it returns, though nobody uses the key any more", async () => {
  const cluster = await memoryCluster(5, { clock: fastClock(10) });
  try {
    for (const peer of ["a", "b", "c", "d"]) cluster.network.cut("e", peer);
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    for (const name of names) {
      const { body } = await cluster.node("a").locks.acquire(name, request("me"), caller());
      await cluster.node("a").locks.release(name, body.fence, caller());
      await cluster.node("a").locks.acquire(name, request("you"), caller());
    }
    for (const peer of ["a", "b", "c", "d"]) cluster.network.heal("e", peer);
    await until("it has them all", () => names.every((name) => instanceOn(cluster, "e", name) === 4));
    const { body } = await cluster.node("e").locks.get("n7", { stale: true, timeoutMs: 500 });
    assertEquals(body.holders.map(({ holder }) => holder), ["you"]);
  } finally {
    cluster.close();
  }
});

Deno.test("learning: a node that was down gets the state after its restart", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(10) });
  try {
    cluster.kill("c");
    for (let i = 0; i < 5; i++) await cluster.node("a").locks.acquire(`d${i}`, request("me"), caller());
    await cluster.restart("c");
    await until("it has them all", () => [0, 1, 2, 3, 4].every((i) => instanceOn(cluster, "c", `d${i}`) === 2));
  } finally {
    cluster.close();
  }
});

Deno.test("learning: a node that missed many decisions of a key is sent the whole state, not each", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(10) });
  try {
    const { body } = await cluster.node("a").locks.acquire("many", request("me"), caller());
    const back = cluster.network.drop(({ to, from }) => to === "c" || from === "c");
    for (let i = 0; i < 50; i++) await cluster.node("a").locks.renew("many", body.fence, {}, caller());
    const learns = watchLearns(cluster, "many");
    back();
    await until("c has it", () => instanceOn(cluster, "c", "many") === 52);
    assert(learns.filter(([, to]) => to === "c").length < 20, `${learns.length}`);
  } finally {
    cluster.close();
  }
});

Deno.test("learning: closed, a node tells nobody any more", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(0.02) });
  try {
    const learns = watchLearns(cluster, "x");
    await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 600_000 }), caller());
    cluster.node("a").close();
    await new Promise((resolve) => setTimeout(resolve, 400));
    assertEquals(learns, []);
  } finally {
    cluster.close();
  }
});

Deno.test("learning: a name that has stopped keeps no other from who missed it", async () => {
  const clock = fastClock(10);
  const cluster = await memoryCluster(3, { clock, deadlineMs: 50 });
  try {
    for (const peer of ["a", "b"]) cluster.network.cut("c", peer);
    const { locks } = cluster.node("a");
    const lost = watchLearns(cluster, "well");
    for (const name of ["broken", "well"]) await locks.acquire(name, request("me"), caller());
    const { records } = cluster.disk("a");
    records.set("lock/broken", records.get("lock/broken")!.replace(/"stateHash":"\w+"/, '"stateHash":"rotten"'));
    await assertRejects(() => locks.get("broken", { stale: true, timeoutMs: 500 }), QuorateError, "damaged");
    await until("c was told in vain", () => lost.some(([, to]) => to === "c"));
    await new Promise<void>((resolve) => clock.after(60, resolve));
    for (const peer of ["a", "b"]) cluster.network.heal("c", peer);
    await until("it has the other", () => instanceOn(cluster, "c", "well") === 2);
  } finally {
    cluster.close();
  }
});

Deno.test("learning: members that do not answer hold nobody up for longer than a second, however slow they are known to be", async () => {
  const clock = new ManualClock();
  const silent = { send: () => new Promise<never>(() => {}), rttMs: () => 1_000, close() {} };
  const acceptor = { rules: { me: "a", quorums: new QuorumSystem(["a", "b", "c"]) } } as unknown as AcceptorHost;
  let isOver = false;
  const asked = new Learning(acceptor, silent, clock, 0).refresh("lock/x").then(() => isOver = true);
  await clock.pass(PEER_DEADLINE_MS - 1);
  assertEquals(isOver, false);
  await clock.pass(1);
  await asked;
});

Deno.test("learning: what members said and the own store did not take is not taken over", async () => {
  const state = { mode: { kind: "prepare" } } as const;
  const snapshot = { instance: 7, state, stateHash: "h", decidedBy: null };
  const view = { type: "view", snapshot, promised: STANDING, vote: null } as const;
  const network = { send: () => Promise.resolve(view), rttMs: () => 1, close() {} };
  let isFailing = true;
  const acceptor = {
    rules: { me: "a", quorums: new QuorumSystem(["a", "b", "c"]) },
    handle: () =>
      isFailing
        ? Promise.reject(new QuorateError("not-ready", "its store failed"))
        : Promise.resolve({ type: "learned", instance: 7 }),
  } as unknown as AcceptorHost;
  const learning = new Learning(acceptor, network, new ManualClock(), 0);
  assertEquals(await learning.refresh("lock/x"), false);
  isFailing = false;
  assertEquals(await learning.refresh("lock/x"), true);
});
