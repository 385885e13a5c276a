/** The coordinator's host: what reports of a collision start, and what they must not (PROTOCOL.md §4). */
import { assert, assertEquals } from "@std/assert";
import { STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import type { Collision } from "../../src/paxos/message.ts";
import { CoordinatorHost } from "../../src/replica/coordinator_host.ts";
import { Learning } from "../../src/replica/learning.ts";
import { PeerError, type Transport, type WireMessage, type WireReply } from "../../src/ports.ts";
import { openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { ballotOf, fast, KEY, logOf, reportsOf, rulesOf, valueOf } from "../paxos/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { acceptorHost } from "./acceptor_parts.ts";

const AT = { key: KEY, epoch: 0, instance: 1 } as const;

type Answer = (to: string, message: WireMessage) => WireReply | Promise<WireReply>;

/** Node a of four, coordinator of every key unless another is named. */
async function rig(answer: Answer, { coordinator = "a", maxKeys = 100 } = {}) {
  const store = await openMemoryStore();
  const clock = new ManualClock();
  const sent: { to: string; message: WireMessage }[] = [];
  const transport: Transport = {
    send: (to, message) => {
      sent.push({ to, message });
      return Promise.resolve().then(() => answer(to, message));
    },
    rttMs: () => 0,
    close: () => {},
  };
  let whyNot: string | null = null;
  const acceptor = acceptorHost({
    rules: rulesOf("a", 4),
    store,
    clock,
    modeOf: () => fast(coordinator),
    whyNot: () => whyNot,
  });
  const learning = new Learning(acceptor, transport, clock, 0);
  let ids = 0;
  const reports: string[] = [];
  const random = { next: () => 0, id: () => `id${++ids}` };
  const host = new CoordinatorHost(
    acceptor,
    transport,
    learning,
    random,
    (line) => void reports.push(line),
    undefined,
    maxKeys,
  );
  const accepts = () => sent.flatMap(({ to, message }) => message.type === "accept" ? [{ to, message }] : []);
  return { host, acceptor, store, sent, accepts, reports, forbid: () => whyNot = "may not vote" };
}

const accepting: Answer = (_to, message) => {
  if (message.type === "accept") {
    const { instance, ballot, value } = message;
    return { type: "accepted", instance, ballot, kind: "classic", valueId: value.id };
  }
  return message.type === "learn" ? { type: "learned", instance: message.instance + 1 } : { type: "noted" };
};

function collision(text: string, instance = 1): Collision {
  return { type: "collision", ...AT, instance, ballot: STANDING, reports: reportsOf(text) };
}

Deno.test("coordinator host: a collision is decided in the recovery ballot, all its commands in one value, and told to all", async () => {
  const { host, acceptor, accepts, sent } = await rig(accepting);
  host.collision(collision("b:b c:b d:c"));
  host.collision(collision("b:b c:c d:c"));
  await settled();
  await settled();
  const { snapshot } = await acceptor.view(KEY);
  assertEquals(snapshot.instance, 2);
  assert(snapshot.decidedBy !== null);
  assertEquals([snapshot.decidedBy.kind, snapshot.decidedBy.ballot], ["classic", STANDING_RECOVERY]);
  assert(logOf(snapshot.state).length >= 1);
  // One value only ever leaves in one ballot.
  assertEquals(new Set(accepts().map(({ message }) => message.value.id)).size, 1);
  assertEquals(accepts().map(({ to }) => to).sort(), ["b", "c", "d"]);
  const learns = sent.filter(({ message }) => message.type === "learn").map(({ to }) => to);
  assertEquals([...new Set(learns)].sort(), ["b", "c", "d"]);
});

Deno.test("coordinator host: its own vote comes before anybody hears of its pick", async () => {
  let durable: unknown = "nothing was sent";
  const it = await rig((to, message) => {
    if (message.type === "accept") {
      durable = JSON.parse(it.store.disk.records.get(KEY)!).vote?.value.id === message.value.id;
    }
    return accepting(to, message);
  });
  it.host.collision(collision("b:b c:c d:c"));
  await settled();
  await settled();
  assertEquals(durable, true);
});

Deno.test("coordinator host: reports of too few acceptors start nothing; one more does", async () => {
  const { host, accepts } = await rig(accepting);
  host.collision(collision("b:b"));
  await settled();
  assertEquals(accepts(), []);
  host.collision(collision("c:c"));
  host.collision(collision("d:c"));
  await settled();
  await settled();
  assertEquals(accepts().length > 0, true);
});

Deno.test("coordinator host: repeated reports make one recovery", async () => {
  const { host, accepts } = await rig(accepting);
  for (let i = 0; i < 20; i++) host.collision(collision("b:b c:c d:c"));
  await settled();
  await settled();
  assertEquals(accepts().length, 3);
});

Deno.test("coordinator host: who is not the key's coordinator picks nothing, whatever it is told", async () => {
  const { host, acceptor, accepts } = await rig(accepting, { coordinator: "d" });
  host.collision(collision("b:b c:c d:c"));
  await settled();
  assertEquals(accepts(), []);
  assertEquals((await acceptor.view(KEY)).vote, null);
});

Deno.test("coordinator host: a collision of an instance that is over, or not reached, changes nothing", async () => {
  const { host, acceptor, accepts } = await rig(accepting);
  host.collision(collision("b:b c:c d:c"));
  await settled();
  await settled();
  const before = accepts().length;
  host.collision(collision("b:b c:c d:c", 1));
  host.collision(collision("b:b c:c d:c", 9));
  await settled();
  assertEquals(accepts().length, before);
  assertEquals((await acceptor.view(KEY)).snapshot.instance, 2);
  // The one that is not reached does not stand in the way of the next.
  host.collision(collision("b:b c:c d:c", 2));
  await settled();
  assertEquals((await acceptor.view(KEY)).snapshot.instance >= 2, true);
});

Deno.test("coordinator host: promised higher on its own record, it leaves the instance to whoever prepares", async () => {
  const { host, acceptor, accepts } = await rig(accepting);
  await acceptor.handle({ type: "prepare", ...AT, ballot: [1, "b/x", 0] }, "b");
  host.collision(collision("b:b c:c d:c"));
  await settled();
  assertEquals(accepts(), []);
});

Deno.test("coordinator host: silent peers and refusals are no votes: nothing is decided", async () => {
  const { host, acceptor } = await rig((to, message) => {
    if (message.type !== "accept" || to === "b") throw new PeerError("silence");
    const { instance, ballot } = message;
    return { type: "refused", instance, ballot, promised: [2, "c/x", 0], vote: null };
  });
  host.collision(collision("b:b c:c d:c"));
  await settled();
  await settled();
  const { snapshot, vote } = await acceptor.view(KEY);
  assertEquals(snapshot.instance, 1);
  assertEquals(vote?.ballot, STANDING_RECOVERY);
});

Deno.test("coordinator host: an own write of unknown outcome decides nothing, and is no unhandled failure", async () => {
  for (const fault of ["unknown-lost", "unknown-applied"] as const) {
    const { host, store, acceptor } = await rig(accepting);
    store.failNext = fault;
    host.collision(collision("b:b c:c d:c"));
    await settled();
    await settled();
    assertEquals((await acceptor.view(KEY)).snapshot.instance, 1, fault);
  }
});

Deno.test("coordinator host: a peer is behind while this node may no longer vote: no unhandled failure, which would end the process", async () => {
  const unhandled: unknown[] = [];
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", note);
  try {
    const it = await rig((_to, message) => {
      if (message.type !== "accept") return { type: "noted" };
      it.forbid();
      return { type: "behind", instance: 1 };
    });
    it.host.collision(collision("b:b c:c d:c"));
    for (let i = 0; i < 4; i++) await settled();
    assert(it.accepts().length >= 1);
    assertEquals(unhandled.map(String), []);
  } finally {
    globalThis.removeEventListener("unhandledrejection", note);
  }
});

Deno.test("coordinator host: told of another's key, it passes the report on; a lost report is nothing", async () => {
  const { host, sent } = await rig(() => Promise.reject(new PeerError("silence")));
  host.tell("c", {
    ...collision("b:b"),
    reports: [{ from: "b", vote: { ballot: STANDING, kind: "fast", value: valueOf("b") } }],
  });
  await settled();
  assertEquals(sent.map(({ to, message }) => [to, message.type]), [["c", "collision"]]);
});

Deno.test("coordinator host: an answer that no step can make sense of ends this recovery with a report, and not the process", async () => {
  const broken: Answer = (to, message) =>
    message.type === "accept" ? { type: "accepted", instance: 1 } as never : accepting(to, message);
  const { host, reports } = await rig(broken);
  host.collision(collision("b:b c:b d:c"));
  await settled();
  assert(
    reports.length > 0 && reports.every((line) => line.startsWith(`${KEY} is not recovered here: `)),
    `${reports}`,
  );
});

Deno.test("coordinator host: of more keys than it recovers at a time the oldest is forgotten, and one that it gave up at once", async () => {
  const { host, acceptor } = await rig(accepting, { maxKeys: 3 });
  for (let i = 0; i < 100; i++) host.collision({ ...collision("b:b"), key: `lock/${i}` });
  assertEquals(acceptor.listened, ["lock/97", "lock/98", "lock/99"]);
  const prepare = { type: "prepare", ...AT, key: "lock/99", ballot: ballotOf(7, "b") } as const;
  assertEquals((await acceptor.handle(prepare, "b")).type, "promise");
  for (const text of ["c:c", "d:c"]) host.collision({ ...collision(text), key: "lock/99" });
  await settled();
  await settled();
  assertEquals(acceptor.listened, ["lock/97", "lock/98"]);
});
