/** A node that has more to do than it can, over its routes: who is refused, how, and who never is. */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { createApp } from "../../routes/app.ts";
import { ADMISSION_COMMIT_MS, ADMISSION_WAIT_MS, ADMITTED_AT_ONCE, BATCH_AT_ONCE } from "../../src/limits.ts";
import type { PeerSide } from "../../routes/peer_head.ts";
import type { Caller } from "../../src/service/service.ts";
import { memoryCluster } from "../../src/testing/memory_cluster.ts";
import { seededRandomness } from "../../src/testing/seeded.ts";
import { VirtualClock } from "../../src/testing/virtual_clock.ts";
import { until } from "../replica/clocks.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { answer, GRANT, type Json, scripted } from "./scripted_node.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

const MARK = { incarnation: "i", boot: 1, run: "r", seq: 0 };
/** So that there is a door for direct clients. */
const PEERS: PeerSide = {
  cluster: "test",
  secrets: () => ["secret"],
  members: () => ["a", "b", "c"],
  config: () => "",
  identity: () => MARK,
  mark: () => MARK,
  versions: new PeerVersions(),
  refused: () => {},
};
/** Timers of a process that has too much to do. */
const LATE_MS = 50;

/**
 * An app whose node answers no take, until it is told to; whoever may wait gets a place.
 * @param lateMs how late its timers are: those of one with too much to do, by default
 * @param commitMs how long its store takes for a write
 */
