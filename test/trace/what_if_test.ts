/** What becomes of a request when something dies or is lost at the worst moment (PROTOCOL.md §1 and §4). */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { entriesOf, keyState } from "../../src/machine/state.ts";
import { type NodeId, sameBallot, STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import type { Collision } from "../../src/paxos/message.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import { caller, request } from "../replica/memory_cluster.ts";
import {
  acquire,
  assertOnce,
  type Client,
  client,
  finalRecord,
  holdUntil,
  inOrder,
  isProposal,
  nameWhere,
  type Observed,
  pathOf,
  record,
  type Told,
  withCluster,
} from "./observed_cluster.ts";

/** Everything takes this long, one way. */
const HOP_MS = 1;

async function slow(n: number, work: (cluster: Observed) => Promise<void>): Promise<void> {
  await withCluster(n, async (cluster) => {
    cluster.network.delay(() => HOP_MS);
    await work(cluster);
  });
}

/** Bounded in virtual time, which passes only where nothing else is to happen. */
async function until(cluster: Observed, what: string, test: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !test(); i++) await cluster.clock.sleep(HOP_MS / 2);
  assert(test(), `came true: ${what}`);
}

/** All of these ask at once; their Accept! are under way together and arrive in these orders. */
async function meet(
  cluster: Observed,
  name: string,
  nodes: readonly NodeId[],
  orders: Readonly<Record<NodeId, string>>,
  atOnce: () => void = () => {},
): Promise<readonly Promise<Told>[]> {
  const hold = holdUntil(cluster, nodes.length * (cluster.ids.length - 1), isProposal(`lock/${name}`));
  const asked = nodes.map((id) => acquire(cluster, name, client(id)));
  await hold.all;
  atOnce();
  hold.release(inOrder(orders));
  return asked;
}

/** Five acceptors: nobody can win, whatever e does. */
const STUCK = { d: "abc", e: "bac" };

function isPick(name: string): (parcel: Parcel) => boolean {
  return ({ kind, content }) =>
    kind === "request" && content.type === "accept" && content.key === `lock/${name}` && content.instance === 1 &&
    sameBallot(content.ballot, STANDING_RECOVERY);
}

Deno.test("what if the coordinator is dead at the moment of the collision: a Prepare ends it, each decided once", () =>
  slow(5, async (cluster) => {
    const name = nameWhere(cluster, "fast/dead-", (coordinator) => coordinator === "e");
    // Their Accept! are on their way when it dies.
    const ends = await Promise.all(await meet(cluster, name, ["a", "b", "c"], STUCK, () => cluster.kill("e")));
    await cluster.settle();
    assertOnce(await finalRecord(cluster, `lock/${name}`, ["a", "b", "c", "d"]), ends);
    const [first] = cluster.decisions(`lock/${name}`, 1);
    assertEquals(pathOf(first), "recovered");
    assertGreater(first!.ballot[0], 0, "in a ballot of its own, opened by a Prepare");
    assertEquals(cluster.parcels.filter(isPick(name)), []);
  }));

Deno.test("what if the coordinator restarts after sending Accept!: no second value in its ballot, each decided once", async () => {
  // How many of the others its Accept! reached; two and it are a quorum, which nobody has heard of.
  for (const reached of [[], ["d"], ["c", "d"]]) {
    await slow(5, async (cluster) => {
      const name = nameWhere(cluster, "fast/restart-", (coordinator) => coordinator === "e");
      const key = `lock/${name}`;
      // Nobody else may end it before its restart: it is to be tempted.
      const noPrepare = cluster.network.drop(({ content }) => content.type === "prepare");
      const lost = cluster.network.drop((parcel) => isPick(name)(parcel) && !reached.includes(parcel.to));
      const noWord = cluster.network.drop(({ kind, to, content }) =>
        kind === "reply" && to === "e" && content.type === "accepted"
      );
      const asked = await meet(cluster, name, ["a", "b", "c"], STUCK);
      const isVote = ({ kind, to, content }: Parcel) =>
        kind === "reply" && to === "e" && content.type === "accepted" && "kind" in content &&
        sameBallot(content.ballot, STANDING_RECOVERY);
      await until(cluster, "it has sent, and those it reached have voted", () => {
        const { parcels } = cluster;
        return parcels.some(isPick(name)) && parcels.filter(isVote).length === reached.length;
      });
      const before = cluster.parcels.filter(isPick(name)).length;
      const collision = cluster.parcels.find(({ content }) => content.type === "collision" && content.key === key)!;
      cluster.kill("e");
      lost();
      noWord();
      await cluster.restart("e");
      // Reports by which it would pick otherwise, had it forgotten: two for the one, none of the others.
      const told = collision.content as Collision;
      const [any] = told.reports;
      const reports = ["c", "d"].map((from) => ({ from, vote: any!.vote }));
      const [noted] = await cluster.node("e").receive("a", "coordinator", [{ ...told, reports }]);
      assertEquals(noted?.type, "noted");
      await until(cluster, "it sends again", () => cluster.parcels.filter(isPick(name)).length > before);
      noPrepare();
      const ends = await Promise.all(asked);
      await cluster.settle();
      assertOnce(await finalRecord(cluster, key, cluster.ids), ends);
      const picks = cluster.parcels.filter(isPick(name)).map(({ content }) =>
        content.type === "accept" && "value" in content ? JSON.stringify(content.value) : ""
      );
      assertEquals(new Set(picks).size, 1, "one value in one ballot, before and after");
      assertEquals(cluster.decisions(key, 1)[0]!.ballot, STANDING_RECOVERY);
    });
  }
});

