/** Names that are new after a change of members: they begin without an import, once the epoch before is retired (PROTOCOL.md §9). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorReply } from "../../src/paxos/message.ts";
import type { StoredRecord, WireReply } from "../../src/ports.ts";
import { freshReplyIn } from "../../src/replica/fresh.ts";
import { changeAfter, firstChange, retire } from "./epochs.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";
import { until } from "./clocks.ts";

const put = (cluster: MemoryCluster, id: string, name: string, text: string) =>
  cluster.node(id).registers.put(name, { bytes: btoa(text), contentType: "text/plain" }, caller());

async function get(cluster: MemoryCluster, id: string, name: string): Promise<string | null> {
  try {
    return atob((await cluster.node(id).registers.get(name, { stale: false, timeoutMs: 30_000 })).body.value);
  } catch (error) {
    if (error instanceof QuorateError && error.code === "not-found") return null;
    throw error;
  }
}

function recordOf(cluster: MemoryCluster, id: string, key: string): StoredRecord | null {
  const text = cluster.disk(id).records.get(key);
  return text === undefined ? null : JSON.parse(text);
}

const isIn = (cluster: MemoryCluster, ids: string, key: string, epoch: number) =>
  [...ids].every((id) => recordOf(cluster, id, key)?.epoch === epoch);

/** A cluster whose messages about names, and atomics, are counted. */
async function counted() {
  const sent: { readonly what: string; readonly key: string }[] = [];
  const counts = { sent, atomics: 0 };
  const cluster = await memoryCluster(3, {
    trace: (id) => ({
      on: true,
      record: (sighting) => {
        if (sighting.type !== "sent" || !("key" in sighting.message)) return;
        sent.push({ what: `${id}>${sighting.to} ${sighting.message.type}`, key: sighting.message.key });
      },
    }),
    watch: () => (moment) => void (moment === "committed" && counts.atomics++),
  });
  const sentOf = (key: string) => sent.filter((one) => one.key === key).map(({ what }) => what);
  return { cluster, counts, sentOf };
}

Deno.test("fresh: answers with the mark count, one past it says so, and whoever has none to give casts no vote", () => {
  const accepted = { type: "accepted", instance: 7, ballot: STANDING, kind: "fast", valueId: "a/n/1" } as const;
  const snapshot = { instance: 9, state: {} as never, stateHash: "x", decidedBy: null };
  const withheld = { type: "refused", instance: 7, ballot: STANDING, promised: [1, "", 0], vote: null };
  const unimported = { type: "unimported", promised: STANDING, vote: null, report: null, first: null } as const;
  const said: readonly (readonly [WireReply, unknown])[] = [
    [{ type: "fresh", reply: accepted }, accepted],
    // It would be of a record, which may stand at that instance too.
    [accepted, null],
    [{ type: "refused", instance: 7, ballot: STANDING, promised: STANDING, vote: null }, null],
    [{ type: "decided", instance: 7 }, null],
    [{ type: "ahead", snapshot }, { type: "ahead", snapshot }],
    [{ type: "stopped", reason: "x" }, { type: "stopped", reason: "x" }],
    [unimported, withheld],
    [{ type: "rejected", reason: "x" }, withheld],
    [{ type: "unavailable", reason: "x" }, withheld],
    [{ type: "behind", instance: 1 }, null],
    [{ type: "noted" }, null],
  ];
  for (const [reply, wanted] of said) assertEquals(freshReplyIn(reply, 7), wanted as AcceptorReply | null, reply.type);
});

