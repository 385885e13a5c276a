/** One write over all its tries, and what its caller is told in the end. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Calls } from "../../src/client/calls.ts";
import { QuorateError } from "../../src/client/error.ts";
import { createKv } from "../../src/client/kv.ts";
import { createLocks } from "../../src/client/locks.ts";
import { register } from "../../src/client/registration.ts";
import { createSessions } from "../../src/client/sessions.ts";
import { webWorld } from "../../src/client/world.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { until } from "../replica/clocks.ts";
import {
  cuttingNode,
  grant,
  isQuestion,
  nobody,
  problem,
  type Scripted,
  scriptedNode,
  type Seen,
} from "./scripted_nodes.ts";

type Script = (seen: Seen, i: number) => Response | Promise<Response>;

/** Answers writes as the script says, by their number, and questions with an instance. */
function node(script: Script, instance = 7): Scripted & { readonly writes: Seen[] } {
  const writes: Seen[] = [];
  const scripted = scriptedNode((seen) => {
    if (isQuestion(seen.target)) return new Response(null, { headers: { "Consensus-Instance": `${instance}` } });
    if (seen.target === "/healthz") return new Response();
    writes.push(seen);
    return script(seen, writes.length);
  });
  return { ...scripted, writes };
}

/** The first node is the nearest. */
async function withCalls(
  nodes: readonly Scripted[],
  run: (calls: Calls, clock: ManualClock | null) => Promise<void>,
  { timeoutMs = 10_000, clock = null as ManualClock | null, hedgeMs = undefined as number | undefined } = {},
): Promise<void> {
  const calls = new Calls({
    ...webWorld,
    ...(clock === null ? {} : { clock }),
    fetch: (url, init) => {
      if (!url.endsWith("/healthz")) return fetch(url, init);
      return url.startsWith(`${nodes[0]!.url}/`) ? Promise.resolve(new Response()) : new Promise(() => {});
    },
  }, { nodes: nodes.map(({ url }) => url), token: "secret", timeoutMs, learnMembers: false, hedgeMs });
  try {
    await run(calls, clock);
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
  }
}

const unknown = () => problem(504, "outcome-unknown", { outcome: "unknown", retryable: true });
const expired = (instance: number) =>
  problem(409, "expired-command", { outcome: "unknown" }, { "Consensus-Instance": `${instance}` });
const written = () => Response.json({ key: "x", revision: "1025" });

function identity({ headers }: Seen): string {
  return `${headers.get("idempotency-key")} ${headers.get("quorate-born")}`;
}

Deno.test("calls: a write bears one key and one instance through all its tries, over all nodes", async () => {
  const first = node((_, i) => i === 1 ? unknown() : problem(503, "not-ready", { retryable: true }));
  const cut = cuttingNode();
  const last = node((_, i) => i === 1 ? unknown() : written());
  await withCalls([first, cut, last], async (calls) => {
    assertEquals(await createKv(calls).put("x", "y"), 1025n);
    const all = [...first.writes, ...cut.seen.filter(({ method }) => method === "PUT"), ...last.writes];
    assert(all.length >= 4, `${all.length}`);
    assertEquals(new Set(all.map(identity)).size, 1);
    assertEquals(all[0]!.headers.get("quorate-born"), "7");
    assertEquals(all[0]!.headers.get("authorization"), "Bearer secret");
    assertEquals(new Set(all.map(({ body }) => body)), new Set(["y"]));
  });
});

Deno.test("calls: a first try that was born too long ago takes a new key and the instance it is told", async () => {
  const one = node((_, i) => i === 1 ? expired(99) : written());
  await withCalls([one], async (calls) => {
    assertEquals(await createKv(calls).put("x", "y"), 1025n);
    const [old, young] = one.writes;
    assertEquals([old!, young!].map(({ headers }) => headers.get("quorate-born")), ["7", "99"]);
    assert(old!.headers.get("idempotency-key") !== young!.headers.get("idempotency-key"));
  });
});

