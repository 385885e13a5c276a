/**
 * Collisions by the thousand: every client asks once, its node's Accept! is held until those of all are sent, and each
 * acceptor gets them in an order of its own, drawn from the printed seed (PROTOCOL.md §1 and §4).
 */
import { assert, assertEquals, assertGreater, assertGreaterOrEqual } from "@std/assert";
import type { Receipt } from "../../src/api.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import {
  acquire,
  assertOnce,
  client,
  finalRecord,
  holdUntil,
  isProposal,
  type Observed,
  pathOf,
  SEED,
  shuffled,
  type Told,
  withCluster,
} from "./observed_cluster.ts";

const PLANS = [
  { n: 5, clients: 3, rounds: 1_000, deaf: 0 },
  { n: 4, clients: 2, rounds: 1_000, deaf: 0 },
  // Here no coordinator hears of a collision of others' in half of the rounds.
  { n: 5, clients: 3, rounds: 200, deaf: 2 },
  { n: 4, clients: 2, rounds: 200, deaf: 2 },
];
const AT_ONCE = 25;
/** What is not held takes up to this long, each way. */
const DELAY_MS = 3;

type Counts = Record<Exclude<Receipt["path"], "read">, number>;
const none = (): Counts => ({ fast: 0, "open-fast": 0, recovered: 0, classic: 0 });

async function collide(cluster: Observed, name: string, clients: number): Promise<readonly Told[]> {
  const { ids, random } = cluster;
  const hold = holdUntil(cluster, clients * (ids.length - 1), isProposal(`lock/${name}`));
  const asked = shuffled(random, ids).slice(0, clients).map((id) => acquire(cluster, name, client(id)));
  await hold.all;
  hold.release((held) => shuffled(random, held));
  return await Promise.all(asked);
}

for (const { n, clients, rounds, deaf } of PLANS) {
  const how = deaf > 0 ? `, no coordinator told in each ${deaf}nd` : "";
  const what = `${rounds} collisions of ${clients} clients through ${clients} nodes of ${n}${how}`;
  Deno.test(`${what}: every command is decided once, none asked again (seed ${SEED})`, async () => {
    await withCluster(n, async (cluster) => {
      cluster.network.delay((parcel) => {
        const { content } = parcel;
        // The order of proposals is the round's, whatever else is slow.
        if ("key" in content && isProposal(content.key)(parcel)) return 0;
        return cluster.random.next() * DELAY_MS;
      });
      // Neither by proposers nor by the acceptors that hold another value.
      const isReport = ({ kind, content }: Parcel) =>
        kind === "request" && (content.type === "collision" || content.type === "accepted");
      cluster.network.drop((parcel) => {
        const { content } = parcel;
        return deaf > 0 && isReport(parcel) && "key" in content && Number(content.key.split("-")[1]) % deaf === 0;
      });
      const ends = new Map<string, readonly Told[]>();
      const names = Array.from({ length: rounds }, (_, round) => `fast/round-${round}`);
      const left = [...names];
      await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        for (let name = left.shift(); name !== undefined; name = left.shift()) {
          ends.set(name, await collide(cluster, name, clients));
        }
      }));
      await cluster.settle();

      const ended = none();
      const answers = none();
      const by = { coordinator: 0, prepare: 0 };
      for (const name of names) {
        const key = `lock/${name}`;
        const told = ends.get(name)!;
        assertOnce(await finalRecord(cluster, key, cluster.ids), told);
        const [first] = cluster.decisions(key, 1);
        const path = pathOf(first);
        assert(path !== "read");
        ended[path]++;
        if (path === "recovered") by[first!.ballot[0] === 0 ? "coordinator" : "prepare"]++;
        for (const { receipt } of told) {
          assert(receipt.path !== "read");
          answers[receipt.path]++;
        }
      }
      console.log(`${what}, seed ${SEED}
  rounds by how their collision ended: ${JSON.stringify(ended)}
  recovered by the coordinator (0..1): ${by.coordinator}, by a Prepare: ${by.prepare}
  clients by the path of their answer: ${JSON.stringify(answers)}`);
      assertEquals(answers.fast + answers["open-fast"] + answers.recovered + answers.classic, rounds * clients);
      assertGreaterOrEqual(ended.recovered, 0.3 * rounds);
      if (deaf > 0) assertGreater(by.prepare, 0);
    }, { keepParcels: false, limitMs: 3_600_000 });
  });
}
