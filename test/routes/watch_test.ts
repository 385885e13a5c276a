/** Watching over HTTP: changes made through one node, seen at another, over real sockets. */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { EventReader, type SeenEvent } from "./event_reader.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { scripted } from "./scripted_node.ts";

const JSON_HEADERS = { "content-type": "application/json" };

async function acquire(apps: Apps, id: string, name: string, headers: Record<string, string> = {}) {
  const path = `/v1/locks/${encodeURIComponent(name)}`;
  const response = await apps.ask(id, path, { method: "POST", headers, body: "{}" });
  const body = await response.json();
  assertEquals(response.status, 200, JSON.stringify(body));
  return body as { fence: string; revision: string };
}

async function release(apps: Apps, id: string, name: string, fence: string) {
  const response = await apps.ask(id, `/v1/locks/${name}/${fence}`, { method: "DELETE" });
  return await response.json() as { revision: string };
}

async function open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
  const response = await fetch(url, { headers });
  assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"]);
  return new EventReader(response);
}

const nameOf = ({ event, data }: SeenEvent) => event === "resync" ? "resync" : data["name"];

Deno.test("events of a name: its GET shape, its revision as id, and on from there at another node", () =>
  withApps(3, async (apps) => {
    const reader = await open(`${apps.url("b")}/v1/locks/w/events`);
    assertEquals((await reader.next())?.data["state"], "free");
    const grant = await acquire(apps, "a", "w");
    const held = await reader.next();
    const { notAfterMs: _, ...shown } = (held!.data["holders"] as Record<string, unknown>[])[0]!;
    assertEquals([held?.event, held?.id, shown["fence"]], ["changed", grant.revision, grant.fence]);
    const state = await (await apps.ask("b", "/v1/locks/w")).json();
    assertEquals(Object.keys(held!.data).sort(), Object.keys(state).sort());
    await reader.close();

    const released = await release(apps, "c", "w", grant.fence);
    const resumed = await open(`${apps.url("c")}/v1/locks/w/events`, { "last-event-id": grant.revision });
    const next = await resumed.next();
    assertEquals([next?.event, next?.id, next?.data["state"]], ["changed", released.revision, "free"]);
    await resumed.close();
  }));

Deno.test("events of a name: a Last-Event-ID that is no revision is refused", () =>
  withApps(3, async (apps) => {
    for (const id of ["x", "-1", "b.1.2", "123456789012345678901"]) {
      const response = await apps.ask("a", "/v1/locks/w/events", { headers: { "last-event-id": id } });
      const { code, field } = await response.json();
      assertEquals([response.status, code, field], [400, "invalid-request", "Last-Event-ID"], id);
    }
  }));

Deno.test("a name that is events has its state and its events; only with a prefix is it the stream of all", () =>
  withApps(3, async (apps) => {
    const { fence } = await acquire(apps, "a", "events");
    assertEquals((await (await apps.ask("b", "/v1/locks/events")).json()).holders[0].fence, fence);
    const own = await open(`${apps.url("b")}/v1/locks/events/events`);
    assertEquals((await own.next())?.data["name"], "events");
    await own.close();
    const all = await open(`${apps.url("b")}/v1/locks/events?prefix=`);
    assertEquals((await all.next())?.event, "resync");
    await all.close();
    const named = await open(`${apps.url("b")}/v1/locks/-/events?name=a%2Fb`);
    assertEquals((await named.next())?.data["name"], "a/b");
    await named.close();
  }));

Deno.test("events of a prefix: a resync first, then what changes; on at the same node, a resync at another", () =>
  withApps(3, async (apps) => {
    const url = (id: string) => `${apps.url(id)}/v1/locks/events?prefix=jobs%2F`;
    const reader = await open(url("b"));
    const first = await reader.next();
    assertEquals([first?.event, first?.data], ["resync", { prefix: "jobs/" }]);
    for (const name of ["jobs/1", "other", "jobs/2"]) await acquire(apps, "a", name);
    const seen = await reader.until(({ data }) => data["name"] === "jobs/2");
    assertEquals(seen.map(nameOf), ["jobs/1", "jobs/2"]);
    await reader.close();
    await acquire(apps, "c", "jobs/3");
    const resumed = await open(url("b"), { "last-event-id": seen[0]!.id! });
    assertEquals((await resumed.until(({ data }) => data["name"] === "jobs/3")).map(nameOf), ["jobs/2", "jobs/3"]);
    await resumed.close();
    for (const id of [seen[0]!.id!, "nonsense"]) {
      const elsewhere = await open(url("c"), { "last-event-id": id });
      assertEquals((await elsewhere.next())?.event, "resync");
      await elsewhere.close();
    }
  }));

