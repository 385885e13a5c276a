import { assertEquals } from "@std/assert";
import { type Ballot, STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import type { Certificate } from "../../src/paxos/message.ts";
import { receiptOf } from "../../src/engine/receipt.ts";
import { ballotOf } from "../paxos/samples.ts";

function certificate(kind: Certificate["kind"], ballot: Ballot): Certificate {
  return { instance: 7, ballot, kind, valueId: "a/v/1", acceptors: ["a", "b", "c"] };
}

const PATHS = [
  ["inclusive", STANDING, "fast", "0..0"],
  ["open", STANDING, "open-fast", "0..0"],
  ["classic", STANDING, "classic", "0..0"],
  ["classic", STANDING_RECOVERY, "recovered", "0..1"],
  // Uncoordinated recovery ends in an open quorum too, but it is a recovery.
  ["open", STANDING_RECOVERY, "recovered", "0..1"],
  ["classic", ballotOf(3, "b"), "recovered", "3.b/t.0"],
] as const;

for (const [kind, ballot, path, shown] of PATHS) {
  Deno.test(`receipt: a ${kind} quorum of ballot ${shown} is ${path}`, () => {
    assertEquals(receiptOf(certificate(kind, ballot)), { path, instance: 7, ballot: shown });
  });
}

Deno.test("receipt: of a key nobody has used, a read of instance 0", () => {
  assertEquals(receiptOf(null), { path: "read", instance: 0, ballot: "0..0" });
});
