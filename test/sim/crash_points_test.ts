import { assertEquals } from "@std/assert";
import type { AcceptorRecord } from "../../src/paxos/mod.ts";
import type { Sighting } from "../../src/ports.ts";
import { changeOf, CRASH_POINTS, CrashPoints, SHARED_POINTS } from "./crash_points.ts";
import { Totals } from "./totals.ts";

const ACCEPT = { type: "accept", key: "k", epoch: 0, instance: 1, ballot: [0, "", 0] } as const;
const VALUE = { id: "v", proposer: "a", commands: [] };

function accepted(from: string): Sighting {
  const reply = { type: "accepted", instance: 1, ballot: ACCEPT.ballot, kind: "fast", valueId: "v" } as const;
  return { type: "handled", from, message: { ...ACCEPT, value: VALUE }, reply };
}

Deno.test("crash points: a node dies once, at its point, after as many as were to be skipped", () => {
  const points = new CrashPoints();
  const deaths: string[] = [];
  points.arm("a", "vote durable, reply not sent", 1, () => deaths.push("a"));
  points.sighted("b", accepted("c"));
  points.sighted("a", accepted("a"));
  points.sighted("a", accepted("b"));
  assertEquals(deaths, []);
  points.sighted("a", accepted("b"));
  points.sighted("a", accepted("b"));
  assertEquals([deaths, [...points.hits]], [["a"], [["vote durable, reply not sent", 1]]]);
  assertEquals(points.isArmed("a"), false);
});

Deno.test("crash points: between self-vote and send, and in the middle of sending", () => {
  const points = new CrashPoints();
  const deaths: string[] = [];
  points.arm("a", "own vote durable, Accept! not sent", 0, () => deaths.push("before"));
  points.arm("a", "Accept! sent to some, not to all", 0, () => deaths.push("between"));
  points.sighted("a", accepted("a"));
  const sent: Sighting = { type: "sent", to: "b", message: { ...ACCEPT, value: VALUE } };
  points.sighted("a", sent);
  assertEquals(deaths, ["before"]);
  points.sighted("a", { ...sent, to: "c" });
  assertEquals(deaths, ["before", "between"]);
});

Deno.test("crash points: the disk, by what it is about to hold", () => {
  const base = { epoch: 0, state: { mode: { kind: "prepare" } }, stateHash: "h", decidedBy: null } as const;
  const record: AcceptorRecord = { ...base, instance: 1, promised: [1, "a/n", 0], vote: null };
  const voted: AcceptorRecord = { ...record, vote: { ballot: [1, "a/n", 0], kind: "classic", value: VALUE } };
  assertEquals(changeOf(null, record), "promise");
  assertEquals(changeOf(record, voted), "vote");
  assertEquals(changeOf(voted, { ...record, instance: 2 }), "decision");
  const points = new CrashPoints();
  const deaths: string[] = [];
  points.arm("a", "vote made ready, not committed", 0, () => deaths.push("ready"));
  points.arm("a", "mark committed, nobody heard", 0, () => deaths.push("mark"));
  points.atomic("a", "committed", ["vote"]);
  points.atomic("a", "ready", ["promise", "vote"]);
  points.atomic("a", "committed", []);
  assertEquals(deaths, ["ready", "mark"]);
});

Deno.test("crash points: a step at which nobody died is told", () => {
  assertEquals(new Totals().missed(), [...CRASH_POINTS, ...SHARED_POINTS]);
});

Deno.test("crash points: a step that a process takes for its member is its own", () => {
  const points = new CrashPoints();
  const deaths: string[] = [];
  points.arm("a.1", "own vote durable, Accept! not sent", 0, () => deaths.push("a.1"));
  points.sighted("a.2", accepted("a"));
  assertEquals(deaths, []);
  points.sighted("a.1", accepted("a"));
  assertEquals(deaths, ["a.1"]);
});