const TOKENS = parseTokens(JSON.stringify([
  { subject: "all", sha256: sha256Hex("t-all"), scopes: ["*:read,write:*"] },
  { subject: "some", sha256: sha256Hex("t-some"), scopes: ["lock:read:a/*", "lock:read:one"] },
]));
const SOME = { authorization: "Bearer t-some" };
const EVERY = { authorization: "Bearer t-all" };

Deno.test("events and lists show what the token may read: segments end at /, and the rest is as if it were not there", () =>
  withApps(3, async (apps) => {
    const reader = await open(`${apps.url("b")}/v1/locks/events?prefix=`, SOME);
    await reader.next();
    const hidden = await open(`${apps.url("b")}/v1/locks/events?prefix=secret`, SOME);
    assertEquals((await hidden.next())?.event, "resync");
    for (const name of ["a", "ab", "a/1", "secret", "one", "one/2", "a/2"]) await acquire(apps, "a", name, EVERY);
    assertEquals((await reader.until(({ data }) => data["name"] === "a/2")).map(nameOf), ["a/1", "one", "a/2"]);
    await reader.close();

    const names = async (path: string) => {
      const body = await (await apps.ask("c", path, { headers: SOME })).json();
      return [(body.items as { name: string }[]).map(({ name }) => name), body.cursor];
    };
    assertEquals(await names("/v1/locks"), [["a/1", "a/2", "one"], null]);
    assertEquals(await names("/v1/locks?limit=2"), [["a/1", "a/2"], "a/2"]);
    assertEquals(await names("/v1/locks?limit=2&cursor=a/2"), [["one"], null]);
    assertEquals(await names("/v1/locks?prefix=secret"), [[], null]);
    // Whether there is such a name or not, the answer is the same to the last byte but its ids.
    const strip = (text: string) => text.replace(/"requestId":"[^"]*"/, "");
    for (const path of ["", "/events", "/history", "?after=0"]) {
      const answers = await Promise.all(["secret", "never-used"].map(async (name) => {
        const response = await apps.ask("c", `/v1/locks/${name}${path}`, { headers: SOME });
        return [response.status, strip(await response.text())];
      }));
      assertEquals(answers[0], answers[1]);
      assertEquals(answers[0]![0], 403);
    }
    await hidden.close();
  }, { tokens: TOKENS }));

Deno.test("long poll: 304 while nothing is newer, 200 with the state as soon as something is, from any node", () =>
  withApps(3, async (apps) => {
    const none = await apps.ask("b", "/v1/locks/p?after=0");
    assertEquals([none.status, await none.text()], [304, ""]);
    assertEquals(none.headers.get("consensus-path"), "read");
    const waited = await apps.ask("b", "/v1/locks/p?after=0&waitMs=20");
    assertEquals([waited.status, await waited.text()], [304, ""]);

    const waiting = apps.ask("b", "/v1/locks/p?after=0&waitMs=60000");
    const { revision, fence } = await acquire(apps, "a", "p");
    const newer = await waiting;
    const state = await newer.json();
    assertEquals([newer.status, state.revision, state.holders[0].fence], [200, revision, fence]);
    assertEquals((await apps.ask("c", "/v1/locks/p?after=0&waitMs=60000")).status, 200, "newer already");
    assertEquals((await apps.ask("c", `/v1/locks/p?after=${revision}`)).status, 304);
    const next = apps.ask("c", `/v1/locks/-?name=p&after=${revision}&waitMs=60000`);
    await release(apps, "b", "p", fence);
    assertEquals((await (await next).json()).state, "free");
  }));

Deno.test("watching without a quorum is a 503, not a stream that says nothing", () =>
  withApps(3, async (apps) => {
    apps.cluster.kill("b");
    apps.cluster.kill("c");
    for (const path of ["/v1/locks/p/events?timeoutMs=150", "/v1/locks/p?after=0&waitMs=10&timeoutMs=150"]) {
      const response = await apps.ask("a", path, { headers: JSON_HEADERS });
      assertEquals([response.status, (await response.json()).code], [503, "no-quorum"], path);
    }
  }));

