/** Names that nobody uses any more lose their past by one decided value, the same everywhere, and go on as they were when used again. */
import { assert, assertEquals, assertGreater, assertLessOrEqual, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import type { BackupRecord } from "../../src/backup/backup_file.ts";
import { floorOf, recordOf } from "../../src/backup/restored.ts";
import { QuorateError } from "../../src/errors.ts";
import { Forgetting, type ForgettingParts } from "../../src/leases/forgetting.ts";
import { FORGET_AFTER_MS, FORGET_MAX_KEYS, FORGET_SEEN_MS, HISTORY_ITEMS, SWEEP_MS } from "../../src/limits.ts";
import { entriesOf, keyState } from "../../src/machine/state.ts";
import { createMachine, wholeHashOf } from "../../src/machine/machine.ts";
import type { Op } from "../../src/machine/op.ts";
import { RESERVED_PREFIX } from "../../src/nouns.ts";
import type { Caller } from "../../src/service/service.ts";
import { viewGrants } from "../../src/machine/view.ts";
import type { AcceptorRecord, Snapshot } from "../../src/paxos/message.ts";
import { encodeRecord } from "../../src/store/rows.ts";
import { MACHINE_OF_ALL, MACHINE_VERSION } from "../../src/version.ts";
import { KeyLog } from "../machine/key_log.ts";
import { firstChange, listed } from "../replica/epochs.ts";
import { caller, request } from "../replica/memory_cluster.ts";
import { type Observed, withCluster } from "../trace/observed_cluster.ts";
import { ManualClock } from "../transport/manual_clock.ts";

const AFTER_MS = 30 * 60_000;
const FORGOTTEN_MAX_BYTES = 100;
/** Every node has been through its records. */
const PASS_MS = 3 * SWEEP_MS + 10_000;
const OPTIONS = { limitMs: 2 * FORGET_AFTER_MS, keepParcels: false, machine: MACHINE_VERSION };

const recordAt = (cluster: Observed, id: string, key: string): AcceptorRecord =>
  JSON.parse(cluster.disk(id).records.get(key)!);
const pastOf = ({ state }: AcceptorRecord) => keyState(state).history.length + entriesOf(keyState(state)).length;

async function use(cluster: Observed, name: string): Promise<string> {
  const { locks } = cluster.node("b");
  const { body } = await locks.acquire(name, request("ci"), caller());
  await locks.release(name, body.fence, caller());
  return body.fence;
}

for (const n of [3, 5]) {
  Deno.test(`forgetting, n=${n}: a free name is forgotten once, by one value, with the same state on all; what is in use is not`, () =>
    withCluster(n, async (cluster) => {
      const fence = await use(cluster, "old");
      await cluster.node("b").registers.put("kept", { bytes: "", contentType: "text/plain" }, caller());
      const held = await cluster.node("b").locks.acquire("held", request("ci", { ttlMs: 3_600_000 }), caller());
      await cluster.settle();
      const { instance } = recordAt(cluster, "b", "lock/old");
      await cluster.clock.sleep(AFTER_MS - PASS_MS);
      for (const id of cluster.ids) assertGreater(pastOf(recordAt(cluster, id, "lock/old")), 0, id);
      await cluster.clock.sleep(3 * PASS_MS);
      const records = cluster.ids.map((id) => recordAt(cluster, id, "lock/old"));
      assertEquals(records.map(pastOf), cluster.ids.map(() => 0));
      assertEquals(records.map((record) => record.instance), cluster.ids.map(() => instance + 1));
      assertEquals(new Set(records.map(({ stateHash }) => stateHash)).size, 1);
      // It stays so: to be forgotten is no use of it.
      await cluster.clock.sleep(AFTER_MS + 3 * PASS_MS);
      assertEquals(recordAt(cluster, "a", "lock/old").instance, instance + 1);
      assertGreater(pastOf(recordAt(cluster, "a", "kv/kept")), 0);
      assertGreater(Number(await use(cluster, "old")), Number(fence));
      assert(held.body.fence !== "");
    }, { ...OPTIONS, forgetAfterMs: AFTER_MS }));
}

/** What its rows weigh, as the store of an owner writes them. */
function rowBytes(record: AcceptorRecord): number {
  const { ballot, state } = encodeRecord("lock/often", { ...record, live: false }, null, { at: 1_000_000 });
  return ballot.length + (state instanceof Uint8Array ? state.length : 0);
}

Deno.test("forgetting: of a name that was used often a small row is left, and used as often again it is no larger than before", () =>
  withCluster(3, async (cluster) => {
    const sizes: number[] = [];
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < HISTORY_ITEMS; i++) await use(cluster, "often");
      await cluster.settle();
      sizes.push(rowBytes(recordAt(cluster, "a", "lock/often")));
      await cluster.clock.sleep(AFTER_MS + 3 * PASS_MS);
      assertLessOrEqual(rowBytes(recordAt(cluster, "a", "lock/often")), FORGOTTEN_MAX_BYTES, `round ${round}`);
    }
    const [first, ...later] = sizes;
    assertGreater(first!, 20 * FORGOTTEN_MAX_BYTES);
    // Numbers of instances get a digit longer.
    for (const size of later) assertLessOrEqual(size, first! + 4 * HISTORY_ITEMS);
  }, { ...OPTIONS, forgetAfterMs: AFTER_MS }));

