/** Steps of the features of sessions. Each writes here and looks there. */
import { assertEquals } from "@std/assert";
import { type Json, type Node, type Steps, until } from "./feature_nodes.ts";

const LONG_MS = 600_000;
/** Long enough to bind something before it lapses, also on a busy machine. */
const SHORT_MS = 5_000;

async function open(node: Node, ttlMs: number): Promise<string> {
  return String((await node.said(200, "POST", "/v1/sessions", { ttlMs, holder: "me" }))["id"]);
}

export const SESSION_STEPS: Steps = {
  "session": async ({ a, b, c }) => {
    const session = await open(a, LONG_MS);
    assertEquals((await b.said(200, "POST", "/v1/locks/bound", { session }))["session"], session);
    assertEquals((await c.ask("PUT", `/v1/kv/bound?session=${session}`, { bytes: "up" })).status, 200);
    const { bound, ttlMs } = await b.said(200, "GET", `/v1/sessions/${session}`);
    const names = (bound as readonly Json[]).map(({ noun, name }) => `${noun} ${name}`).sort();
    assertEquals([names, ttlMs], [["kv bound", "lock bound"], LONG_MS]);
  },

  "session: keep alive": async ({ a, b, c }) => {
    const session = await open(a, LONG_MS);
    const kept = await b.said(200, "PUT", `/v1/sessions/${session}`);
    assertEquals([kept["id"], kept["ttlMs"]], [session, LONG_MS]);
    await a.said(200, "DELETE", `/v1/sessions/${session}`);
    assertEquals((await c.said(410, "PUT", `/v1/sessions/${session}`))["code"], "lost");
    assertEquals((await b.said(410, "POST", "/v1/locks/late", { session }))["code"], "lost");
    assertEquals((await c.said(200, "GET", "/v1/locks/late"))["state"], "free");
  },

  "session: end": async ({ a, b, c }) => {
    const session = await open(a, LONG_MS);
    await b.said(200, "POST", "/v1/locks/ended", { session, lockDelayMs: 60_000 });
    await c.said(200, "POST", "/v1/elections/ended", { session });
    assertEquals((await b.said(200, "DELETE", `/v1/sessions/${session}`))["outcome"], "ended");
    await c.said(200, "POST", "/v1/locks/ended", { ttlMs: LONG_MS });
    assertEquals((await a.said(200, "GET", "/v1/elections/ended"))["leader"], null);
    const { items } = await a.said(200, "GET", "/v1/locks/ended/history");
    assertEquals((items as readonly Json[]).map(({ end }) => end), ["session"]);
  },

  "session: watch": async ({ a, b, c }) => {
    const session = await open(a, LONG_MS);
    const reader = await b.events("GET", `/v1/sessions/${session}/events`);
    const all = await c.events("GET", `/v1/sessions/events?prefix=${session.slice(0, 16)}`);
    const revision = (await reader.next())?.id;
    assertEquals((await all.next())?.event, "resync");
    const poll = c.said(200, "GET", `/v1/sessions/${session}?after=${revision}&waitMs=60000`);
    await b.said(200, "POST", "/v1/locks/seen", { session });
    const bound = [{ noun: "lock", name: "seen" }];
    // A process that shares its store may first tell what the watcher of a prefix was told to read for itself.
    const told = await until(
      () => all.next(),
      (event) => JSON.stringify(event?.data["bound"]) === JSON.stringify(bound),
    );
    for (const data of [(await reader.next())?.data, told?.data, await poll]) {
      assertEquals([data?.["id"], data?.["bound"]], [session, bound]);
    }
    await c.said(200, "DELETE", `/v1/sessions/${session}`);
    for (const stream of [reader, all]) assertEquals((await stream.next())?.event, "deleted");
    assertEquals(await reader.next(), null);
    assertEquals((await a.said(410, "GET", `/v1/sessions/${session}?after=0&waitMs=60000`))["code"], "lost");
    // It is its subject's alone.
    const foreign = await b.ask("GET", `/v1/sessions/${await open(a, LONG_MS)}/events`, { as: "other" });
    assertEquals([foreign.status, foreign.body["code"]], [404, "not-found"]);
  },

  "session: list": async ({ a, b, c }) => {
    const mine = [await open(a, LONG_MS), await open(b, LONG_MS), await open(c, LONG_MS)].sort();
    await a.said(200, "DELETE", `/v1/sessions/${mine.pop()}`);
    const found: string[] = [];
    for (let cursor: unknown = "0"; cursor !== null;) {
      const page = await until(
        () => b.said(200, "GET", `/v1/sessions?limit=1&cursor=${cursor}`),
        ({ items }) => (items as readonly Json[]).length > 0 || found.length >= mine.length,
      );
      found.push(...(page["items"] as readonly Json[]).map(({ id }) => String(id)));
      cursor = page["cursor"];
    }
    assertEquals(mine.filter((id) => !found.includes(id)), []);
    assertEquals(found, [...found].sort());
    const { items } = (await c.ask("GET", "/v1/sessions", { as: "many" })).body;
    assertEquals(items, []);
  },

  "session: lapse": async ({ a, b, c }) => {
    const session = await open(a, SHORT_MS);
    await b.said(200, "POST", "/v1/locks/silent", { session, lockDelayMs: 60_000 });
    assertEquals((await c.ask("PUT", `/v1/kv/silent?session=${session}`, { bytes: "up" })).status, 200);
    const refused = await until(
      () => c.said(409, "POST", "/v1/locks/silent", {}),
      ({ code }) => code !== "held",
    );
    assertEquals(refused["code"], "cooling");
    await until(() => b.ask("GET", "/v1/kv/silent"), ({ status }) => status === 404);
    assertEquals((await a.said(410, "PUT", `/v1/sessions/${session}`))["code"], "lost");
  },
};
