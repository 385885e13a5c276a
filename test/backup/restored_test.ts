import { assertEquals, assertThrows } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { floorOf, recordOf, restoredFrom, restoredIn } from "../../src/backup/restored.ts";
import { clusterConfigOf } from "../../src/config/cluster_config.ts";
import { QuorateError } from "../../src/errors.ts";
import { RESTORE_STEP, RESTORES_MAX } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { freshRecord } from "../../src/paxos/record.ts";

const machine = createMachine({ digest: sha256Hex });
const urls = { a: "http://127.0.0.1:1", b: "http://127.0.0.1:2" };

Deno.test("recordOf: each restore begins above all that was decided before, for names that are in the backup or not", () => {
  const state = machine.init({ kind: "fast", recovery: "coordinated", coordinator: "gone" });
  let instance = 7;
  let highest = 0;
  for (let count = 1; count <= 3; count++) {
    const floor = floorOf(restoredFrom(count, "d"));
    const record = recordOf({ instance, state }, floor, { kind: "prepare" }, machine);
    assertEquals([record.instance, record.vote, record.decidedBy], [count * RESTORE_STEP + 7, null, null]);
    assertEquals([record.state["mode"], record.stateHash], [{ kind: "prepare" }, machine.hash(record.state)]);
    const fresh = freshRecord(machine, { kind: "prepare" }, floor);
    assertEquals([fresh.instance > highest, record.instance > highest], [true, true]);
    highest = record.instance + 1_000;
    instance = record.instance;
  }
  assertEquals(floorOf(null), 0);
  assertThrows(() => restoredFrom(RESTORES_MAX + 1, "d"), QuorateError);
});

Deno.test("restoredIn: what a store's ClusterConfig says; members that were made of two backups have two", () => {
  const restored = { count: 2, digest: "d" };
  const [plain, of, other] = [null, restored, { count: 2, digest: "e" }].map((one) =>
    clusterConfigOf({ urls, modes: [] }, one)
  );
  assertEquals([plain, of].map((one) => restoredIn(one!.text)), [null, restored]);
  assertEquals(new Set([plain, of, other].map((one) => one!.hash)).size, 3);
  for (const text of [null, "", "{}", "[]", '{"restored":{"count":"2","digest":"d"}}', '{"restored":{"count":2}}']) {
    assertEquals(restoredIn(text), null);
  }
});
