/** Clients that go away while they wait, over real sockets: what they asked for is not granted to nobody (cases F1, F3). */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { refuseAll, tell } from "./noun_requests.ts";

const LONG_MS = 3_600_000;

type Kind = { readonly path: string; readonly body: (holder: string) => object };
const KINDS: Readonly<Record<string, Kind>> = {
  lock: { path: "/v1/locks/q", body: (holder) => ({ holder }) },
  election: { path: "/v1/elections/q", body: (candidate) => ({ candidate }) },
  semaphore: { path: "/v1/semaphores/q", body: (holder) => ({ holder, limit: 1 }) },
};

/** Who asks over a socket and can go away. */
function asking(url: string, body: object, headers: Record<string, string> = {}) {
  const gone = new AbortController();
  const answer = fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal: gone.signal })
    .then(async (response) => ({ status: response.status, body: await response.json() }), () => null);
  return { answer, leave: () => gone.abort() };
}

async function waiters(apps: Apps, path: string): Promise<number> {
  return (await tell(apps, "c", "GET", path)).body.waiterCount;
}

async function taken(apps: Apps, path: string, body: object): Promise<string> {
  const { status, body: grant } = await tell(apps, "a", "POST", path, { ...body, ttlMs: LONG_MS });
  assertEquals(status, 200);
  return grant.fence ?? grant.term;
}

for (const [noun, { path, body }] of Object.entries(KINDS)) {
  Deno.test(`a waiter of a ${noun} without a key of its own leaves when its connection closes, and the next is served`, () =>
    withApps(3, async (apps) => {
      const fence = await taken(apps, path, body("holder"));
      const ghost = asking(apps.url("b") + path, { ...body("ghost"), waitMs: 60_000, ttlMs: LONG_MS });
      await until("it waits", async () => await waiters(apps, path) === 1);
      const next = asking(apps.url("a") + path, { ...body("next"), waitMs: 60_000 });
      await until("both wait", async () => await waiters(apps, path) === 2);
      ghost.leave();
      await ghost.answer;
      await until("it has left", async () => await waiters(apps, path) === 1);
      await tell(apps, "a", "DELETE", `${path}/${fence}`);
      assertEquals((await next.answer)?.status, 200);
    }));
}

Deno.test("a stream of a waiter without a key of its own: its place goes when the reader does", () =>
  withApps(3, async (apps) => {
    await taken(apps, "/v1/locks/q", { holder: "holder" });
    const gone = new AbortController();
    const response = await fetch(`${apps.url("b")}/v1/locks/q`, {
      method: "POST",
      headers: { accept: "text/event-stream" },
      body: JSON.stringify({ holder: "reader", waitMs: 60_000 }),
      signal: gone.signal,
    });
    assertEquals(response.status, 200);
    await until("it waits", async () => await waiters(apps, "/v1/locks/q") === 1);
    gone.abort();
    await response.body?.cancel().catch(() => {});
    await until("it has left", async () => await waiters(apps, "/v1/locks/q") === 0);
  }));

Deno.test("a waiter with a key of its own keeps its place when its connection closes, and comes back for it", () =>
  withApps(3, async (apps) => {
    const fence = await taken(apps, "/v1/locks/q", { holder: "holder" });
    const body = { holder: "mine", waitMs: 60_000 };
    const key = { "idempotency-key": "mine" };
    const first = asking(`${apps.url("b")}/v1/locks/q`, body, key);
    await until("it waits", async () => await waiters(apps, "/v1/locks/q") === 1);
    first.leave();
    await first.answer;
    for (let i = 0; i < 20; i++) assertEquals(await waiters(apps, "/v1/locks/q"), 1);
    const again = asking(`${apps.url("c")}/v1/locks/q`, body, key);
    await tell(apps, "a", "DELETE", `/v1/locks/q/${fence}`);
    assertEquals((await again.answer)?.body.holder, "mine");
  }));

