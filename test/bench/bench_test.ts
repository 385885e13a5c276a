import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { Connection } from "./connection.ts";
import { carryLate } from "./delay.ts";
import { ByteStream, joined } from "./byte_stream.ts";
import { Counter } from "./counter.ts";
import { count, countsTable } from "./counts.ts";
import { floorMs, regions, wan, wanTable } from "./wan.ts";
import { Flood } from "./flood.ts";
import { QuorateDriver } from "./quorate.ts";
import { Bench, median, quantile } from "./measure.ts";
import { memoryApps } from "../routes/memory_apps.ts";
import { overload, overloadTable } from "./overload.ts";
import { partsOf, partsTable, profile } from "./profile.ts";
import { type Cell, chartOf, ratiosOf, tableOf } from "./report.ts";
import { SHARED_STORE } from "./shared_store.ts";
import { ZooKeeperDriver } from "./zookeeper.ts";
import type { Driver, Running } from "./system.ts";
import { growth, growthTable, sizesUpTo } from "./growth.ts";
import { buffer, int, long, readFrame, Session } from "./jute.ts";
import { LOADS } from "./loads.ts";
import { parseOptions, UsageError } from "./options.ts";

/** A server that answers each request with the next of these texts, cut into pieces of so many bytes. */
function scripted(answers: readonly string[], piece: number): { readonly url: string; close(): Promise<void> } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    const buffer = new Uint8Array(4_096);
    for (const answer of answers) {
      await conn.read(buffer);
      const bytes = new TextEncoder().encode(answer);
      for (let at = 0; at < bytes.length; at += piece) {
        await conn.write(bytes.subarray(at, at + piece));
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    }
    conn.close();
    listener.close();
  })();
  return { url: `http://127.0.0.1:${listener.addr.port}`, close: () => serving };
}

Deno.test("Connection: an answer is read whole, however it is cut, with a length or in chunks", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    'HTTP/1.1 409 Conflict\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken",
  ];
  for (const piece of [1, 7, 1_000]) {
    const server = scripted(answers, piece);
    const connection = await Connection.open(server.url);
    assertEquals(await connection.request("GET", "/"), { status: 200, text: "hello" });
    assertEquals(await connection.request("POST", "/", "{}"), { status: 409, text: '{"a":1}' });
    assertEquals(await connection.request("GET", "/"), { status: 204, text: "" });
    await assertRejects(() => connection.request("GET", "/"), Error, "the connection ended");
    connection.close();
    await server.close();
  }
});

const sample = (perSecond: number) => ({ perSecond, p50Ms: 1_000 / perSecond, p99Ms: 2_000 / perSecond, cpuUs: null });
const cell: Cell = {
  load: "locks",
  n: 3,
  workers: 16,
  samples: { own: [sample(100), sample(10), sample(200)], other: [sample(50), sample(50), sample(1)] },
};

Deno.test("bench report: ratios are those of the medians, and what was not measured is left open", () => {
  assertEquals([median([3, 1, 2]), quantile([1, 2, 3, 4], 0.99), median([])], [2, 4, NaN]);
  const [{ other, ratio }] = ratiosOf(cell, "own") as [ReturnType<typeof ratiosOf>[number]];
  assertEquals([other, ratio.perSecond, ratio.p50Ms, ratio.cpuUs], ["other", 2, 0.5, NaN]);
  assertEquals(
    tableOf({ cells: [cell] }, "own").split("\n").at(-1),
    "| locks | 3 | 16 | other | 2.00× | 0.50× | 0.50× | – |",
  );
  assert(chartOf({ cells: [cell] }, "own").includes(">2.00×<"));
});

