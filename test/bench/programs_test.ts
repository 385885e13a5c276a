import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { memoryApps } from "../routes/memory_apps.ts";
import { Counter } from "./counter.ts";
import { count, countsTable } from "./counts.ts";
import { batched } from "./batch.ts";
import { disk, diskTable, type Measured, perMillion } from "./disk.ts";
import { Flood } from "./flood.ts";
import { growth, growthTable, sizesUpTo } from "./growth.ts";
import { leftoverRow, leftovers } from "./leftovers.ts";
import { parseOptions, UsageError } from "./options.ts";
import { overload, overloadTable } from "./overload.ts";
import { partsOf, partsTable, profile } from "./profile.ts";
import { QuorateDriver } from "./quorate.ts";
import { floorMs, regions, wan, wanTable } from "./wan.ts";

Deno.test("Counter: requests to peers, their messages, and what commits that succeed write are counted", async () => {
  const counter = new Counter();
  const fetch = counter.fetch(() => Promise.resolve(new Response()));
  const body = new TextEncoder().encode('{"messages":[{},{}]}');
  await fetch("http://127.0.0.1/paxos/acceptor", { method: "POST", body });
  await fetch("http://127.0.0.1/v1/status");
  await fetch("http://127.0.0.1/paxos/line", { method: "POST", body: new TextEncoder().encode("{}") });
  const sent: unknown[] = [];
  const socket = { send: (frame: unknown) => void sent.push(frame) } as Pick<WebSocket, "send">;
  const unwatchFrames = counter.watchFrames(socket);
  const frames = [`ask 1 ticket acceptor\n{"messages":[{}]}`, `answer 1\n{"replies":[{}]}`].map((text) =>
    "0".repeat(64) + text
  );
  for (const frame of frames) socket.send(frame);
  unwatchFrames();
  for (const frame of frames) socket.send(frame);
  assertEquals(sent, [...frames, ...frames]);
  const unwatch = counter.watch(Deno.AtomicOperation.prototype);
  using kv = await Deno.openKv(":memory:");
  await kv.atomic().set(["a"], new Uint8Array(3)).set(["b"], new Uint8Array(4)).commit();
  const { ok } = await kv.atomic().check({ key: ["a"], versionstamp: null }).set(["a"], new Uint8Array(9)).commit();
  unwatch();
  await kv.atomic().set(["c"], new Uint8Array(9)).commit();
  assert(!ok);
  const requestBytes = body.length + '{"messages":[{}]}'.length;
  assertEquals(counter.counts, { requests: 2, messages: 3, requestBytes, commits: 1, rows: 2, rowBytes: 7 });
});

Deno.test("--counts: a lock cycle is two values at least, and all that they take is counted at every node", async () => {
  const counted = await count({ nodes: [3], workers: [2], cycles: 2, only: ["lock cycle, own keys"] }, 1);
  const [{ values, messages, requests, commits, rowBytes }] = counted as [typeof counted[number]];
  assert(values >= 2, countsTable(counted));
  // A quorum's other vote for each value; a commit for each record that a value changes, or less where they share it.
  assert(messages >= 2 && requests > 0 && commits > 0 && rowBytes > 0, countsTable(counted));
  assertStringIncludes(countsTable(counted), "| lock cycle, own keys | 3 | 2 |");
});

Deno.test("--profile: self time goes to files, packages and the runtime's parts, idle time to nobody", async () => {
  const root = new URL("../../", import.meta.url).href;
  const frames = [
    ["(idle)", ""],
    ["step", `${root}src/paxos/acceptor.ts`],
    ["match", "file:///cache/npm/a.registry/@hono/zod-openapi/1.0.0/dist/index.js"],
    ["op_fetch", ""],
    ["warm", `${root}src/early.ts`],
  ] as const;
  const nodes = frames.map(([functionName, url], id) => ({ id, callFrame: { functionName, url } }));
  const samples = [4, 1, 0, 1, 2, 3, 0];
  const timeDeltas = [0, 1e6, 1e6, 2e6, 1e6, 1.5e6, 0.5e6];
  const parts = partsOf({ nodes, samples, timeDeltas }, 6);
  assertEquals(parts.map(({ part, share }) => [part, share]), [
    ["src/paxos/acceptor.ts", 0.5],
    ["npm:@hono/zod-openapi", 0.375],
    ["op_fetch", 0.125],
  ]);
  assertStringIncludes(partsTable(parts), "| npm:@hono/zod-openapi | 37.5 % |");

  const options = parseOptions([
    "--profile",
    "--nodes",
    "1",
    "--workers",
    "1",
    "--seconds",
    "0.1",
    "--warm-up",
    "0.01",
  ]);
  const real = await profile(options!);
  assert(real.some(({ part }) => part.startsWith("src/")), partsTable(real));
});