for (const n of [3, 4, 5]) {
  Deno.test(`what if the winner's node dies before it answers, n=${n}: the same key through another node gets that grant`, async () => {
    // What dies with it: word of the votes, so that it has decided nothing; or its decision, made and not told.
    for (const lost of ["accepted", "learn"]) {
      await slow(n, async (cluster) => {
        const others = cluster.ids.slice(1);
        const mine: Client = client("a");
        const heal = cluster.network.drop(({ from, to, content }) =>
          content.type === lost && (lost === "learn" ? from === "a" : to === "a")
        );
        // It rests on the answer's absence only: this one is not looked at before the end.
        const unheard = acquire(cluster, "fast/winner", mine);
        unheard.catch(() => {});
        await until(
          cluster,
          "it is decided, or all others voted",
          () =>
            lost === "learn"
              ? cluster.decisions("lock/fast/winner", 1).length > 0
              : cluster.parcels.filter(({ kind, content }) => kind === "reply" && content.type === "accepted").length >=
                n - 1,
        );
        cluster.kill("a");
        heal();
        // A rival makes the others finish it before its client comes again.
        const rival = await acquire(cluster, "fast/winner", client("b"));
        const again = await acquire(cluster, "fast/winner", { ...mine, node: "c" });
        const third = await acquire(cluster, "fast/winner", { ...mine, node: "b" });
        assert(rival.fence === null && again.fence !== null, "whose votes those were has it");
        assertEquals(third.fence, again.fence);
        if (lost === "learn") assertEquals((await unheard).fence, again.fence, "what it would have answered");
        await cluster.settle();
        const state = await finalRecord(cluster, "lock/fast/winner", others);
        await cluster.restart("a");
        const { body } = await cluster.node("a").locks.get("fast/winner", { stale: false, timeoutMs: 3_000 });
        assertEquals(body.holders.map(({ fence }) => fence), [again.fence]);
        const entries = entriesOf(keyState(state.state));
        assertEquals(entries.filter((entry) => entry.charAt(24) === "g").length, 1, "one grant");
      });
    }
  });
}

Deno.test("what if Any is lost: a node that has not heard of the instance does not vote, and is brought up by a snapshot", () =>
  slow(3, async (cluster) => {
    const name = "multi/any";
    const key = `lock/${name}`;
    // The standing ballot of an instance is an Any, told by the decision before it: c hears of none of them.
    cluster.network.cut("a", "c");
    cluster.network.cut("b", "c");
    const { body } = await cluster.node("a").locks.acquire(name, request("me"), caller());
    for (const id of ["b", "a", "b"]) {
      await cluster.clock.sleep(20);
      const { receipt } = await cluster.node(id).locks.renew(name, body.fence, {}, caller());
      assertEquals(receipt.path, "classic");
    }
    assertEquals(await record(cluster, "c", key), null, "c knows only what a fresh key begins with");
    // It must vote: without b it takes c. And nobody tells it but the Accept! itself.
    cluster.kill("b");
    const noLearn = cluster.network.drop(({ content, to }) => content.type === "learn" && to === "c");
    cluster.network.heal("a", "c");
    const from = cluster.parcels.length;
    const { receipt } = await cluster.node("a").locks.renew(name, body.fence, {}, caller());
    assertEquals([receipt.path, receipt.instance], ["classic", 5], "one ballot, of the mode c had not heard of");
    const seen = cluster.parcels.slice(from).filter(({ from, to, content }) =>
      [from, to].includes("c") && "instance" in content && content.instance !== 0 &&
      ["accept", "behind", "accepted"].includes(content.type)
    );
    const shown = seen.map(({ from, content }) =>
      `${from} ${content.type}${content.type === "accept" && content.snapshot !== undefined ? " with snapshot" : ""}`
    );
    assertEquals(shown, ["a accept", "c behind", "a accept with snapshot", "c accepted"]);
    assertEquals((await record(cluster, "c", key))?.instance, 5);
    noLearn();
    // Now it knows whose ballot that is, and forwards.
    const { receipt: mine } = await cluster.node("c").locks.renew(name, body.fence, {}, caller());
    assertEquals([mine.path, mine.instance], ["classic", 6]);
  }));