Deno.test("calls: that a try was never sent, or did nothing, leaves the next one the first", async () => {
  const one = node((_, i) => {
    if (i === 1) return problem(503, "no-quorum", { retryable: true, outcome: "none" });
    return i === 2 ? expired(99) : written();
  });
  await withCalls([one, nobody()], async (calls) => {
    assertEquals(await createKv(calls).put("x", "y"), 1025n);
    assertEquals(one.writes.at(-1)!.headers.get("quorate-born"), "99");
  });
});

Deno.test("calls: a try at a node where nothing listens is none", async () => {
  const one = node((_, i) => i === 1 ? expired(99) : written());
  await withCalls([nobody(), one], async (calls) => {
    assertEquals(await createKv(calls).put("x", "y"), 1025n);
    assertEquals(one.writes.map(({ headers }) => headers.get("quorate-born")), ["7", "99"]);
  });
});

Deno.test("calls: a write of a name that nobody knew goes on with the instance that its first node tells, at once", async () => {
  const more = { outcome: "unknown", retryable: true, born: 5 };
  // What it says of instances cannot be believed.
  const first = node((_, i) => i === 1 ? problem(504, "outcome-unknown", more) : written(), -1);
  const second = node(() => problem(503, "not-ready", { retryable: true }), -1);
  await withCalls([first, second], async (calls) => {
    assertEquals(await createKv(calls).put("x", "y"), 1025n);
    const all = [...first.writes, ...second.writes];
    assertEquals(first.writes.map(({ headers }) => headers.get("quorate-born")), [null, "5"]);
    assertEquals(new Set(second.writes.map(({ headers }) => headers.get("quorate-born"))), new Set(["5"]));
    assertEquals(new Set(all.map(({ headers }) => headers.get("idempotency-key"))).size, 1);
  });
});

Deno.test("calls: a repeated write that expired is told as it is, and not sent anew", async () => {
  const one = node((_, i) => i === 1 ? unknown() : expired(99));
  await withCalls([one], async (calls) => {
    const error = await assertRejects(() => createKv(calls).put("x", "y"), QuorateError);
    assertEquals([error.code, error.outcome, error.idempotencyKey], [
      "expired-command",
      "unknown",
      one.writes[0]!.headers.get("idempotency-key")!,
    ]);
    assertEquals(new Set(one.writes.map(identity)).size, 1);
  });
});

Deno.test("calls: a hedged write whose tries were all born too long ago takes a new key, as nothing was done by any", async () => {
  const clock = new ManualClock();
  const slow = Promise.withResolvers<Response>();
  const first = node((_, i) => i === 1 ? slow.promise : written());
  const second = node((_, i) => i === 1 ? expired(99) : written());
  await withCalls([first, second], async (calls) => {
    const putting = createKv(calls).put("x", "y");
    await until("the first is asked", () => first.writes.length === 1);
    await clock.pass(50);
    await until("the second is asked", () => second.writes.length === 1);
    slow.resolve(expired(98));
    assertEquals(await putting, 1025n);
    assertEquals(identity(first.writes[0]!), identity(second.writes[0]!));
    const young = first.writes[1]!;
    assertEquals(young.headers.get("quorate-born"), "99");
    assert(young.headers.get("idempotency-key") !== first.writes[0]!.headers.get("idempotency-key"));
  }, { clock, hedgeMs: 50 });
});

Deno.test("calls: a hedged write that expired at one node, and of which the other says nothing, is told as it is", async () => {
  const clock = new ManualClock();
  const first = cuttingNode();
  const second = node(() => expired(99));
  await withCalls([first, second], async (calls) => {
    const error = await assertRejects(() => createKv(calls).put("x", "y"), QuorateError);
    assertEquals([error.code, second.writes.length], ["expired-command", 1]);
  }, { clock, hedgeMs: 50 });
});

Deno.test("calls: a first try that one node declined, and the next found to be born too long ago, takes a new key", async () => {
  const first = node((_, i) => i === 1 ? problem(503, "not-ready", { retryable: true, outcome: "none" }) : written());
  const second = node((_, i) => i === 1 ? expired(99) : written());
  await withCalls([first, second], async (calls) => {
    assertEquals(await createKv(calls).put("x", "y"), 1025n);
    assertEquals([...first.writes, ...second.writes].at(-1)!.headers.get("quorate-born"), "99");
  });
});