Deno.test("clients that go away in the middle of a stream or a poll leave nothing behind", () =>
  withApps(3, async (apps) => {
    const { watches } = apps.cluster.node("b");
    const url = apps.url("b");
    for (let round = 0; round < 3; round++) {
      const controllers = Array.from({ length: 20 }, () => new AbortController());
      const ended = controllers.map(async ({ signal }, i) => {
        const path = ["/v1/locks/g/events", "/v1/locks/events?prefix=", "/v1/locks/g?after=0&waitMs=60000"][i % 3];
        await fetch(url + path, { signal }).then((response) => response.body?.pipeTo(new WritableStream())).catch(
          () => {},
        );
      });
      for (let i = 0; i < 1_000 && watches.watchers < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5));
      assertEquals(watches.watchers, 20);
      for (const controller of controllers) controller.abort();
      await Promise.all(ended);
      for (let i = 0; i < 1_000 && watches.watchers > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
      assertEquals(watches.watchers, 0);
    }
    assertEquals(apps.reports, []);
    assert((await apps.ask("b", "/v1/locks/g")).ok);
  }));

Deno.test("HEAD of a stream is its headers, and watches nothing", () =>
  withApps(3, async (apps) => {
    for (const path of ["/v1/locks/h/events", "/v1/locks/events?prefix="]) {
      const response = await apps.ask("a", path, { method: "HEAD" });
      assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"]);
      assertEquals([await response.text(), apps.cluster.node("a").watches.watchers], ["", 0]);
    }
  }));

Deno.test("a poll for what was deleted since is a 404", async () => {
  const receipt = { path: "read", instance: 3, ballot: "0..0" } as const;
  const { app } = scripted({ poll: { isNewer: true, body: null, receipt } });
  const response = await app.request("/v1/locks/gone?after=1");
  assertEquals([response.status, (await response.json()).code], [404, "not-found"]);
  assertEquals(response.headers.get("consensus-instance"), "3");
});

const CHANGES: readonly (readonly [path: string, init: RequestInit, shows: Record<string, unknown>])[] = [
  ["/v1/locks/n", { method: "POST", body: '{"holder":"h"}' }, { state: "held" }],
  ["/v1/elections/n", { method: "POST", body: '{"candidate":"h"}' }, { lastTerm: "1025" }],
  ["/v1/semaphores/n", { method: "POST", body: '{"limit":2}' }, { limit: 2 }],
  ["/v1/kv/n", { method: "PUT", body: "v", headers: { "content-type": "text/plain" } }, { bytes: "dg==" }],
];

Deno.test("every noun is watched alike: by its name, by a prefix and by a poll, changed at one node and seen at another", () =>
  withApps(3, async (apps) => {
    for (const [path, init, shows] of CHANGES) {
      const one = await open(`${apps.url("b")}${path}/events`);
      const isKv = path.startsWith("/v1/kv/");
      assertEquals((await one.next())?.event, isKv ? "deleted" : "changed", path);
      const all = await open(`${apps.url("c")}${path.slice(0, -2)}/events?prefix=`);
      assertEquals((await all.next())?.event, "resync");
      const poll = apps.ask("c", `${path}?after=0&waitMs=60000`);
      const changed = await apps.ask("a", path, init);
      const { revision } = await changed.json();
      for (const event of [await one.next(), await all.next()]) {
        assertEquals([event?.event, event?.data["name"], event?.data["revision"]], ["changed", "n", revision]);
        for (const [key, value] of Object.entries(shows)) assertEquals(event?.data[key], value, `${path} ${key}`);
      }
      const polled = await poll;
      assertEquals([polled.status, isKv ? await polled.text() : (await polled.json()).revision], [
        200,
        isKv ? "v" : revision,
      ]);
      if (isKv) {
        assertEquals(polled.headers.get("content-type"), "text/plain");
        assertEquals((await apps.ask("a", path, { method: "DELETE" })).status, 200);
        const gone = await one.next();
        assertEquals([gone?.event, (await all.next())?.event], ["deleted", "deleted"]);
        assertEquals(gone?.data, { name: "n", revision: gone?.id });
        assertEquals((await apps.ask("c", `${path}?after=${revision}`)).status, 404);
      }
      await one.close();
      await all.close();
    }
  }));