Deno.test("a set whose client goes away, without a key of its own: what was taken on the way is given back at once", () =>
  withApps(3, async (apps) => {
    await taken(apps, "/v1/locks/b", { holder: "other" });
    const set = { names: ["a", "b"], holder: "gone", waitMs: 60_000, ttlMs: LONG_MS };
    const asked = asking(`${apps.url("b")}/v1/locks`, set);
    const stateOf = async (name: string) => (await tell(apps, "c", "GET", `/v1/locks/${name}`)).body;
    await until("it has the first and waits for the last", async () => (await stateOf("b")).waiterCount === 1);
    assertEquals((await stateOf("a")).holders.map(({ holder }: { holder: string }) => holder), ["gone"]);
    asked.leave();
    await asked.answer;
    await until("the first is free", async () => (await stateOf("a")).state === "free");
    await until("its place is gone", async () => (await stateOf("b")).waiterCount === 0);
  }));

Deno.test("a set whose client goes away, with a key of its own: it may come back for a while, then all of it lapses", () =>
  withApps(
    3,
    async (apps) => {
      await taken(apps, "/v1/locks/b", { holder: "other" });
      const set = { names: ["a", "b"], holder: "gone", waitMs: 200_000, ttlMs: LONG_MS };
      const key = { "idempotency-key": "mine" };
      const asked = asking(`${apps.url("b")}/v1/locks?timeoutMs=30000`, set, key);
      const stateOf = async (name: string) => (await tell(apps, "c", "GET", `/v1/locks/${name}`)).body;
      await until("it waits for the last", async () => (await stateOf("b")).waiterCount === 1);
      // Kept alive as long as it asks: three times what it would live without.
      await new Promise((resolve) => setTimeout(resolve, 30_000 / TIMES));
      assertEquals((await stateOf("a")).state, "held");
      asked.leave();
      await asked.answer;
      const rival = asking(`${apps.url("c")}/v1/locks/a?timeoutMs=30000`, { holder: "rival", waitMs: 200_000 });
      assertEquals((await rival.answer)?.body.holder, "rival");
      const { items } = (await tell(apps, "c", "GET", "/v1/locks/a/history")).body;
      assertEquals(items, [], "nobody was told of it, so it never was");
    },
    {},
    { clock: fastClock(TIMES) },
  ));

const TIMES = 20;

Deno.test("a grant for a client that has gone away is given back, not kept for its whole ttl", () =>
  withApps(3, async (apps) => {
    // Its answer is on its way when the client leaves: nothing is decided before.
    const kept: string[] = [];
    const held = apps.cluster.network.hold(({ kind, content }) => {
      const isVote = kind === "reply" && content.type === "accepted";
      if (isVote) kept.push(content.type);
      return isVote;
    });
    const asked = asking(`${apps.url("b")}/v1/locks/x`, { holder: "gone", ttlMs: LONG_MS });
    await until("it is voted for", () => kept.length > 0);
    asked.leave();
    await asked.answer;
    // Its node hears of that a little later.
    await new Promise((resolve) => setTimeout(resolve, 200));
    held.release();
    const stateOf = async () => (await tell(apps, "c", "GET", "/v1/locks/x")).body;
    await until("it was granted and given back", async () => {
      const { state, lastFence } = await stateOf();
      return state === "free" && lastFence !== "0";
    });
  }));

Deno.test("a node that is about to end sends no leaves: those it cuts off come back elsewhere", () =>
  withApps(3, async (apps) => {
    await taken(apps, "/v1/locks/q", { holder: "holder" });
    const asked = asking(`${apps.url("b")}/v1/locks/q`, { holder: "waits", waitMs: 60_000 });
    await until("it waits", async () => await waiters(apps, "/v1/locks/q") === 1);
    apps.cluster.node("b").drain();
    asked.leave();
    await asked.answer;
    for (let i = 0; i < 20; i++) assertEquals(await waiters(apps, "/v1/locks/q"), 1);
  }));