Deno.test("calls: a take that expired after a repetition holds nothing, so it is asked for anew", async () => {
  const one = node((_, i) => i === 1 ? unknown() : i === 2 ? expired(99) : grant());
  await withCalls([one], async (calls) => {
    const lock = await createLocks(calls).tryAcquire("x");
    assertEquals(lock!.fence, 1025n);
    assertEquals(one.writes[0]!.headers.get("quorate-born"), "7");
    assertEquals(one.writes[2]!.headers.get("quorate-born"), "99");
    assert(one.writes[2]!.headers.get("idempotency-key") !== one.writes[1]!.headers.get("idempotency-key"));
    await lock!.release().catch(() => {});
  });
});

Deno.test("calls: a take whose earlier try was granted and is lost by now is asked for anew", async () => {
  const one = node((_, i) =>
    i === 1 ? unknown() : i === 2 ? problem(410, "lost", { fence: "1025" }) : grant({ fence: "2049" })
  );
  await withCalls([one], async (calls) => {
    const lock = await createLocks(calls).tryAcquire("x");
    assertEquals(lock!.fence, 2049n);
    assertEquals(identity(one.writes[1]!), identity(one.writes[0]!));
    assert(one.writes[2]!.headers.get("idempotency-key") !== one.writes[1]!.headers.get("idempotency-key"));
    await lock!.release().catch(() => {});
  });
});

Deno.test("calls: whoever leaves a queue and was granted it meanwhile gives that back", async () => {
  const queued = new TextEncoder().encode('event: queued\ndata: {"position":1}\n\n');
  const one = node(({ method, target }) => {
    if (method === "DELETE") {
      const isPlace = target.includes("/queue/");
      return Response.json({ outcome: isPlace ? "granted" : "released", fence: "1025", revision: "1" });
    }
    const body = new ReadableStream({ start: (stream) => stream.enqueue(queued) });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  });
  await withCalls([one], async (calls) => {
    const gone = new AbortController();
    const options = { signal: gone.signal, onPosition: () => gone.abort("enough") };
    assertEquals(await createLocks(calls).acquire("x", options).catch((error) => error), "enough");
    await until("it is given back", () => one.writes.length === 3);
    const key = one.writes[0]!.headers.get("idempotency-key");
    assertEquals(one.writes.map(({ method, target }) => `${method} ${target.split("?")[0]}`), [
      "POST /v1/locks/x",
      `DELETE /v1/locks/x/queue/${key}`,
      "DELETE /v1/locks/x/1025",
    ]);
  });
});

Deno.test("calls: an unknown outcome is tried until the deadline and then thrown, with its key", async () => {
  const one = node(unknown);
  await withCalls([one], async (calls) => {
    const error = await assertRejects(() => createKv(calls).put("x", "y"), QuorateError);
    assertEquals([error.code, error.retryable, error.outcome], ["outcome-unknown", true, "unknown"]);
    assertEquals(error.idempotencyKey, one.writes[0]!.headers.get("idempotency-key")!);
    assert(one.writes.length > 1);
    assertEquals(new Set(one.writes.map(identity)).size, 1);
  }, { timeoutMs: 300 });
});

Deno.test("calls: what a node cannot do now is tried again, a mistake is not", async () => {
  const one = node((_, i) => {
    if (i === 1) return problem(429, "rate-limited", { retryable: true, retryAfterMs: 10 });
    return i === 2 ? problem(503, "not-ready", { retryable: true }) : problem(403, "forbidden");
  });
  await withCalls([one], async (calls) => {
    const error = await assertRejects(() => createKv(calls).put("x", "y"), QuorateError);
    assertEquals([error.code, one.writes.length], ["forbidden", 3]);
  });
});

