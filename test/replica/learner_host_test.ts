/** Votes that acceptors tell each other of are collected for so many names and no more. */
import { assertEquals } from "@std/assert";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { Accepted } from "../../src/paxos/message.ts";
import { Contention } from "../../src/engine/contention.ts";
import { CoordinatorHost } from "../../src/replica/coordinator_host.ts";
import { LearnerHost } from "../../src/replica/learner_host.ts";
import { Learning } from "../../src/replica/learning.ts";
import type { Transport } from "../../src/ports.ts";
import { Timing } from "../../src/replica/timing.ts";
import { openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { directValue, rulesOf } from "../paxos/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { acceptorHost } from "./acceptor_parts.ts";

Deno.test("learner host: of more names than it collects votes of the oldest is forgotten, with its timer and its listener", async () => {
  const clock = new ManualClock();
  const rules = rulesOf("a", 3);
  const transport: Transport = { send: () => Promise.reject(new Error("down")), rttMs: () => 0, close: () => {} };
  const random = { next: () => 0, id: () => "i" };
  const store = await openMemoryStore();
  const acceptor = acceptorHost({ rules, store, clock });
  const learning = new Learning(acceptor, transport, clock, 0);
  const coordinator = new CoordinatorHost(acceptor, transport, learning, random);
  const timing = new Timing("a", rules.quorums, transport, random);
  const parts = { acceptor, coordinator, transport, learning, clock, timing, contention: new Contention(), epoch: 0 };
  const learner = new LearnerHost({ ...parts, maxKeys: 3 });
  const vote = { ballot: STANDING, kind: "fast", value: directValue("x") } as const;
  const accepted = (key: string): Accepted => ({ type: "accepted", key, epoch: 0, instance: 1, vote });
  for (let i = 0; i < 100; i++) learner.accepted("b", accepted(`lock/${i}`));
  assertEquals([acceptor.listened, clock.timers], [["lock/97", "lock/98", "lock/99"], 3]);
  // A vote of an instance that comes after it takes the place of the one before.
  learner.accepted("b", { ...accepted("lock/98"), instance: 2 });
  assertEquals([[...acceptor.listened].sort(), clock.timers], [["lock/97", "lock/98", "lock/99"], 3]);
  learner.close();
  await settled();
  assertEquals([acceptor.listened, clock.timers], [[], 0]);
});
