import { assertEquals, assertRejects } from "@std/assert";
import { type Mark, PeerError, type Transport, type WireMessage } from "../../src/ports.ts";
import { createLocalNetwork, type Parcel } from "../../src/transport/local_transport.ts";
import { echo, readAt } from "./contract.ts";
import { ManualClock, settled } from "./manual_clock.ts";
import { MARK } from "./samples.ts";

function setUp() {
  const clock = new ManualClock();
  const network = createLocalNetwork({ clock, deadlineMs: 1_000 });
  const received: number[] = [];
  const instanceOf = (message: WireMessage) => "instance" in message ? message.instance : 0;
  network.connect("b", (from, mailbox, messages) => {
    received.push(...messages.map(instanceOf));
    return echo(from, mailbox, messages);
  });
  return { clock, network, received, a: network.transportOf("a") };
}

function outcome(transport: Transport, instance: number): { is: string } {
  const seen = { is: "open" };
  transport.send("b", readAt(instance)).then((reply) => seen.is = reply.type, (error) => {
    seen.is = error.message;
  });
  return seen;
}

const about = (instance: number) => (parcel: Parcel) =>
  "instance" in parcel.content && parcel.content.instance === instance;

Deno.test("a cut loses what is on its way too, in silence, until healed", async () => {
  const { clock, network, received, a } = setUp();
  const end = network.delay(() => 10);
  const first = outcome(a, 1);
  await clock.pass(5);
  network.cut("b", "a");
  await clock.pass(994);
  assertEquals([first.is, received], ["open", []]);
  await clock.pass(1);
  assertEquals(first.is, "b gave no answer within 1000 ms");
  network.heal("a", "b");
  end();
  const second = outcome(a, 2);
  await settled();
  assertEquals([second.is, received, clock.timers], ["learned", [2], 0]);
});

Deno.test("requests and replies are dropped as told", async () => {
  const { clock, network, received, a } = setUp();
  const end = network.drop((parcel) => parcel.kind === "reply" && about(1)(parcel));
  const [lost, kept] = [outcome(a, 1), outcome(a, 2)];
  await clock.pass(1_000);
  assertEquals([lost.is, kept.is, received], ["b gave no answer within 1000 ms", "learned", [1, 2]]);
  end();
  const again = outcome(a, 1);
  await settled();
  assertEquals(again.is, "learned");
});

Deno.test("what is duplicated is received twice and answered once", async () => {
  const { network, received, a } = setUp();
  network.duplicate(() => true);
  const sent = outcome(a, 1);
  await settled();
  assertEquals([sent.is, received], ["learned", [1, 1]]);
});

Deno.test("delays add up, each way, and reorder", async () => {
  const { clock, network, received, a } = setUp();
  network.delay((parcel) => about(1)(parcel) ? 50 : 0);
  network.delay(() => 10);
  const [slow, fast] = [outcome(a, 1), outcome(a, 2)];
  await clock.pass(20);
  assertEquals([slow.is, fast.is, received], ["open", "learned", [2]]);
  await clock.pass(100);
  assertEquals([slow.is, received], ["learned", [2, 1]]);
  assertEquals(a.rttMs("b"), 120);
});

Deno.test("what is held goes when it is released, and no more is held then", async () => {
  const { network, received, a } = setUp();
  const hold = network.hold((parcel) => parcel.kind === "request");
  const [one, two] = [outcome(a, 1), outcome(a, 2)];
  await settled();
  assertEquals([hold.held.map((parcel) => parcel.to), received], [["b", "b"], []]);
  hold.release();
  const three = outcome(a, 3);
  await settled();
  assertEquals([one.is, two.is, three.is, received, hold.held.length], ["learned", "learned", "learned", [1, 2, 3], 0]);
});

Deno.test("a node that is gone refuses, answers nothing it had begun, and speaks no more", async () => {
  const { clock, network, a } = setUp();
  const gate = Promise.withResolvers<void>();
  network.connect("b", async (from, mailbox, messages) => {
    await gate.promise;
    return await echo(from, mailbox, messages);
  });
  const b = network.transportOf("b");
  const begun = outcome(a, 1);
  await settled();
  network.disconnect("b");
  // Its successor is another process.
  network.connect("b", echo);
  gate.resolve();
  await clock.pass(1_000);
  assertEquals(begun.is, "b gave no answer within 1000 ms");
  await assertRejects(() => b.send("a", readAt(1)), PeerError, "closed");
  const fresh = outcome(a, 2);
  await settled();
  assertEquals(fresh.is, "learned");
  network.disconnect("b");
  const refused = outcome(a, 3);
  await settled();
  assertEquals(refused.is, "b refused the connection");
});

Deno.test("marks ride both ways, before what they come with", async () => {
  const { network, a } = setUp();
  const order: unknown[] = [];
  const marks = (id: string, seq: number) => ({
    own: (): Mark => ({ ...MARK, seq }),
    seen: (peer: string, mark: Mark) => void order.push([id, peer, mark.seq]),
  });
  network.connect("a", echo, marks("a", 1));
  network.connect("b", (from, mailbox, messages, mark) => {
    order.push(["received", from, mark.seq]);
    return echo(from, mailbox, messages);
  }, marks("b", 2));
  await a.send("b", readAt(1));
  order.push("answered");
  assertEquals(order, [["received", "a", 1], ["a", "b", 2], "answered"]);
});

Deno.test("an answer whose mark is refused is none", async () => {
  const { network, a } = setUp();
  const own = () => MARK;
  network.connect("a", echo, { own, seen: () => Promise.reject(new PeerError("another life of b")) });
  network.connect("b", echo, { own, seen: () => {} });
  await assertRejects(() => a.send("b", readAt(1)), PeerError, "another life of b");
});