Deno.test("calls: a set that was refused releases what an earlier try of it holds", async () => {
  const one = node(({ method, target }, i) => {
    if (method === "DELETE") return Response.json({ outcome: "released", fence: "1025", revision: "1" });
    assertEquals(target.split("?")[0], "/v1/locks");
    if (i === 1) return unknown();
    return problem(409, "held", { retryable: true, stillHeld: [{ name: "b/c", fence: "1025" }] });
  });
  await withCalls([one], async (calls) => {
    assertEquals(await createLocks(calls).tryAcquire(["a", "b/c"]), null);
    const [first, second, third] = one.writes;
    assertEquals(JSON.parse(first!.body), {
      mode: "exclusive",
      names: ["a", "b/c"],
      born: { "a": 7, "b/c": 7 },
      waitMs: 0,
    });
    assertEquals(second!.body, first!.body);
    assertEquals(identity(second!), identity(first!));
    assertEquals([third!.method, third!.target.split("?")[0]], ["DELETE", "/v1/locks/b%2Fc/1025"]);
  });
});

Deno.test("calls: a grant whose guarantee is over when it comes is given back, and asked for anew", async () => {
  const one = node(({ method }, i) => {
    if (method === "DELETE") return Response.json({ outcome: "released", fence: "1025", revision: "1" });
    return i === 1 ? grant({ guaranteedForMs: 0 }) : grant({ fence: "2049" });
  });
  await withCalls([one], async (calls) => {
    const lock = await createLocks(calls).tryAcquire("x");
    assertEquals(lock!.fence, 2049n);
    assertEquals(one.writes.map(({ method, target }) => `${method} ${target.split("?")[0]}`), [
      "POST /v1/locks/x",
      "DELETE /v1/locks/x/1025",
      "POST /v1/locks/x",
    ]);
    await lock!.release();
  });
});

Deno.test("calls: what is bound to a session that has ended meanwhile is not handed out", async () => {
  const id = "0".repeat(32);
  const one = node(({ method, target }) => {
    if (method === "DELETE") return Response.json({ outcome: "released", fence: "1025", revision: "1" });
    return target.startsWith("/v1/sessions") ? grant({ id }) : grant();
  });
  await withCalls([one], async (calls) => {
    const session = await createSessions(calls).open();
    await session.release();
    const error = await assertRejects(() => createLocks(calls).acquire("x", { session }), QuorateError);
    assertEquals([error.code, error.how], ["lock-lost", "disposed"]);
    assertEquals(one.writes.at(-1)!.target.split("?")[0], "/v1/locks/x/1025");
  });
});

Deno.test("calls: several locks are held as long as the first of them that ends", async () => {
  const one = node(({ method, target }) => {
    if (method === "POST") {
      const grants = ["a", "b", "c"].map((name, i) => ({
        name,
        fence: `${i + 1}`,
        waitedMs: 0,
        guaranteedForMs: 10_000,
      }));
      return Response.json({ grants });
    }
    return grant({ guaranteedForMs: target.startsWith("/v1/locks/b/") ? 20_000 : 30_000 });
  });
  await withCalls([one], async (calls) => {
    const lock = await createLocks(calls).acquire(["a", "b", "c"]);
    assert(lock.remainingMs() <= 10_000);
    await lock.renew();
    assert(lock.remainingMs() > 10_000 && lock.remainingMs() <= 20_000);
    await lock.release();
  });
});

Deno.test("calls: a renewal goes to the next node as soon as one has been silent for a share of what is left", async () => {
  const clock = new ManualClock();
  const silent = node(() => new Promise<Response>(() => {}));
  const other = node(() => grant());
  const third = node(() => grant());
  await withCalls([silent, other, third], async (calls) => {
    const call = { method: "PUT", target: "/v1/locks/x/1025", body: {}, command: calls.command() } as const;
    const limits = { silenceMs: 110, untilMs: clock.now() + 660, isOnce: true } as const;
    const asking = calls.ask(call, limits);
    await until("the first is asked", () => silent.writes.length === 1);
    assertEquals(other.writes.length, 0);
    await clock.pass(110);
    assertEquals((await asking).status, 200);
    await until("the silent one is let go", () => silent.writes[0]!.signal.aborted);
    // Nothing goes on behind its end but the probes of the two that are not the nearest.
    assertEquals([clock.timers, third.writes.length], [2, 0]);
  }, { clock });
});

