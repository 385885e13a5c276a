/** Nodes that do not vote: they learn, serve, take requests, and count in no quorum (PROTOCOL.md §1, §3, §5). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { QuorateError } from "../../src/errors.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { MemberChoice } from "../../src/replica/learner_node.ts";
import { MODE_NAMES, type ModeRule } from "../../src/engine/modes.ts";
import { MAILBOX, type WireMessage, type WireReply } from "../../src/ports.ts";
import { sharedValueId } from "../../src/engine/shared_value.ts";
import { fastClock, until } from "./clocks.ts";
import { caller, type MemoryCluster, memoryCluster, type MemoryClusterOptions, request } from "./memory_cluster.ts";

type StoredRecord = {
  readonly instance: number;
  readonly stateHash: string;
  readonly vote: unknown;
  readonly decidedBy: { readonly valueId: string } | null;
};

function recordOn(cluster: MemoryCluster, id: string, name: string): StoredRecord | null {
  const text = cluster.disk(id).records.get(`lock/${name}`);
  return text === undefined ? null : JSON.parse(text);
}

function instanceOn(cluster: MemoryCluster, id: string, name: string): number {
  return recordOn(cluster, id, name)?.instance ?? 1;
}

async function withCluster(
  n: number,
  learners: number,
  run: (cluster: MemoryCluster) => Promise<void>,
  options: MemoryClusterOptions = {},
): Promise<void> {
  const cluster = await memoryCluster(n, { ...options, learners });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

async function send(cluster: MemoryCluster, from: string, to: string, message: WireMessage): Promise<WireReply> {
  const [reply] = await cluster.node(to).receive(from, MAILBOX[message.type], [message]);
  return reply!;
}

const MODES: readonly ModeRule[] = MODE_NAMES.map((mode) => ({ prefix: `lock/${mode}`, mode }));

for (const [n, learners] of [[1, 1], [3, 1], [4, 1], [5, 2]] as const) {
  Deno.test(`learners: ${n} members and ${learners}: every decision is learned, in every mode`, () =>
    withCluster(n, learners, async (cluster) => {
      for (const mode of MODE_NAMES) {
        const { locks } = cluster.node("a");
        const { body } = await locks.acquire(mode, request("me"), caller());
        for (let i = 0; i < 5; i++) await locks.renew(mode, body.fence, {}, caller());
        await locks.release(mode, body.fence, caller());
        await until(`a has written all of ${mode}`, () => instanceOn(cluster, "a", mode) === 8);
        for (const id of cluster.learners) {
          await until(`${id} has all of ${mode}`, () => instanceOn(cluster, id, mode) === 8);
          assertEquals(recordOn(cluster, id, mode)!.stateHash, recordOn(cluster, "a", mode)!.stateHash);
          assertEquals(recordOn(cluster, id, mode)!.vote, null);
        }
      }
    }, { modes: MODES }));

  Deno.test(`learners: ${n} members and ${learners}: takes requests in every mode, one grant at a time`, () =>
    withCluster(n, learners, async (cluster) => {
      const [learner] = cluster.learners;
      const { locks } = cluster.node(learner!);
      for (const mode of MODE_NAMES) {
        const key = caller();
        const { body } = await locks.acquire(mode, request("me"), key);
        assertEquals((await locks.acquire(mode, request("me"), key)).body.fence, body.fence, "asked again");
        const held = await assertRejects(() => locks.acquire(mode, request("you"), caller()), QuorateError);
        assertEquals(held.code, "held");
        assertEquals((await locks.renew(mode, body.fence, {}, caller())).body.fence, body.fence);
        assertEquals((await locks.release(mode, body.fence, caller())).body.outcome, "released");
        const state = await cluster.node("a").locks.get(mode, { stale: false, timeoutMs: 30_000 });
        assertEquals([state.body.state, state.body.lastFence], ["free", body.fence]);
      }
    }, { modes: MODES }));
}

Deno.test("learners: each decision is told them, though to members the next message says it", () =>
  // Slowed down, so that 5 ms are long.
  withCluster(3, 1, async (cluster) => {
    const told: number[] = [];
    cluster.network.drop(({ kind, to, content }) => {
      if (kind === "request" && to === "v" && content.type === "learn") told.push(content.instance);
      return false;
    });
    const { locks } = cluster.node("a");
    const { body } = await locks.acquire("told", request("me", { ttlMs: 600_000 }), caller());
    for (let i = 0; i < 5; i++) await locks.renew("told", body.fence, {}, caller());
    await until("it has all", () => instanceOn(cluster, "v", "told") === 7);
    assertEquals(told, [1, 2, 3, 4, 5, 6]);
  }, { clock: fastClock(0.02) }));

Deno.test("learners: in a fast ballot they propose openly: an open quorum of members, no other message before the answer", () =>
  withCluster(5, 1, async (cluster) => {
    const seen: string[] = [];
    cluster.network.drop(({ kind, from, content }) => {
      if (kind === "request" && from === "v") seen.push(content.type);
      return false;
    });
    const { receipt } = await cluster.node("v").locks.acquire("open", request("me"), caller());
    assertEquals(receipt, { path: "open-fast", instance: 1, ballot: "0..0" });
    assertEquals(seen.filter((type) => type !== "learn"), ["accept", "accept", "accept", "accept", "accept"]);
    await until("members know", () => cluster.ids.every((id) => instanceOn(cluster, id, "open") === 2));
  }));

Deno.test("learners: where nobody may propose openly a member does it, once", () =>
  withCluster(3, 1, async (cluster) => {
    const { locks } = cluster.node("v");
    const first = await locks.acquire("classic", request("me"), caller());
    assertEquals(first.receipt.path, "classic");
    for (let i = 0; i < 5; i++) await locks.renew("classic", first.body.fence, {}, caller());
    // One instance each: nothing was proposed twice.
    assertEquals(instanceOn(cluster, "v", "classic"), 7);
  }, { modes: MODES }));

Deno.test("learners: a minority of members down: requests and reads still go through", () =>
  withCluster(3, 1, async (cluster) => {
    for (const down of cluster.ids) {
      cluster.kill(down);
      const { locks } = cluster.node("v");
      for (const mode of MODE_NAMES) {
        const name = `${mode}-${down}`;
        const { body } = await locks.acquire(name, request("me"), caller());
        const { body: state } = await locks.get(name, { stale: false, timeoutMs: 30_000 });
        assertEquals(state.holders.map(({ fence }) => fence), [body.fence]);
        await locks.release(name, body.fence, caller());
      }
      await cluster.restart(down);
      await until(`${down} votes again`, () => cluster.node(down).status().voting);
    }
  }, { modes: MODES }));

Deno.test("learners: two of them and two members at once: one grant, and everybody is answered", () =>
  withCluster(5, 2, async (cluster) => {
    for (let round = 0; round < 20; round++) {
      const ends = await Promise.all(["v", "w", "a", "b"].map(async (id) => {
        const { locks } = cluster.node(id);
        return await locks.acquire(`duel-${round}`, request(id), caller()).then(() => "granted", (error) => error.code);
      }));
      assertEquals(ends.sort(), ["granted", "held", "held", "held"]);
    }
  }));

Deno.test("learners: who waits at one gets its turn there, and its place is kept", async () => {
  for (const name of ["fast", "classic"]) {
    await withCluster(3, 1, async (cluster) => {
      const held = await cluster.node("a").locks.acquire(name, request("first"), caller());
      const waiting = cluster.node("v").locks.acquire(name, request("second", { waitMs: 60_000 }), caller());
      await until("it is queued", async () => {
        const { body } = await cluster.node("a").locks.get(name, { stale: true, timeoutMs: 500 });
        return body.waiterCount === 1;
      });
      // Longer than a place lives that nobody renews.
      await new Promise((resolve) => setTimeout(resolve, 600));
      await cluster.node("a").locks.release(name, held.body.fence, caller());
      const { body } = await waiting;
      assertEquals(body.holder, "second");
      assert(body.waitedMs >= 11_000, `${body.waitedMs}`);
    }, { clock: fastClock(20), modes: MODES });
  }
});

Deno.test("learners: a lease that ran out is ended for one that asks there, and for one that waits there", () =>
  withCluster(3, 1, async (cluster) => {
    const { locks } = cluster.node("v");
    for (const waitMs of [0, 30_000]) {
      const name = `lapse-${waitMs}`;
      await cluster.node("a").locks.acquire(name, request("gone", { ttlMs: 2_000 }), caller());
      await until("it is learned", () => instanceOn(cluster, "v", name) === 2);
      if (waitMs === 0) await new Promise((resolve) => setTimeout(resolve, 250));
      const { body } = await locks.acquire(name, request("next", { waitMs }), caller());
      assertEquals(body.holder, "next");
      const { body: history } = await locks.history(name, { timeoutMs: 30_000 });
      assertEquals(history.items.map(({ end }) => end), ["lapsed"]);
    }
  }, { clock: fastClock(10) }));

Deno.test("learners: a stale read is the own record and says its age; never heard of, it has none; a read makes it new", () =>
  withCluster(3, 1, async (cluster) => {
    const stale = (id: string) => cluster.node(id).locks.get("s", { stale: true, timeoutMs: 500 });
    assertEquals((await stale("v")).staleMs, undefined);
    const { body } = await cluster.node("a").locks.acquire("s", request("me"), caller());
    await until("it is learned", () => instanceOn(cluster, "v", "s") === 2);
    for (const member of cluster.ids) cluster.network.cut("v", member);
    await cluster.node("a").locks.release("s", body.fence, caller());
    await new Promise((resolve) => setTimeout(resolve, 60));
    const old = await stale("v");
    assertEquals(old.body.holders.length, 1);
    assert(old.staleMs! >= 55, `${old.staleMs}`);
    const own = await stale("a");
    assert(own.body.state === "free" && own.staleMs! >= 0);
    await assertRejects(() => cluster.node("v").locks.get("s", { stale: false, timeoutMs: 100 }), QuorateError);

    for (const member of cluster.ids) cluster.network.heal("v", member);
    assertEquals((await cluster.node("v").locks.get("s", { stale: false, timeoutMs: 30_000 })).body.state, "free");
    const fresh = await stale("v");
    assert(fresh.body.state === "free" && fresh.staleMs! < old.staleMs!);
  }));

Deno.test("learners: a read of what is left unsettled is settled by a member, and then answered", () =>
  withCluster(3, 1, async (cluster) => {
    // a votes for its own value and is gone: whether it was chosen only a phase 1 can tell.
    cluster.network.drop(({ kind, from, to, content }) =>
      kind === "request" && from === "a" && (to === "c" || to === "v") && content.type === "accept"
    );
    const lost = cluster.network.drop(({ kind, from, to }) => kind === "reply" && from === "b" && to === "a");
    cluster.node("a").locks.acquire("u", request("me"), caller({ timeoutMs: 200 })).catch(() => {});
    await until("b voted", () => Boolean(recordOn(cluster, "b", "u")?.vote));
    cluster.kill("a");
    lost();
    const { body } = await cluster.node("v").locks.get("u", { stale: false, timeoutMs: 30_000 });
    assertEquals(body.holders.map(({ holder }) => holder), ["me"]);
  }));

Deno.test("learners: away for 10,000 instances: one snapshot on its return", () =>
  withCluster(3, 1, async (cluster) => {
    const { locks } = cluster.node("a");
    const { body } = await locks.acquire("away", request("me", { ttlMs: 3_600_000 }), caller());
    await until("it is learned", () => instanceOn(cluster, "v", "away") === 2);
    cluster.kill("v");
    for (let i = 0; i < 10_000; i++) await locks.renew("away", body.fence, {}, caller());
    const arrived: string[] = [];
    cluster.network.drop(({ kind, to, content }) => {
      if (kind === "request" && to === "v" && content.type !== "marks") {
        arrived.push("snapshot" in content && content.snapshot !== undefined ? "snapshot" : content.type);
      }
      return false;
    });
    await cluster.restart("v");
    await until("it has caught up", () => instanceOn(cluster, "v", "away") === 10_002);
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert(arrived.includes("snapshot") && arrived.length <= 3, JSON.stringify(arrived));
    const { body: state } = await cluster.node("v").locks.get("away", { stale: true, timeoutMs: 500 });
    assertEquals(state.holders.map(({ fence }) => fence), [body.fence]);
  }));

Deno.test("learners: what is proposed openly they learn from the votes, and fetch what they missed before it", () =>
  withCluster(3, 2, async (cluster) => {
    // No Learn ever: as if the proposer were a client, which sends none.
    cluster.network.drop(({ kind, to, content }) => kind === "request" && to === "v" && content.type === "learn");
    const { locks } = cluster.node("w");
    const { body } = await locks.acquire("votes", request("me"), caller());
    await until("it counted", () => instanceOn(cluster, "v", "votes") === 2);
    for (const other of [...cluster.ids, "w"]) cluster.network.cut("v", other);
    for (let i = 0; i < 3; i++) await locks.renew("votes", body.fence, {}, caller());
    assertEquals(instanceOn(cluster, "v", "votes"), 2);
    for (const other of [...cluster.ids, "w"]) cluster.network.heal("v", other);
    await locks.renew("votes", body.fence, {}, caller());
    await until("it fetched", () => instanceOn(cluster, "v", "votes") === 6);
    await until("a has written what it learned", () => instanceOn(cluster, "a", "votes") === 6);
    assertEquals(recordOn(cluster, "v", "votes")!.stateHash, recordOn(cluster, "a", "votes")!.stateHash);
  }));

Deno.test("learners: votes that did not reach one: the acceptors send it the state when it is back", () =>
  withCluster(3, 2, async (cluster) => {
    cluster.network.drop(({ kind, from, to }) => kind === "request" && from === "w" && to === "v");
    cluster.kill("v");
    await cluster.node("w").locks.acquire("missed", request("me"), caller());
    await cluster.restart("v");
    await until("it has the state", () => instanceOn(cluster, "v", "missed") === 2);
  }, { clock: fastClock(10) }));

Deno.test("learners: with a majority of members down learners make no quorum: writes and reads are refused", () =>
  withCluster(3, 2, async (cluster) => {
    cluster.kill("b");
    cluster.kill("c");
    for (const id of ["a", "v", "w"]) {
      const { locks } = cluster.node(id);
      const write = await assertRejects(
        () => locks.acquire("down", request(id), caller({ timeoutMs: 400 })),
        QuorateError,
      );
      assert(["no-quorum", "outcome-unknown"].includes(write.code), write.code);
      const read = await assertRejects(() => locks.get("down", { stale: false, timeoutMs: 200 }), QuorateError);
      assertEquals(read.code, "no-quorum");
      assert((await cluster.node(id).readiness())?.startsWith("only 1 of 3 members answer"));
    }
    assertEquals(cluster.ids.map((id) => instanceOn(cluster, id, "down")), [1, 1, 1]);
  }, { deadlineMs: 100 }));

Deno.test("learners: status and readiness say what it is", () =>
  withCluster(3, 1, async (cluster) => {
    const node = cluster.node("v");
    assertEquals(await node.readiness(), null);
    const { voting, reason, members } = node.status();
    assertEquals([voting, reason], [false, "learner"]);
    assertEquals(members.map(({ id, reachable }) => [id, reachable]), [["a", true], ["b", true], ["c", true]]);
    // Whatever it says of its commits, nobody holds against it: no vote rests on them.
    assertEquals(Object.keys(cluster.store("a").marks()).includes("v"), false);
  }));

const AT = { key: "lock/cheat", epoch: 0, instance: 1 };
const CERTIFICATE = { instance: 1, ballot: STANDING, kind: "open", valueId: "v/n/1" } as const;
const VALUE = { id: "v/n/1", proposer: "v", commands: [] };
const VOTE = { ballot: STANDING, kind: "fast", value: VALUE } as const;

Deno.test("learners: one votes, promises, and shows for nothing, and keeps no trace of being asked", () =>
  withCluster(3, 1, async (cluster) => {
    const asked: readonly WireMessage[] = [
      { type: "prepare", ...AT, ballot: [1, "a/n", 0] },
      { type: "accept", ...AT, ballot: STANDING, value: { id: "a/n/1", proposer: "a", commands: [] } },
      { type: "read", ...AT },
      { type: "lapsed?", ...AT, leases: [] },
    ];
    for (const message of asked) {
      assertEquals(await send(cluster, "a", "v", message), { type: "rejected", reason: "this node does not vote" });
    }
    for (
      const message of [{ type: "collision", ...AT, ballot: STANDING, reports: [] }, {
        type: "forward",
        ...AT,
        commands: [],
      }] as const
    ) {
      const [reply] = await cluster.node("v").receive("a", "coordinator", [message]);
      assertEquals(reply!.type, "unavailable");
    }
    assertEquals(recordOn(cluster, "v", "cheat"), null);
  }));

Deno.test("learners: what one says as if it voted is never counted", () =>
  withCluster(3, 2, async (cluster) => {
    // It owns no ballot and its own values are nobody's to vote for.
    assertEquals((await send(cluster, "v", "a", { type: "prepare", ...AT, ballot: [1, "v/n", 0] })).type, "rejected");
    assertEquals(
      (await send(cluster, "v", "a", { type: "accept", ...AT, ballot: [1, "v/n", 0], value: VALUE })).type,
      "rejected",
    );
    assertEquals(
      (await send(cluster, "v", "a", { type: "accept", ...AT, ballot: STANDING, value: VALUE })).type,
      "rejected",
    );
    // Votes that it and another learner claim to have cast. (A member's word would count, and start a recovery.)
    for (const from of ["v", "w"]) await send(cluster, from, "a", { type: "accepted", ...AT, vote: VOTE });
    // Nor is there one in a certificate that names them.
    const acceptors = ["b", "v", "w"];
    for (const kind of ["open", "classic", "inclusive"] as const) {
      const certificate = { ...CERTIFICATE, kind, acceptors };
      const reply = await send(cluster, "v", "a", { type: "learn", ...AT, certificate, value: VALUE });
      assertEquals(reply.type, "rejected", kind);
    }
    // Nor a phase-1 quorum in what it reports to a coordinator.
    const reports = ["v", "w"].map((from) => ({ from, vote: VOTE }));
    for (const to of cluster.ids) await send(cluster, "v", to, { type: "collision", ...AT, ballot: STANDING, reports });
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const id of cluster.ids) {
      assertEquals(instanceOn(cluster, id, "cheat"), 1, id);
      assertEquals(recordOn(cluster, id, "cheat")?.vote ?? null, null, id);
    }
  }));

Deno.test("learners: a vote one claims to have cast does not join what a coordinator picks from", () =>
  withCluster(3, 1, async (cluster) => {
    const view = await send(cluster, "b", "a", { type: "read", ...AT });
    const mode = view.type === "view" ? view.snapshot.state.mode : null;
    assert(mode?.kind === "fast");
    const { coordinator } = mode;
    const voter = cluster.ids.find((id) => id !== coordinator)!;
    const commands = [{ subject: "s", id: "real", born: 1, op: { type: "force", reason: "x", atMs: 0 } }];
    const value = { id: sharedValueId(sha256Hex, AT.key, commands), proposer: "", commands };
    const accepted = await send(cluster, "v", voter, { type: "accept", ...AT, ballot: STANDING, value });
    assertEquals(accepted.type, "accepted");
    const vote = { ballot: STANDING, kind: "fast", value } as const;
    const reports = [{ from: "v", vote: VOTE }, { from: voter, vote }];
    await send(cluster, "v", coordinator, { type: "collision", ...AT, ballot: STANDING, reports });
    await until("it is recovered", () => instanceOn(cluster, coordinator, "cheat") === 2);
    // A batch of both would have another id.
    assertEquals(recordOn(cluster, coordinator, "cheat")!.decidedBy?.valueId, value.id);
  }));

Deno.test("members for a learner: the coordinator first, then the nearest, then each again", () => {
  const rtts: Record<string, number> = { a: 30, b: 10, c: 0 };
  const transport = { send: () => Promise.reject(), rttMs: (id: string) => rtts[id]!, close: () => {} };
  const fast = { kind: "fast", recovery: "coordinated", coordinator: "c" } as const;
  const choice = new MemberChoice(new QuorumSystem(["a", "b", "c"]), transport);
  const order = (mode: Parameters<MemberChoice["member"]>[0]) => {
    const member = choice.member(mode);
    assertEquals(choice.member(mode), member, "the same until it is silent");
    choice.giveUp();
    return member;
  };
  assertEquals([1, 2, 3, 4].map(() => order(fast)), ["b", "a", "c", "b"]);
  const classic = new MemberChoice(new QuorumSystem(["a", "b", "c"]), transport);
  assertEquals(classic.member({ kind: "classic", coordinator: "c" }), "c");
  classic.giveUp();
  assertEquals(classic.member({ kind: "classic", coordinator: "c" }), "b");
});
