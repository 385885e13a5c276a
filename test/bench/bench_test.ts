import { assert, assertEquals, assertRejects } from "@std/assert";
import { Connection } from "./connection.ts";
import { Bench, median, quantile } from "./measure.ts";
import { type Cell, chartOf, ratiosOf, tableOf } from "./report.ts";
import type { Driver, Running } from "./system.ts";
import { LOADS } from "./loads.ts";

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
    prepare: () => Promise.resolve(),
    acquire: done,
    wait: done,
    release: () => Promise.resolve(void calls++),
    put: () => done().then(() => {}),
    get: () => done().then(() => {}),
    campaign: done,
    resign: () => Promise.resolve(void calls++),
  };
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${listener.addr.port}`;
  const running: Running = { urls: [url], pids: [Deno.pid], driver: () => driver, stop: () => Promise.resolve() };
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
  listener.close();
});