Deno.test("calls: a hedged request goes to a second node as well, under the same key, and its first is asked first again", async () => {
  const clock = new ManualClock();
  const { promise, resolve } = Promise.withResolvers<Response>();
  const slow = node((_, i) => i === 1 ? promise : written());
  const other = node(() => written());
  const third = node(() => written());
  await withCalls([slow, other, third], async (calls) => {
    const kv = createKv(calls);
    const putting = kv.put("x", "y");
    await until("the first is asked", () => slow.writes.length === 1);
    await clock.pass(49);
    assertEquals(other.writes.length, 0);
    await clock.pass(1);
    assertEquals(await putting, 1025n);
    assertEquals(other.writes.map(identity), slow.writes.map(identity));
    await until("the slow one is let go", () => slow.writes[0]!.signal.aborted);
    assertEquals(await kv.put("x", "z"), 1025n);
    assertEquals([slow.writes.length, other.writes.length, third.writes.length], [2, 1, 0]);
    resolve(written());
  }, { clock, hedgeMs: 50 });
});

Deno.test("calls: a hedged request goes to a third node only where both before are silent for long", async () => {
  const clock = new ManualClock();
  const silent = [node(() => new Promise<Response>(() => {})), node(() => new Promise<Response>(() => {}))];
  const third = node(() => written());
  await withCalls([...silent, third], async (calls) => {
    const putting = createKv(calls).put("x", "y");
    await until("the first is asked", () => silent[0]!.writes.length === 1);
    await clock.pass(50);
    await until("the second is asked", () => silent[1]!.writes.length === 1);
    await clock.pass(999);
    assertEquals(third.writes.length, 0);
    await clock.pass(1);
    assertEquals(await putting, 1025n);
  }, { clock, hedgeMs: 50 });
});

Deno.test("calls: what waits in a queue is asked of one node, however short the hedge is", async () => {
  const clock = new ManualClock();
  const { promise, resolve } = Promise.withResolvers<Response>();
  const slow = node((_, i) => i === 1 ? promise : grant());
  const other = node(() => grant());
  await withCalls([slow, other], async (calls) => {
    const taking = createLocks(calls).acquire("x", { wait: 60_000 });
    await until("it is asked", () => slow.writes.length === 1);
    await clock.pass(500);
    resolve(grant());
    await (await taking).release().catch(() => {});
    assertEquals(other.writes.filter(({ method }) => method === "POST").length, 0);
  }, { clock, hedgeMs: 50 });
});

Deno.test("calls: a take says that it renews, but for what a session keeps, and not to a node that does not know it", async () => {
  const old = node(({ method, body }) => {
    if (method !== "POST") return Response.json({ outcome: "released", fence: "1025", revision: "1" });
    const isNew = JSON.parse(body).renews === undefined;
    return isNew ? grant() : problem(400, "invalid-request", { field: "renews", retryable: false });
  });
  await withCalls([old], async (calls) => {
    await (await createLocks(calls).acquire("x")).release();
    assertEquals(old.writes.map(({ method, body }) => method === "POST" && JSON.parse(body).renews), [
      true,
      undefined,
      false,
    ]);
    assertEquals(old.writes[0]!.headers.get("idempotency-key"), old.writes[1]!.headers.get("idempotency-key"));
  });
  const one = node(({ target }) =>
    target.startsWith("/v1/sessions") ? grant({ id: "5b2f0c9d41e84a7f9c3e6d8a7b1f2e40" }) : grant()
  );
  await withCalls([one], async (calls) => {
    const kept = await createSessions(calls).open();
    await createLocks(calls).acquire("x", { session: kept });
    const takes = one.writes.filter(({ target }) => target.startsWith("/v1/locks/x"));
    assertEquals(takes.map(({ body }) => JSON.parse(body).renews), [undefined]);
    await kept[Symbol.asyncDispose]();
  });
});

