/** Sessions in virtual time, on clocks that differ and a network that loses: what a client may rely on, and that all ends. */
import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { DRIFT } from "../../src/limits.ts";
import { viewGrants, viewSession } from "../../src/machine/view.ts";
import type { Caller } from "../../src/service/service.ts";
import { type Seeded, seededRandomness, VirtualClock } from "../sim/virtual_time.ts";
import { drifting } from "../replica/clocks.ts";
import { type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

type World = { readonly clock: VirtualClock; readonly random: Seeded; readonly cluster: MemoryCluster };

async function inVirtualTime(seed: number, n: number, play: (world: World) => Promise<void>): Promise<void> {
  const clock = new VirtualClock();
  const random = seededRandomness(seed);
  const run = async () => {
    const rates = new Map<string, number>();
    const cluster = await memoryCluster(n, {
      clock,
      random,
      clockOf: (id) => {
        if (!rates.has(id)) rates.set(id, 1 + (random.next() - 0.5) * 1.8 * DRIFT);
        return drifting(clock, rates.get(id)!);
      },
      schedule: () => clock.sleep(random.next() * 3),
    });
    cluster.network.delay(() => 1 + random.next() * 20);
    await play({ clock, random, cluster });
    cluster.close();
  };
  await clock.run(run(), 600_000);
}

type Node = ReturnType<MemoryCluster["node"]>;

/** Asks node after node under one key until one says something definite: the answer, or the error's code. */
async function ask<T>(
  { random, cluster }: World,
  alive: readonly string[],
  id: string,
  subject: string,
  call: (node: Node, caller: Caller) => Promise<T>,
): Promise<T | string> {
  for (let i = 0; i < 20; i++) {
    const caller = { subject, idempotencyKey: id, timeoutMs: 2_000 };
    try {
      return await call(cluster.node(random.pick(alive)), caller);
    } catch (error) {
      const code = error instanceof QuorateError ? error.code : "unknown";
      if (!["outcome-unknown", "no-quorum", "not-ready", "unknown"].includes(code)) return code;
    }
  }
  return "unknown";
}

/** What the client of one grant relies on, from its answer on. */
type Reliance = { readonly who: string; readonly fence: string; readonly fromMs: number; untilMs: number };

const NAMES = ["l0", "l1", "l2"];

/** Opens a session, binds what it can get, keeps it for a while through any node, then ends it or falls silent. */
async function client(
  world: World,
  alive: string[],
  who: string,
  relied: Map<string, Reliance[]>,
): Promise<string | null> {
  const { clock, random } = world;
  const ttlMs = random.pick([2_000, 4_000]);
  const opened = await ask(
    world,
    alive,
    `${who}-open`,
    who,
    (node, caller) => node.sessions.open({ holder: who, ttlMs }, caller),
  );
  if (typeof opened === "string") return null;
  const { id: session } = opened.body;
  const mine: Reliance[] = [];
  let isOver = false;
  const rely = (untilMs: number) => {
    for (const one of mine) if (one.untilMs > clock.now()) one.untilMs = Math.max(one.untilMs, untilMs);
  };
  const keeping = (async () => {
    for (let i = 0; i < 12; i++) {
      await clock.sleep(ttlMs / 4);
      const sentMs = clock.now();
      const kept = await ask(
        world,
        alive,
        `${who}-keep-${i}`,
        who,
        (node, caller) => node.sessions.keep(session, caller),
      );
      if (kept === "lost") break;
      if (typeof kept !== "string") rely(sentMs + kept.body.waitedMs + kept.body.guaranteedForMs);
    }
    isOver = true;
  })();
  for (let i = 0; i < 20 && !isOver; i++) {
    await clock.sleep(random.next() * 800);
    const name = random.pick(NAMES);
    const sentMs = clock.now();
    const waitMs = random.pick([0, 3_000]);
    const lockDelayMs = random.pick([0, 500]);
    const grant = await ask(
      world,
      alive,
      `${who}-${i}`,
      who,
      (node, caller) => node.locks.acquire(name, request(who, { session, waitMs, lockDelayMs }), caller),
    );
    if (typeof grant === "string") continue;
    const { fence, waitedMs, guaranteedForMs } = grant.body;
    assertLessOrEqual(guaranteedForMs, ttlMs * (1 - DRIFT));
    const one = { who, fence, fromMs: clock.now(), untilMs: sentMs + waitedMs + guaranteedForMs };
    if (one.untilMs < one.fromMs) continue;
    mine.push(one);
    relied.set(name, [...relied.get(name) ?? [], one]);
    if (random.chance(0.5)) continue;
    await clock.sleep(random.next() * 500);
    one.untilMs = Math.min(one.untilMs, clock.now());
    await ask(world, alive, `${who}-${i}-`, who, (node, caller) => node.locks.release(name, fence, caller));
  }
  if (random.chance(0.3)) {
    for (const one of mine) one.untilMs = Math.min(one.untilMs, clock.now());
    await ask(world, alive, `${who}-end`, who, (node, caller) => node.sessions.end(session, caller));
  }
  await keeping;
  return session;
}

const SEEDS = Number(Deno.env.get("QUORATE_SEEDS") ?? 12);
const WHO = ["one", "two", "three", "four"];

for (const n of [3, 5]) {
  Deno.test(`session ends, n=${n}: while a client may rely on its grant nobody else has it, and in the end all is free`, async () => {
    let grants = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      await inVirtualTime(seed, n, async (world) => {
        const relied = new Map<string, Reliance[]>();
        await rely(world, relied, seed);
        grants += [...relied.values()].flat().length;
      });
    }
    assert(grants > 5 * SEEDS, `${grants} grants`);
  });
}

