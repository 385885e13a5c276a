/**
 * Acceptors that are several processes on one remote database each: killed at random points, on databases that fail, and
 * under those who watch and wait.
 */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { SEED, seeded } from "../replica/clocks.ts";
import { EventReader } from "../routes/event_reader.ts";
import { fenceFaults, type FenceRead, type GrantEvent } from "../sim/check/fences.ts";
import type { Call, Fault } from "../kv_connect/faults.ts";
import { denokvHere, startDatabases } from "./databases.ts";
import { Reaper } from "./reaper.ts";
import { NOT_ON_ISOLATES, ON_ISOLATES } from "./isolates.ts";
import { call, callAny, ISOLATES, pause, RealCluster, type Reply } from "./real_cluster.ts";

const SECONDS = Number(Deno.env.get("QUORATE_SOAK_SECONDS") ?? 8);
/** On a machine with much else to do it goes on until there is something to check, up to here. */
const AT_MOST_SECONDS = SECONDS + 60;
const CLIENTS = 20;
const NAMES = 10;
const GRANTS = 40;
const KILLS = 5;
const TRIES = 12;
const LONG_MS = 3_600_000;

/** The share of each database's calls, 0 to 1. What hangs is let go at the end. */
const FAULTS: readonly (readonly [Call, Fault, number])[] = [
  ["write", "delay-before", 0.02],
  ["write", "error-before", 0.02],
  ["write", "disabled", 0.01],
  ["write", "delay-after", 0.02],
  ["write", "hang-after", 0.003],
  ["write", "error-after", 0.02],
  ["write", "cut-after", 0.02],
  ["write", "garbled-after", 0.01],
  ["read", "delay-before", 0.01],
  ["read", "error-before", 0.01],
  ["read", "hang-before", 0.001],
  ["read", "cut-after", 0.005],
];

type Seen = {
  readonly grants: GrantEvent[];
  readonly reads: FenceRead[];
  /** Fences by name of what was taken and never given back. */
  readonly kept: Map<string, string>;
  /** Who asked for what and was told that nothing came of it. */
  readonly refused: { readonly name: string; readonly holder: string }[];
  readonly counts: Record<string, number>;
};

const { denokv } = await denokvHere();

/** They take the processors of a small machine to themselves: of the gate's step for isolates, not of all tests. */
const ignore = ISOLATES === 1;

for (const program of denokv === null ? [null] : [null, denokv]) {
  const where = program === null ? "databases that fail" : "real databases";
  Deno.test(`three acceptors of two processes each on ${where}: ${CLIENTS} clients, processes killed at random`, {
    ignore,
  }, async (t) => {
    const databases = await startDatabases(["a", "b", "c"], program);
    const cluster = await RealCluster.start(3, 0, { isolates: 2, databases });
    try {
      const seen: Seen = { grants: [], reads: [], kept: new Map(), refused: [], counts: {} };
      await t.step("fences are distinct and in order", async () => {
        for (const id of cluster.ids) {
          for (const [call, fault, chance] of FAULTS) {
            databases.standIn?.database(id).faults.chance(call, fault, chance);
          }
        }
        const reaper = new Reaper(cluster, seeded(SEED));
        const startMs = performance.now();
        const goesOn = () => {
          const seconds = (performance.now() - startMs) / 1_000;
          const isEnough = seen.grants.length > GRANTS && reaper.kills > KILLS && seen.kept.size > 0;
          return seconds < SECONDS || (!isEnough && seconds < AT_MOST_SECONDS);
        };
        const urls = cluster.ids.map((id) => cluster.url(id));
        await Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(i, urls, goesOn, seen)));
        const met = databases.standIn === null ? {} : metBy(cluster);
        for (const id of cluster.ids) databases.standIn?.database(id).faults.clear();
        await reaper.stop();
        console.log(
          `${databases.server}: ${reaper.kills} processes killed, ${seen.grants.length} grants, ${seen.kept.size} kept, ` +
            `${seen.reads.length} reads, answers ${JSON.stringify(seen.counts)}, faults ${JSON.stringify(met)}`,
        );
        assertEquals(fenceFaults(seen.grants, seen.reads), []);
        assertEquals(seen.counts["wrong"] ?? 0, 0);
        assertGreater(reaper.kills, KILLS);
        assertGreater(seen.grants.length, GRANTS);
        for (const id of cluster.ids) for (const count of cluster.requestsOf(id)) assertGreater(count, 0);
      });

      await t.step("what was acknowledged is held still, and of what was refused nothing came", async () => {
        for (const [name, fence] of seen.kept) {
          const state = await callAny(
            cluster.ids.map((id) => cluster.url(id)),
            0,
            "GET",
            `/v1/locks/${name}`,
            undefined,
            10,
          );
          assertEquals((state?.body["holders"] as { fence: string }[])[0]?.fence, fence, name);
        }
        for (const { name, holder } of seen.refused) {
          const state = await call(cluster.url("b"), "GET", `/v1/locks/${name}`);
          const { holders, waiters } = state!.body as Record<string, { holder: string }[]>;
          for (const one of [...holders!, ...waiters!]) assert(one.holder !== holder, `${holder} has ${name}`);
        }
      });
    } finally {
      await cluster.stop();
    }
  });
}