Deno.test("what if Any is lost by the one that proposes: it is told how far the others are, and its request is decided there", () =>
  slow(5, async (cluster) => {
    const name = "fast/any";
    for (const id of ["a", "b", "c", "d"]) cluster.network.cut(id, "e");
    for (let i = 0; i < 3; i++) {
      const { body } = await cluster.node("a").locks.acquire(name, request("me"), caller());
      await cluster.node("a").locks.release(name, body.fence, caller());
    }
    const noLearn = cluster.network.drop(({ content, to }) => content.type === "learn" && to === "e");
    for (const id of ["a", "b", "c", "d"]) cluster.network.heal(id, "e");
    const late = await acquire(cluster, name, client("e"));
    assert(late.fence !== null);
    assert(["fast", "open-fast"].includes(late.receipt.path), late.receipt.path);
    assertEquals(late.receipt.instance, 7);
    noLearn();
    await cluster.settle();
    await finalRecord(cluster, `lock/${name}`, cluster.ids);
  }));

for (
  const { n, nodes, orders, path } of [
    { n: 5, nodes: ["a", "b"], orders: { c: "ab", d: "ab", e: "ab" }, path: ["fast", "open-fast"] },
    { n: 3, nodes: ["a", "b"], orders: { c: "ab" }, path: ["fast"] },
    { n: 4, nodes: ["a", "b"], orders: { c: "ab", d: "ab" }, path: ["open-fast"] },
  ]
) {
  Deno.test(`what if a request is dropped in a collision, n=${n}: it is decided in the next instance, and nobody asked again`, () =>
    slow(n, async (cluster) => {
      const name = `fast/dropped`;
      const [winner, loser] = await Promise.all(await meet(cluster, name, nodes, orders));
      assert(path.includes(winner!.receipt.path), winner!.receipt.path);
      assertEquals(winner!.receipt.instance, 1);
      assert(winner!.fence !== null && loser!.fence === null);
      assertEquals(loser!.receipt.instance, 2);
      // Its node proposed it again, under the same command id, and not before it was told that it had lost.
      const proposals = cluster.parcels.filter(({ kind, from, content }) =>
        kind === "request" && from === "b" && content.type === "accept" && "value" in content &&
        sameBallot(content.ballot, STANDING)
      );
      const ids = proposals.flatMap(({ content }) =>
        content.type === "accept" && "value" in content ? content.value.commands.map(({ id }) => id) : []
      );
      assertEquals([...new Set(ids)], [loser!.client.caller.idempotencyKey]);
      await cluster.settle();
      const state = await finalRecord(cluster, `lock/${name}`, cluster.ids);
      assertEquals(state.instance, 3, "two instances, and no third");
      assertOnce(state, [winner!, loser!]);
    }));
}

Deno.test("what if the winner cannot decide: the coordinator is forced to its value, and proposes the loser's itself", () =>
  slow(3, async (cluster) => {
    const name = nameWhere(cluster, "fast/taken-up-", (coordinator) => coordinator === "c");
    const key = `lock/${name}`;
    // a has its own vote and c's, and does not hear of it; nobody else may step in.
    cluster.network.drop(({ kind, to, content }) => kind === "reply" && to === "a" && content.type === "accepted");
    const noPrepare = cluster.network.drop(({ content }) => content.type === "prepare");
    const [a, b] = await Promise.all(await meet(cluster, name, ["a", "b"], { c: "ab" }));
    noPrepare();
    await cluster.settle();
    assertEquals(cluster.decisions(key, 1)[0]!.ballot, STANDING_RECOVERY);
    assertEquals([a!.receipt.instance, b!.receipt.instance], [1, 2]);
    const second = cluster.parcels.filter(({ kind, content }) =>
      kind === "request" && content.type === "accept" && content.key === key && content.instance === 2
    );
    assertEquals(new Set(second.map(({ from }) => from)), new Set(["c"]), "its own node has nothing left to do");
    const [{ content }] = second as [Parcel];
    assert(content.type === "accept" && "value" in content);
    assertEquals(content.value.commands.map(({ id }) => id), [b!.client.caller.idempotencyKey]);
    assertOnce(await finalRecord(cluster, key, cluster.ids), [a!, b!]);
  }));