Deno.test("an answer is no departure: who was granted out of the queue keeps it when the connection closes after", () =>
  withApps(3, async (apps) => {
    const fence = await taken(apps, "/v1/locks/q", { holder: "holder" });
    const asked = asking(`${apps.url("b")}/v1/locks/q`, { holder: "next", waitMs: 60_000, ttlMs: LONG_MS });
    await until("it waits", async () => await waiters(apps, "/v1/locks/q") === 1);
    await tell(apps, "a", "DELETE", `/v1/locks/q/${fence}`);
    const { body } = (await asked.answer)!;
    asked.leave();
    for (let i = 0; i < 20; i++) {
      const { holders } = (await tell(apps, "c", "GET", "/v1/locks/q")).body;
      assertEquals(holders.map(({ fence }: { fence: string }) => fence), [body.fence]);
    }
  }));

for (const [noun, { path, body }] of Object.entries(KINDS)) {
  Deno.test(`DELETE of a ${noun}'s waiter: it leaves at once and is told so; of another key nothing is touched`, () =>
    withApps(3, async (apps) => {
      const fence = await taken(apps, path, body("holder"));
      const waits = asking(apps.url("b") + path, { ...body("w"), waitMs: 60_000 }, { "idempotency-key": "a/b%" });
      await until("it waits", async () => await waiters(apps, path) === 1);
      const none = await tell(apps, "c", "DELETE", `${path}/queue/other`);
      assertEquals([none.status, none.body.outcome, await waiters(apps, path)], [200, "left", 1]);
      const left = await tell(apps, "c", "DELETE", `${path}/queue/${encodeURIComponent("a/b%")}`);
      assertEquals([left.status, left.body.outcome], [200, "left"]);
      assertEquals((await waits.answer)?.status, 409);
      assertEquals(await waiters(apps, path), 0);
      const again = await tell(apps, "a", "DELETE", `${path}/queue/${encodeURIComponent("a/b%")}`);
      assertEquals([again.status, again.body.outcome], [200, "left"], "it is as the caller wants it");
      await tell(apps, "a", "DELETE", `${path}/${fence}`);
    }));
}

Deno.test("DELETE of a waiter by another subject, under the same key: it stays, and is granted when its turn comes", () => {
  const tokens = parseTokens(JSON.stringify(["one", "two"].map((subject) => ({
    subject,
    sha256: sha256Hex(subject),
    scopes: ["lock:read,write:*"],
  }))));
  const as = (subject: string) => ({ authorization: `Bearer ${subject}` });
  const same = (subject: string) => ({ ...as(subject), "idempotency-key": "same" });
  return withApps(3, async (apps) => {
    const { body: held } = await tell(apps, "a", "POST", "/v1/locks/q", { holder: "two" }, same("two"));
    const waits = tell(apps, "b", "POST", "/v1/locks/q", { holder: "one", waitMs: 60_000 }, same("one"));
    const count = async () => (await tell(apps, "c", "GET", "/v1/locks/q", undefined, as("two"))).body.waiterCount;
    await until("it waits", async () => await count() === 1);
    for (const id of ["a", "b", "c"]) {
      const left = await tell(apps, id, "DELETE", "/v1/locks/q/queue/same", undefined, as("two"));
      // Its own, under this key, is what it holds.
      assertEquals([left.status, left.body.outcome, left.body.fence], [200, "granted", held.fence]);
      assertEquals(await count(), 1);
    }
    assertEquals((await tell(apps, "a", "DELETE", `/v1/locks/q/${held.fence}`, undefined, as("two"))).status, 200);
    const granted = await waits;
    assertEquals([granted.status, granted.body.holder], [200, "one"]);
  }, { tokens });
});