/** What it cannot know it does not count. */
async function client(index: number, urls: readonly string[], goesOn: () => boolean, seen: Seen): Promise<void> {
  const random = seeded(SEED + index);
  const count = (what: string) => seen.counts[what] = (seen.counts[what] ?? 0) + 1;
  for (let turn = 0; goesOn(); turn++) {
    const isKept = turn % 8 === 7;
    const lock = isKept ? `kept-${index}-${turn}` : `lock-${Math.floor(random() * NAMES)}`;
    if (!isKept && random() < 0.15) {
      await read(lock, urls[turn % urls.length]!, seen);
      continue;
    }
    const holder = `h-${index}-${turn}`;
    const calledMs = performance.now();
    const body = { holder, ttlMs: LONG_MS, waitMs: random() < 0.5 ? 2_000 : 0 };
    const { reply, isRefused } = await ask(urls, index + turn, lock, body, random);
    count(isRefused ? "refused" : reply === null ? "unknown" : String(reply.body["code"] ?? "granted"));
    if (isRefused) seen.refused.push({ name: lock, holder });
    if (reply?.status !== 200) continue;
    const fence = String(reply.body["fence"]);
    seen.grants.push({ lock, calledMs, returnedMs: performance.now(), fence: BigInt(fence) });
    if (isKept) {
      seen.kept.set(lock, fence);
      continue;
    }
    const path = `/v1/locks/${lock}/${fence}?timeoutMs=5000`;
    const released = await callAny(urls, index + turn + 1, "DELETE", path, undefined, TRIES);
    const outcome = String(released?.body["outcome"] ?? released?.body["code"] ?? "unknown");
    // A hold that nobody else may have ended was ended by this call or an earlier try of it.
    if (!["released", "already-released", "unknown"].includes(outcome)) {
      count("wrong");
      console.log(`${lock} ${fence}: ${JSON.stringify(released)}`);
    }
  }
}

/**
 * Asks under one key until something definite is said; null if it never was. `isRefused`: all that was said is that
 * nothing will come of it, and half of those who are told so leave it at that.
 */
async function ask(
  urls: readonly string[],
  first: number,
  lock: string,
  body: object,
  random: () => number,
): Promise<{ readonly reply: Reply | null; readonly isRefused: boolean }> {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  let isRefused = true;
  for (let i = 0; i < TRIES; i++) {
    const reply = await call(
      urls[(first + i) % urls.length]!,
      "POST",
      `/v1/locks/${lock}?timeoutMs=5000`,
      body,
      headers,
    );
    if (reply !== null && reply.status < 500) return { reply, isRefused: false };
    isRefused &&= reply?.body["outcome"] === "none";
    if (isRefused && random() < 0.5) break;
    await pause(20);
  }
  return { reply: null, isRefused };
}

