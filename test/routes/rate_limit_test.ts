/** 429 over HTTP: what counts, what never does, and whose it is. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { isCounted, isOfThing } from "../../routes/rate_limit.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { NO_MARK } from "../../src/ports.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { type Json, scripted } from "./scripted_node.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

const BURST = 5;
const TOKENS = parseTokens(JSON.stringify(["one", "two"].map((subject) => ({
  subject,
  sha256: sha256Hex(subject),
  scopes: ["*:read,write:*", "admin:*"],
}))));
/** Nothing comes back in the time of a test. */
const OPTIONS = { tokens: TOKENS, rate: { perSecond: 0.01, burst: BURST } };
const by = (subject: string) => ({ authorization: `Bearer ${subject}` });

async function ask(apps: Apps, id: string, method: string, path: string, subject = "one", body?: unknown) {
  const init = { method, headers: by(subject), ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await apps.ask(id, path, init);
  return { status: response.status, headers: response.headers, body: await response.json() as Json };
}

Deno.test("rate limit: 429 with Retry-After beyond the burst, and renewals and releases go through all the same", () =>
  withApps(3, async (apps) => {
    const grants = [];
    for (let i = 0; i < BURST; i++) grants.push(await ask(apps, "a", "POST", `/v1/locks/n${i}`));
    assert(grants.every(({ status }) => status === 200));
    for (const [method, path] of [["POST", "/v1/locks/x"], ["GET", "/v1/locks/x"], ["DELETE", "/v1/locks/x"]]) {
      const { status, body, headers } = await ask(apps, "a", method!, path!);
      assertEquals([status, body.code, body.retryable], [429, "rate-limited", true]);
      assertGreater(body.retryAfterMs, 0);
      assertEquals(headers.get("retry-after"), `${Math.ceil(body.retryAfterMs / 1_000)}`);
    }
    for (let round = 0; round < 3; round++) {
      for (const [i, { body }] of grants.entries()) {
        assertEquals((await ask(apps, "a", "PUT", `/v1/locks/n${i}/${body.fence}`)).status, 200);
      }
    }
    assertEquals((await ask(apps, "a", "DELETE", `/v1/locks/n0/${grants[0]!.body.fence}`)).status, 200);
    assertEquals((await ask(apps, "a", "POST", "/v1/locks/n0", "two")).status, 200, "another subject has its own");
    // Nodes do not tell each other: the bound is per node.
    assertEquals((await ask(apps, "b", "GET", "/v1/locks/n0")).status, 200);
    const probe = await apps.ask("a", "/readyz");
    assertEquals(probe.status, 200);
  }, OPTIONS));

Deno.test("rate limit: each operation of a batch counts, but for renewals", () =>
  withApps(3, async (apps) => {
    const posts = Array.from({ length: BURST + 2 }, (_, i) => ({ method: "POST", path: `/v1/locks/n${i}` }));
    const { body } = await ask(apps, "a", "POST", "/v1/batch", "one", posts);
    const statuses = body.map(({ status }: Json) => status).sort();
    assertEquals(statuses, [...Array(BURST).fill(200), 429, 429]);
    const held = body.flatMap(({ status, body }: Json) => status === 200 ? [body] : []);
    const renewals = held.map(({ name, fence }: Json) => ({ method: "PUT", path: `/v1/locks/${name}/${fence}` }));
    const renewed = await ask(apps, "a", "POST", "/v1/batch", "one", renewals);
    assert(renewed.body.every(({ status }: Json) => status === 200));
  }, OPTIONS));

Deno.test("rate limit: what a batch is refused for counts as it would alone, as an operation or as a whole", () =>
  withApps(3, async (apps) => {
    const bad = Array.from({ length: BURST + 2 }, (_, i) => ({ method: "GET", path: `/v1/locks/../n${i}` }));
    const { body } = await ask(apps, "a", "POST", "/v1/batch", "one", bad);
    assertEquals(body.map(({ status }: Json) => status), [...Array(BURST).fill(400), 429, 429]);
    const whole: unknown[] = [[], "x", [{ method: "PATCH", path: "/v1/locks/x" }], [{}], undefined];
    assertEquals(whole.length, BURST);
    for (const one of whole) assertEquals((await ask(apps, "a", "POST", "/v1/batch", "two", one)).status, 400);
    assertEquals((await ask(apps, "a", "POST", "/v1/batch", "two", [])).body.code, "rate-limited");
    const nested = Array.from({ length: BURST }, () => ({ method: "POST", path: "/v1/batch", body: [] }));
    const within = await ask(apps, "b", "POST", "/v1/batch", "one", nested);
    assertEquals(within.body.map(({ status }: Json) => status), Array(BURST).fill(400));
    assertEquals((await ask(apps, "b", "GET", "/v1/locks/x")).status, 429);
  }, OPTIONS));

Deno.test("rate limit: who may ask nothing more leaves its place in a queue all the same", () =>
  withApps(3, async (apps) => {
    await ask(apps, "a", "POST", "/v1/locks/x", "two");
    const headers = { ...by("one"), "idempotency-key": "w" };
    const waits = apps.ask("a", "/v1/locks/x", { method: "POST", headers, body: `{"waitMs":60000}` });
    const isWaiting = async () => (await ask(apps, "b", "GET", "/v1/locks/x", "two")).body.waiterCount === 1;
    for (let i = 0; i < BURST && !await isWaiting(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
    for (let i = 1; i < BURST; i++) assertEquals((await ask(apps, "a", "GET", "/v1/locks/x")).status, 200);
    assertEquals((await ask(apps, "a", "GET", "/v1/locks/x")).status, 429);
    const left = await ask(apps, "a", "DELETE", "/v1/locks/x/queue/w");
    assertEquals([left.status, left.body.outcome], [200, "left"]);
    assertEquals((await waits).status, 409);
    await (await waits).body?.cancel();
    // As often as what is made up, and no more.
    assertEquals((await ask(apps, "a", "DELETE", "/v1/locks/x/queue/w")).status, 429);
  }, OPTIONS));

Deno.test("rate limit: a stranger is told 401, however often, and takes nothing from anybody", async () => {
  const { app } = scripted({}, OPTIONS);
  for (let i = 0; i < BURST * 2; i++) {
    assertEquals((await app.request("/v1/status", { headers: by("guess") })).status, 401);
  }
  for (let i = 0; i < BURST; i++) assertEquals((await app.request("/v1/status", { headers: by("one") })).status, 200);
  assertEquals((await app.request("/v1/status", { headers: by("one") })).status, 429);
});

Deno.test("rate limit: made-up fences and sessions, those of others and malformed ones have a bucket of their own", () =>
  withApps(3, async (apps) => {
    const { body: mine } = await ask(apps, "a", "POST", "/v1/locks/mine");
    const { body: session } = await ask(apps, "a", "POST", "/v1/sessions");
    const free = [["PUT", `/v1/locks/mine/${mine.fence}`], ["PUT", `/v1/locks/-/${mine.fence}?name=mine`], [
      "PUT",
      `/v1/sessions/${session.id}`,
    ]] as const;
    const made = [
      ["PUT", "/v1/locks/never-was/999"],
      ["DELETE", "/v1/locks/never-was/999"],
      ["PUT", "/v1/locks/mine/999"],
      ["PUT", "/v1/elections/mine/999"],
      ["DELETE", "/v1/semaphores/mine/999"],
      ["PUT", "/v1/locks/mine/x"],
      ["PUT", "/v1/locks/%zz/1"],
      ["PUT", `/v1/sessions/${"0".repeat(32)}`],
      ["DELETE", "/v1/sessions/x"],
    ] as const;
    assertEquals((await ask(apps, "a", "PUT", "/v1/locks/never-was/999")).status, 404, "one is let through");
    for (const [method, path] of made) {
      assertEquals((await ask(apps, "a", method, path)).body.code, "rate-limited", path);
    }
    const operations = made.slice(0, 5).map(([method, path]) => ({ method, path }));
    const { body } = await ask(apps, "a", "POST", "/v1/batch", "one", operations);
    assertEquals(body.map(({ status }: Json) => status), operations.map(() => 429));
    for (const [method, path] of free) assertEquals((await ask(apps, "a", method, path)).status, 200, path);
    // What is another's is made up too, and a bucket is its subject's own.
    assertEquals((await ask(apps, "a", "PUT", `/v1/locks/mine/${mine.fence}`, "two")).status, 410);
    assertEquals((await ask(apps, "a", "PUT", `/v1/sessions/${session.id}`, "two")).status, 429);
    // Neither has taken from what others cost.
    for (let i = 2; i < BURST; i++) assertEquals((await ask(apps, "a", "GET", "/v1/locks/mine")).status, 200);
    assertEquals((await ask(apps, "a", "GET", "/v1/locks/mine")).status, 429);
    assertEquals((await ask(apps, "a", "DELETE", `/v1/locks/mine/${mine.fence}`)).status, 200);
  }, OPTIONS));

Deno.test("rate limit: what renews, releases or ends, of each noun, may be free, and nothing that looks like it", () => {
  const free: [string, string][] = [
    ["PUT", "/v1/locks/a/1"],
    ["DELETE", "/v1/locks/a%2Fb/1"],
    ["PUT", "/v1/elections/a/1"],
    ["DELETE", "/v1/semaphores/a/1"],
    ["PUT", "/v1/sessions/s"],
    ["DELETE", "/v1/sessions/s"],
    ["DELETE", "/v1/locks/a/queue/k"],
    ["DELETE", "/v1/elections/a%2Fb/queue/k%2F"],
    ["DELETE", "/v1/semaphores/-/queue/k"],
  ];
  const counted: [string, string][] = [
    ["POST", "/v1/locks/a"],
    ["DELETE", "/v1/locks/a"],
    ["GET", "/v1/locks/a/1"],
    ["PUT", "/v1/kv/a"],
    ["DELETE", "/v1/kv/a"],
    ["PUT", "/v1/kv/locks/1"],
    ["POST", "/v1/sessions"],
    ["PUT", "/v1/locks/a/1/x"],
    ["PUT", "/v1/locks/a/queue/k"],
    ["DELETE", "/v1/kv/a/queue/k"],
    ["DELETE", "/v1/locks/a/queue/k/x"],
    ["PUT", "/v1/members/a"],
  ];
  for (const [method, path] of free) assert(isOfThing(method, path), path);
  for (const [method, path] of counted) assert(!isOfThing(method, path) && isCounted(method, path), path);
  assert(!isCounted("POST", "/v1/batch"));
});

Deno.test("rate limit: a direct client's acquires count, its renewals and releases of what it holds do not", async () => {
  const peers = {
    cluster: "test",
    secrets: () => ["secret"],
    members: () => [],
    config: () => "",
    identity: () => null,
    mark: () => NO_MARK,
    versions: new PeerVersions(),
    refused: () => {},
  };
  const isHeld = ({ fence }: Json, subject: string) => fence === "1025" && subject === "one";
  const { app } = scripted({ isHeld }, { ...OPTIONS, peers });
  const send = async (op: Json) => {
    const commands = [{ subject: "one", id: "k", born: 0, op }];
    const value = { id: "v", proposer: "", commands };
    const message = { type: "accept", key: "lock/a", epoch: 0, instance: 1, ballot: [0, "", 0], value };
    const response = await app.request("/paxos/acceptor", {
      method: "POST",
      headers: { ...by("one"), "Quorate-Hedge": "0", "Idempotency-Key": "k" },
      body: JSON.stringify({ messages: [message] }),
    });
    return [response.status, (await response.json()).code];
  };
  const acquire = { type: "acquire", holder: "h", ttlMs: 5_000, mode: "exclusive", lockDelayMs: 0, atMs: 0 };
  for (let i = 0; i < BURST; i++) assertEquals(await send(acquire), [200, undefined]);
  assertEquals(await send(acquire), [429, "rate-limited"]);
  for (let i = 0; i < BURST; i++) assertEquals(await send({ type: "renew", fence: "1025" }), [200, undefined]);
  assertEquals(await send({ type: "release", fence: "1025", atMs: 0 }), [200, undefined]);
  assertEquals(await send({ type: "release", fence: "999", atMs: 0 }), [200, undefined]);
  assertEquals(await send({ type: "renew", fence: "999" }), [429, "rate-limited"]);
});
