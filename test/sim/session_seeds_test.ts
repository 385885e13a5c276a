/** Sessions on a network that loses, seed after seed: what a client may rely on, and that all ends. */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { DRIFT } from "../../src/limits.ts";
import { request } from "../replica/memory_cluster.ts";
import { ask, inVirtualTime, type World } from "../leases/session_world.ts";

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