async function read(lock: string, url: string, seen: Seen): Promise<void> {
  const calledMs = performance.now();
  const reply = await call(url, "GET", `/v1/locks/${lock}?timeoutMs=5000`);
  if (reply?.status !== 200) return;
  seen.reads.push({
    lock,
    calledMs,
    returnedMs: performance.now(),
    fence: BigInt(String(reply.body["lastFence"] ?? 0)),
  });
}

/** How often each fault was met, all databases together. */
function metBy(cluster: RealCluster): Record<string, number> {
  const met: Record<string, number> = {};
  for (const [call, fault] of FAULTS) {
    met[`${call} ${fault}`] = cluster.ids
      .reduce((sum, id) => sum + cluster.databases!.standIn!.database(id).faults.met(call, fault), 0);
  }
  return met;
}

Deno.test(
  "the process of a watcher or a waiter is killed: its client goes on at the acceptor where it was",
  { ignore },
  async (t) => {
    const cluster = await RealCluster.start(3, 0, { isolates: 2 });
    const [a, b, c] = cluster.ids.map((id) => cluster.url(id)) as [string, string, string];
    /** URLs of the first process of acceptor a, and of whichever is there. */
    const [first, any] = [cluster.isolateUrl("a", 0), a];
    const said = async (url: string, method: string, path: string, body?: object) => {
      const reply = await call(url, method, path, body);
      assertEquals(reply?.status, 200, JSON.stringify(reply?.body));
      return reply!.body;
    };
    const take = (url: string, name: string) => said(url, "POST", `/v1/locks/${name}`, { ttlMs: LONG_MS });
    const events = async (url: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
      new EventReader(await fetch(url, { ...init, headers }));
    const killFirst = async () => {
      await cluster.killIsolate("a", 0);
    };
    try {
      await t.step("a watcher of a name, by the last revision it saw", async () => {
        const watching = await events(`${first}/v1/locks/w/events`);
        assertEquals((await watching.next())?.data["state"], "free");
        const { fence } = await take(b, "w");
        const held = await watching.next();
        assertEquals([held?.event, held?.data["state"]], ["changed", "held"]);
        await killFirst();
        assertEquals(await watching.next().catch(() => null), null);
        const { revision } = await said(c, "DELETE", `/v1/locks/w/${fence}`);
        const path = `${any}/v1/locks/w/events`;
        const resumed = await events(path, { "last-event-id": held!.id! });
        const missed = await resumed.next();
        assertEquals([missed?.data["state"], missed?.id], ["free", revision]);
        // Who has missed nothing is told the next thing first.
        const beside = await events(path, { "last-event-id": missed!.id! });
        await cluster.startIsolate("a", 0);
        await take(c, "w");
        for (const reader of [resumed, beside]) {
          assertEquals((await reader.next())?.data["state"], "held");
          await reader.close();
        }
      });

      await t.step("a watcher of a prefix is told to list again, by each process, whatever it saw", async () => {
        const put = (name: string) => call(b, "PUT", `/v1/kv/${name}`, name);
        const watching = await events(`${first}/v1/kv/events?prefix=p%2F`);
        assertEquals((await watching.next())?.event, "resync");
        await put("p%2F1");
        const changed = await watching.next();
        assertEquals([changed?.event, changed?.data["key"]], ["changed", "p/1"]);
        await killFirst();
        assertEquals(await watching.next().catch(() => null), null);
        const resumed = await events(`${any}/v1/kv/events?prefix=p%2F`, { "last-event-id": changed!.id! });
        assertEquals((await resumed.next())?.event, "resync");
        await put("p%2F2");
        // A process that had met the first value half decided may tell of it again, as it is now.
        const told = await resumed.until(({ data }) => data["key"] === "p/2");
        assertEquals(told.slice(0, -1).filter(({ data }) => data["key"] !== "p/1"), []);
        await resumed.close();
        await cluster.startIsolate("a", 0);
      });

      for (const accept of ["text/event-stream", "application/json"]) {
        await t.step(`a waiter that takes ${accept}, by its key: at the place it had`, async () => {
          const name = `q-${accept.length}`;
          const { fence } = await take(b, name);
          const asked = (key: string, holder: string): [Record<string, string>, RequestInit] => [
            { "idempotency-key": key, accept },
            { method: "POST", body: JSON.stringify({ holder, waitMs: 60_000, ttlMs: LONG_MS }) },
          ];
          const waiters = async (count: number) => {
            for (let i = 0; i < 4_800; i++) {
              const { waiters } = await said(b, "GET", `/v1/locks/${name}`) as { waiters: { holder: string }[] };
              if (waiters.length === count) return waiters.map(({ holder }) => holder);
              await pause(25);
            }
            throw new Error(`never ${count} waiters`);
          };
          const [headers, init] = asked(`key-${name}`, "one");
          const cut = fetch(`${first}/v1/locks/${name}`, { ...init, headers }).then((response) => response.text());
          await waiters(1);
          const [others, more] = asked(`key-${name}-2`, "two");
          const two = fetch(`${c}/v1/locks/${name}`, { ...more, headers: others });
          await waiters(2);
          const rejected = assertRejects(() => cut);
          await killFirst();
          await rejected;
          const one = fetch(`${any}/v1/locks/${name}`, { ...init, headers });
          const starting = cluster.startIsolate("a", 0);
          assertEquals(await waiters(2), ["one", "two"]);
          await said(c, "DELETE", `/v1/locks/${name}/${fence}`);
          const granted = await grantOf(await one);
          assertEquals(granted["holder"], "one");
          assertEquals(await waiters(1), ["two"]);
          await said(b, "DELETE", `/v1/locks/${name}/${granted["fence"]}`);
          assertEquals((await grantOf(await two))["holder"], "two");
          await starting;
        });
      }
    } finally {
      await cluster.stop();
    }
  },
);

/** The grant in an answer, or in the stream that ends with it. */
async function grantOf(response: Response): Promise<Record<string, unknown>> {
  assertEquals(response.status, 200);
  if (!response.headers.get("content-type")!.startsWith("text/event-stream")) return await response.json();
  const reader = new EventReader(response);
  const [granted] = (await reader.until(({ event }) => event !== "queued")).slice(-1);
  await reader.close();
  assertEquals(granted?.event, "granted");
  return granted!.data;
}

Deno.test("isolates: each test on real nodes is run with several processes an acceptor too, or it is said why not", async () => {
  const root = new URL("../", import.meta.url);
  const texts = new Map<string, string>();
  const walk = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(new URL(folder, root))) {
      if (isDirectory) await walk(`${folder}${name}/`);
      else if (name.endsWith(".ts")) texts.set(folder + name, await Deno.readTextFile(new URL(folder + name, root)));
    }
  };
  await walk("");
  /** Whether this file, or one that it imports, starts a cluster or a node. */
  const isReal = (path: string, seen = new Set<string>()): boolean => {
    const text = texts.get(path);
    if (text === undefined || seen.has(path)) return false;
    seen.add(path);
    if (path === "cli/command.ts" || text.includes("RealCluster.start(")) return true;
    const imported = [...text.matchAll(/^(?:import|export) (?!type\b).*?from "(\.[^"]+)"/gms)];
    return imported.some(([, at]) => isReal(new URL(at!, `file:///${path}`).pathname.slice(1), seen));
  };
  const real = [...texts.keys()].filter((path) => path.endsWith("_test.ts") && isReal(path));
  const named = [...ON_ISOLATES, ...Object.keys(NOT_ON_ISOLATES).filter((name) => !name.includes(": "))];
  assertEquals(real.toSorted(), named.toSorted());
  // A single test is called as its file has it.
  for (const [file, name] of Object.keys(NOT_ON_ISOLATES).map((at) => at.split(": ", 2))) {
    if (name !== undefined) assert(texts.get(file!)!.includes(name), `${file} has no test ${name}`);
  }
});
