/** A command is applied once, however late its copies come and however much is decided meanwhile (PROTOCOL.md §6). */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { realClock } from "../../src/compose/world.ts";
import { QuorateError } from "../../src/errors.ts";
import { VISIBLE } from "../../src/http/request_head.ts";
import { attemptId, confirmIdOf, leaveId } from "../../src/service/grant_ids.ts";
import type { Clock } from "../../src/ports.ts";
import type { Caller } from "../../src/service/service.ts";
import { fastClock, until } from "./clocks.ts";
import { caller, type MemoryCluster, memoryCluster, type MemoryClusterOptions, request } from "./memory_cluster.ts";

/** More commands than a window keeps, and more instances. */
const MANY = 120;

async function withCluster(
  options: MemoryClusterOptions,
  run: (cluster: MemoryCluster) => Promise<void>,
  n = 3,
): Promise<void> {
  const cluster = await memoryCluster(n, options);
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

const CLASSIC = { modes: [{ prefix: "kv/", mode: "classic" }] } as const;

function put(cluster: MemoryCluster, id: string, text: string, more: Partial<Caller> = {}) {
  const value = { bytes: btoa(text), contentType: "text/plain" };
  return cluster.node(id).registers.put("x", value, caller(more));
}

async function textOf(cluster: MemoryCluster, id: string): Promise<string> {
  return atob((await cluster.node(id).registers.get("x", { stale: false, timeoutMs: 30_000 })).body.value);
}

/** Whose instances a name goes through. */
async function coordinatorOf(cluster: MemoryCluster, key: string): Promise<string> {
  const { mode } = (await cluster.store("a").update(key, (record) => ({ record: null, reply: record })))!.state;
  assert(mode.kind === "classic");
  return mode.coordinator;
}

Deno.test("a forward that comes late, or again, keeps its born: what it asked for is not applied a second time", () => {
  let answered = 0;
  const received: MemoryClusterOptions["received"] = (_id, receive) => async (from, mailbox, messages, mark) => {
    const replies = await receive(from, mailbox, messages, mark);
    answered += messages.filter(({ type }) => type === "forward").length;
    return replies;
  };
  return withCluster({ ...CLASSIC, received }, async (cluster) => {
    await put(cluster, "a", "first");
    const c = await coordinatorOf(cluster, "kv/x");
    const [b] = cluster.ids.filter((id) => id !== c) as [string];
    const held = cluster.network.hold(({ kind, content }) => kind === "request" && content.type === "forward");
    // Its coordinator hears nothing, so it takes the name over and decides it itself.
    await put(cluster, b, "money");
    for (let i = 0; i < MANY; i++) await put(cluster, b, `later ${i}`);
    assertEquals(await textOf(cluster, c), `later ${MANY - 1}`);
    const { body: { revision } } = await put(cluster, c, "last");
    const late = 2 * held.held.length;
    assertGreater(late, 0);
    const before = answered;
    held.release((parcels) => [...parcels, ...parcels]);
    await until("the forwards are answered", () => answered >= before + late);
    // They go before what is asked of that node now, which takes effect only where nothing else did.
    const value = { bytes: btoa("over last"), contentType: "text/plain", ifMatch: [revision] };
    await cluster.node(c).registers.put("x", value, caller());
    assertEquals(await textOf(cluster, b), "over last");
  });
});

for (const mode of ["classic", "auto", "fast"] as const) {
  Deno.test(`60 writers of one name, ${mode}: each is told what became of its write, and none that it is too old`, () =>
    withCluster({ modes: [{ prefix: "kv/", mode }] }, async (cluster) => {
      const revisions = new Map<string, string>();
      await Promise.all(
        Array.from({ length: 60 }, async (_, writer) => {
          for (let i = 0; i < 12; i++) {
            const text = `${writer}.${i}`;
            const { body } = await put(cluster, "abc"[(writer + i) % 3]!, text, { timeoutMs: 30_000 });
            revisions.set(text, body.revision);
          }
        }),
      );
      assertEquals(new Set(revisions.values()).size, 720, "each took effect by itself");
      const last = [...revisions].reduce((a, b) => BigInt(a[1]) > BigInt(b[1]) ? a : b);
      assertEquals(await textOf(cluster, "a"), last[0]);
    }));
}

Deno.test("with Quorate-Born a retry is applied once for ever, at every node; without it the window is all there is", () =>
  withCluster({}, async (cluster) => {
    await put(cluster, "a", "before");
    const key = { idempotencyKey: "mine", born: 1 };
    const first = await put(cluster, "a", "mine", key);
    assertEquals((await put(cluster, "b", "mine", key)).body, first.body, "known: the first answer");
    for (let i = 0; i < MANY; i++) await put(cluster, "abc"[i % 3]!, `other ${i}`);
    for (const id of cluster.ids) {
      const error = await assertRejects(() => put(cluster, id, "mine", key), QuorateError);
      assertEquals([error.code, error.facts.outcome ?? "by its code"], ["expired-command", "by its code"]);
      assertEquals(await textOf(cluster, id), `other ${MANY - 1}`);
    }
    await put(cluster, "c", "mine", { idempotencyKey: "mine" });
    assertEquals(await textOf(cluster, "a"), "mine", "as README says: for who does not say when it was first sent");
  }));

Deno.test("a first try whose born is old is refused before anything of it is sent, and is not applied", () =>
  withCluster({}, async (cluster) => {
    for (let i = 0; i < MANY; i++) await put(cluster, "abc"[i % 3]!, `other ${i}`);
    const error = await assertRejects(() => put(cluster, "b", "old", { born: 1 }), QuorateError);
    assertEquals(error.code, "expired-command");
    // What it needs for the next try: where the name stands.
    assert((error.facts.receipt?.instance ?? 0) > MANY / 2);
    await put(cluster, "b", "old", { born: error.facts.receipt!.instance + 1 });
    assertEquals(await textOf(cluster, "a"), "old");
  }));

Deno.test("a command that comes while its node waits for something is looked for before it is sent", () =>
  withCluster(CLASSIC, async (cluster) => {
    await put(cluster, "a", "before");
    const c = await coordinatorOf(cluster, "kv/x");
    const [b] = cluster.ids.filter((id) => id !== c) as [string];
    const key = { idempotencyKey: "mine", born: 1 };
    await put(cluster, c, "mine", key);
    for (let i = 0; i < MANY; i++) await put(cluster, c, `other ${i}`);
    // While the forward of another command is under way, the retry comes to the same node.
    const lost = cluster.network.drop(({ kind, content }) => kind === "request" && content.type === "forward");
    const another = put(cluster, b, "another", { timeoutMs: 30_000 });
    const error = await assertRejects(() => put(cluster, b, "mine", { ...key, timeoutMs: 10_000 }), QuorateError);
    lost();
    assertEquals(error.code, "expired-command");
    await another;
    assertEquals(await textOf(cluster, c), "another");
  }));

Deno.test("what comes while a forward is answered goes in the next round, and no timer is set that has no end", () => {
  const endless: number[] = [];
  const clock: Clock = {
    ...realClock,
    after(ms, run) {
      if (!Number.isFinite(ms)) endless.push(ms);
      return realClock.after(ms, run);
    },
  };
  return withCluster({ ...CLASSIC, clock }, async (cluster) => {
    await put(cluster, "a", "0");
    const record = cluster.disk("a").records.get("kv/x")!;
    const coordinator = JSON.parse(record).state.mode.coordinator as string;
    const other = [..."abc"].find((id) => id !== coordinator)!;
    // It hears what the first came to before it hears that it arrived.
    const held = cluster.network.hold(({ kind, to, content }) =>
      kind === "reply" && to === other && content.type === "noted"
    );
    await put(cluster, other, "1");
    const second = put(cluster, other, "2");
    await new Promise((resolve) => setTimeout(resolve));
    held.release();
    await second;
    assertEquals(endless, []);
  });
});

Deno.test("plain commands are not passed for ever by hedged ones that come after them", () =>
  withCluster({}, async (cluster) => {
    let stop = false;
    let hedged = 0;
    const stream = async (lane: number) => {
      while (!stop) {
        const { registers } = cluster.node("a");
        const value = { bytes: btoa(`${lane}`), contentType: "t/t" };
        await registers.put("x", value, caller({ hedge: 0, idempotencyKey: `h-${lane}-${hedged++}`, timeoutMs: 2_000 }))
          .catch(() => {});
      }
    };
    const streams = Promise.all([0, 1, 2, 3].map(stream));
    try {
      for (let i = 0; i < 5; i++) await put(cluster, "a", `plain ${i}`, { timeoutMs: 30_000 });
    } finally {
      stop = true;
      await streams;
    }
    assert(hedged > 0);
  }));

Deno.test("ids made from a key are no keys that a caller could send", () => {
  assert(VISIBLE.test("K"));
  for (const made of [attemptId("K", 1), confirmIdOf("K"), leaveId("K", "v")]) {
    assertEquals(VISIBLE.test(made), false, made);
  }
});

Deno.test("a place that was lost and taken again at once says how long that took: its time began with that try", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(20) });
  try {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const waiting = cluster.node("b").locks.acquire(
      "q",
      request("waiter", { ttlMs: 8_000, waitMs: 200_000 }),
      caller({ timeoutMs: 60_000 }),
    );
    const state = async () => (await cluster.node("c").locks.get("q", { stale: false, timeoutMs: 30_000 })).body;
    await until("it waits", async () => (await state()).waiterCount === 1);
    // Its renewals are lost for so long that the place lapses; then the lock is given back, and it takes it anew.
    const heal = cluster.network.drop(({ from, to }) => from === "b" || to === "b");
    const rival = cluster.node("a").locks.acquire(
      "q",
      request("rival", { waitMs: 60_000 }),
      caller({ timeoutMs: 60_000 }),
    );
    await until("its place lapsed", async () => (await state()).waiters.map(({ holder }) => holder).join() === "rival");
    await cluster.node("a").locks.release("q", held.fence, caller());
    const { body: rivals } = await rival;
    await cluster.node("a").locks.release("q", rivals.fence, caller());
    heal();
    const { body } = await waiting;
    assert(body.waitedMs > 5_000, JSON.stringify(body));
    assertEquals(body.guaranteedForMs, 7_920);
  } finally {
    cluster.close();
  }
});