Deno.test("calls: a registration is put at the next node while it lives, where the first has fallen silent", async () => {
  const clock = new ManualClock();
  const silent = node(({ method }, i) => i === 1 || method === "DELETE" ? written() : new Promise<Response>(() => {}));
  const other = node(() => written());
  await withCalls([silent, other], async (calls) => {
    const registered = await register(calls, createKv(calls), "x", "here", { ttl: 1_000 });
    await clock.pass(331);
    await until("it is renewed", () => silent.writes.length === 2);
    await clock.pass(120);
    await until("the next is asked", () => other.writes.length === 1);
    assertEquals(other.writes[0]!.headers.get("if-match"), '"1025"');
    await until("it is heard", () => silent.writes[1]!.signal.aborted);
    await clock.pass(700);
    assertEquals(registered.signal.aborted, false);
    await registered[Symbol.asyncDispose]();
  }, { clock });
});

Deno.test("calls: a node that says when is not asked before", async () => {
  const clock = new ManualClock();
  const one = node((_, i) => i === 1 ? problem(503, "not-ready", { retryable: true, retryAfterMs: 5_000 }) : grant());
  await withCalls([one], async (calls) => {
    const call = { method: "PUT", target: "/v1/locks/x/1025", body: {}, command: calls.command() } as const;
    const asking = calls.ask(call);
    await until("it waits", () => one.writes.length === 1 && clock.timers === 1);
    await clock.pass(4_999);
    assertEquals(one.writes.length, 1);
    await clock.pass(1);
    assertEquals((await asking).status, 200);
  }, { clock });
});

for (const what of ["x", ["x", "y"]]) {
  Deno.test(`calls: a take of ${what} that fails with an unknown outcome leaves its place, and what it was granted`, async () => {
    const places: string[] = [];
    const one = node(({ method, target }) => {
      if (method === "POST") return unknown();
      places.push(`${method} ${target.split("?")[0]}`);
      const isPlace = target.includes("/queue/");
      return Response.json({ outcome: isPlace ? "granted" : "released", fence: "1025", revision: "1" });
    });
    await withCalls([one], async (calls) => {
      const error = await assertRejects(() => createLocks(calls).tryAcquire(what), QuorateError);
      assertEquals(error.code, "outcome-unknown");
      const names = [what].flat();
      await until("all is given back", () => places.length === 2 * names.length);
      const left = names.flatMap((name) => [
        `DELETE /v1/locks/${name}/queue/${error.idempotencyKey}`,
        `DELETE /v1/locks/${name}/1025`,
      ]);
      assertEquals(places.toSorted(), left.toSorted());
    }, { timeoutMs: 200 });
  });
}

Deno.test("calls: a name that no URL can hold is refused before anything is sent", async () => {
  const one = node(() => grant());
  await withCalls([one], async (calls) => {
    for (const name of [".", "..", "\ud800"]) {
      const error = await assertRejects(() => createLocks(calls).tryAcquire(name), QuorateError);
      assertEquals(error.code, "invalid-request");
    }
    assertEquals(one.seen.length, 0);
  });
});

Deno.test("calls: an abort is told at once, also while nodes are measured, or asked what the name has come to", async () => {
  for (const isMeasured of [false, true]) {
    for (const method of ["get", "put"] as const) {
      const asked: string[] = [];
      const hanging = (url: string, { signal }: RequestInit) => {
        if (isMeasured && url.endsWith("/healthz")) return Promise.resolve(new Response());
        asked.push(url);
        return new Promise<Response>((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
      };
      const nodes = ["http://a", "http://b", "http://c"];
      const world = { ...webWorld, clock: new ManualClock(), fetch: hanging };
      const kv = createKv(new Calls(world, { nodes, token: undefined, timeoutMs: 10_000, learnMembers: false }));
      const stop = new AbortController();
      let told: unknown = null;
      const options = { signal: stop.signal };
      (method === "get" ? kv.get("x", options) : kv.put("x", "", options)).catch((error) => told = error);
      await until("a node is asked", () => asked.length > 0);
      stop.abort("enough");
      await until("it is told", () => told === "enough");
    }
  }
});
