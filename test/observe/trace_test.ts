import { assert, assertEquals } from "@std/assert";
import { TRACE_EVENTS_PER_KEY, TRACE_KEYS, TraceRing } from "../../src/observe/trace.ts";
import { NO_TRACE, type Sighting, type Trace } from "../../src/ports.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";
import { REPLIES, VALUE, VOTE } from "../transport/samples.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { accept } from "./samples.ts";

Deno.test("trace: the newest events of a key, numbered, in order", () => {
  const ring = new TraceRing("a", new ManualClock());
  for (let i = 0; i < TRACE_EVENTS_PER_KEY + 10; i++) {
    ring.record({ type: "sent", to: "b", message: accept("lock/x", i) });
  }
  const events = ring.events("lock/x");
  assertEquals(events.length, TRACE_EVENTS_PER_KEY);
  assertEquals([events[0]!.seq, events.at(-1)!.seq], [11, TRACE_EVENTS_PER_KEY + 10]);
  assert(events.every(({ node, key, atMs }) => node === "a" && key === "lock/x" && atMs === 1_000));
  assertEquals(ring.events("lock/y"), []);
});

Deno.test("trace: of too many keys the one used longest ago is forgotten", () => {
  const ring = new TraceRing("a", new ManualClock());
  for (let i = 0; i < TRACE_KEYS; i++) ring.record({ type: "sent", to: "b", message: accept(`lock/${i}`) });
  ring.record({ type: "sent", to: "b", message: accept("lock/0") });
  ring.record({ type: "sent", to: "b", message: accept("lock/new") });
  assertEquals(ring.events("lock/0").length, 2);
  assertEquals(ring.events("lock/1").length, 0);
  assertEquals(ring.events("lock/2").length, 1);
  assertEquals(ring.events("lock/new").length, 1);
});

Deno.test("trace: what is about no key is not kept, and what was handed out does not grow", () => {
  const ring = new TraceRing("a", new ManualClock());
  ring.record({ type: "sent", to: "b", message: { type: "marks", of: "a" } });
  ring.record({ type: "sent", to: "b", message: accept("lock/x") });
  const events = ring.events("lock/x");
  ring.record({ type: "answered", from: "b", message: accept("lock/x"), reply: null });
  assertEquals(events.map(({ seq, kind }) => [seq, kind]), [[1, "sent"]]);
});

Deno.test("trace: an acceptor that holds another vote of the ballot remarks a collision, first and once", () => {
  const ring = new TraceRing("b", new ManualClock());
  const refused = { ...REPLIES.refused, vote: { ...VOTE, value: { ...VALUE, id: "c/n9/1" } } };
  const seen: Sighting = { type: "handled", from: "a", message: accept("lock/x"), reply: refused };
  ring.record(seen);
  ring.record(seen);
  assertEquals(ring.events("lock/x").map(({ kind }) => kind), ["remark", "handled", "handled"]);
  const [remark] = ring.events("lock/x");
  assert(remark?.kind === "remark");
  assertEquals([remark.by, remark.values], ["acceptor", ["c/n9/1", "a/n1/1"]]);
});

Deno.test("trace: a node whose trace is off never calls it", async () => {
  let records = 0;
  const off: Trace = { on: false, record: () => void records++ };
  const cluster = await memoryCluster(3, { trace: () => off });
  try {
    const { body } = await cluster.node("a").locks.acquire("quiet", request("me"), caller());
    await cluster.node("b").locks.release("quiet", body.fence, caller());
    assertEquals(records, 0);
    assertEquals(NO_TRACE.on, false);
  } finally {
    cluster.close();
  }
});
