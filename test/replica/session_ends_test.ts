/** Sessions in virtual time, on clocks that differ and a network that loses: what a client may rely on, and that all ends. */
import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { DRIFT } from "../../src/limits.ts";
import type { Caller } from "../../src/replica/service.ts";
import { rated, type Seeded, seededRandomness, VirtualClock } from "../sim/virtual_time.ts";
import { type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";

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
        return rated(clock, rates.get(id)!);
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

/** Of one grant: what its client relies on, from its answer on. */
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
      if (typeof kept !== "string") rely(sentMs + kept.body.notBeforeMs);
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
    const { fence, notBeforeMs } = grant.body;
    assertLessOrEqual(notBeforeMs, grant.body.waitedMs + ttlMs * (1 - DRIFT) + 1);
    const one = { who, fence, fromMs: clock.now(), untilMs: sentMs + notBeforeMs };
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

Deno.test("session ends: a waiter gets the name once the session has run out on a quorum, not before and not much later", () =>
  inVirtualTime(7, 3, async (world) => {
    const { clock, cluster } = world;
    const who = (id: string) => ({ subject: "s", idempotencyKey: id, timeoutMs: 5_000 });
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: 5_000 }, who("open"));
    const bound = request("h", { session: session.id });
    await cluster.node("a").locks.acquire("l", bound, who("l"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 60_000 }), who("w"));
    const dying = cluster.node("c").elections.campaign(
      "e",
      { candidate: "h", ttlMs: 30_000, waitMs: 0 },
      who("leader"),
    ).then(() =>
      cluster.node("b").elections.campaign(
        "e",
        { candidate: "x", ttlMs: 30_000, waitMs: 60_000, session: session.id },
        who("candidate"),
      )
    );
    const told = dying.then(() => "led", (error) => [error.code, error.facts.more.session]);
    await clock.sleep(3_000);
    const sentMs = clock.now();
    await cluster.node("b").sessions.keep(session.id, who("keep"));
    // The node through which it was kept last is gone, too: whoever waits sees to its end.
    cluster.kill("a");
    const { body } = await waiting;
    assertEquals(body.holder, "w");
    assertGreaterOrEqual(clock.now() - sentMs, 5_000 * (1 - DRIFT));
    assertLessOrEqual(clock.now() - sentMs, 5_000 * (1 + DRIFT) ** 2 + 3_000);
    assertEquals(await told, ["lost", session.id]);
    assertLessOrEqual(clock.now() - sentMs, 5_000 * (1 + DRIFT) ** 2 + 3_000, "at once");
  }));
