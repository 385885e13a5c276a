/** A name written 40,000 times through a whole node: what is kept of it never grows (PROTOCOL.md §3). */
import { assert } from "@std/assert";
import { COMMANDS_PER_VALUE } from "../../src/limits.ts";
import type { ReplicaNode } from "../../src/compose/node.ts";
import { until } from "../replica/clocks.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

const WRITES = 40_000;
/** As many as fit one value: so many are decided together, and that many instances fewer are needed. */
const CLIENTS = COMMANDS_PER_VALUE;
/** The most a state weighs: a full window and 32 ended grants, a holder for each client, and what names them. */
const STATE_MAX_BYTES = 32 * 1024;
/** When nothing is under way: a full window of 8 KiB, 32 ended grants, and what names them. Nobody holds it, no vote is kept. */
const AT_REST_MAX_BYTES = 14 * 1024;
const SAMPLE_EVERY = 25;

type Write = (node: ReplicaNode, client: number, i: number) => Promise<number>;

/** Runs `write` until there were WRITES of the key; the largest state of all samples, and the record at the end. */
async function writeOften(key: string, write: Write): Promise<{ largest: number[]; atRest: number; instance: number }> {
  const largest = [0, 0];
  let seen = 0;
  let done = 0;
  const cluster = await memoryCluster(1, {
    watch: () => (moment, steps) => {
      for (const [of, record] of steps) {
        if (of !== key || moment !== "ready" || seen++ % SAMPLE_EVERY !== 0) continue;
        const half = done < WRITES / 2 ? 0 : 1;
        largest[half] = Math.max(largest[half]!, JSON.stringify(record.state).length);
      }
    },
  });
  try {
    const node = cluster.node("a");
    const client = async (_: unknown, i: number) => {
      while (done < WRITES && Math.max(...largest) <= STATE_MAX_BYTES) {
        const writes = await write(node, i, done);
        done += writes;
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    assert(seen > SAMPLE_EVERY, "nothing was looked at");
    const onDisk = () => cluster.disk("a").records.get(key)!;
    await until("its last move is written", () => JSON.parse(onDisk()).vote === null);
    const record = onDisk();
    return { largest, atRest: record.length, instance: JSON.parse(record).instance };
  } finally {
    cluster.close();
  }
}

const takeAndRelease: Write = async ({ locks }, client, i) => {
  const { body } = await locks.acquire("hot", { ...request(`holder-${client}-${i}`), mode: "shared" }, caller());
  await locks.release("hot", body.fence, caller());
  return 2;
};
const put: Write = async ({ registers }, client, i) => {
  await registers.put("hot", { bytes: btoa(`${client}-${i}`), contentType: "text/plain" }, caller());
  return 1;
};

for (
  const [what, key, write] of [["lock of changing holders", "lock/hot", takeAndRelease], [
    "register",
    "kv/hot",
    put,
  ]] as const
) {
  Deno.test(`${WRITES} writes of one ${what}: its record stays as small as it was`, async () => {
    const { largest: [early = 0, late = 0], atRest, instance } = await writeOften(key, write);
    console.log(`${what}: instance ${instance}; bytes of its state at most ${early}, then ${late}; record ${atRest}`);
    assert(Math.max(early, late) <= STATE_MAX_BYTES, `${early}, then ${late}`);
    assert(early > 0 && late > 0, "it came to its end");
    // Numbers get some digits longer, and nothing else.
    assert(late <= early * 1.1, `${early}, then ${late}`);
    assert(atRest <= AT_REST_MAX_BYTES, `${atRest}`);
  });
}