Deno.test("Bench: every worker does its load until the time is over, and a failure is told", async () => {
  let calls = 0;
  let fails = false;
  const done = () => fails ? Promise.reject(new Error("held")) : Promise.resolve("token");
  const driver: Driver = {
    acquire: done,
    wait: done,
    release: () => Promise.resolve(void calls++),
    put: () => done().then(() => {}),
    get: () => done().then(() => {}),
    campaign: done,
    resign: () => Promise.resolve(void calls++),
    close: () => {},
  };
  const connect = () => Promise.resolve(driver);
  const running: Running = { urls: ["here"], pids: [Deno.pid], connect, stop: () => Promise.resolve() };
  for (const load of LOADS) {
    const bench = await Bench.open(running, load, 3, "t");
    const { perSecond, p50Ms, cpuUs } = await bench.sample(0.01);
    assert(perSecond > 0 && p50Ms >= 0 && (cpuUs === null || cpuUs >= 0), load.name);
    fails = true;
    await assertRejects(() => bench.sample(0.01), Error, "held");
    fails = false;
    bench.close();
  }
  assert(calls > 0);
});

Deno.test("bench options: what is wrong is said in one line, before anything starts, and ends it with 2", async () => {
  const wrong: readonly (readonly [string, readonly string[]])[] = [
    ["--nodes is a whole number above 0 and at most 9", ["--nodes", "3,0"]],
    ["--nodes is", ["--nodes", "2.5"]],
    ["and not 2, or several", ["--nodes", "2"]],
    ["--workers is", ["--workers", "16,,64"]],
    ["--workers is", ["--workers", "9".repeat(400)]],
    ["--rounds is a whole number above 0 and at most 1000, not", ["--rounds", "1,2"]],
    ["--seconds is", ["--seconds", "soon"]],
    ["--seconds is", ["--seconds="]],
    ["none of the loads", ["--only", "locks"]],
    ["--svg means nothing to --counts", ["--counts", "--svg", "x.svg"]],
    ["--cycles means nothing to the comparison", ["--cycles", "2"]],
    ["--workers is a whole number above 0 and at most 1000, not", ["--profile", "--workers", "1,16"]],
    ["--nodes is a whole number", ["--overload", "--nodes", "3,5"]],
    ["--names is a whole number", ["--growth", "--names", "many"]],
    ["one load", ["--profile", "--only", "one hot lock", "--only", "lock cycle, own keys"]],
    ["two programs", ["--profile", "--counts"]],
    ["Unknown option", ["--fast"]],
    ["Unexpected argument", ["counts"]],
  ];
  for (const [line, args] of wrong) {
    assertStringIncludes(assertThrows(() => parseOptions(args), UsageError).message, line);
  }
  assertEquals(parseOptions(["--nodes", "9", "--help"]), null);
  assertEquals(parseOptions(["--counts", "--nodes", "3,5"])?.nodes, [3, 5]);
  const main = new URL("main.ts", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: ["run", "-A", main, "--nodes", "0"] })
    .output();
  assertEquals(code, 2);
  assertStringIncludes(new TextDecoder().decode(stderr), "--nodes is");
});

Deno.test("Counter: requests to peers, their messages, and what commits that succeed write are counted", async () => {
  const counter = new Counter();
  const fetch = counter.fetch(() => Promise.resolve(new Response()));
  const body = new TextEncoder().encode('{"messages":[{},{}]}');
  await fetch("http://127.0.0.1/paxos/acceptor", { method: "POST", body });
  await fetch("http://127.0.0.1/v1/status");
  const unwatch = counter.watch(Deno.AtomicOperation.prototype);
  using kv = await Deno.openKv(":memory:");
  await kv.atomic().set(["a"], new Uint8Array(3)).set(["b"], new Uint8Array(4)).commit();
  const { ok } = await kv.atomic().check({ key: ["a"], versionstamp: null }).set(["a"], new Uint8Array(9)).commit();
  unwatch();
  await kv.atomic().set(["c"], new Uint8Array(9)).commit();
  assert(!ok);
  const requestBytes = body.length;
  assertEquals(counter.counts, { requests: 1, messages: 2, requestBytes, commits: 1, rows: 2, rowBytes: 7 });
});

