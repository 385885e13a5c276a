/** Commands of one key until each is decided once (PROTOCOL.md §6), on whole nodes in memory. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { COMMANDS_PER_VALUE, PENDING_PER_KEY } from "../../src/limits.ts";
import type { Caller } from "../../src/service/service.ts";
import type { Accept } from "../../src/paxos/message.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import { SEED, seeded, until } from "./clocks.ts";
import { seededRandomness, VirtualClock } from "../sim/virtual_time.ts";
import { withApps } from "../routes/memory_apps.ts";
import { tell } from "../routes/noun_requests.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";

function shared(holder: string, more: Record<string, unknown> = {}) {
  return { ...request(holder, more), mode: "shared" as const };
}

function acceptIn({ kind, content }: Parcel): Accept | null {
  return kind === "request" && content.type === "accept" ? content as Accept : null;
}

/** Every Accept! for `name` that leaves any node, as it leaves. */
function watchAccepts(cluster: MemoryCluster, name: string): Accept[] {
  const seen: Accept[] = [];
  cluster.network.drop((parcel) => {
    const accept = acceptIn(parcel);
    if (accept?.key === `lock/${name}`) seen.push(accept);
    return false;
  });
  return seen;
}

async function stateOf(cluster: MemoryCluster, id: string, name: string) {
  return (await cluster.node(id).locks.get(name, { stale: false, timeoutMs: 30_000 })).body;
}

function isolate(cluster: MemoryCluster, id: string): () => void {
  const others = cluster.ids.filter((other) => other !== id);
  for (const other of others) cluster.network.cut(id, other);
  return () => others.forEach((other) => cluster.network.heal(id, other));
}

Deno.test("submitter: a command that loses an instance is decided once, in the next one", async () => {
  const cluster = await memoryCluster(5);
  try {
    for (let round = 0; round < 20; round++) {
      const name = `lost-${round}`;
      const answers = await Promise.all(
        ["a", "b"].map((id) => cluster.node(id).locks.acquire(name, shared(id), caller())),
      );
      const fences = answers.map(({ body }) => BigInt(body.fence));
      assertEquals(new Set(fences).size, 2);
      const { holders, lastFence } = await stateOf(cluster, "e", name);
      assertEquals(holders.map(({ holder }) => holder).sort(), ["a", "b"]);
      assertEquals(BigInt(lastFence), fences[0]! > fences[1]! ? fences[0] : fences[1]);
      assert(answers.every(({ receipt }) => receipt.instance <= 2), JSON.stringify(answers.map((a) => a.receipt)));
    }
  } finally {
    cluster.close();
  }
});

for (const n of [3, 4, 5]) {
  Deno.test(`submitter, n=${n}: 200 concurrent commands of one key from three nodes are each decided exactly once`, async () => {
    const cluster = await memoryCluster(n);
    const nodeOf = (i: number) => cluster.node("abc"[i % 3]!).locks;
    try {
      const accepts = watchAccepts(cluster, "busy");
      // Each twice under one id, through two nodes at the same moment.
      const asked = await Promise.all(Array.from({ length: 30 }, async (_, i) => {
        const same = caller();
        const both = [0, 1].map((k) => nodeOf(i + k).acquire("busy", shared(`h${i}`), same));
        const [one, two] = await Promise.all(both);
        assertEquals(one!.body.fence, two!.body.fence, "one command, one grant");
        return one!.body;
      }));
      const fences = asked.map(({ fence }) => fence);
      assertEquals(new Set(fences).size, 30);
      assertEquals((await stateOf(cluster, "b", "busy")).holders.length, 30);

      const work: Promise<unknown>[] = [];
      const releases: Promise<string>[][] = [];
      for (const [i, fence] of fences.entries()) {
        // Two different releases of one fence: the first ends it, the second is told so. Renewals before them in time
        // may come after them in the log.
        for (let k = 0; k < 4; k++) {
          work.push(
            nodeOf(i + k).renew("busy", fence, {}, caller()).then(() => "renewed", codeOf),
          );
        }
        const two = [0, 1].map((k) => nodeOf(i + k).release("busy", fence, caller()).then(({ body }) => body.outcome));
        releases.push(two);
        work.push(...two);
      }
      const results = await Promise.all(work);
      assert(results.length >= 180);
      for (const two of releases) {
        assertEquals((await Promise.all(two)).sort(), ["already-released", "released"]);
      }
      const others = results.filter((result) =>
        !["renewed", "lost", "released", "already-released"].includes(`${result}`)
      );
      assertEquals(others, []);
      const end = await stateOf(cluster, "c", "busy");
      assertEquals([end.state, end.holders.length], ["free", 0]);
      const sizes = accepts.map(({ value }) => value.commands.length);
      assert(Math.max(...sizes) > 1, "commands go together");
      assert(Math.max(...sizes) <= COMMANDS_PER_VALUE, `${Math.max(...sizes)}`);
    } finally {
      cluster.close();
    }
  });
}

