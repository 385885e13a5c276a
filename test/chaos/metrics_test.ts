/** Every metric of a node moves by what it is of: three real nodes on real files, asked over real sockets. */
import { assert, assertEquals } from "@std/assert";
import { type Scraped, scraped, sumOf } from "../observe/exposition.ts";
import { until } from "../replica/clocks.ts";
import { ComposedCluster } from "./composed.ts";

const IDS = ["a", "b", "c"];
const MODES = "kv/fast/=fast,kv/free/=uncoordinated,kv/slow/=prepare,kv/old/=classic";
const WRITERS = 24;
const ROUNDS_MAX = 40;
const CALM_MAX = 50;

async function scrape(cluster: ComposedCluster, id: string): Promise<Scraped> {
  const { status, text } = await cluster.ask(id, "GET", "/metrics");
  assertEquals(status, 200);
  return scraped(text);
}

/** Over all nodes: of what is counted once in the cluster, by whichever of them. */
async function total(cluster: ComposedCluster, name: string, ...labels: readonly string[]): Promise<number> {
  const all = await Promise.all(IDS.map((id) => scrape(cluster, id)));
  return all.reduce((sum, one) => sum + sumOf(one, name, ...labels), 0);
}

async function withThree(run: (cluster: ComposedCluster) => Promise<void>): Promise<void> {
  await ComposedCluster.with(3, async (cluster) => {
    for (const id of IDS) await cluster.start(id, `${id}.sqlite`, ["--init", "--modes", MODES]);
    await cluster.vote(...IDS);
    await run(cluster);
  });
}

/** Writers at all nodes at once, until it is counted. */
async function collide(cluster: ComposedCluster, key: string, isCounted: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await Promise.all(
      Array.from({ length: WRITERS }, (_, i) => cluster.ask(IDS[i % 3]!, "PUT", `/v1/kv/${key}`, `${round} ${i}`)),
    );
    if (await isCounted()) return;
  }
  assert(false, `nothing of ${key} was counted`);
}

Deno.test("metrics: grants, refusals, releases, force, lapses and waiters are counted once in the cluster", () =>
  withThree(async (cluster) => {
    const grants = (noun: string) => total(cluster, "quorate_grants_total", `noun="${noun}"`);
    const take = (id: string, path: string, body: object) => cluster.ask(id, "POST", path, body);
    assertEquals((await take("a", "/v1/locks/x", { ttlMs: 60_000 })).status, 200);
    assertEquals((await take("b", "/v1/elections/x", { candidate: "b" })).status, 200);
    assertEquals((await take("c", "/v1/semaphores/x", { limit: 3 })).status, 200);
    assertEquals((await take("c", "/v1/semaphores/x", { limit: 3 })).status, 200);
    const session = await take("a", "/v1/sessions", { holder: "me", ttlMs: 60_000 });
    assertEquals(session.status, 200);
    await until(
      "all are counted",
      async () => (await Promise.all(["lock", "election", "semaphore", "session"].map(grants))).join() === "1,1,2,1",
    );
    assertEquals((await take("b", "/v1/locks/x", {})).body["code"], "held");
    const atB = await scrape(cluster, "b");
    assertEquals(sumOf(atB, "quorate_refused_total", 'code="held"'), 1);
    const route = ['route="/v1/locks/{name}"', 'method="POST"', 'code="409"'];
    assertEquals(sumOf(atB, "quorate_request_duration_seconds_count", ...route), 1);

    const waiting = take("c", "/v1/locks/x", { waitMs: 60_000 });
    // Each node counts what it has seen of all.
    await until("the waiter is seen", async () => sumOf(await scrape(cluster, "a"), "quorate_waiting", '"lock"') === 1);
    const seen = await scrape(cluster, "a");
    assertEquals([sumOf(seen, "quorate_held", '"lock"'), sumOf(seen, "quorate_held", '"semaphore"')], [1, 2]);
    assertEquals(sumOf(seen, "quorate_sessions"), 1);
    assert(sumOf(seen, "quorate_oldest_hold_seconds") > 0);
    assert(sumOf(seen, "quorate_oldest_wait_seconds") > 0);

    assertEquals((await cluster.ask("b", "DELETE", "/v1/locks/x", { reason: "for the test" })).status, 200);
    assertEquals((await waiting).status, 200);
    await until("it is forced", async () => await total(cluster, "quorate_forced_total", '"lock"') === 1);
    await until("and handed over", async () => await grants("lock") === 2);

    assertEquals((await take("a", "/v1/locks/short", { ttlMs: 1_000 })).status, 200);
    assertEquals((await take("b", "/v1/locks/short", { waitMs: 30_000 })).status, 200);
    await until("it has lapsed", async () => await total(cluster, "quorate_lapses_total", '"lock"') === 1);
    assertEquals(await total(cluster, "quorate_lapses_total", '"election"'), 0);
    const all = await scrape(cluster, "a");
    assert([...all.samples.keys()].every((sample) => !/short|"x"|token|"me"/.test(sample)), "no name is in a label");
  }));

