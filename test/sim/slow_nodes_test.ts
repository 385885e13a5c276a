/** Nodes that are slow and alive are not made slower by what others take their slowness for; those that are dead are passed as ever. */
import { assert, assertEquals } from "@std/assert";
import type { QuorateError } from "../../src/errors.ts";
import { Admission } from "../../src/http/admission.ts";
import { SlowNodes } from "./slow_nodes.ts";

Deno.test("slow nodes: a load that fills their processors is decided without one Prepare, from its first write on", async () => {
  for (const cost of [{ cpuMs: 5, diskMs: 20 }, { cpuMs: 25, diskMs: 60 }]) {
    const rig = await SlowNodes.start();
    rig.begin(cost);
    const came = await rig.load(32, 10_000);
    assertEquals([[...came.keys()], rig.sentOf("prepare"), rig.timedOut], [["ok"], 0, 0]);
    // What a message costs bounds what can be decided: six for each value, each handled twice, by three.
    assert(came.get("ok")! > 0.5 * 10_000 / (4 * cost.cpuMs), `${came.get("ok")}`);
    rig.cluster.close();
  }
});

Deno.test("slow nodes: where disks take longer than a peer is waited for, it is waited for longer once that is known", async () => {
  const rig = await SlowNodes.start();
  rig.begin({ cpuMs: 1, diskMs: 600 });
  await rig.load(32, 10_000);
  rig.begin({ cpuMs: 1, diskMs: 600 });
  const came = await rig.load(32, 20_000);
  assertEquals([[...came.keys()], rig.sentOf("prepare"), rig.timedOut], [["ok"], 0, 0]);
  // Three writes one after another, each behind one that is under way already.
  assert(came.get("ok")! >= 32 * 5, `${came.get("ok")}`);
  // Fast again, they are given up as soon as ever.
  rig.begin({ cpuMs: 0.2, diskMs: 2 });
  await rig.load(32, 500);
  rig.cluster.network.cut("a", "b");
  rig.cluster.network.cut("a", "c");
  rig.begin({ cpuMs: 0.2, diskMs: 2 });
  const sinceMs = rig.clock.now();
  const lost = rig.write("a", 1_500);
  await rig.clock.pass(1_010);
  assert(rig.timedOut > 0, `nothing was given up after ${rig.clock.now() - sinceMs} ms`);
  await rig.clock.run(lost, 10_000);
  rig.cluster.close();
});

Deno.test("slow nodes: one slow write of the own disk begins no recovery", async () => {
  const rig = await SlowNodes.start();
  rig.begin({ cpuMs: 0.2, diskMs: 2 });
  const own = rig.write("a");
  // Whatever was asked of the disk before takes its own time.
  rig.cost.diskMs = 400;
  assertEquals(await rig.clock.run(own, 10_000), "ok");
  assertEquals([rig.sentOf("prepare"), rig.sentOf("collision")], [0, 0]);
  rig.cluster.close();
});

Deno.test("slow nodes: dead ones are passed as ever, also where a fast quorum is gone with them", async () => {
  for (const [n, dead, mostMs] of [[3, ["c"], 50], [5, ["d", "e"], 50], [7, ["e", "f", "g"], 200]] as const) {
    const rig = await SlowNodes.start(n);
    await rig.load(n, 300);
    for (const id of dead) for (const other of rig.cluster.ids) if (other !== id) rig.cluster.network.cut(id, other);
    rig.begin({ cpuMs: 0.2, diskMs: 2 });
    // While they are not known to be gone, and after it.
    for (let i = 0; i < 10; i++) {
      const sinceMs = rig.clock.now();
      assertEquals(await rig.clock.run(rig.write("a"), 10_000), "ok");
      const tookMs = rig.clock.now() - sinceMs;
      assert(tookMs < mostMs, `${n} nodes, write ${i}: ${tookMs} ms`);
      await rig.clock.pass(200);
    }
    if (n < 7) assertEquals(rig.sentOf("prepare"), 0);
    rig.cluster.close();
  }
});

Deno.test("slow nodes: what a dead proposer left is recovered as soon as ever, in silence too", async () => {
  const rig = await SlowNodes.start();
  const { network } = rig.cluster;
  await rig.load(3, 300);
  rig.begin({ cpuMs: 0.2, diskMs: 2 });
  const unheard = network.drop(({ kind, from, to }) =>
    (kind === "request" && from === "a" && to === "c") || to === "a"
  );
  const left = rig.write("a", 100, "x");
  await rig.clock.pass(30);
  for (const other of ["b", "c"]) network.cut("a", other);
  unheard();
  const sinceMs = rig.clock.now();
  assertEquals(await rig.clock.run(rig.write("b", 10_000, "x"), 10_000), "ok");
  const tookMs = rig.clock.now() - sinceMs;
  assert(tookMs < 250, `${tookMs} ms`);
  await rig.clock.run(left, 10_000);
  rig.cluster.close();
});

Deno.test("slow nodes: a flood at one whose disk is slow is refused with nothing begun, not left without an outcome, from its first write on", async () => {
  const rig = await SlowNodes.start();
  const { clock, cluster } = rig;
  await rig.load(3, 300);
  rig.begin({ cpuMs: 0.05, diskMs: 300 });
  const admission = new Admission(
    () => clock.now(),
    (ms, run) => clock.after(ms, run),
    () => cluster.node("a").health.commitMs,
  );
  const came = new Map<string, number>();
  const endMs = clock.now() + 10_000;
  const writer = async () => {
    while (clock.now() < endMs) {
      let what: string;
      try {
        const patience = () => ({ withinMs: 1_000, isGone: () => false });
        const leave = await admission.enter({ subject: "x", isHolders: false, bytes: 10, patience });
        what = await rig.write("a", 5_000);
        leave(true);
      } catch (error) {
        what = (error as QuorateError).code;
        await clock.sleep(1_000);
      }
      came.set(what, (came.get(what) ?? 0) + 1);
    }
  };
  await clock.run(Promise.all(Array.from({ length: 2_000 }, writer)), 60_000);
  assertEquals([...came.keys()].sort(), ["ok", "overloaded"]);
  assert(came.get("ok")! > 500, `${came.get("ok")}`);
  cluster.close();
});
