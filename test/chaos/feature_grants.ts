/** Steps of the features that grant something: locks, elections, semaphores. Each writes here and looks there. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { type Json, type Node, type Steps, until } from "./feature_nodes.ts";

const LONG_MS = 600_000;
const LAPSE_MS = 1_000;

type Holder = { readonly holder: string; readonly fence: string };

function holdersOf(state: Json): readonly string[] {
  return (state["holders"] as readonly Holder[]).map(({ holder }) => holder);
}

function take(node: Node, name: string, fields: Json = {}): Promise<Json> {
  return node.said(200, "POST", `/v1/locks/${name}`, { ttlMs: LONG_MS, ...fields });
}

/** Until so many wait, as `node` sees it. */
async function waiting(node: Node, path: string, count: number): Promise<Json> {
  return await until(() => node.said(200, "GET", path), (state) => state["waiterCount"] === count);
}

export const GRANT_STEPS: Steps = {
  "lock": async ({ a, b }) => {
    const { fence } = await take(a, "lock", { holder: "one" });
    const held = await b.said(409, "POST", "/v1/locks/lock", { holder: "two" });
    const [holder] = held["holders"] as readonly Holder[];
    assertEquals([held["code"], holder?.holder, holder?.fence], ["held", "one", fence]);
  },

  "shared lock": async ({ a, b, c }) => {
    await take(a, "shared", { holder: "one", mode: "shared" });
    await take(b, "shared", { holder: "two", mode: "shared" });
    assertEquals((await c.said(409, "POST", "/v1/locks/shared", { mode: "exclusive" }))["code"], "held");
    assertEquals([...holdersOf(await c.said(200, "GET", "/v1/locks/shared"))].sort(), ["one", "two"]);
  },

  "first come, first served": async ({ a, b, c }) => {
    const { fence } = await take(a, "queue", { holder: "first" });
    const second = take(b, "queue", { holder: "second", waitMs: 60_000 });
    await waiting(a, "/v1/locks/queue", 1);
    const third = take(c, "queue", { holder: "third", waitMs: 60_000 });
    await waiting(a, "/v1/locks/queue", 2);
    await a.said(200, "DELETE", `/v1/locks/queue/${fence}`);
    const granted = await second;
    assertEquals(holdersOf(await a.said(200, "GET", "/v1/locks/queue")), ["second"]);
    await b.said(200, "DELETE", `/v1/locks/queue/${granted["fence"]}`);
    assertEquals((await third)["holder"], "third");
    assertEquals((await a.said(409, "POST", "/v1/locks/queue", { waitMs: 100 }))["code"], "held");
  },

  "answered early": async ({ a, b, c }) => {
    const { fence } = await take(a, "early", { holder: "first" });
    const second = take(b, "early", { holder: "second", waitMs: 60_000, renews: true });
    await waiting(c, "/v1/locks/early", 1);
    await a.said(200, "DELETE", `/v1/locks/early/${fence}`);
    const granted = await second;
    assertEquals(granted["guaranteedForMs"], 9_900);
    const renewed = await c.said(200, "PUT", `/v1/locks/early/${granted["fence"]}`);
    assertEquals(renewed["guaranteedForMs"], 594_000);
    await b.said(200, "DELETE", `/v1/locks/early/${granted["fence"]}`);
  },

  "leave the queue": async ({ a, b, c }) => {
    await take(a, "leave", { holder: "first" });
    const key = { "idempotency-key": "leave-1" };
    const waits = b.said(409, "POST", "/v1/locks/leave", { holder: "second", waitMs: 60_000 }, key);
    await waiting(c, "/v1/locks/leave", 1);
    assertEquals((await c.said(200, "DELETE", "/v1/locks/leave/queue/leave-1"))["outcome"], "left");
    assertEquals((await waits)["code"], "held");
    await waiting(a, "/v1/locks/leave", 0);
  },

  "waiting as a stream": async ({ a, b, c }) => {
    const first = await take(a, "stream", { holder: "first" });
    const second = take(a, "stream", { holder: "second", waitMs: 60_000 });
    await waiting(b, "/v1/locks/stream", 1);
    const asked = {
      json: { holder: "me", waitMs: 60_000 },
      headers: { "accept": "text/event-stream", "idempotency-key": "stream-1" },
    };
    const events = await b.events("POST", "/v1/locks/stream", asked);
    assertEquals(await events.next(), { event: "queued", id: null, data: { position: 2 } });
    await a.said(200, "DELETE", `/v1/locks/stream/${first["fence"]}`);
    assertEquals(await events.next(), { event: "queued", id: null, data: { position: 1 } });
    await events.close();
    // The client is gone, its place is not: the same key at another node goes on with it.
    const resumed = await c.events("POST", "/v1/locks/stream", asked);
    assertEquals(await resumed.next(), { event: "queued", id: null, data: { position: 1 } });
    await a.said(200, "DELETE", `/v1/locks/stream/${(await second)["fence"]}`);
    const [granted] = (await resumed.until(({ event }) => event !== "queued")).slice(-1);
    assertEquals([granted?.event, granted?.data["holder"]], ["granted", "me"]);
    assertEquals(holdersOf(await b.said(200, "GET", "/v1/locks/stream")), ["me"]);
  },

  "renew": async ({ a, b, c }) => {
    const { fence } = await take(a, "renew", { holder: "me" });
    const renewed = await b.said(200, "PUT", `/v1/locks/renew/${fence}`, { ttlMs: 300_000 });
    assertEquals([renewed["fence"], renewed["ttlMs"]], [fence, 300_000]);
    await c.said(200, "DELETE", `/v1/locks/renew/${fence}`);
    assertEquals((await a.said(410, "PUT", `/v1/locks/renew/${fence}`))["code"], "lost");
  },

  "release": async ({ a, b, c }) => {
    const { fence } = await take(a, "release");
    assertEquals((await b.said(200, "DELETE", `/v1/locks/release/${fence}`))["outcome"], "released");
    assertEquals((await c.said(200, "DELETE", `/v1/locks/release/${fence}`))["outcome"], "already-released");
    assertEquals((await c.said(200, "GET", "/v1/locks/release"))["state"], "free");
    assertEquals((await a.said(404, "DELETE", "/v1/locks/release/99999999"))["code"], "not-found");
  },

  "force": async ({ a, b, c }) => {
    const { fence } = await take(a, "force", { holder: "gone" });
    const byOther = await b.ask("DELETE", "/v1/locks/force", { json: { reason: "mine now" }, as: "other" });
    assertEquals([byOther.status, byOther.body["code"]], [403, "forbidden"]);
    assertEquals((await b.said(200, "DELETE", "/v1/locks/force", { reason: "it hangs" }))["count"], 1);
    assertEquals((await c.said(200, "GET", "/v1/locks/force"))["state"], "free");
    assertEquals((await a.said(200, "DELETE", `/v1/locks/force/${fence}`))["outcome"], "forced");
  },

  "state of a lock": async ({ a, b }) => {
    assertEquals((await b.said(200, "GET", "/v1/locks/state"))["state"], "free");
    const { fence } = await take(a, "state", { holder: "me" });
    const state = await b.said(200, "GET", "/v1/locks/state");
    assertEquals([state["state"], holdersOf(state), state["lastFence"]], ["held", ["me"], fence]);
  },

  "fence": async ({ a, b, c }) => {
    const fences: bigint[] = [];
    for (const node of [a, b, c, a]) {
      // The last one before it lapses instead of being released.
      const ttlMs = fences.length === 2 ? LAPSE_MS : LONG_MS;
      const { fence } = await take(node, "fence", { ttlMs, waitMs: 60_000 });
      fences.push(BigInt(String(fence)));
      if (ttlMs === LONG_MS) await b.said(200, "DELETE", `/v1/locks/fence/${fence}`);
    }
    fences.slice(1).forEach((fence, i) => assertGreater(fence, fences[i]!));
  },

  "lock delay": async ({ a, b, c }) => {
    const grant = await take(a, "delay", { ttlMs: LONG_MS, lockDelayMs: 60_000 });
    await b.said(200, "DELETE", `/v1/locks/delay/${grant["fence"]}`);
    await take(c, "delay", { ttlMs: LAPSE_MS, lockDelayMs: 60_000 });
    const refused = () => a.said(409, "POST", "/v1/locks/delay", {});
    const { code } = await until(refused, (problem) => problem["code"] !== "held");
    assertEquals(code, "cooling");
    assertEquals((await b.said(200, "GET", "/v1/locks/delay"))["state"], "cooling");
  },

  "several locks": async ({ a, b, c }) => {
    const { grants } = await a.said(200, "POST", "/v1/locks", { names: ["set/2", "set/1"], ttlMs: LONG_MS });
    assertEquals((grants as readonly Json[]).map(({ name }) => name), ["set/2", "set/1"]);
    const held = await b.said(409, "POST", "/v1/locks", { names: ["set/0", "set/1"] });
    assertEquals([held["code"], held["name"]], ["held", "set/1"]);
    assertEquals((await c.said(200, "GET", "/v1/locks/set%2F0"))["state"], "free");
    assertEquals((await c.said(200, "GET", "/v1/locks/set%2F2"))["state"], "held");
  },

  "election: campaign": async ({ a, b }) => {
    const campaign = { candidate: "one", value: "10.0.0.1", ttlMs: LONG_MS };
    const { term } = await a.said(200, "POST", "/v1/elections/campaign", campaign);
    const led = await b.said(409, "POST", "/v1/elections/campaign", { candidate: "two" });
    const leader = led["leader"] as Json;
    assertEquals([led["code"], leader["candidate"], leader["term"]], ["led", "one", term]);
  },

  "election: proclaim": async ({ a, b, c }) => {
    const { term } = await a.said(200, "POST", "/v1/elections/proclaim", { candidate: "one", ttlMs: LONG_MS });
    await b.said(200, "PUT", `/v1/elections/proclaim/${term}`, { value: "10.0.0.2" });
    const { leader } = await c.said(200, "GET", "/v1/elections/proclaim");
    assertEquals([(leader as Json)["value"], (leader as Json)["term"]], ["10.0.0.2", term]);
  },

  "election: resign": async ({ a, b, c }) => {
    const { term } = await a.said(200, "POST", "/v1/elections/resign", { candidate: "one", ttlMs: LONG_MS });
    const next = b.said(200, "POST", "/v1/elections/resign", { candidate: "two", ttlMs: LONG_MS, waitMs: 60_000 });
    await waiting(c, "/v1/elections/resign", 1);
    assertEquals((await c.said(200, "DELETE", `/v1/elections/resign/${term}`))["outcome"], "released");
    assertGreater(BigInt(String((await next)["term"])), BigInt(String(term)));
  },

  "election: leader": async ({ a, b }) => {
    assertEquals((await b.said(200, "GET", "/v1/elections/leader"))["leader"], null);
    const campaign = { candidate: "one", value: "10.0.0.1", ttlMs: LONG_MS };
    const { term } = await a.said(200, "POST", "/v1/elections/leader", campaign);
    const { leader } = await b.said(200, "GET", "/v1/elections/leader");
    const { candidate, value, term: seen } = leader as Json;
    assertEquals([candidate, value, seen], ["one", "10.0.0.1", term]);
  },

  "semaphore": async ({ a, b, c }) => {
    const { fence } = await a.said(200, "POST", "/v1/semaphores/s", { limit: 3, permits: 2, ttlMs: LONG_MS });
    const held = await b.said(409, "POST", "/v1/semaphores/s", { limit: 3, permits: 2 });
    assertEquals([held["code"], held["available"]], ["held", 1]);
    assertEquals((await b.said(409, "POST", "/v1/semaphores/s", { limit: 4 }))["code"], "limit-mismatch");
    await c.said(200, "POST", "/v1/semaphores/s", { limit: 3, ttlMs: LONG_MS });
    assertEquals((await a.said(200, "GET", "/v1/semaphores/s"))["available"], 0);
    await b.said(200, "DELETE", `/v1/semaphores/s/${fence}`);
    const { available, holders } = await c.said(200, "GET", "/v1/semaphores/s");
    assertEquals(available, 2);
    assert((holders as readonly Json[]).every((holder) => holder["fence"] !== fence));
  },
};