function codeOf(error: unknown): string {
  return error instanceof QuorateError ? error.code : `${error}`;
}

Deno.test("submitter: commands that wait go together, 64 at most, in the order they came in", async () => {
  const cluster = await memoryCluster(3);
  try {
    const { locks } = cluster.node("a");
    const { body: grant } = await locks.acquire("batch", request("me"), caller());
    const accepts = watchAccepts(cluster, "batch");
    const ids = Array.from({ length: 150 }, (_, i) => `b${String(i).padStart(3, "0")}`);
    await Promise.all(ids.map((id) => locks.release("batch", grant.fence, caller({ idempotencyKey: id }))));
    const values = new Map(accepts.map(({ instance, value }) => [instance, value]));
    const sizes = [...values.values()].map(({ commands }) => commands.length);
    assert(sizes.every((size) => size <= COMMANDS_PER_VALUE), `${sizes}`);
    assert(values.size <= 5, `${sizes}`);
    assertEquals([...values.values()].flatMap(({ commands }) => commands.map(({ id }) => id)), ids);
  } finally {
    cluster.close();
  }
});

Deno.test("submitter: past its deadline with a vote cast it is outcome-unknown; asked again anywhere it is the one grant", async () => {
  const cluster = await memoryCluster(3);
  try {
    const heal = isolate(cluster, "a");
    const same = caller({ timeoutMs: 250 });
    const late = await assertRejects(
      () => cluster.node("a").locks.acquire("alone", request("me"), same),
      QuorateError,
    );
    assertEquals(late.code, "outcome-unknown");
    assertEquals([late.facts.outcome, late.facts.idempotencyKey], ["unknown", same.idempotencyKey]);
    heal();
    const again = { ...same, timeoutMs: 5_000 };
    const first = await cluster.node("b").locks.acquire("alone", request("me"), again);
    for (const id of ["a", "c", "b"]) {
      assertEquals((await cluster.node(id).locks.acquire("alone", request("me"), again)).body.fence, first.body.fence);
    }
    assertEquals((await stateOf(cluster, "c", "alone")).lastFence, first.body.fence);
  } finally {
    cluster.close();
  }
});

Deno.test("submitter: past its deadline before any vote was cast for it, it is no-quorum with outcome none, and true", async () => {
  const cluster = await memoryCluster(3);
  try {
    const heal = isolate(cluster, "a");
    const { locks } = cluster.node("a");
    const voted = assertRejects(() => locks.acquire("q", shared("first"), caller({ timeoutMs: 400 })), QuorateError);
    await until("the first is voted for", () => cluster.disk("a").records.has("lock/q"));
    const behind = await assertRejects(
      () => locks.acquire("q", shared("second"), caller({ timeoutMs: 150, idempotencyKey: "never-sent" })),
      QuorateError,
    );
    assertEquals([behind.code, behind.facts.outcome], ["no-quorum", "none"]);
    assertEquals((await voted).code, "outcome-unknown");
    heal();
    await cluster.node("b").locks.acquire("q", shared("third"), caller());
    const { holders } = await stateOf(cluster, "c", "q");
    assert(!holders.some(({ holder }) => holder === "second"), JSON.stringify(holders));
  } finally {
    cluster.close();
  }
});

