/** A whole node as routes and peers see it. */
import { assert, assertEquals } from "@std/assert";
import { STANDING } from "../../src/paxos/ballot.ts";
import { MAILBOX, MAILBOXES, type WireMessage } from "../../src/ports.ts";
import { certificateOf, valueOf } from "../paxos/samples.ts";
import { MESSAGES } from "../transport/samples.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

const AT = { key: "lock/x", epoch: 0, instance: 1 } as const;

Deno.test("node: one reply per message, in order, and one that fails spoils no other", async () => {
  const cluster = await memoryCluster(3);
  try {
    const messages: WireMessage[] = [
      { type: "marks", of: "c" },
      { type: "accept", ...AT, ballot: STANDING, value: valueOf("b") },
      { type: "read", ...AT, key: "\ud800" },
      { type: "read", ...AT },
      { type: "accept", ...AT, ballot: STANDING, value: valueOf("c") },
      { type: "read", ...AT, epoch: 1 },
      { ...MESSAGES.collision, ...AT },
    ];
    const replies = await cluster.node("a").receive("b", "acceptor", messages);
    assertEquals(replies.map(({ type }) => type), [
      "marks",
      "accepted",
      "unavailable",
      "view",
      "rejected",
      "rejected",
      "unavailable",
    ]);
  } finally {
    cluster.close();
  }
});

Deno.test("node: a message that is not for its mailbox is unavailable by itself, and changes nothing", async () => {
  const cluster = await memoryCluster(3);
  try {
    for (const mailbox of MAILBOXES) {
      const others = Object.values(MESSAGES).filter(({ type }) => MAILBOX[type] !== mailbox);
      const replies = await cluster.node("a").receive("b", mailbox, others);
      const reasons = others.map(({ type }) => `${type} is not for the ${mailbox}`);
      assertEquals(replies, reasons.map((reason) => ({ type: "unavailable", reason })));
    }
    assertEquals(await cluster.store("a").keys("", "", 1), []);
  } finally {
    cluster.close();
  }
});

Deno.test("node: what it says of a failure to a peer is short", async () => {
  const cluster = await memoryCluster(3);
  try {
    cluster.kill("a");
    const [reply] = await cluster.node("a").receive("b", "acceptor", [{ type: "read", ...AT }]);
    assert(reply?.type === "unavailable" && reply.reason.length <= 200, JSON.stringify(reply));
  } finally {
    cluster.close();
  }
});

Deno.test("node: status of a calm node, and of one that may not vote", async () => {
  const cluster = await memoryCluster(3);
  try {
    await cluster.node("a").locks.acquire("x", request("me"), caller());
    assertEquals(await cluster.node("a").readiness(), null);
    const { voting, reason, members, boot, seq, epoch } = cluster.node("a").status();
    assertEquals([voting, reason, boot, epoch], [true, undefined, 1, 0]);
    assertEquals(members.map(({ id, reachable }) => [id, reachable]), [["a", true], ["b", true], ["c", true]]);
    assert(seq >= 1);
    await cluster.store("a").quarantine("for the test");
    const after = cluster.node("a").status();
    assertEquals([after.voting, after.reason], [false, "quarantined: for the test"]);
    await new Promise((resolve) => setTimeout(resolve, 250));
    assertEquals(await cluster.node("a").readiness(), "quarantined: for the test");
  } finally {
    cluster.close();
  }
});

Deno.test("node: not ready without a quorum, which says how many answer; ready again with one", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(10) });
  try {
    cluster.kill("b");
    cluster.kill("c");
    let reason: string | null = null;
    await until("it is noticed", async () => (reason = await cluster.node("a").readiness()) !== null);
    assert(/1 of 3/.test(reason!), `${reason}`);
    await cluster.restart("c");
    await until("it is ready", async () => await cluster.node("a").readiness() === null);
    assertEquals(cluster.node("a").status().members.map(({ reachable }) => reachable), [true, false, true]);
  } finally {
    cluster.close();
  }
});

Deno.test("node: a peer that does not vote does not make another ready", async () => {
  const cluster = await memoryCluster(3);
  try {
    for (const id of ["b", "c"]) await cluster.store(id).quarantine("for the test");
    assert(await cluster.node("a").readiness() !== null);
  } finally {
    cluster.close();
  }
});

Deno.test("node: one that may not vote takes no commands to propose and no collision to end", async () => {
  const cluster = await memoryCluster(3);
  try {
    const messages: WireMessage[] = [{ type: "forward", ...AT, commands: [] }, {
      type: "collision",
      ...AT,
      ballot: STANDING,
      reports: [],
    }];
    const ask = () => cluster.node("a").receive("b", "coordinator", messages);
    assertEquals((await ask()).map(({ type }) => type), ["noted", "noted"]);
    await cluster.store("a").quarantine("for the test");
    const reason = "quarantined: for the test";
    assertEquals(await ask(), [{ type: "unavailable", reason }, { type: "unavailable", reason }]);
  } finally {
    cluster.close();
  }
});

Deno.test("node: readiness is asked of peers no more than some times a second, however often it is polled", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(0.1) });
  try {
    let asked = 0;
    cluster.network.drop(({ kind, content }) => {
      if (kind === "request" && content.type === "read") asked++;
      return false;
    });
    await Promise.all(Array.from({ length: 100 }, () => cluster.node("a").readiness()));
    assertEquals(asked, 2);
  } finally {
    cluster.close();
  }
});

Deno.test("node: it keeps the highest mark of a peer, and what it knows of a first life against a second", async () => {
  const cluster = await memoryCluster(3);
  try {
    const node = cluster.node("a");
    const marks = () => cluster.store("a").marks()["z"];
    const first = { incarnation: "one", boot: 3, run: "r3", seq: 40 };
    await node.note("z", { ...first, boot: 0, seq: 99 });
    assertEquals(marks(), undefined);
    await node.note("z", first);
    await node.note("z", { ...first, seq: 20 });
    await node.note("z", { incarnation: "two", boot: 9, run: "r9", seq: 900 });
    assertEquals(marks(), first);
    await node.note("z", { ...first, boot: 4, run: "r4", seq: 41 });
    assertEquals(marks()?.seq, 41);
  } finally {
    cluster.close();
  }
});

Deno.test("node: a forged decision is refused: a certificate of too few, or of votes the record denies", async () => {
  const cluster = await memoryCluster(5);
  try {
    const node = cluster.node("a");
    const value = valueOf("b");
    const few = { type: "learn", ...AT, certificate: certificateOf(1, value, "open", "bc"), value } as const;
    const [reply] = await node.receive("b", "acceptor", [few]);
    assertEquals(reply?.type, "rejected");
    assertEquals(cluster.disk("a").records.has("lock/x"), false);
  } finally {
    cluster.close();
  }
});

Deno.test("node: one of one decides by itself, also after its restart", async () => {
  const cluster = await memoryCluster(1);
  try {
    const { body } = await cluster.node("a").locks.acquire("x", request("me"), caller());
    cluster.kill("a");
    await cluster.restart("a");
    assertEquals(await cluster.node("a").readiness(), null);
    const { body: released } = await cluster.node("a").locks.release("x", body.fence, caller());
    assertEquals(released.outcome, "released");
  } finally {
    cluster.close();
  }
});