Deno.test("--wan: the regions are those of PROTOCOL.md §11, and each has its client and its ratios to the floor", async () => {
  const { names, rttMs } = await regions();
  // As the section says below its table.
  assertEquals(rttMs.map(floorMs), [135.9, 78.6, 135.9, 175.7, 173.2]);
  assertEquals(names.length, 5);
  const near = { names: ["x", "y", "z"], rttMs: [[0, 1, 2], [1, 0, 1], [2, 1, 0]] };
  const rows = await wan(near, 1, 0);
  assertEquals(rows.map(({ region, floorMs }) => [region, floorMs]), [["x", 1], ["y", 1], ["z", 1]]);
  for (const { acquire, release, read } of rows) assert(acquire > 0 && release > 0 && read > 0);
  const [x, y] = [{ region: "x", floorMs: 100, acquire: 1, release: 1, read: 1 }, {
    region: "y",
    floorMs: 300,
    acquire: 2,
    release: 1,
    read: 1,
  }];
  assert(wanTable([x, y]).endsWith("| mean | 200.0 | 1.750× | 1.000× | 1.000× |"));
});

Deno.test("--overload: more is begun than workers wait for, and each is done or counted by what it was told", async () => {
  const apps = await memoryApps(1);
  try {
    const urls = apps.cluster.ids.map((id) => apps.url(id));
    const running = { urls, pids: [Deno.pid], connect: QuorateDriver.connect, stop: () => Promise.resolve() };
    const [round] = await overload(running, { workers: [1], rounds: 1, seconds: 0.1, warmUp: 0.01 });
    assert(round!.offered > 0 && round!.done >= 0 && round!.afterwards > 0, JSON.stringify(round));
    assertEquals([round!.refused, round!.kept], [{}, 1]);
    assert(overloadTable([round!]).includes("| holders who kept their locks | 100.0 % |"));
  } finally {
    await apps.close();
  }
});

Deno.test("Flood: what is refused is counted by status and code, and a connection that breaks as no answer", async () => {
  const problem = '{"status":503,"code":"no-quorum"}';
  const answer = `HTTP/1.1 503 Service Unavailable\r\nContent-Length: ${problem.length}\r\n\r\n${problem}`;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    let isFirst = true;
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4_096));
      if (isFirst) await conn.write(new TextEncoder().encode(answer));
      isFirst = false;
      conn.close();
    }
  })();
  const flood = new Flood([`http://127.0.0.1:${listener.addr.port}`], "f");
  await flood.run(400, 0.02);
  listener.close();
  await serving;
  assertEquals(flood.begun, 8);
  assertEquals(flood.refused.get("503 no-quorum"), 1);
  assertEquals(flood.refused.get("no answer"), 7);
  assertEquals(flood.done, 0);
});

Deno.test("--disk: each name of a kind is made once, and what a million cycles add is told by the later half", async () => {
  const apps = await memoryApps(1);
  try {
    let bytes = 1_000;
    const measured: Measured = { url: apps.url("a"), bytes: () => Promise.resolve(bytes += 500) };
    const found = await disk(measured, { names: 10, cycles: 8, workers: 3 });
    assertEquals(found.empty, 1_500);
    assertEquals(found.kinds.map(({ perName }) => perName), [50, 50, 50, 50, 50]);
    assertEquals(found.cycles.map(({ done }) => done), [0, 2, 4, 6, 8]);
    assertEquals(perMillion(found), 250_000_000);
    const count = async (noun: string, wanted: (item: { state: string }) => boolean) =>
      (await (await apps.ask("a", `/v1/${noun}?limit=100`)).json()).items.filter(wanted).length;
    // Those that were used in cycles are free, and free ones are not listed.
    assertEquals(await count("locks", ({ state }) => state === "held"), 10);
    assertEquals(await count("kv", () => true), 20);
    assertEquals(await count("elections", () => true), 10);
    assertStringIncludes(diskTable(found), "| a register of 10,000 bytes, each | 50 bytes |");
  } finally {
    await apps.close();
  }
  assertEquals(parseOptions(["--disk", "--names", "5"])?.names, 5);
});