/** Node a votes for its own command and is cut off; the others decide `between` commands; then a comes back. */
async function overtaken(between: number, more: Partial<Caller> = {}) {
  const cluster = await memoryCluster(3);
  try {
    const { body: keep } = await cluster.node("b").locks.acquire("old", shared("keeper"), caller());
    await until("a knows", async () =>
      (await cluster.node("a").locks.get("old", { stale: true, timeoutMs: 100 }))
        .body.lastFence === keep.fence);
    const heal = isolate(cluster, "a");
    const mine = cluster.node("a").locks.acquire("old", shared("late"), caller({ timeoutMs: 20_000, ...more }))
      .then(() => ({ code: "granted", error: null }), (error: QuorateError) => ({ code: error.code, error }));
    await until("a has voted", () => /"vote":\{/.test(cluster.disk("a").records.get("lock/old") ?? ""));
    for (let i = 0; i < between; i++) {
      const asked = cluster.node("b").locks.acquire("old", shared(`other-${i}`), caller());
      const { body } = await asked;
      await cluster.node("b").locks.release("old", body.fence, caller());
    }
    heal();
    return await mine;
  } finally {
    cluster.close();
  }
}

Deno.test("submitter: overtaken by fewer commands than the window holds, it is decided as if nothing had been", async () => {
  assertEquals((await overtaken(0)).code, "granted");
  assertEquals((await overtaken(20)).code, "granted");
});

Deno.test("submitter: overtaken by more commands than the window holds, its outcome is unknown, and it is told what to send with it", async () => {
  const { code, error } = await overtaken(50);
  assertEquals([code, error?.facts.outcome], ["outcome-unknown", "unknown"]);
  // It was first sent after instance 1, which a has seen.
  assertEquals(error?.facts.more, { born: 1 });
  assert(error?.facts.idempotencyKey !== undefined);
});

Deno.test("submitter: a fresh command is never expired, however much was decided before it", async () => {
  const cluster = await memoryCluster(3);
  try {
    const { body: keep } = await cluster.node("b").locks.acquire("long", shared("keeper"), caller());
    for (let i = 0; i < 60; i++) await cluster.node("abc"[i % 3]!).locks.renew("long", keep.fence, {}, caller());
    cluster.kill("c");
    await cluster.restart("c");
    const { body } = await cluster.node("c").locks.acquire("long", shared("fresh"), caller());
    assert(BigInt(body.fence) > BigInt(keep.fence));
  } finally {
    cluster.close();
  }
});

Deno.test("submitter: a node that was away while more was decided than the window holds asks before it proposes", async () => {
  const cluster = await memoryCluster(3);
  try {
    const { body: keep } = await cluster.node("c").locks.acquire("away", shared("keeper"), caller());
    cluster.kill("c");
    for (let i = 0; i < 60; i++) await cluster.node("ab"[i % 2]!).locks.renew("away", keep.fence, {}, caller());
    // Nobody tells it by itself.
    cluster.network.drop(({ kind, content }) => kind === "request" && content.type === "learn");
    await cluster.restart("c");
    const { body } = await cluster.node("c").locks.acquire("away", shared("fresh"), caller());
    assert(BigInt(body.fence) > BigInt(keep.fence));
  } finally {
    cluster.close();
  }
});

for (const fault of ["unknown-applied", "unknown-lost", "conflict"] as const) {
  Deno.test(`submitter: the own store fails once (${fault}) at any step: the command is decided once all the same`, async () => {
    const cluster = await memoryCluster(3);
    try {
      for (let at = 0; at < 4; at++) {
        const name = `${fault}-${at}`;
        const same = caller();
        const running = cluster.node("a").locks.acquire(name, request("me"), same);
        // The at-th commit from here on.
        for (let i = 0; i < at; i++) {
          const seq = cluster.store("a").seq();
          await until("a commit", () => cluster.store("a").seq() > seq || settledIn(running), 16).catch(() => {});
        }
        cluster.store("a").failNext = fault;
        const { body } = await running;
        cluster.store("a").failNext = null;
        const again = await cluster.node("b").locks.acquire(name, request("me"), same);
        assertEquals(again.body.fence, body.fence);
        assertEquals((await stateOf(cluster, "c", name)).lastFence, body.fence);
      }
    } finally {
      cluster.close();
    }
  });
}

function settledIn(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true, () => true), Promise.resolve().then(() => false)]);
}

Deno.test("submitter: every Accept!, Accepted and Learn delivered twice: each command is still decided once", async () => {
  const cluster = await memoryCluster(5);
  try {
    cluster.network.duplicate(() => true);
    const { body: grant } = await cluster.node("a").locks.acquire("dup", request("me"), caller());
    assertEquals((await cluster.node("b").locks.release("dup", grant.fence, caller())).body.outcome, "released");
    const { body: next } = await cluster.node("c").locks.acquire("dup", request("you"), caller());
    assert(BigInt(next.fence) > BigInt(grant.fence));
  } finally {
    cluster.close();
  }
});

Deno.test(`submitter: a lossy, slow, reordering network (seed ${SEED}): every answer is the one decision`, async () => {
  const cluster = await memoryCluster(5, { deadlineMs: 100 });
  const random = seeded(SEED);
  try {
    cluster.network.drop(() => random() < 0.05);
    cluster.network.duplicate(() => random() < 0.05);
    cluster.network.delay(() => random() < 0.3 ? random() * 15 : 0);
    const fences: bigint[] = [];
    for (let round = 0; round < 12; round++) {
      const grants = await Promise.all([0, 1, 2].map(async (i) => {
        const same = caller({ timeoutMs: 8_000 });
        const holder = `r${round}-${i}`;
        for (let tries = 0; tries < 5; tries++) {
          const locks = cluster.node(cluster.ids[(i + round + tries) % 5]!).locks;
          const fence = await locks.acquire("lossy", shared(holder), same).then(({ body }) => body.fence, (e) => {
            assert(["outcome-unknown", "no-quorum"].includes(codeOf(e)), codeOf(e));
            return null;
          });
          if (fence !== null) return fence;
        }
        throw new Error(`${holder} was never answered`);
      }));
      fences.push(...grants.map(BigInt));
      const read = await stateOf(cluster, cluster.ids[round % 5]!, "lossy");
      assertEquals(read.holders.length, (round + 1) * 3);
    }
    assertEquals(new Set(fences).size, 36);
  } finally {
    cluster.close();
  }
});