Deno.test("a set that is repeated and refused says for which name, and what of the first answer is held still", () =>
  withApps(3, async (apps) => {
    const set = { names: ["b", "a"], holder: "me" };
    const key = { "idempotency-key": "k" };
    const { body: { grants: [b, a] } } = await tell(apps, "a", "POST", "/v1/locks", set, key);
    assertEquals((await tell(apps, "b", "DELETE", `/v1/locks/b/${b.fence}`)).status, 200);
    const again = await tell(apps, "c", "POST", "/v1/locks", set, key);
    const { code, name, stillHeld } = again.body;
    assertEquals([again.status, code, name, stillHeld], [410, "lost", "b", [{ name: "a", fence: a.fence }]]);
    assertEquals((await tell(apps, "a", "DELETE", `/v1/locks/a/${a.fence}`)).body.outcome, "released");
    // A first try has nothing that is held still.
    await taken(apps, "/v1/locks/b", { holder: "other" });
    const first = await tell(apps, "a", "POST", "/v1/locks", set);
    assertEquals([first.status, first.body.name, "stillHeld" in first.body], [409, "b", false]);
    assertEquals((await tell(apps, "c", "GET", "/v1/locks/a")).body.state, "free");
  }));

Deno.test("a node's own 504 has the key and the instance with which the write is repeated, and applied once", () =>
  withApps(3, async (apps) => {
    const { body: before } = await tell(apps, "a", "PUT", "/v1/kv/x", "before");
    const heal = apps.cluster.network.drop(({ to }) => to === "a");
    const late = await tell(apps, "a", "PUT", "/v1/kv/x?timeoutMs=200", "after");
    heal();
    const { code, outcome, idempotencyKey, born } = late.body;
    assertEquals([late.status, code, outcome, typeof born], [504, "outcome-unknown", "unknown", "number"]);
    assertEquals(idempotencyKey, late.headers.get("idempotency-key"));
    const headers = { "idempotency-key": idempotencyKey, "quorate-born": `${born}` };
    const told = [];
    for (const id of ["b", "c", "a"]) told.push(await tell(apps, id, "PUT", "/v1/kv/x", "after", headers));
    assertEquals(told.map(({ status }) => status), [200, 200, 200]);
    assertEquals(new Set(told.map(({ body }) => body.revision)).size, 1);
    assert(BigInt(told[0]!.body.revision) > BigInt(before.revision));
  }));

Deno.test("DELETE of a waiter that was granted meanwhile and told: it keeps the grant, and is told of it", () =>
  withApps(3, async (apps) => {
    const key = { "idempotency-key": "k" };
    const { body: grant } = await tell(apps, "a", "POST", "/v1/locks/q", { holder: "me" }, key);
    const said = await tell(apps, "b", "DELETE", "/v1/locks/q/queue/k");
    assertEquals([said.status, said.body.outcome, said.body.fence], [200, "granted", grant.fence]);
    assertEquals((await tell(apps, "c", "GET", "/v1/locks/q")).body.state, "held");
  }));

Deno.test("DELETE of a waiter: what is no key is refused by name", () =>
  withApps(3, async (apps) => {
    await refuseAll(apps, [
      ["DELETE", "/v1/locks/q/queue/", undefined, "key"],
      ["DELETE", "/v1/locks/q/queue/%20", undefined, "key"],
      ["DELETE", `/v1/locks/q/queue/${"k".repeat(65)}`, undefined, "key"],
      ["DELETE", "/v1/locks/q/queue/%zz", undefined, "key"],
      ["DELETE", "/v1/locks/q/queue/k", { force: true }, "force"],
    ]);
  }));