Deno.test("fresh: once members have changed, a new name takes the messages and the writes that it took before", async () => {
  const { cluster, counts, sentOf } = await counted();
  const cost = async (name: string, epoch: number) => {
    const key = `lock/${name}`;
    counts.atomics = 0;
    await cluster.node("a").locks.acquire(name, request("h"), caller());
    await until(
      "all have written it",
      () =>
        isIn(cluster, "abc", key, epoch) && [..."abc"].every((id) => recordOf(cluster, id, key)!.decidedBy !== null),
    );
    // Who has just begun in an epoch asks the others first, for some time.
    const sent = sentOf(key).filter((what) => !what.endsWith(" read"));
    return {
      sent: sent.map((what) => what.replace("fresh", "accept").replace("import-learn", "learn")),
      atomics: counts.atomics,
    };
  };
  /** The cheapest of five names: a slow moment may cost one of them a write more. */
  const least = async (name: string, epoch: number) => {
    let best = await cost(name, epoch);
    for (let i = 1; i < 5; i++) {
      const next = await cost(`${name}-${i}`, epoch);
      if (next.atomics < best.atomics) best = next;
    }
    return best;
  };
  try {
    await cost("warm", 0);
    const before = await least("before", 0);
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    // Until the epoch before is retired it is imported.
    const meanwhile = await cost("meanwhile", 1);
    assert(meanwhile.sent.length > before.sent.length && meanwhile.atomics > before.atomics);
    await retire(cluster, row, "abc", "abc", "abc");
    assertEquals(await least("after", 1), before);
    assertEquals(before.sent, ["a>b accept", "a>c accept", "a>b learn", "a>c learn"]);
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: members hear what was decided of a new name before its next value, whose message alone would not tell them", async () => {
  const { cluster, sentOf } = await counted();
  try {
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    await retire(cluster, row, "abc", "abc", "abc");
    for (const text of ["1", "2"]) await put(cluster, "a", "k", text);
    await until("it is told of", () => sentOf("kv/k").filter((what) => what.endsWith(" learn")).length === 2);
    const sent = sentOf("kv/k").filter((what) => !what.endsWith(" read"));
    for (const to of "bc") {
      const types = sent.flatMap((what) => what.startsWith(`a>${to} `) ? [what.slice("a>b ".length)] : []);
      assertEquals(types, ["fresh", "import-learn", "accept", "learn"], to);
    }
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: who does not know that an epoch is retired votes for no such name, and it is imported", async () => {
  const { cluster, sentOf } = await counted();
  const isSent = (type: string, key: string) => sentOf(key).some((what) => what.endsWith(` ${type}`));
  try {
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    await retire(cluster, row, "abc", "abc", "a");
    await put(cluster, "a", "k", "1");
    assert(isSent("fresh", "kv/k") && isSent("import-accept", "kv/k"));
    // Nor does it propose one.
    await put(cluster, "b", "l", "1");
    assert(!isSent("fresh", "kv/l") && isSent("import-accept", "kv/l"));
    for (const id of "abc") assertEquals([await get(cluster, id, "k"), await get(cluster, id, "l")], ["1", "1"]);
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: of those that take a new name at once one has it, and all agree who", async () => {
  const { cluster, counts } = await counted();
  try {
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    await retire(cluster, row, "abc", "abc", "abc");
    for (let i = 0; i < 20; i++) {
      const takes = await Promise.allSettled(
        [..."abc"].map((id) => cluster.node(id).locks.acquire(`l${i}`, request(id), caller())),
      );
      const granted = takes.filter(({ status }) => status === "fulfilled");
      const refused = takes.flatMap((take) => take.status === "rejected" ? [(take.reason as QuorateError).code] : []);
      assertEquals([granted.length, refused], [1, ["held", "held"]], `l${i}`);
      const fences = await Promise.all([..."abc"].map(async (id) => {
        const { body } = await cluster.node(id).locks.get(`l${i}`, { stale: false, timeoutMs: 30_000 });
        return body.lastFence;
      }));
      assertEquals(new Set(fences).size, 1);
    }
    assert(counts.sent.some(({ what }) => what.endsWith(" fresh")));
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: a vote that nobody else heard of is no decision; its node follows what was decided without it", async () => {
  const { cluster } = await counted();
  try {
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    await retire(cluster, row, "abc", "abc", "abc");
    const heal = cluster.network.drop(({ from, to }) => from === "a" || to === "a");
    const alone = put(cluster, "a", "k", "lost").catch(() => {});
    await until("a has voted", () => recordOf(cluster, "a", "kv/k")?.importing?.vote?.ballot[0] === 0);
    cluster.kill("a");
    await alone;
    await put(cluster, "b", "k", "kept");
    heal();
    await cluster.restart("a");
    await until("a reads it", async () => await get(cluster, "a", "k").catch(() => null) === "kept");
    await put(cluster, "a", "k", "next");
    assertEquals(await get(cluster, "c", "k"), "next");
    await until("a has it in the epoch", () => recordOf(cluster, "a", "kv/k")?.epoch === 1);
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: what two members decided of a new name is kept, though only one record of it is left when members change", async () => {
  const { cluster } = await counted();
  try {
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    const retired = await retire(cluster, row, "abc", "abc", "abc");
    // Decided by a and c; of that nobody but a hears, nor b of the name, and a is gone.
    cluster.network.drop(({ content: { type }, to }) => type.endsWith("learn") || (type === "fresh" && to === "b"));
    await put(cluster, "a", "k", "1");
    cluster.kill("a");
    assertEquals([recordOf(cluster, "b", "kv/k"), recordOf(cluster, "c", "kv/k")?.importing?.vote?.kind], [
      null,
      "fast",
    ]);
    const next = changeAfter(retired, retired.first!, "bcd");
    for (const id of "bc") await cluster.adopt(id, next);
    await cluster.join("d", next);
    assertEquals(await get(cluster, "d", "k"), "1");
    await put(cluster, "b", "k", "2");
    assertEquals(await get(cluster, "d", "k"), "2");
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: what is used as it should not be is refused, and leaves no vote", async () => {
  const { cluster } = await counted();
  try {
    await put(cluster, "a", "used", "1");
    const accept = (key: string, epoch: number, more: object = {}) => {
      const value = { id: "b/n/1", proposer: "b", commands: [] };
      const message = { type: "accept", key, epoch, instance: 1, ballot: [0, "", 0] as const, value, ...more } as const;
      return { type: "fresh", key, epoch, message } as const;
    };
    const told = async (from: string, message: ReturnType<typeof accept>) => {
      const [reply] = await cluster.node("a").receive(from, "acceptor", [message], cluster.node(from).mark());
      return reply!.type === "fresh" ? `fresh ${reply!.reply.type}` : reply!.type;
    };
    // There is no epoch before the first.
    assertEquals(await told("b", accept("kv/k", 0)), "rejected");
    const row = firstChange("abc", "abc");
    for (const id of "abc") await cluster.adopt(id, row);
    assertEquals(await told("b", accept("kv/k", 1)), "unimported");
    await retire(cluster, row, "abc", "abc", "abc");
    assertEquals(await told("b", accept("kv/used", 1)), "ahead");
    assertEquals(await told("b", accept("kv/k", 1, { instance: 2 })), "unimported");
    assertEquals(await told("c", accept("kv/k", 1)), "fresh rejected");
    assertEquals(recordOf(cluster, "a", "kv/k")?.importing?.vote ?? null, null);
    assertEquals(await told("b", accept("kv/k", 1)), "fresh accepted");
    assertEquals(await told("b", accept("kv/k", 1)), "fresh accepted");
    await assertRejects(() => cluster.node("a").registers.get("k", { stale: true, timeoutMs: 1_000 }), QuorateError);
    // In a mailbox that is another's.
    const [misplaced] = await cluster.node("a").receive("b", "learner", [accept("kv/k", 1)], cluster.node("b").mark());
    assertEquals(misplaced!.type, "unavailable");
  } finally {
    cluster.close();
  }
});

/** A cluster whose new member d has heard nothing of a name that is so busy that what its first commands came to is not kept. */
async function busyWithoutD() {
  const one = await counted();
  const { cluster } = one;
  const row = firstChange("abc", "abd");
  for (const id of "ab") await cluster.adopt(id, row);
  await cluster.join("d", row);
  const heal = cluster.network.drop(({ from, to }) => from === "d" || to === "d");
  const retired = await retire(cluster, row, "ab", "ab", "ab");
  for (let i = 0; i < 60; i++) await put(cluster, "a", "busy", `${i}`);
  // Whom to tell once d answers nobody knows any more.
  for (const id of "ab") cluster.kill(id);
  await Promise.all([..."ab"].map((id) => cluster.restart(id)));
  return { ...one, heal, retired };
}

Deno.test("fresh: a new member that missed all of a busy name asks before its first command of it", async () => {
  const { cluster, heal, retired } = await busyWithoutD();
  try {
    await cluster.adopt("d", retired);
    heal();
    await put(cluster, "d", "busy", "d's");
    assertEquals(await get(cluster, "a", "busy"), "d's");
  } finally {
    cluster.close();
  }
});

Deno.test("fresh: a new member gets the names that it missed, and asks no more once it has all", async () => {
  const { cluster, heal, retired, sentOf } = await busyWithoutD();
  try {
    heal();
    // So far it can tell of no name whether it is fresh.
    await put(cluster, "a", "told", "1");
    await cluster.adopt("d", retired);
    await until("d has it", () => (recordOf(cluster, "d", "kv/busy")?.decidedBy ?? null) !== null);
    await until("d asks no more", async () => {
      const name = `new-${crypto.randomUUID()}`;
      await put(cluster, "d", name, "1");
      return !sentOf(`kv/${name}`).includes("d>a read");
    });
  } finally {
    cluster.close();
  }
});