Deno.test("forgetting: a name that is used now and then is not forgotten", () =>
  withCluster(3, async (cluster) => {
    for (let i = 0; i < 6; i++) {
      await use(cluster, "busy");
      await cluster.clock.sleep(AFTER_MS - 2 * PASS_MS);
    }
    assertGreater(pastOf(recordAt(cluster, "a", "lock/busy")), 8);
  }, { ...OPTIONS, forgetAfterMs: AFTER_MS }));

Deno.test("forgetting: where the node that it is for is gone, the others do it later", () =>
  withCluster(3, async (cluster) => {
    await use(cluster, "old");
    await cluster.settle();
    const { mode } = recordAt(cluster, "a", "lock/old").state;
    assert(mode.kind === "fast");
    const [up] = cluster.ids.filter((id) => id !== mode.coordinator);
    cluster.kill(mode.coordinator);
    await cluster.clock.sleep(AFTER_MS + 2 * PASS_MS);
    assertGreater(pastOf(recordAt(cluster, up!, "lock/old")), 0);
    await cluster.clock.sleep(AFTER_MS + 2 * PASS_MS);
    assertEquals(pastOf(recordAt(cluster, up!, "lock/old")), 0);
    assertEquals(viewGrants(recordAt(cluster, up!, "lock/old").state).state, "free");
  }, { ...OPTIONS, forgetAfterMs: AFTER_MS }));

Deno.test("forgetting: a wall clock that is years ahead forgets nothing that was seen unchanged for less than an hour", () => {
  let aheadMs = 0;
  return withCluster(3, async (cluster) => {
    await use(cluster, "fresh");
    await cluster.settle();
    aheadMs = 10 * 365 * 24 * 3_600_000;
    await cluster.clock.sleep(FORGET_SEEN_MS - 2 * PASS_MS);
    assertGreater(pastOf(recordAt(cluster, "a", "lock/fresh")), 0);
    await cluster.clock.sleep(4 * PASS_MS);
    assertEquals(pastOf(recordAt(cluster, "a", "lock/fresh")), 0);
  }, { ...OPTIONS, aheadMs: () => aheadMs });
});

Deno.test("forgetting: nothing is forgotten while a node may know no such rule, and registers of the cluster's own never are", async () => {
  await withCluster(3, async (cluster) => {
    await use(cluster, "old");
    await cluster.clock.sleep(3 * AFTER_MS);
    assertGreater(pastOf(recordAt(cluster, "a", "lock/old")), 0);
    assertEquals(keyState(recordAt(cluster, "a", "lock/old").state).version, MACHINE_OF_ALL);
  }, { ...OPTIONS, forgetAfterMs: AFTER_MS, machine: MACHINE_OF_ALL });
  await withCluster(3, async (cluster) => {
    const own = `${RESERVED_PREFIX}machine/${MACHINE_VERSION}`;
    await cluster.clock.sleep(3 * PASS_MS);
    const before = recordAt(cluster, "a", own);
    await cluster.clock.sleep(3 * AFTER_MS);
    assertEquals(recordAt(cluster, "a", own), before);
    assertGreater(pastOf(before), 0);
  }, { ...OPTIONS, forgetAfterMs: AFTER_MS });
});

/** Uses the name, waits until it is forgotten, and calls back with the last fence and what its command was born at. */
async function withForgotten(
  run: (cluster: Observed, fence: string, born: number, once: Caller) => Promise<void>,
): Promise<void> {
  await withCluster(3, async (cluster) => {
    const once = caller();
    const born = 1;
    const { body } = await cluster.node("b").locks.acquire("old", request("ci"), { ...once, born });
    await cluster.node("b").locks.release("old", body.fence, caller());
    await cluster.clock.sleep(AFTER_MS + 3 * PASS_MS);
    for (const id of cluster.ids) assertEquals(pastOf(recordAt(cluster, id, "lock/old")), 0);
    await run(cluster, body.fence, born, once);
  }, { ...OPTIONS, forgetAfterMs: AFTER_MS });
}