Deno.test("Quorate-Born: what is no instance is refused, beside a hedge too; renewals and releases ignore it", () =>
  withApps(3, async (apps) => {
    const hedge = { "quorate-hedge": "0", "idempotency-key": "k" };
    for (const born of ["-1", "01", "x", "1.5", "9".repeat(16), ""]) {
      const bad = { "quorate-born": born };
      await refuseAll(apps, [
        ["POST", "/v1/locks/x", { holder: "h" }, "Quorate-Born", bad],
        ["POST", "/v1/elections/x", { candidate: "h" }, "Quorate-Born", bad],
        ["POST", "/v1/semaphores/x", { holder: "h", limit: 1 }, "Quorate-Born", bad],
        ["PUT", "/v1/kv/x", "v", "Quorate-Born", bad],
        ["DELETE", "/v1/kv/x", undefined, "Quorate-Born", bad],
      ]);
    }
    await refuseAll(apps, [
      ["POST", "/v1/locks/x", { holder: "h" }, "Quorate-Born", { ...hedge, "quorate-born": "0" }],
      ["POST", "/v1/locks", { names: ["a"], born: { a: -1 } }, "born.a"],
      ["POST", "/v1/locks", { names: ["a"], born: 1 }, "born"],
    ]);
    const { body: grant } = await tell(apps, "a", "POST", "/v1/locks/x", { holder: "h" }, { "quorate-born": "0" });
    const bad = { "quorate-born": "nonsense" };
    assertEquals((await tell(apps, "b", "PUT", `/v1/locks/x/${grant.fence}`, {}, bad)).status, 200);
    assertEquals((await tell(apps, "c", "DELETE", `/v1/locks/x/${grant.fence}`, undefined, bad)).status, 200);
    const set = { names: ["a", "b"], born: { a: 0, b: 0, "not asked for": 7 } };
    assertEquals((await tell(apps, "a", "POST", "/v1/locks", set)).status, 200);
  }));

Deno.test("expired-command over HTTP: 409, outcome unknown, with the instance for a new try; and nothing was done", () =>
  withApps(3, async (apps) => {
    const first = await tell(apps, "a", "PUT", "/v1/kv/x", "mine", { "idempotency-key": "k", "quorate-born": "0" });
    assertEquals(first.status, 200);
    for (let i = 0; i < 100; i++) await tell(apps, "abc"[i % 3]!, "PUT", "/v1/kv/x", `other ${i}`);
    const late = await tell(apps, "b", "PUT", "/v1/kv/x", "mine", { "idempotency-key": "k", "quorate-born": "0" });
    assertEquals([late.status, late.body.code, late.body.outcome, late.body.retryable], [
      409,
      "expired-command",
      "unknown",
      false,
    ]);
    assert(Number(late.headers.get("consensus-instance")) >= 100);
    const anew = { "idempotency-key": "other", "quorate-born": late.headers.get("consensus-instance")! };
    assertEquals((await tell(apps, "b", "PUT", "/v1/kv/x", "mine", anew)).status, 200);
  }));

Deno.test("through a gateway: a waiter that brought no key leaves when its client goes; one that did keeps its place", () =>
  withApps(3, async (apps) => {
    const gateway = createGateway({
      nodes: ["a", "b"].map((id) => apps.url(id)),
      fetch: (url, init) => fetch(url, init),
      clock: realClock,
      newId: () => realRandomness.id(),
      report: (error) => console.error(error),
    });
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, gateway);
    try {
      const url = `http://127.0.0.1:${server.addr.port}/v1/locks/q`;
      await taken(apps, "/v1/locks/q", { holder: "holder" });
      for (const [headers, left] of [[{}, 0], [{ "idempotency-key": "mine" }, 1]] as const) {
        const asked = asking(url, { holder: "w", waitMs: 60_000 }, headers);
        await until("it waits", async () => await waiters(apps, "/v1/locks/q") === 1);
        asked.leave();
        await asked.answer;
        await until("as it should be", async () => await waiters(apps, "/v1/locks/q") === left);
        for (let i = 0; i < 10; i++) assertEquals(await waiters(apps, "/v1/locks/q"), left);
      }
    } finally {
      await server.shutdown();
    }
  }));