function hanging(lateMs = LATE_MS, commitMs = 0) {
  const clock = new ManualClock();
  const release = Promise.withResolvers<void>();
  const hangs = () => release.promise.then(() => answer(GRANT));
  const takes = (name: string, _request: unknown, { onPosition }: Pick<Caller, "onPosition">) => {
    if (name.startsWith("held")) onPosition?.(1);
    return hangs();
  };
  const { app, calls } = scripted({ acquire: takes, get: hangs }, {
    now: () => clock.now(),
    after: (ms, run) => clock.after(ms + lateMs, run),
    commitMs: () => commitMs,
    peers: PEERS,
  });
  const send = async (request: Request) => {
    const response = await app.fetch(request);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const ask = (method: string, path: string, body?: unknown) =>
    send(
      new Request(`http://localhost${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
    );
  /** Served on 127.0.0.1. The app alone may look at a request's signal: Deno makes it when it is first asked for. */
  const serve = () => {
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => app.fetch(request));
    const asked = async (path: string, init: RequestInit = {}) => {
      await (await fetch(`http://127.0.0.1:${server.addr.port}${path}`, init)).body?.cancel();
    };
    return {
      shutdown: () => server.shutdown(),
      status: () => asked("/v1/status"),
      post: (name: string, signal: AbortSignal | null = null) =>
        asked(`/v1/locks/${name}`, { method: "POST", body: "{}", signal }),
    };
  };
  const begun = async (count: number) => {
    for (let i = 0; i < 100 && calls.length < count; i++) await settled();
    assertEquals(calls.length, count);
  };
  const fill = async () => {
    const takes = Array.from({ length: ADMITTED_AT_ONCE }, (_, i) => ask("POST", `/v1/locks/full${i}`, {}));
    await begun(ADMITTED_AT_ONCE);
    return takes;
  };
  return { ask, send, serve, calls, begun, fill, clock, release: release.resolve };
}

Deno.test("overload: what finds no room in time is 503 overloaded with nothing of it begun, and the rest is answered", async () => {
  const { ask, calls, fill, clock, release } = hanging();
  const takes = await fill();
  const late = [ask("POST", "/v1/locks/late", {}), ask("GET", "/v1/locks/late")];
  late.push(ask("POST", "/v1/batch", [{ method: "GET", path: "/v1/locks/late" }]));
  await settled();
  await clock.pass(ADMISSION_WAIT_MS + 100);
  for (const { status, headers, text } of await Promise.all(late)) {
    const body = JSON.parse(text) as Json;
    assertEquals([status, body.code, body.retryable, body.outcome], [503, "overloaded", true, undefined]);
    assertEquals(headers.get("retry-after"), "1");
  }
  assertEquals(calls.length, ADMITTED_AT_ONCE);
  release();
  for (const { status } of await Promise.all(takes)) assertEquals(status, 200);
});

Deno.test("overload: renewals, releases and the status are answered while nothing else is", async () => {
  const { ask, fill, release } = hanging();
  const takes = await fill();
  assertEquals((await ask("PUT", "/v1/locks/deploy/7169", {})).status, 200);
  assertEquals((await ask("DELETE", "/v1/locks/deploy/7169")).status, 200);
  assertEquals((await ask("GET", "/v1/status")).status, 200);
  release();
  await Promise.all(takes);
});

Deno.test("overload: who waits for a lock takes nobody's room, from when it has a place", async () => {
  const { ask, begun, release } = hanging();
  const many = ADMITTED_AT_ONCE * 2;
  const waiters = Array.from({ length: many }, (_, i) => ask("POST", `/v1/locks/held${i}`, { waitMs: 60_000 }));
  await begun(many);
  const take = ask("POST", "/v1/locks/other", {});
  await begun(many + 1);
  release();
  await Promise.all([...waiters, take]);
});

Deno.test("overload: a take that may wait is work like any other as long as it has no place", async () => {
  const { ask, begun, release } = hanging();
  const flood = Array.from({ length: 2 * ADMITTED_AT_ONCE }, (_, i) => ask("POST", `/v1/locks/n${i}`, { waitMs: 1 }));
  await begun(ADMITTED_AT_ONCE);
  release();
  await Promise.all(flood);
});

Deno.test("overload: a stale read asks nobody, and needs no room", async () => {
  const { ask, fill, calls, release } = hanging();
  const takes = await fill();
  const stale = ask("GET", "/v1/locks/deploy?consistency=stale");
  for (let i = 0; i < 100 && calls.length === ADMITTED_AT_ONCE; i++) await settled();
  assertEquals(calls.at(-1)!.method, "get");
  release();
  await Promise.all([stale, ...takes]);
});

Deno.test("overload: a write is refused long before its own time is over", async () => {
  const { ask, fill, clock, release } = hanging();
  const takes = await fill();
  const short = ask("POST", "/v1/locks/short?timeoutMs=500", {});
  await settled();
  await clock.pass(500);
  assertEquals((JSON.parse((await short).text) as Json).code, "overloaded");
  release();
  await Promise.all(takes);
});

Deno.test("overload: a value that is put again to keep it has the room of holders, as a force has", async () => {
  const { send, ask, fill, release } = hanging();
  const takes = await fill();
  const keep = new Request("http://localhost/v1/kv/api?ttlMs=5000", {
    method: "PUT",
    body: "x",
    headers: { "if-match": '"7"' },
  });
  // The scripted node has no registers: what matters is that it was asked at all.
  assertEquals((await send(keep)).status, 500);
  assertEquals((await ask("DELETE", "/v1/locks/deploy", { reason: "stuck" })).status, 200);
  release();
  await Promise.all(takes);
});

Deno.test("overload: who has gone when its turn comes is not worked for, over a real socket", async () => {
  const { clock, calls, serve, release } = hanging();
  const server = serve();
  const full = Array.from({ length: ADMITTED_AT_ONCE }, (_, i) => server.post(`full${i}`));
  await until("it is full", () => calls.length === ADMITTED_AT_ONCE);
  const gone = new AbortController();
  const late = server.post("late", gone.signal).catch(() => {});
  await until("it waits", () => clock.timers > 0);
  gone.abort();
  await late;
  // By then the server has seen the connection end.
  for (let i = 0; i < 20; i++) await server.status();
  release();
  await Promise.all(full);
  await server.shutdown();
  assertEquals(calls.filter(({ args }) => args[0] === "late"), []);
});

Deno.test("overload: a node that is cut off is idle, and says what is wrong", async () => {
  const clock = new VirtualClock();
  const random = seededRandomness(1);
  const cluster = await clock.run(memoryCluster(3, { clock, random }), 60_000);
  const app = createApp(cluster.node("a"), {
    tokens: null,
    rate: null,
    peers: null,
    newId: () => random.id(),
    now: () => clock.now(),
    after: (ms, run) => clock.after(ms, run),
    report: () => {},
  });
  const codes = new Map<string, number>();
  const ask = async (path: string, init: RequestInit = {}) => {
    const { code = "ok" } = await (await app.fetch(new Request(`http://localhost${path}`, init))).json() as Json;
    codes.set(code, (codes.get(code) ?? 0) + 1);
  };
  await clock.run(ask("/v1/locks/x", { method: "POST", body: "{}" }), 60_000);
  for (const other of ["b", "c"]) cluster.network.cut("a", other);
  const all = Array.from({ length: 40 }, async (_, i) => {
    await clock.sleep(100 * i);
    const takes = Array.from({ length: 10 }, (_, j) => ask(`/v1/locks/n${i}-${j}`, { method: "POST", body: "{}" }));
    const renewals = Array.from({ length: 10 }, () => ask("/v1/locks/x/1025", { method: "PUT", body: "{}" }));
    await Promise.all([...takes, ...renewals]);
  });
  await clock.run(Promise.all(all), 60_000);
  cluster.close();
  assertEquals(codes.get("overloaded"), undefined, JSON.stringify([...codes]));
  assertEquals([...codes.values()].reduce((sum, count) => sum + count), 801);
});

Deno.test("overload: whoever watches is told in a stream that ends, so that it comes again", async () => {
  const { ask, fill, clock, release } = hanging();
  const takes = await fill();
  const watcher = ask("GET", "/v1/locks/late/events");
  await settled();
  await clock.pass(ADMISSION_WAIT_MS + 100);
  const { status, headers, text } = await watcher;
  assertEquals([status, headers.get("content-type")], [200, "text/event-stream"]);
  assertMatch(text, /^retry: [0-9]{4,}\n: overloaded "[ -~]+"\n\n$/);
  release();
  await Promise.all(takes);
});

Deno.test("overload: a direct client's Accept! waits for room like any take", async () => {
  const { send, fill, calls, clock, release } = hanging();
  const takes = await fill();
  const headers = { "quorate-hedge": "0", "idempotency-key": "k" };
  const direct = send(
    new Request("http://localhost/paxos/acceptor", { method: "POST", headers, body: '{"messages":[]}' }),
  );
  await settled();
  await clock.pass(ADMISSION_WAIT_MS + 100);
  const { status, text } = await direct;
  assertEquals([status, (JSON.parse(text) as Json).code], [503, "overloaded"]);
  assertEquals(calls.length, ADMITTED_AT_ONCE);
  release();
  await Promise.all(takes);
});

Deno.test("overload: a node that is not late begins more, unless its store is slow", async () => {
  const begunWhere = async (commitMs: number) => {
    const { ask, calls, clock, release } = hanging(0, commitMs);
    const takes = Array.from({ length: 2 * ADMITTED_AT_ONCE }, (_, i) => ask("POST", `/v1/locks/n${i}`, {}));
    await settled();
    await clock.pass(ADMISSION_WAIT_MS / 2);
    const begun = calls.length;
    release();
    await Promise.all(takes);
    return begun;
  };
  assertEquals(await begunWhere(ADMISSION_COMMIT_MS + 1), ADMITTED_AT_ONCE);
  assertGreater(await begunWhere(ADMISSION_COMMIT_MS), ADMITTED_AT_ONCE);
});

Deno.test("overload: a batch takes as many places as it has names under way, and its operations none besides", async () => {
  const { ask, begun, release, calls } = hanging();
  const operations = Array.from({ length: 17 }, (_, i) => ({ method: "GET", path: `/v1/locks/n${i}` }));
  const count = 2 * ADMITTED_AT_ONCE / BATCH_AT_ONCE;
  const batches = Array.from({ length: count }, () => ask("POST", "/v1/batch", operations));
  await begun(ADMITTED_AT_ONCE);
  release();
  for (const { status, text } of await Promise.all(batches)) {
    assertEquals(status, 200);
    assert(!text.includes("overloaded"));
  }
  assertEquals(calls.length, count * 17);
});

Deno.test("overload: a batch of one name takes one place, and one that is malformed none", async () => {
  const { ask, begun, release } = hanging();
  const one = Array.from({ length: 17 }, () => ({ method: "GET", path: "/v1/locks/one" }));
  const batches = Array.from({ length: 2 * ADMITTED_AT_ONCE }, () => ask("POST", "/v1/batch", one));
  await begun(ADMITTED_AT_ONCE);
  assertEquals((await ask("POST", "/v1/batch", [])).status, 400);
  release();
  await Promise.all(batches);
});

Deno.test("overload: a sender that does not come to the end of its body takes nobody's room", async () => {
  const { send, ask } = hanging();
  const slow = Array.from({ length: ADMITTED_AT_ONCE + 1 }, () => {
    let end!: () => void;
    const body = new ReadableStream({ start: (controller) => void (end = () => controller.close()) });
    const answered = send(new Request("http://localhost/v1/locks/slow/7169", { method: "PUT", body }));
    const taken = send(new Request("http://localhost/v1/locks", { method: "POST", body: "{" }));
    return { end, answered: Promise.all([answered, taken]) };
  });
  await settled();
  assertEquals((await ask("PUT", "/v1/locks/deploy/7169", {})).status, 200);
  for (const { end } of slow) end();
  for (const { answered } of slow) assertEquals((await answered).map(({ status }) => status), [200, 400]);
});