Deno.test("a batch that a busy node does not begin, or not end, is asked for again; what is refused for good is told", async () => {
  const asked: unknown[][] = [];
  const answers: [number, unknown][] = [
    [503, { code: "overloaded" }],
    [200, [{ status: 200, body: { fence: "1" } }, { status: 503, body: {} }]],
    [200, [{ status: 200, body: { fence: "2" } }]],
    [200, [{ status: 409, body: { code: "held" } }]],
  ];
  const connection = {
    request: (_method: string, _path: string, body?: string) => {
      asked.push((JSON.parse(body!) as { path: string }[]).map(({ path }) => path));
      const [status, answer] = answers.shift()!;
      return Promise.resolve({ status, text: JSON.stringify(answer) });
    },
  };
  const operations = ["a", "b"].map((path) => ({ method: "POST", path }));
  const done = await batched(connection, operations, 0);
  assertEquals(done.map(({ body }) => body.fence), ["1", "2"]);
  assertEquals(asked, [["a", "b"], ["a", "b"], ["b"]]);
  await assertRejects(() => batched(connection, operations.slice(0, 1), 0), Error, "held");
});

Deno.test("--leftovers: each name is taken and given back once a round, and what is kept is told as it grows", async () => {
  const apps = await memoryApps(3);
  try {
    const kept = {
      urls: apps.cluster.ids.map((id) => apps.url(id)),
      memory: () => Promise.resolve(null),
      file: () => Promise.resolve(2 ** 20),
    };
    const found = await leftovers(kept, { names: 8, rounds: 2, calmMs: 0 });
    assertEquals(
      found.map(({ round, cycles }) => [round, cycles]),
      [1, 2].flatMap((round) => [2, 4, 6, 8].map((cycles) => [round, cycles])),
    );
    const { items } = await (await apps.ask("a", "/v1/locks/once-7/history")).json();
    assertEquals(items.map(({ holder, end }: Record<string, string>) => [holder, end]), [["once", "released"], [
      "once",
      "released",
    ]]);
    assertEquals(leftoverRow(found.at(-1)!), "| 2 | 8 | – | 1.0 |");
    assertEquals(found.map(({ forgottenMs }) => forgottenMs), found.map(() => null));
    assertEquals([parseOptions(["--leftovers"])?.forget, parseOptions(["--leftovers", "--forget", "2"])?.forget], [
      null,
      2,
    ]);
    assertThrows(() => parseOptions(["--disk", "--forget", "2"]), UsageError);
    const gone = { round: 1, cycles: 8, forgottenMs: 61_400, memory: NaN, file: 2 ** 20 };
    assertEquals(leftoverRow(gone), "| 1 | all forgotten, after 61 s | – | 1.0 |");
  } finally {
    await apps.close();
  }
});

Deno.test("--growth: each size is filled up, worked on, watched and restarted, and told by the smallest", async () => {
  assertEquals(sizesUpTo(2_000), [10, 100, 1_000, 2_000]);
  assertEquals(sizesUpTo(10), [10]);
  const apps = await memoryApps(3);
  try {
    const urls = apps.cluster.ids.map((id) => apps.url(id));
    let restarts = 0;
    const grown = {
      urls,
      restart: async () => {
        restarts++;
        apps.cluster.kill("a");
        await apps.restart("a");
      },
      memory: () => Promise.resolve(null),
    };
    const sizes = await growth(grown, [3, 60], { samples: 2, restarts: 1, watchers: 3, changes: 2 });
    assertEquals([sizes.map(({ names }) => names), restarts], [[3, 60], 2]);
    const { items } = await (await apps.ask("b", "/v1/kv?prefix=growth-&limit=100")).json();
    // All of them, and the one that is watched.
    assertEquals(items.length, 61);
    assert(growthTable(sizes).includes("| 3 | 1.00× | 1.00× | 1.00× | 1.00× | 1.00× | – |"));
  } finally {
    await apps.close();
  }
});