Deno.test("forgetting: new members are brought the name, its fences go on, and an old request is still expired", () =>
  withForgotten(async (cluster, fence, born, once) => {
    const row = firstChange("abc", "abd");
    cluster.kill("c");
    for (const id of "ab") await cluster.adopt(id, row);
    await cluster.join("d", row);
    await cluster.clock.sleep(1_000);
    assertEquals(await listed(cluster, "ab"), ["cluster/machine/4", "lock/old"]);
    assert(await cluster.node("d").bringing(1)!.bring("lock/old"));
    const again = cluster.node("d").locks.acquire("old", request("ci"), { ...once, born });
    assertEquals((await assertRejects(() => again, QuorateError)).code, "expired-command");
    assertGreater(
      Number((await cluster.node("d").locks.acquire("old", request("x"), caller())).body.fence),
      Number(fence),
    );
  }));

Deno.test("forgetting: a member whose row of the name is damaged is given it by the others, and it stays forgotten", () =>
  withForgotten(async (cluster, fence, born, once) => {
    const key = "lock/old";
    cluster.kill("a");
    cluster.disk("a").records.set(key, "junk");
    await cluster.restart("a");
    await cluster.clock.sleep(5_000);
    assertEquals((await cluster.node("a").repairs.repair(key, null, 10_000)).outcome, "repaired");
    await cluster.settle();
    const records = cluster.ids.map((id) => recordAt(cluster, id, key));
    assertEquals(new Set(records.map(({ instance, stateHash }) => `${instance} ${stateHash}`)).size, 1);
    assertEquals(records.map(pastOf), [0, 0, 0]);
    const again = cluster.node("a").locks.acquire("old", request("ci"), { ...once, born });
    assertEquals((await assertRejects(() => again, QuorateError)).code, "expired-command");
    assertGreater(
      Number((await cluster.node("a").locks.acquire("old", request("x"), caller())).body.fence),
      Number(fence),
    );
  }));

Deno.test("forgetting: a backup has the name, and where it is restored its fences go on", () =>
  withForgotten(async (cluster, fence, _born, once) => {
    const { items } = await cluster.node("c").backup("lock/", 5_000);
    assertEquals(items.map(({ key }) => key), ["lock/old"]);
    const [{ instance, state, hash }] = items as [BackupRecord];
    const machine = createMachine({ digest: sha256Hex });
    assertEquals([hash, state], [wholeHashOf(machine, state), recordAt(cluster, "a", "lock/old").state]);
    const restored = recordOf({ instance, state }, floorOf({ count: 1, digest: "d" }), { kind: "prepare" }, machine);
    const op: Op = { type: "acquire", holder: "x", ttlMs: 1_000, mode: "exclusive", lockDelayMs: 0, atMs: 0 };
    const ask = (id: string, born: number) => {
      const commands = [{ subject: once.subject, id, born, op }];
      return machine.applyWithResults(restored.state, restored.instance, { id: "v", proposer: "a", commands })
        .results[0]!;
    };
    const granted = ask("new", restored.instance);
    assert(granted.outcome === "granted" && Number(granted.fence) > Number(fence));
    assertEquals(ask(once.idempotencyKey, 1).outcome, "expired-command");
  }));

Deno.test("forgetting: as many names as are remembered are forgotten, and give their place to the next at once", async () => {
  const clock = new ManualClock();
  const log = new KeyLog();
  log.release(log.grant("ci"));
  const snapshot = { instance: log.instance + 1, state: log.state } as unknown as Snapshot;
  const forgotten = new Set<string>();
  const forgetting = new Forgetting({
    acceptor: { raised: { most: MACHINE_VERSION }, rules: { me: "a" } },
    clock,
    random: { next: () => 0, id: () => "id" },
    submitters: { submit: (key: string) => Promise.resolve(forgotten.add(key)) },
    turns: { take: (_urgency: string, run: () => Promise<unknown>) => run() },
    forgetAfterMs: AFTER_MS,
  } as unknown as ForgettingParts);
  const view = { snapshot, vote: null, fast: null, isImported: true };
  const look = async (prefix: string, count: number) => {
    for (let i = 0; i < count; i++) await forgetting.look(`${prefix}${i}`, view, true);
  };
  // Those that their labels say are due have all of the room.
  await clock.pass(2 * AFTER_MS);
  await look("first/", FORGET_MAX_KEYS);
  await look("next/", 1);
  await clock.pass(AFTER_MS);
  await look("next/", 1);
  assert(!forgotten.has("next/0"), "it had no place");
  await look("first/", FORGET_MAX_KEYS);
  assertEquals(forgotten.size, FORGET_MAX_KEYS);
  await look("next/", 1);
  await clock.pass(AFTER_MS);
  await look("next/", 1);
  assert(forgotten.has("next/0"));
});