Deno.test("submitter: more commands of one name than may wait are 503 at once, and told that nothing was sent", () =>
  withApps(3, async (apps) => {
    const { cluster } = apps;
    const { body: held } = await tell(apps, "a", "POST", "/v1/locks/hot", { holder: "me" });
    isolate(cluster, "a");
    const { registers } = cluster.node("a");
    const value = { bytes: "", contentType: "text/plain" };
    const put = () => registers.put("hot", value, caller({ timeoutMs: 1_500 }));
    const waiting = Promise.allSettled(Array.from({ length: PENDING_PER_KEY }, put));
    const refused = await tell(apps, "a", "PUT", "/v1/kv/hot", "more");
    assertEquals([refused.status, refused.body.code, refused.body.outcome], [503, "not-ready", "none"]);
    assertEquals([refused.headers.get("retry-after"), refused.body.retryable], ["1", true]);
    // Another name has room.
    const renewal = await tell(apps, "a", "PUT", `/v1/locks/hot/${held.fence}?timeoutMs=100`);
    assert(renewal.body.code !== "not-ready", renewal.body.code);
    const ended = await waiting;
    assertEquals(ended.filter(({ status }) => status === "fulfilled"), []);
  }));

Deno.test("submitter: what comes while a coordinator is waited for in vain is proposed at once, and not sent there too", async () => {
  const clock = new VirtualClock();
  const run = async () => {
    const cluster = await memoryCluster(3, {
      clock,
      random: seededRandomness(SEED),
      schedule: () => clock.sleep(1),
      modes: [{ prefix: "lock/pinned", mode: "classic" }],
    });
    try {
      const { body } = await cluster.node("a").locks.acquire("pinned", shared("before"), caller());
      await cluster.node("a").locks.release("pinned", body.fence, caller());
      const coordinator = coordinatorOf(cluster, "lock/pinned");
      const other = cluster.ids.find((id) => id !== coordinator)!;
      const forwards: Parcel[] = [];
      cluster.network.drop((parcel) => {
        if (parcel.kind === "request" && parcel.content.type === "forward") forwards.push(parcel);
        return parcel.to === coordinator;
      });
      const { locks } = cluster.node(other);
      const first = await assertRejects(
        () => locks.acquire("pinned", shared("first"), caller({ timeoutMs: 400 })),
        QuorateError,
      );
      assertEquals([first.code, forwards.length], ["outcome-unknown", 1]);
      // The first is still under way there.
      const { body: second } = await locks.acquire("pinned", shared("second"), caller({ timeoutMs: 1_000 }));
      assertEquals([second.holder, forwards.length], ["second", 1]);
    } finally {
      cluster.close();
    }
  };
  await clock.run(run(), 60_000);
});

function coordinatorOf(cluster: MemoryCluster, key: string): string {
  const { state } = JSON.parse(cluster.disk("a").records.get(key)!);
  return state.mode.coordinator;
}

Deno.test("submitter: what an earlier try came to is no answer to a take that is asked anew", async () => {
  const cluster = await memoryCluster(3, { modes: [{ prefix: "", mode: "multi" }] });
  try {
    const forwarding: string[] = [];
    cluster.network.drop(({ from, content }) => content.type === "forward" && forwarding.push(from) === 0);
    const { body: held } = await cluster.node("a").locks.acquire("anew", request("holder"), caller());
    for (const id of cluster.ids) {
      assertEquals(await cluster.node(id).locks.acquire("anew", request(id), caller()).then(() => "", codeOf), "held");
    }
    const from = forwarding.at(-1)!;
    const { locks } = cluster.node(from);
    const outcomes = cluster.network.hold(({ to, content }) => to === from && content.type === "outcomes");
    const mine = caller();
    assertEquals(await locks.acquire("anew", request("me"), mine).then(() => "", codeOf), "held");
    await until("its outcome is on the way", () => outcomes.held.length > 0);
    const forwards = cluster.network.hold(({ content }) => content.type === "forward");
    const again = locks.acquire("anew", request("me"), mine);
    await until("it is forwarded", () => forwards.held.length > 0);
    outcomes.release();
    await cluster.node("a").locks.release("anew", held.fence, caller());
    forwards.release();
    assertEquals((await again).body.holder, "me");
  } finally {
    cluster.close();
  }
});