Deno.test("a DELETE without a fence says that it forces, and how to give back what is one's own", () =>
  withApps(1, async (apps) => {
    for (const [noun, fence] of [["locks", "FENCE"], ["elections", "TERM"], ["semaphores", "FENCE"]]) {
      for (const body of [undefined, {}, { fence: "1025" }]) {
        const { status, body: said } = await tell(apps, "a", "DELETE", `/v1/${noun}/n`, body);
        assertEquals([status, said.field], [400, "reason"], noun);
        assertStringIncludes(said.detail, "by force");
        assertStringIncludes(said.detail, `DELETE /v1/${noun}/NAME/${fence}`);
      }
      assertEquals((await tell(apps, "a", "DELETE", `/v1/${noun}/n`, { reason: 1 })).body.field, "reason");
    }
    const { body: { fence } } = await tell(apps, "a", "POST", "/v1/locks/n", {});
    await tell(apps, "a", "DELETE", "/v1/locks/n");
    assertEquals((await tell(apps, "a", "GET", "/v1/locks/n")).body.holders[0].fence, fence, "it is still held");
  }));

Deno.test("who is refused for a grant of its own is told so, and what to do", () =>
  withApps(3, async (apps) => {
    const cases: [string, object, string][] = [
      ["/v1/semaphores/pool", { limit: 3, holder: "host-1" }, "holder"],
      ["/v1/locks/pool", { holder: "host-1" }, "holder"],
      ["/v1/elections/pool", { candidate: "host-1" }, "candidate"],
    ];
    for (const [path, body, field] of cases) {
      const first = await tell(apps, "a", "POST", path, body);
      const again = await tell(apps, "b", "POST", path, body);
      assertEquals([again.status, again.body.yours], [409, first.body.fence ?? first.body.term], path);
      assertStringIncludes(again.body.detail, "host-1");
      assertStringIncludes(again.body.detail, `needs a ${field} of its own`);
      const other = await tell(apps, "c", "POST", path, {
        ...body,
        [field]: "host-2",
        limit: undefined,
        permits: undefined,
      });
      if (other.status === 409) assert(!other.body.detail.includes("host-1"), other.body.detail);
    }
    const { body: second } = await tell(apps, "c", "POST", "/v1/semaphores/pool", { limit: 3, holder: "host-2" });
    assertEquals(second.permits, 1);
  }));

Deno.test("a renewal of what was forced or released says how it ended, to its owner alone", () => {
  const scopes = ["lock:read,write:*", "election:read,write:*", "semaphore:read,write:*", "admin:*"];
  const tokens = parseTokens(JSON.stringify(
    ["one", "two"].map((subject) => ({ subject, sha256: sha256Hex(subject), scopes })),
  ));
  const as = (token: string) => ({ authorization: `Bearer ${token}` });
  return withApps(3, async (apps) => {
    for (const { path, body } of Object.values(KINDS)) {
      const ends: [string, (fence: string) => Promise<unknown>][] = [
        ["forced", () => tell(apps, "b", "DELETE", path, { reason: "stuck" }, as("two"))],
        ["released", (fence) => tell(apps, "b", "DELETE", `${path}/${fence}`, undefined, as("one"))],
      ];
      for (const [end, run] of ends) {
        const { body: grant } = await tell(apps, "a", "POST", path, body("holder"), as("one"));
        const fence = grant.fence ?? grant.term;
        await run(fence);
        const { status, body: said } = await tell(apps, "c", "PUT", `${path}/${fence}`, {}, as("one"));
        assertEquals([status, said.code, said.end], [410, "lost", end], path);
        const { status: other, body: told } = await tell(apps, "c", "PUT", `${path}/${fence}`, {}, as("two"));
        assertEquals([other, told.code, told.end], [410, "lost", undefined], path);
      }
    }
    assertEquals(apps.reports, []);
  }, { tokens });
});