async function rely(world: World, relied: Map<string, Reliance[]>, seed: number): Promise<void> {
  const { clock, random, cluster } = world;
  const alive = [...cluster.ids];
  const stop = cluster.network.drop(() => random.chance(0.03));
  const clients = WHO.map((who) => client(world, alive, who, relied));
  await clock.sleep(random.next() * 6_000);
  // For good; who was asking it asks another.
  const dead = random.pick(alive);
  alive.splice(alive.indexOf(dead), 1);
  cluster.kill(dead);
  const sessions = await Promise.all(clients);
  stop();
  for (const reliances of relied.values()) {
    for (const [i, a] of reliances.entries()) {
      for (const b of reliances.slice(i + 1)) {
        const [first, next] = BigInt(a.fence) < BigInt(b.fence) ? [a, b] : [b, a];
        const what = `seed ${seed}: ${JSON.stringify(first)} and ${JSON.stringify(next)}`;
        assert(a.fence !== b.fence && first.untilMs <= next.fromMs, what);
      }
    }
  }
  for (const name of NAMES) {
    const last = await ask(
      world,
      alive,
      `last-${name}`,
      "last",
      (node, caller) => node.locks.acquire(name, request("last", { waitMs: 60_000 }), caller),
    );
    assert(typeof last !== "string", `seed ${seed}, ${name}: ${last}`);
  }
  await clock.sleep(6_000);
  for (const [i, session] of sessions.entries()) {
    const who = WHO[i]!;
    if (session === null) continue;
    const code = await ask(world, alive, "get", who, (node, caller) => node.sessions.get(session, caller));
    assertEquals(code, "lost", `seed ${seed}: ${who} is silent`);
  }
}

const who = (id: string, more: Partial<Caller> = {}) => ({
  subject: "s",
  idempotencyKey: id,
  timeoutMs: 5_000,
  ...more,
});
const TTL_MS = 5_000;
/** Its time by the slowest clock, and what it takes to ask, decide and free. */
const FREE_WITHIN_MS = TTL_MS * (1 + DRIFT) ** 2 + 3_000;

Deno.test("session ends: every node that kept it is dead: a waiter's node gets the name once a quorum saw it run out", () =>
  inVirtualTime(7, 5, async ({ clock, cluster }) => {
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 60_000 }), who("w"));
    await clock.sleep(3_000);
    const sentMs = clock.now();
    await sessions.keep(session.id, who("keep"));
    cluster.kill("a");
    assertEquals((await waiting).body.holder, "w");
    assertGreaterOrEqual(clock.now() - sentMs, TTL_MS * (1 - DRIFT));
    assertLessOrEqual(clock.now() - sentMs, FREE_WITHIN_MS);
  }));

Deno.test("session ends: a candidate whose session runs out is told at once, though the node that kept it is dead", () =>
  inVirtualTime(8, 5, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    const asking = { candidate: "h", ttlMs: 600_000, waitMs: 0 };
    await cluster.node("c").elections.campaign("e", asking, who("leader"));
    const candidate = { ...asking, candidate: "x", waitMs: 60_000, session: session.id };
    const told = cluster.node("b").elections.campaign("e", candidate, who("candidate"))
      .then(() => "led", (error) => [error.code, error.facts.more.session]);
    await clock.sleep(3_000);
    const sentMs = clock.now();
    await cluster.node("a").sessions.keep(session.id, who("keep"));
    cluster.kill("a");
    assertEquals(await told, ["lost", session.id]);
    assertGreaterOrEqual(clock.now() - sentMs, TTL_MS * (1 - DRIFT));
    assertLessOrEqual(clock.now() - sentMs, FREE_WITHIN_MS);
  }));

