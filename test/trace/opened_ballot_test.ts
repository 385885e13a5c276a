/**
 * An explicit Any(N, I, Recovery) on whole nodes (PROTOCOL.md §1, flow 3): a reader's phase 1 that found nothing gives the
 * instance back, and the next value is decided in that ballot in one round trip, from a node or from a direct client.
 */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { submitDirect } from "../../src/client/direct.ts";
import type { NodeId } from "../../src/paxos/ballot.ts";
import type { Certificate } from "../../src/paxos/message.ts";
import type { DirectAccept } from "../../src/service/service.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import {
  acquire,
  assertOnce,
  client,
  finalRecord,
  holdUntil,
  inOrder,
  nameWhere,
  type Observed,
  pathOf,
  withCluster,
} from "./observed_cluster.ts";

const TTL = { mode: "exclusive", ttlMs: 30_000, lockDelayMs: 0, atMs: 0 } as const;

/** A client's Accept!, straight to `members`. */
function direct(cluster: Observed, name: string, id: string, members: readonly NodeId[]) {
  return submitDirect(
    {
      members: Object.fromEntries(cluster.ids.map((member) => [member, member])),
      subject: "tester",
      digest: (text) => Promise.resolve(sha256Hex(text)),
      async fetch(url, init) {
        const member = url.split("/")[0]!;
        if (!members.includes(member)) throw new Error("out of reach");
        const { messages } = JSON.parse(init.body as string) as { messages: DirectAccept[] };
        return Response.json({ replies: await cluster.node(member).acceptDirect(messages) });
      },
    },
    `lock/${name}`,
    { type: "acquire", holder: id, ...TTL },
    id,
    0,
  );
}

/**
 * Opens a ballot of a's: a client reaches only the last acceptor and gives up, nobody hears of its vote but who asks; a
 * reads, is not sure, prepares without that acceptor, and finds nothing.
 */
async function opened(cluster: Observed, name: string): Promise<void> {
  const { network, ids } = cluster;
  const last = ids.at(-1)!;
  // Its view comes first, so that it is in the read quorum.
  network.delay(({ content, to, kind }) => kind === "request" && content.type === "read" && to !== last ? 2 : 0);
  const heal = [
    network.drop(({ content }) => content.type === "accepted" && "vote" in content),
    network.drop(({ content, to, kind }) => kind === "request" && content.type === "prepare" && to === last),
  ];
  assertEquals((await direct(cluster, name, "gone", [last])).type, "unsettled");
  const { body } = await cluster.node("a").locks.get(name, { stale: false, timeoutMs: 5_000 });
  assertEquals(body.state, "free");
  for (const end of heal) end();
  await cluster.settle();
}

function isSent(type: string, key: string): (parcel: Parcel) => boolean {
  return ({ kind, content }) => kind === "request" && content.type === type && "key" in content && content.key === key;
}

for (const n of [3, 4, 5]) {
  for (const mode of ["fast", "uncoordinated"]) {
    const nameOf = (cluster: Observed, what: string) => nameWhere(cluster, `${mode}/${what}-`, (node) => node === "b");

    Deno.test(`an opened ballot, ${mode}, n=${n}: the next node decides in it, one round trip and no Prepare`, () =>
      withCluster(n, async (cluster) => {
        const name = nameOf(cluster, "opened");
        const key = `lock/${name}`;
        await opened(cluster, name);
        const [any] = cluster.parcels.filter(isSent("any", key));
        assert(any?.content.type === "any" && any.from === "a");
        assertEquals(any.content.recovery, mode === "fast" ? "coordinated" : "uncoordinated");
        const prepares = cluster.parcels.filter(isSent("prepare", key)).length;
        const told = await acquire(cluster, name, client("b"));
        assertEquals(told.receipt.ballot.startsWith("1.a/"), true, told.receipt.ballot);
        assertEquals(told.receipt.path, pathOf(cluster.decisions(key, 1)[0]));
        assert(["fast", "open-fast"].includes(told.receipt.path), told.receipt.path);
        assertEquals(cluster.parcels.filter(isSent("prepare", key)).length, prepares);
        await cluster.settle();
        await finalRecord(cluster, key, cluster.ids);
      }));

    Deno.test(`an opened ballot, ${mode}, n=${n}: a direct client is told of it and is decided there`, () =>
      withCluster(n, async (cluster) => {
        const name = nameOf(cluster, "direct");
        const key = `lock/${name}`;
        await opened(cluster, name);
        const end = await direct(cluster, name, "client", cluster.ids);
        assert(end.type === "decided" && end.result.outcome === "granted", JSON.stringify(end));
        await cluster.settle();
        const [decision] = cluster.decisions(key, 1);
        assertEquals([decision!.kind, decision!.ballot[0], decision!.ballot[2]], ["open", 1, 0]);
        const record = await finalRecord(cluster, key, cluster.ids);
        assertEquals(record.instance, 2);
      }));
  }
}

for (const mode of ["fast", "uncoordinated"]) {
  Deno.test(`an opened ballot, ${mode}, n=4: a stuck collision in it is recovered in its successor, each decided once`, () =>
    withCluster(4, async (cluster) => {
      const name = nameWhere(cluster, `${mode}/collide-`, (node) => node === "b");
      const key = `lock/${name}`;
      await opened(cluster, name);
      const hold = holdUntil(cluster, 6, (parcel) => {
        const { content } = parcel;
        return isSent("accept", key)(parcel) && content.type === "accept" && "value" in content &&
          content.ballot[0] === 1 &&
          content.ballot[2] === 0;
      });
      const asked = ["b", "c"].map((node) => acquire(cluster, name, client(node)));
      await hold.all;
      hold.release(inOrder({ a: "bc", d: "cb" }));
      const ends = await Promise.all(asked);
      await cluster.settle();
      assertOnce(await finalRecord(cluster, key, cluster.ids), ends);
      const [{ kind, ballot }] = cluster.decisions(key, 1) as [Certificate];
      assertEquals([kind, ballot[0], ballot[2]], [mode === "fast" ? "classic" : "open", 1, 1]);
      assert(ballot[1].startsWith("a/"), "its owner's");
    }));
}

for (const n of [3, 4, 5]) {
  Deno.test(`what if an explicit Any is lost on its way, n=${n}: a node that has not heard of it prepares, and is decided`, () =>
    withCluster(n, async (cluster) => {
      const name = nameWhere(cluster, "fast/lost-", (node) => node === "c");
      const key = `lock/${name}`;
      cluster.network.drop(isSent("any", key));
      await opened(cluster, name);
      const ends = [await acquire(cluster, name, client("b"))];
      await cluster.settle();
      assertOnce(await finalRecord(cluster, key, cluster.ids), ends);
      assertEquals(cluster.decisions(key, 1)[0]!.ballot[0], 2);
      // Its owner knows of it, and those that it tells by its value do then: the second name.
      const other = nameWhere(cluster, "fast/lost-too-", (node) => node === "c");
      cluster.network.drop(isSent("any", `lock/${other}`));
      await opened(cluster, other);
      const told = await acquire(cluster, other, client("a"));
      assert(told.receipt.ballot.startsWith("1.a/"), told.receipt.ballot);
    }));
}
