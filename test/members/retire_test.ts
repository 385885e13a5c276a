import { assertEquals } from "@std/assert";
import { isSettled } from "../../src/members/retire.ts";
import { logOf, valueOf, voteFor } from "../paxos/samples.ts";
import { AFTER_A, EMPTY, epochsOf, reportOf } from "./samples.ts";

function settled(reports: readonly ReturnType<typeof reportOf>[], imported = "", floor = 9): boolean {
  return isSettled(epochsOf(), reports, new Set(imported), floor, (state) => logOf(state).join() === "a1");
}

Deno.test("retire: a key is settled with records of e+1 at a quorum of its members, whatever stood in e", () => {
  assertEquals(settled([], "ad"), true);
  assertEquals(settled([], "ac"), false);
  assertEquals(settled([reportOf("a", EMPTY, voteFor(valueOf("a"))), reportOf("b", null)], "a"), false);
});

Deno.test("retire: a key that a quorum of sealed members does not have is settled", () => {
  assertEquals(settled([reportOf("a", null), reportOf("b", null)]), true);
  assertEquals(settled([reportOf("a", null)]), false);
  assertEquals(settled([reportOf("a", null), reportOf("d", null)]), false);
  assertEquals(settled([reportOf("a", null), reportOf("b", EMPTY)]), false);
});

Deno.test("retire: a tombstone is settled at or below the floor, if nothing was voted for after it", () => {
  const reports = [reportOf("a", AFTER_A), reportOf("b", null)];
  assertEquals(settled(reports, "", 2), true);
  assertEquals(settled(reports, "", 1), false);
  assertEquals(settled([reportOf("a", AFTER_A, voteFor(valueOf("a", 2))), reportOf("b", AFTER_A)]), false);
  const collided = [reportOf("a", AFTER_A, voteFor(valueOf("a", 2))), reportOf("b", AFTER_A, voteFor(valueOf("b", 2)))];
  assertEquals(settled(collided), false);
  assertEquals(settled([reportOf("a", AFTER_A)]), false);
});