Deno.test("--counts: a lock cycle is two values, and all that they take is counted at every node", async () => {
  const counted = await count({ nodes: [3], workers: [2], cycles: 2, only: ["lock cycle, own keys"] }, 1);
  const [{ values, messages, requests, commits, rowBytes }] = counted as [typeof counted[number]];
  assertEquals(values, 2);
  // A quorum's other vote for each value; a commit for each record that a value changes, or less where they share it.
  assert(messages >= 2 && requests > 0 && commits > 0 && rowBytes > 0, countsTable(counted));
  assertStringIncludes(countsTable(counted), "| lock cycle, own keys | 3 | 2 | 2.00 |");
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

Deno.test("a late line: bytes arrive in order and whole, and the end of what is sent arrives after them", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connect = async () => {
    const dialled = Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    return [await dialled, await listener.accept()] as const;
  };
  const [sender, near] = await connect();
  const [far, receiver] = await connect();
  const carried = carryLate(near, far, 2);
  const text = Array.from({ length: 50_000 }, (_, i) => i).join();
  await new Blob([text]).stream().pipeTo(sender.writable, { preventClose: true });
  await sender.closeWrite();
  assertEquals(await new Response(receiver.readable).text(), text);
  await carried;
  for (const conn of [sender, near, far]) conn.close();
  listener.close();
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

Deno.test("a shared store: every process of a member is asked, and all are counted", async () => {
  const running = await SHARED_STORE.start(1);
  try {
    assertEquals(running.urls.length, 2);
    assert(running.pids.length >= 2);
    for (const url of running.urls) {
      const driver = await running.connect(url);
      await driver.release("s", await driver.acquire("s"));
      driver.close();
    }
  } finally {
    await running.stop();
  }
});

Deno.test("the election's load: from one leader's resigning to the next one's leading, whoever that is", async () => {
  const load = LOADS.find(({ noun }) => noun === "elections")!;
  const board = { resignedMs: null };
  const told: (number | null)[] = [];
  const driver = { campaign: () => Promise.resolve("1"), resign: () => Promise.resolve() } as unknown as Driver;
  for (const _ of [1, 2]) {
    const step = await load.worker(driver, "e", board);
    told.push(await step());
  }
  assertEquals(told[0], null);
  assert(told[1]! >= 0);
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

Deno.test("ZooKeeper's client: who waits has the lock once the place before is gone, and an error is told", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const text = (value: string) => joined(int(value.length), new TextEncoder().encode(value));
  const head = (xid: number, error: number) => joined(int(xid), long(7n), int(error));
  const places = (...names: string[]) => joined(int(names.length), ...names.map(text));
  const gone = joined(head(-1, 0), int(2), int(3), text("/q/n-1"));
  /** For each request, what is answered, the event of a watch behind one of them included. */
  const answers: readonly (readonly Uint8Array[])[] = [
    [joined(int(0), int(60_000), long(1n), text("password"))],
    [joined(head(1, 0), text("/q/n-2"))],
    [joined(head(2, 0), places("n-2", "n-1"))],
    [head(3, 0), gone],
    [head(4, -101)],
    [joined(head(5, 0), places("n-2"))],
    [head(6, -4)],
    [head(8, 0)],
  ];
  const asked: number[] = [];
  const serving = (async () => {
    const stream = new ByteStream(await listener.accept());
    for (const frames of answers) {
      const request = await readFrame(stream);
      request.int();
      asked.push(request.int());
      for (const byte of joined(...frames.map(buffer))) await stream.write(new Uint8Array([byte]));
    }
    stream.close();
  })();
  const driver = new ZooKeeperDriver(await Session.open("127.0.0.1", listener.addr.port, 60_000));
  assertEquals(await driver.wait("q"), "/q/n-2");
  assertEquals(asked.slice(1), [1, 8, 3, 3, 8]);
  await assertRejects(() => driver.release("q", "/q/n-2"), Error, "answered -4");
  await assertRejects(() => driver.put("k", "v"), Error, "which was not asked");
  driver.close();
  await serving;
  listener.close();
});
