/** Many leases that run out in one moment: how many values that takes, how many are under way, and who comes first. */
import { assertEquals, assertLessOrEqual } from "@std/assert";
import { DRIFT, ENDS_AT_ONCE, PLACE_TTL_MS } from "../../src/limits.ts";
import { viewGrants } from "../../src/machine/view.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import { caller, request } from "../replica/memory_cluster.ts";
import { finalRecord, type Observed, withCluster } from "../trace/observed_cluster.ts";

const TTL_MS = 5_000;
const LAPSE_MS = TTL_MS * (1 + DRIFT);
/** The ends of all of them are decided by then. */
const ENDED_MS = 6_000;
const LIMIT_MS = { limitMs: 600_000 };

/** Taken through node after node in one moment. */
async function take(cluster: Observed, names: readonly string[], ttlMs = TTL_MS): Promise<void> {
  const at = (i: number) => cluster.node(cluster.ids[i % cluster.ids.length]!).locks;
  await Promise.all(names.map((name, i) => at(i).acquire(name, request("dead", { ttlMs }), caller())));
}

/** The values that end a lease, by key, as nodes ask for votes for them. */
function endsIn(parcels: readonly Parcel[]): ReadonlyMap<string, ReadonlySet<string>> {
  const ends = new Map<string, Set<string>>();
  for (const { kind, content } of parcels) {
    if (kind !== "request" || content.type !== "accept" || (content.value.claims ?? []).length === 0) continue;
    ends.set(content.key, (ends.get(content.key) ?? new Set()).add(content.value.id));
  }
  return ends;
}

function proposed(ends: ReadonlyMap<string, ReadonlySet<string>>): number {
  return [...ends.values()].reduce((sum, ids) => sum + ids.size, 0);
}

const watchAll = (cluster: Observed) =>
  Promise.all(
    cluster.ids.map((id) =>
      cluster.node(id).watches.watchRanges("lock", [{ prefix: "", exact: false }], null, () => {})
    ),
  );
const namesOf = (count: number) => Array.from({ length: count }, (_, i) => `idle-${i}`);

for (const n of [3, 5]) {
  Deno.test(`lapses, n=${n}: what every node watches is ended by one of them, in one value each`, () =>
    withCluster(n, async (cluster) => {
      cluster.network.delay(() => 20 + cluster.random.next() * 40);
      await watchAll(cluster);
      const names = namesOf(90);
      await take(cluster, names);
      const from = cluster.parcels.length;
      await cluster.clock.sleep(LAPSE_MS + ENDED_MS);
      const ends = endsIn(cluster.parcels.slice(from));
      assertEquals(ends.size, names.length);
      assertLessOrEqual(proposed(ends), names.length * 1.05);
      for (const name of names) {
        const { state } = await finalRecord(cluster, `lock/${name}`, cluster.ids);
        assertEquals(viewGrants(state).state, "free", name);
      }
    }, LIMIT_MS));
}

Deno.test("lapses: a few are under way at a time at each node, and who waits for something is served meanwhile", () =>
  withCluster(3, async (cluster) => {
    await watchAll(cluster);
    const names = namesOf(100);
    await take(cluster, [...names, "wanted"]);
    const waiting = cluster.node("b").locks.acquire("wanted", request("w", { waitMs: 60_000 }), caller());
    await cluster.clock.sleep(LAPSE_MS - 1_000);
    const asked = new Map<string, Set<string>>();
    const hold = cluster.network.hold(({ kind, from, content }) => {
      if (kind !== "request" || content.type !== "lapsed?" || !content.key.startsWith("lock/idle-")) return false;
      asked.set(from, (asked.get(from) ?? new Set()).add(content.key));
      return true;
    });
    // Less than a peer has time to answer.
    await cluster.clock.sleep(1_900);
    assertEquals([...asked].map(([, keys]) => keys.size), cluster.ids.map(() => ENDS_AT_ONCE));
    assertEquals((await waiting).body.holder, "w");
    hold.release();
    await cluster.clock.sleep(ENDED_MS);
    for (const name of names) {
      const { state } = await finalRecord(cluster, `lock/${name}`, cluster.ids);
      assertEquals(viewGrants(state).state, "free", name);
    }
  }, LIMIT_MS));

Deno.test("lapses: where the node is dead that is the one for a name, the others end it, one after another", () =>
  withCluster(5, async (cluster) => {
    cluster.network.delay(() => 20 + cluster.random.next() * 40);
    await watchAll(cluster);
    const names = namesOf(60);
    await take(cluster, names);
    cluster.kill("c");
    const from = cluster.parcels.length;
    await cluster.clock.sleep(LAPSE_MS + ENDED_MS);
    const ends = endsIn(cluster.parcels.slice(from));
    assertEquals(ends.size, names.length);
    assertLessOrEqual(proposed(ends), names.length * 1.2);
  }, LIMIT_MS));

Deno.test("lapses: places of a dead node are ended by one of those whose own come after them", () =>
  withCluster(5, async (cluster) => {
    cluster.network.delay(() => 20 + cluster.random.next() * 40);
    const names = namesOf(30);
    await take(cluster, names, 3_600_000);
    for (const id of ["a", "b", "c", "d"]) {
      const wait = (name: string) =>
        cluster.node(id).locks.acquire(name, request(id, { waitMs: 200_000 }), caller()).catch(() => {});
      for (const name of names) void wait(name);
      await cluster.clock.sleep(1_000);
    }
    cluster.kill("a");
    const from = cluster.parcels.length;
    await cluster.clock.sleep(PLACE_TTL_MS * (1 + DRIFT) + 10_000);
    const ends = endsIn(cluster.parcels.slice(from));
    assertEquals(ends.size, names.length);
    assertLessOrEqual(proposed(ends), names.length * 1.2);
  }, LIMIT_MS));

Deno.test("lapses: a session with 250 locks frees each in one value, what somebody waits for first", () =>
  withCluster(3, async (cluster) => {
    cluster.network.delay(() => 50 + cluster.random.next() * 50);
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 60_000 }, caller());
    const names = namesOf(250);
    for (let at = 0; at < names.length; at += 50) {
      const bind = (name: string) => locks.acquire(name, request("h", { session: session.id }), caller());
      await Promise.all(names.slice(at, at + 50).map(bind));
    }
    // Nodes through which it was kept look after its end too.
    for (const id of ["b", "c"]) await cluster.node(id).sessions.keep(session.id, caller());
    const last = names.at(-1)!;
    const waiting = cluster.node("b").locks.acquire(last, request("w", { waitMs: 60_000 }), caller());
    await cluster.settle();
    const before = new Map<string, number>();
    for (const name of names) before.set(name, (await finalRecord(cluster, `lock/${name}`, cluster.ids)).instance);
    const from = cluster.parcels.length;
    await sessions.end(session.id, caller({ timeoutMs: 30_000 }));
    await waiting;
    await cluster.clock.sleep(10_000);
    const freed = cluster.parcels.slice(from).flatMap(({ kind, content }) =>
      kind === "request" && content.type === "accept" && content.key.startsWith("lock/") ? [content.key] : []
    );
    let more = 0;
    for (const name of names) {
      const { state, instance } = await finalRecord(cluster, `lock/${name}`, cluster.ids);
      if (name === last) continue;
      assertEquals(viewGrants(state).state, "free", name);
      more += instance - before.get(name)!;
    }
    assertEquals([more, freed[0]], [names.length - 1, `lock/${last}`], "one value each, and the last name first");
  }, LIMIT_MS));