Deno.test("session ends: nobody wants anything: the nodes that kept it see to its end, and values bound to it are gone", () =>
  inVirtualTime(9, 3, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    const put = { bytes: btoa("up"), contentType: "text/plain", session: session.id };
    await cluster.node("b").registers.put("k", put, who("put"));
    await cluster.node("b").locks.acquire("l", request("h", { session: session.id, lockDelayMs: 9_000 }), who("l"));
    await clock.sleep(FREE_WITHIN_MS);
    // As every record has it: no read here brings anything about.
    for (const id of cluster.ids) {
      const { body } = await cluster.node(id).locks.get("l", { stale: true, timeoutMs: 1_000 });
      assertEquals(body.state, "cooling", id);
      const code = await cluster.node(id).registers.get("k", { stale: true, timeoutMs: 1_000 })
        .then(() => "there", (error) => error.code);
      assertEquals(code, "not-found", id);
    }
  }));

Deno.test("session ends: the node that decided the end is gone before it freed a name: who waits there is served", () =>
  inVirtualTime(10, 5, async ({ clock, cluster }) => {
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 600_000 }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 60_000 }), who("w"));
    await clock.sleep(1_000);
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const sentMs = clock.now();
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    assertEquals((await waiting).body.holder, "w");
    assertLessOrEqual(clock.now() - sentMs, 3_000);
    await ending;
  }));

Deno.test("session ends: the node that decided the end is gone before it freed a name: the first that reads or tries sees none of it", () =>
  inVirtualTime(12, 5, async ({ clock, cluster }) => {
    const { sessions, locks, registers } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 600_000 }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    const put = { bytes: btoa("up"), contentType: "text/plain", session: session.id };
    await registers.put("k", put, who("k"));
    await registers.put("k2", put, who("k2"));
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    const get = { stale: false, timeoutMs: 5_000 };
    const first = await Promise.all([
      cluster.node("b").registers.get("k", get).then(() => "there", (error) => error.code),
      cluster.node("c").registers.put("k2", { ...put, ifNoneMatch: ["*"] }, who("late")).catch((error) => error.code),
      cluster.node("c").registers.put("k2", { bytes: "", contentType: "a/b", ifNoneMatch: ["*"] }, who("new")).then(
        () => "new",
      ),
      cluster.node("d").locks.acquire("l", request("next"), who("next")).then(() => "granted"),
    ]);
    assertEquals(first, ["not-found", "lost", "new", "granted"]);
    await ending;
  }));

Deno.test("session ends: word of an end was lost with the node that decided it: who wants what it held finds out from the others", () =>
  inVirtualTime(15, 3, async ({ clock, cluster }) => {
    const { sessions, locks, registers } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 3_600_000 }, who("open"));
    for (const name of ["l", "m"]) await locks.acquire(name, request("h", { session: session.id }), who(name));
    const put = { bytes: btoa("up"), contentType: "text/plain", session: session.id };
    await registers.put("k", put, who("k"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 600_000 }), who("w"));
    await clock.sleep(1_000);
    cluster.network.cut("a", "c");
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    // By c's own record it lives for another hour.
    const sentMs = clock.now();
    assertEquals((await waiting).body.holder, "w");
    assertLessOrEqual(clock.now() - sentMs, 6_000);
    const got = await Promise.all([
      cluster.node("c").locks.acquire("m", request("next"), who("next")).then(() => "granted", (error) => error.code),
      cluster.node("c").registers.get("k", { stale: false, timeoutMs: 5_000 }).then(
        () => "there",
        (error) => error.code,
      ),
    ]);
    assertEquals(got, ["granted", "not-found"]);
    await ending;
  }));

Deno.test("session ends: word of an end was lost, and nobody waits: who tries again later has it", () =>
  inVirtualTime(16, 3, async ({ clock, cluster }) => {
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 3_600_000 }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    await clock.sleep(500);
    // From here on it takes the session to live for a while.
    const tried = await cluster.node("c").locks.acquire("l", request("w"), who("w1")).catch((error) => error.code);
    assertEquals(tried, "held");
    cluster.network.cut("a", "c");
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    await clock.sleep(3_500);
    assertEquals((await cluster.node("c").locks.acquire("l", request("w"), who("w2"))).body.holder, "w");
    await ending;
  }));