Deno.test("metrics: decisions by path, collisions, recoveries and changes of mode", () =>
  withThree(async (cluster) => {
    // `open_fast` is as fast: which of the two quorums was seen first differs from run to run.
    const decided = (path: string) => total(cluster, "quorate_decisions_total", 'noun="kv"', `${path}"`);
    const took = (path: string) => total(cluster, "quorate_decision_duration_seconds_count", `${path}"`);
    // A new cluster decides one thing of its own: to which version of the machine names may go. That is over first.
    for (const id of IDS) assertEquals((await cluster.ask(id, "POST", "/v1/raise")).status, 200);
    const tookBefore = await took("fast");
    const collided = await total(cluster, "quorate_collisions_total");
    // Each is counted once, and whether it is a fast one is for a busy machine to say: who is answered late tries a ballot of its own.
    let calm = 0;
    for (; calm < CALM_MAX && await decided("fast") < 5; calm++) {
      assertEquals((await cluster.ask("a", "PUT", "/v1/kv/calm", `${calm}`)).status, 200);
      const counted = async () => await decided("fast") + await decided("recovered") === calm + 1;
      await until("it is counted", counted);
    }
    assertEquals([await decided("fast"), await took("fast") - tookBefore], [5, 5]);
    assertEquals(await total(cluster, "quorate_collisions_total"), collided);
    for (const id of IDS) assertEquals((await cluster.ask(id, "PUT", "/v1/kv/old%2Fx", id)).status, 200);
    await until("the coordinator's are counted", async () => await decided("classic") >= 1);
    const recoveries = () => total(cluster, "quorate_recoveries_total");
    let before = NaN;
    // Nor is a second ballot tried unless the first is late.
    for (let i = 0; i < CALM_MAX && await recoveries() !== before; i++) {
      before = await recoveries();
      const own = await decided("recovered");
      assertEquals((await cluster.ask("a", "PUT", "/v1/kv/slow%2Fx", `${i}`)).status, 200);
      await until("a ballot of its own is counted", async () => await decided("recovered") === own + 1);
    }
    assertEquals(await recoveries(), before, "where all writes take one it recovers nothing");

    const recovered = (kind: string) => total(cluster, "quorate_recoveries_total", `kind="${kind}"`);
    await collide(cluster, "fast%2Fx", async () => await recovered("coordinated") > 0);
    assert(await total(cluster, "quorate_collisions_total") > collided);
    await collide(cluster, "free%2Fx", async () => await recovered("uncoordinated") > 0);
    // By itself a contended name goes through one node.
    await collide(cluster, "hot", async () => await total(cluster, "quorate_mode_changes_total", 'to="classic"') > 0);
    assert(await took("recovered") > 0);
  }));

Deno.test("metrics: peers that answer and fail, quorum, votes, what nobody knows, and the store", () =>
  withThree(async (cluster) => {
    assertEquals((await cluster.ask("a", "PUT", "/v1/kv/x", "1")).status, 200);
    const gauge = async (name: string) => sumOf(await scrape(cluster, "a"), `quorate_${name}`);
    await until("all answer it", async () => await gauge("quorum") === 1 && await gauge("peer_up") === 2);
    assertEquals([await gauge("voting"), await gauge("store_failing")], [1, 0]);
    const before = await scrape(cluster, "a");
    for (const peer of ["b", "c"]) {
      assert(sumOf(before, "quorate_peer_round_trip_seconds_count", `peer="${peer}"`) > 0, peer);
      assertEquals(sumOf(before, "quorate_peer_up", `peer="${peer}"`), 1);
    }
    assert(sumOf(before, "quorate_store_commit_duration_seconds_count") > 0);
    assert(sumOf(before, "quorate_store_size_bytes") > 4_096);
    assertEquals(sumOf(before, "quorate_build_info"), 1);

    cluster.silence("b", "c");
    // Its own vote is cast before it knows that nobody else's is. It tries a ballot of its own once the answers are late by what
    // they took before, which is long on a busy machine.
    const told = await cluster.ask("a", "PUT", "/v1/kv/x?timeoutMs=4000", "2");
    assertEquals(told.body["code"], "outcome-unknown", told.text);
    await until("it is noticed", async () => await gauge("quorum") === 0);
    const after = await scrape(cluster, "a");
    assertEquals(sumOf(after, "quorate_outcome_unknown_total"), 1);
    for (const peer of ["b", "c"]) {
      assert(sumOf(after, "quorate_peer_failures_total", `peer="${peer}"`) > 0, peer);
      assertEquals(sumOf(after, "quorate_peer_up", `peer="${peer}"`), 0);
    }
    assert(sumOf(after, "quorate_recoveries_total", 'kind="prepare"') > 0, "it tried a ballot of its own");
    cluster.heal();
    await until("it is over", async () => await gauge("quorum") === 1 && await gauge("peer_up") === 2);
  }));
