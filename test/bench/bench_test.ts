import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { LOADS } from "./loads.ts";
import { Bench, median, quantile } from "./measure.ts";
import { parseOptions, UsageError } from "./options.ts";
import { type Cell, chartOf, ratiosOf, tableOf } from "./report.ts";
import { SHARED_STORE } from "./shared_store.ts";
import type { Driver, Running } from "./system.ts";

const sample = (perSecond: number) => ({
  perSecond,
  p50Ms: 1_000 / perSecond,
  p99Ms: 2_000 / perSecond,
  cpuUs: null,
  memory: 5,
});
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
    "| locks | 3 | 16 | other | 2.00× | 0.50× | 0.50× | – | 1.00× |",
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
    const { perSecond, p50Ms, cpuUs, memory } = await bench.sample(0.01);
    assert(perSecond > 0 && p50Ms >= 0 && (cpuUs === null || cpuUs >= 0), load.name);
    assert(memory === null ? Deno.build.os !== "linux" : memory > 0);
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
  for (const [line, args] of [["--nodes is", ["--nodes", "0"]], ["cannot write", ["--json", `${main}/x`]]] as const) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: ["run", "-A", main, ...args] }).output();
    assertEquals(code, 2);
    assertStringIncludes(new TextDecoder().decode(stderr), line);
  }
});

Deno.test("bench: told to stop in the middle it says so, ends with 1, and leaves nothing behind", async () => {
  const main = new URL("main.ts", import.meta.url).pathname;
  const folder = await Deno.makeTempDir();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, "--counts", "--nodes", "1", "--workers", "1", "--cycles", "1000000"],
    env: { TMPDIR: folder },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [output] = await Promise.all([
    new Response(child.stderr).text(),
    (async () => {
      for await (const _ of child.stdout) child.kill("SIGTERM");
    })(),
  ]);
  assertEquals((await child.status).code, 1);
  assertStringIncludes(output, "stopped before it was done");
  // A cluster's folder goes once its nodes have.
  await Deno.remove(folder);
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
  assertEquals(told.map((ms) => ms === null), [true, false]);
});