Deno.test("session ends: a grant out of the queue counts from its answer, also of the session it is bound to", () =>
  inVirtualTime(13, 3, async ({ clock, cluster }) => {
    const { body: held } = await cluster.node("a").locks.acquire("l", request("h", { ttlMs: 600_000 }), who("held"));
    const { body: session } = await cluster.node("a").sessions.open({ holder: "w", ttlMs: TTL_MS }, who("open"));
    const sentMs = clock.now();
    const bound = request("w", { waitMs: 60_000, session: session.id });
    const waiting = cluster.node("b").locks.acquire("l", bound, who("w"));
    await clock.sleep(4_000);
    await cluster.node("a").locks.release("l", held.fence, who("release"));
    const { body } = await waiting;
    assertGreaterOrEqual(body.guaranteedForMs, 4_000);
    // Its client says nothing more, and the next waits for it.
    await cluster.node("c").locks.acquire("l", request("next", { waitMs: 60_000 }), who("next"));
    assertGreaterOrEqual(clock.now() - sentMs, body.guaranteedForMs);
  }));

Deno.test("session ends: to renew what is bound keeps its session, and counts from that", () =>
  inVirtualTime(14, 3, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    const { body: grant } = await cluster.node("a").locks.acquire("l", request("h", { session: session.id }), who("l"));
    await clock.sleep(4_000);
    const sentMs = clock.now();
    const { body } = await cluster.node("b").locks.renew("l", grant.fence, {}, who("renew"));
    await cluster.node("c").locks.acquire("l", request("next", { waitMs: 60_000 }), who("next"));
    assertGreaterOrEqual(clock.now() - sentMs, body.guaranteedForMs);
  }));

Deno.test("session ends: the node that decides an end frees at once, without the pause of those that only hear of it", () =>
  inVirtualTime(11, 3, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    for (let i = 0; i < 10; i++) {
      await cluster.node("b").locks.acquire(`l${i}`, request("h", { session: session.id }), who(`l${i}`));
    }
    const recordOf = (key: string) =>
      cluster.store("c").update(key, (record) => ({ record: null, reply: record === null ? null : record.state }));
    const hasEnded = async () => viewSession((await recordOf(`session/${session.id}`))!)?.ended?.how === "lapsed";
    const isFree = async (i: number) => viewGrants((await recordOf(`lock/l${i}`))!).state === "free";
    for (let i = 0; i < 1_000 && !await hasEnded(); i++) await clock.sleep(10);
    const endedMs = clock.now();
    const areFree = async () => (await Promise.all(Array.from({ length: 10 }, (_, i) => isFree(i)))).every(Boolean);
    for (let i = 0; i < 1_000 && !await areFree(); i++) await clock.sleep(10);
    assert(await hasEnded() && await areFree());
    assertLessOrEqual(clock.now() - endedMs, 200);
  }));

Deno.test("session ends: a keep that only its writer knows as decided is passed on by who wants what is bound", async () => {
  const clock = new VirtualClock();
  const random = seededRandomness(1);
  const run = async () => {
    const cluster = await memoryCluster(3, { clock, random });
    cluster.network.delay(() => 5);
    const of = (key: string): Caller => ({ subject: "tester", idempotencyKey: key, timeoutMs: 2_000 });
    const { body: { id } } = await cluster.node("a").sessions.open({ holder: "me", ttlMs: 2_000 }, of("open"));
    const bound = { ...request("me", { ttlMs: 2_000 }), session: id };
    await cluster.node("a").locks.acquire("x", bound, of("take"));
    await clock.sleep(500);
    cluster.kill("c");
    // b votes for it, and hears no more of it.
    const end = cluster.network.drop(({ content }) => content.type === "learn");
    await cluster.node("a").sessions.keep(id, of("keep"));
    cluster.kill("a");
    end();
    await cluster.restart("a");
    await clock.sleep(1_000);
    const wanted = request("other", { waitMs: 60_000 });
    const { body } = await cluster.node("a").locks.acquire("x", wanted, { ...of("want"), timeoutMs: 2_000 });
    assertEquals(body.holder, "other");
    cluster.close();
  };
  await clock.run(run(), 120_000);
});
