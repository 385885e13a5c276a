/** Thousands of watchers of one real node: all see the last event, memory stays flat, and who stops reading is cut off. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { HOLDERS_PER_KEY, METADATA_MAX_BYTES } from "../../src/limits.ts";
import { until } from "../replica/clocks.ts";
import { EventReader } from "../routes/event_reader.ts";
import { call, ISOLATES, pause, RealCluster, residentBytes } from "./real_cluster.ts";

/** Each is two connections more where a balancer stands before the node. */
const WATCHERS = ISOLATES === 1 ? 2_000 : 400;
/** All opened together are above what a node has room for: those of a round must be gone in the next. */
const ROUNDS = 4;
const CHANGES = 5;
const AT_ONCE = ISOLATES === 1 ? 100 : 20;
/** As a multiple of the first round's memory; V8 takes some rounds to settle. */
const FLAT = 2;

Deno.test(`${WATCHERS} watchers of one node, ${ROUNDS} times: each sees the last event, and memory stays flat`, async () => {
  const cluster = await RealCluster.start(3);
  try {
    const memory: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const watchers = await openAll(`${cluster.url("b")}/v1/locks/watched/events`);
      assertEquals(watchers.length, WATCHERS);
      const last = await change(cluster, "watched");
      const seen = await Promise.all(watchers.map(async (reader) => {
        const events = await reader.until(({ id }) => id === last);
        return events.map(({ id }) => BigInt(id!));
      }));
      for (const ids of seen) for (let i = 1; i < ids.length; i++) assert(ids[i]! > ids[i - 1]!, `${ids}`);
      await Promise.all(watchers.map((reader) => reader.close()));
      await pause(1_000);
      memory.push(await residentBytes(cluster.pid("b")) ?? 0);
    }
    const mib = memory.map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(", ");
    console.log(`${WATCHERS} watchers opened and closed ${ROUNDS} times; MiB resident after each: ${mib}`);
    if (Deno.build.os === "linux") assert(memory.every((bytes) => bytes > 0));
    assertGreater(memory[0]! * FLAT || 1, Math.max(...memory.slice(1)));
    assertEquals((await call(cluster.url("b"), "GET", "/v1/locks/watched"))?.status, 200);
  } finally {
    await cluster.stop();
  }
});

/** Resolves once each has had its first event. */
async function openAll(url: string): Promise<EventReader[]> {
  const watchers: EventReader[] = [];
  const some = async () => {
    for (let i = 0; i < WATCHERS / AT_ONCE; i++) {
      const response = await fetch(url);
      if (response.status !== 200) throw new Error(await response.text());
      const reader = new EventReader(response);
      assert(await reader.next() !== null);
      watchers.push(reader);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
  return watchers;
}

/** Some changes through two other nodes; the revision of the last. */
async function change(cluster: RealCluster, name: string): Promise<string> {
  let last = "";
  for (let i = 0; i < CHANGES; i++) {
    const grant = await call(cluster.url("a"), "POST", `/v1/locks/${name}`, { ttlMs: 60_000 });
    assertEquals(grant?.status, 200, JSON.stringify(grant?.body));
    const released = await call(cluster.url("c"), "DELETE", `/v1/locks/${name}/${grant!.body["fence"]}`);
    last = `${released?.body["revision"]}`;
  }
  return last;
}

const CUT_OFF = "a watcher that stops reading is cut off; one beside it that reads gets everything";
// What a balancer takes in for who does not read is not the node's to bound (isolates.ts names this test).
Deno.test({ name: CUT_OFF, ignore: ISOLATES > 1, fn: whoStopsReading });

async function whoStopsReading(): Promise<void> {
  const cluster = await RealCluster.start(3);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(cluster.url("b")).port) });
  try {
    const fences = await fill(cluster, "big");
    const request = "GET /v1/locks/big/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    await connection.write(new TextEncoder().encode(request));
    const beside = new EventReader(await fetch(`${cluster.url("b")}/v1/locks/big/events`));
    const told = { bytes: 0, last: "" };
    const listening = beside.until(({ id, data }) => {
      told.bytes += JSON.stringify(data).length;
      told.last = id!;
      return false;
    }).catch((error) => error as Error);
    let last = "";
    // What the kernel keeps for a connection is some MiB; beyond that the node would have to.
    for (let i = 0; i < 260; i++) {
      const released = await call(cluster.url("a"), "DELETE", `/v1/locks/big/${fences.pop()}`);
      const grant = await shared(cluster, "big", HOLDERS_PER_KEY + i);
      assertEquals([released?.status, grant?.status], [200, 200], JSON.stringify([released?.body, grant?.body]));
      fences.push(`${grant!.body["fence"]}`);
      last = `${grant!.body["revision"]}`;
    }
    await until("who reads is told everything", () => told.last === last);
    await beside.close();
    await listening;
    const text = await readToEnd(connection, `id: ${last}\n`);
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => id!);
    console.log(`events worth ${(told.bytes / 2 ** 20).toFixed(0)} MiB; who did not read got ${ids.length} of them`);
    assert(ids.length > 0 && !ids.includes(last), "the stream ended before the last event");
    assertEquals((await call(cluster.url("b"), "GET", "/v1/locks/big"))?.status, 200);
  } finally {
    connection.close();
    await cluster.stop();
  }
}

/** Nearly as many shared holders as a name has room for, each with the longest metadata; their fences. */
async function fill(cluster: RealCluster, name: string): Promise<string[]> {
  const grants = [];
  for (let i = 0; i < HOLDERS_PER_KEY - 1; i++) grants.push(await shared(cluster, name, i));
  return grants.map((grant) => `${grant?.body["fence"]}`);
}

function shared(cluster: RealCluster, name: string, i: number) {
  const body = { mode: "shared", ttlMs: 3_600_000, holder: `h${i}`, metadata: "m".repeat(METADATA_MAX_BYTES) };
  return call(cluster.url("a"), "POST", `/v1/locks/${name}`, body);
}

/** Until the connection ends or `mark` was read. */
async function readToEnd(connection: Deno.Conn, mark: string): Promise<string> {
  const buffer = new Uint8Array(2 ** 20);
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const size = await connection.read(buffer).catch(() => null);
    if (size === null) return text;
    text += decoder.decode(buffer.subarray(0, size), { stream: true });
    if (text.slice(-100_000).includes(mark)) return text;
  }
}
