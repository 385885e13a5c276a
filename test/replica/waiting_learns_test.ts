import { assertEquals } from "@std/assert";
import { LEARN_DELAY_MS } from "../../src/limits.ts";
import type { Learn } from "../../src/paxos/message.ts";
import { WaitingLearns } from "../../src/replica/waiting_learns.ts";
import { ManualClock } from "../transport/manual_clock.ts";

function rig() {
  const clock = new ManualClock();
  const sent: string[] = [];
  const waiting = new WaitingLearns(clock, (to, { key }) => sent.push(`${key} to ${to}`));
  return { clock, sent, waiting };
}

function learn(key: string): Learn {
  return { type: "learn", key, epoch: 0, instance: 1, certificate: null };
}

Deno.test("waiting Learns: each leaves by itself when its time is over, not before and not later", async () => {
  const { clock, sent, waiting } = rig();
  waiting.add("b", learn("k"));
  await clock.pass(2);
  waiting.add("b", learn("l"));
  waiting.add("c", learn("m"));
  await clock.pass(LEARN_DELAY_MS - 2);
  assertEquals(sent, ["k to b"]);
  await clock.pass(2);
  assertEquals([sent, clock.timers], [["k to b", "l to b", "m to c"], 0]);
});

Deno.test("waiting Learns: all of a peer leave with a message to it, all of a name with its next decision", async () => {
  const { clock, sent, waiting } = rig();
  for (const to of ["b", "c"]) for (const key of ["k", "l"]) waiting.add(to, learn(key));
  waiting.sendTo("c");
  assertEquals(sent, ["k to c", "l to c"]);
  waiting.sendOf("l");
  assertEquals(sent.slice(2), ["l to b"]);
  await clock.pass(LEARN_DELAY_MS);
  assertEquals(sent.slice(3), ["k to b"]);
});

Deno.test("waiting Learns: what its peer is told otherwise is not sent; closed, nothing is", async () => {
  const { clock, sent, waiting } = rig();
  for (const to of ["b", "v"]) waiting.add(to, learn("k"));
  waiting.drop("k", (to) => to === "b");
  await clock.pass(LEARN_DELAY_MS);
  assertEquals(sent, ["k to v"]);
  waiting.add("b", learn("k"));
  waiting.close();
  await clock.pass(LEARN_DELAY_MS);
  assertEquals([sent.length, clock.timers], [1, 0]);
});
