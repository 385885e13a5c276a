/** Watching over HTTP: changes made through one node, seen at another, over real sockets. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { fastClock, until } from "../replica/clocks.ts";
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
  // What never comes ends the test, not the patience of who runs it.
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(60_000) });
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
    const { lapsesInMs: _, ...shown } = (held!.data["holders"] as Record<string, unknown>[])[0]!;
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

Deno.test("events of a name: a Last-Event-ID that is empty, or of another stream, is told the state", () =>
  withApps(3, async (apps) => {
    await acquire(apps, "a", "w");
    const id = await session(apps, "a", 60_000);
    for (const path of ["/v1/locks/w", "/v1/elections/w", "/v1/semaphores/w", `/v1/sessions/${id}`]) {
      for (const last of ["", "x", "-1", "b.1.2", "123456789012345678901", "12345678901234567890"]) {
        const reader = await open(`${apps.url("b")}${path}/events`, { "last-event-id": last });
        const first = await reader.next();
        const state = await (await apps.ask("b", path)).json();
        assertEquals(
          [first?.event, first?.id],
          [last === "" ? "changed" : "resync", state.revision],
          `${path} ${last}`,
        );
        assertEquals(Object.keys(first!.data).sort(), Object.keys(state).sort());
        await reader.close();
      }
    }
  }));

Deno.test("events: data are ASCII, in every stream, so that no reader takes a part of them for the end of a line", () =>
  withApps(3, async (apps) => {
    const odd = "入口 ✅\u2028\u2029\u0085\u007f😀";
    const holder = "入口 ✅\u2028";
    const base = apps.url("b");
    // What fails must not wait for streams that nobody reads.
    using gone = new DisposableStack();
    const leave = gone.adopt(new AbortController(), (all) => all.abort());
    const begin = async (path: string, init: RequestInit = {}) => {
      const response = await fetch(base + path, { ...init, signal: leave.signal });
      assertEquals(response.status, 200, path);
      const reader = response.body!.getReader();
      return {
        /** Until this is among it. */
        async read(what: string): Promise<string> {
          let text = "";
          while (!text.includes(what)) {
            const { value } = await reader.read();
            for (const byte of value ?? []) assert(byte === 10 || (byte >= 0x20 && byte <= 0x7e), `${path}: ${byte}`);
            text += String.fromCharCode(...value ?? []);
          }
          await reader.cancel();
          return text;
        },
      };
    };
    const name = encodeURIComponent("入口\u2028");
    const body = JSON.stringify({ holder, metadata: odd });
    const one = await begin(`/v1/locks/${name}/events`);
    const all = await begin(`/v1/locks/events?prefix=${encodeURIComponent("入")}`);
    const { fence } = await (await apps.ask("a", `/v1/locks/${name}`, { method: "POST", body })).json();
    const queued = await begin(`/v1/locks/${name}`, {
      method: "POST",
      headers: { accept: "text/event-stream", "idempotency-key": "k" },
      body: JSON.stringify({ holder, metadata: odd, waitMs: 60_000 }),
    });
    for (const stream of [one, all]) {
      const [, data = ""] = /data: (.*"metadata".*)\n/.exec(await stream.read('"metadata"'))!;
      const [shown] = JSON.parse(data).holders;
      assertEquals([shown.holder, shown.metadata], [holder, odd]);
    }
    await apps.ask("c", `/v1/locks/${name}/${fence}`, { method: "DELETE" });
    const [, granted = ""] = /event: granted\ndata: (.*)\n/.exec(await queued.read('"metadata"'))!;
    assertEquals(JSON.parse(granted).metadata, odd);
  }));

Deno.test("in a path events are those of all: without a prefix, or by another method, it is said where such a name is", () =>
  withApps(3, async (apps) => {
    for (const [noun, field] of [["locks", "name"], ["elections", "name"], ["semaphores", "name"], ["kv", "key"]]) {
      for (const query of ["", "?after=0", "?timeoutMs=500"]) {
        const response = await apps.ask("a", `/v1/${noun}/events${query}`);
        const problem = await response.json();
        assertEquals([response.status, problem.field], [400, "prefix"], noun);
        assertStringIncludes(problem.detail, `/v1/${noun}/-?${field}=events`);
      }
      for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
        const response = await apps.ask("a", `/v1/${noun}/events`, { method });
        const problem = await response.json();
        assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD"], `${method} ${noun}`);
        assertStringIncludes(problem.detail, `/v1/${noun}/-?${field}=events`);
      }
    }
    for (const path of ["/v1/locks/x/events", "/v1/locks/x/history", "/v1/elections/x/events", "/v1/sessions/events"]) {
      for (const method of ["PUT", "DELETE", "POST", "OPTIONS"]) {
        const response = await apps.ask("a", path, { method });
        await response.body?.cancel();
        assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD"], `${method} ${path}`);
      }
    }
    const { fence } = await (await apps.ask("a", "/v1/locks/-?name=events", { method: "POST" })).json();
    assertEquals((await (await apps.ask("b", "/v1/locks/-?name=events")).json()).holders[0].fence, fence);
    const own = await open(`${apps.url("b")}/v1/locks/-/events?name=events`);
    assertEquals((await own.next())?.data["name"], "events");
    await own.close();
    const all = await open(`${apps.url("b")}/v1/locks/events?prefix=`);
    assertEquals((await all.next())?.event, "resync");
    await all.close();
    const named = await open(`${apps.url("b")}/v1/locks/-/events?name=a%2Fb`);
    assertEquals((await named.next())?.data["name"], "a/b");
    await named.close();
    const register = await open(`${apps.url("b")}/v1/kv/-/events?key=a%2Fb`);
    assertEquals((await register.next())?.data, { key: "a/b", revision: "0" });
    await register.close();
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

Deno.test("without a quorum a poll or a list is a 503; a stream says so in a comment and ends, to be asked for again", () =>
  withApps(3, async (apps) => {
    const id = await session(apps, "a", 60_000);
    apps.cluster.kill("b");
    apps.cluster.kill("c");
    for (
      const path of [
        "/v1/locks/p?after=0&waitMs=10&timeoutMs=150",
        `/v1/sessions/${id}?after=0&waitMs=10&timeoutMs=150`,
        "/v1/sessions?timeoutMs=150",
      ]
    ) {
      const response = await apps.ask("a", path, { headers: JSON_HEADERS });
      assertEquals([response.status, (await response.json()).code], [503, "no-quorum"], path);
    }
    for (const path of ["/v1/locks/p", "/v1/kv/p", `/v1/sessions/${id}`]) {
      const response = await apps.ask("a", `${path}/events?timeoutMs=150`);
      assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"], path);
      assertMatch(await response.text(), /^retry: 2000\n: no-quorum "[ -~]+"\n\n$/);
      const head = await apps.ask("a", `${path}/events?timeoutMs=150`, { method: "HEAD" });
      await head.body?.cancel();
    }
    await apps.cluster.restart("b");
    const url = `${apps.url("a")}/v1/locks/p/events`;
    let first: SeenEvent | null = null;
    for (let i = 0; i < 50 && first === null; i++) {
      const reader = await open(url);
      first = await reader.next();
      await reader.close();
    }
    assertEquals(first?.data["state"], "free", "whoever comes again is told the state");
    await until("nobody is left", () => apps.cluster.node("a").watches.watchers === 0);
  }));

Deno.test("whatever may pass is told to who watches as a stream that ends; what is not allowed, or wrong, by its status", () =>
  withApps(1, async (apps) => {
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const paths = ["/v1/locks/a%2Fx/events", "/v1/locks/events?prefix=a%2F"];
    for (const path of paths) {
      const limited = async (headers: Record<string, string>) => {
        const response = await apps.ask("a", path, { headers });
        return [response.status, response.status === 200 ? await response.text() : (await response.json()).code];
      };
      assertEquals(await limited({}), [401, "unauthenticated"]);
      assertEquals(await limited(bearer("t-other")), [403, "forbidden"]);
    }
    // The limit of this subject is used up.
    for (const path of paths) {
      let told: Response | null = null;
      for (let i = 0; i < 5 && told?.headers.has("retry-after") !== true; i++) {
        await told?.body?.cancel();
        told = await apps.ask("a", path, { headers: bearer("t-some") });
      }
      assertEquals([told!.status, told!.headers.get("content-type")], [200, "text/event-stream"]);
      assertMatch(await told!.text(), /^retry: [0-9]{4,}\n: rate-limited "[ -~]+"\n\n$/);
      assertEquals((await apps.ask("a", path, { method: "HEAD", headers: bearer("t-some") })).status, 429);
      assertEquals((await apps.ask("a", "/v1/locks/a%2Fx", { headers: bearer("t-some") })).status, 429);
    }
  }, {
    tokens: parseTokens(JSON.stringify([
      { subject: "some", sha256: sha256Hex("t-some"), scopes: ["lock:read:a/*"] },
      { subject: "other", sha256: sha256Hex("t-other"), scopes: ["kv:read:*"] },
    ])),
    rate: { perSecond: 0.001, burst: 2 },
  }));

Deno.test("clients that go away in the middle of a stream or a poll leave nothing behind", () =>
  withApps(3, async (apps) => {
    const { watches } = apps.cluster.node("b");
    const { port } = new URL(apps.url("b"));
    for (let round = 0; round < 3; round++) {
      // Sockets, and no fetch: one that is given up just as its answer comes may keep its connection for ever.
      const begun = new Set<number>();
      const connections = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const path = ["/v1/locks/g/events", "/v1/locks/events?prefix=", "/v1/locks/g?after=0&waitMs=60000"][i % 3];
        const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
        await connection.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`));
        connection.read(new Uint8Array(1)).then(() => begun.add(i), () => {});
        return connection;
      }));
      const isUnderWay = () => watches.watchers === 20 && begun.size === 14;
      for (let i = 0; i < 1_000 && !isUnderWay(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
      assertEquals([watches.watchers, begun.size], [20, 14]);
      for (const connection of connections) connection.close();
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
  ["/v1/kv/n", { method: "PUT", body: "v", headers: { "content-type": "text/plain" } }, { value: "dg==" }],
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
        const name = event?.data[isKv ? "key" : "name"];
        assertEquals([event?.event, name, event?.data["revision"]], ["changed", "n", revision]);
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
        assertEquals(gone?.data, { key: "n", revision: gone?.id });
        assertEquals((await apps.ask("c", `${path}?after=${revision}`)).status, 404);
      }
      await one.close();
      await all.close();
    }
  }));

const IDS = (body: { items: { id: string }[] }) => body.items.map(({ id }) => id);

async function session(apps: Apps, id: string, ttlMs: number, headers: Record<string, string> = {}): Promise<string> {
  const response = await apps.ask(id, "/v1/sessions", { method: "POST", headers, body: JSON.stringify({ ttlMs }) });
  return (await response.json()).id;
}

Deno.test("events of a session: what is bound to it as its GET shows it, keeping is none, and its end is the last", () =>
  withApps(3, async (apps) => {
    const id = await session(apps, "a", 60_000);
    const reader = await open(`${apps.url("b")}/v1/sessions/${id}/events`);
    const first = await reader.next();
    assertEquals([first?.event, first?.data["id"], first?.data["bound"]], ["changed", id, []]);
    const poll = apps.ask("c", `/v1/sessions/${id}?after=${first!.id}&waitMs=60000`);
    await apps.ask("c", `/v1/sessions/${id}`, { method: "PUT" });
    await apps.ask("a", "/v1/locks/bound", { method: "POST", body: JSON.stringify({ session: id }) });
    const bound = await reader.next();
    assertEquals([bound?.event, bound?.data["bound"]], ["changed", [{ noun: "lock", name: "bound" }]]);
    const shown = await (await apps.ask("c", `/v1/sessions/${id}`)).json();
    assertEquals(Object.keys(bound!.data).sort(), Object.keys(shown).sort());
    assertEquals([bound?.id, (await (await poll).json()).revision], [shown.revision, shown.revision]);
    await reader.close();

    const resumed = await open(`${apps.url("c")}/v1/sessions/${id}/events`, { "last-event-id": first!.id! });
    assertEquals((await resumed.next())?.id, bound?.id);
    const last = apps.ask("a", `/v1/sessions/${id}?after=${bound!.id}&waitMs=60000`);
    const ended = await (await apps.ask("b", `/v1/sessions/${id}`, { method: "DELETE" })).json();
    const gone = await resumed.next();
    assertEquals([gone?.event, gone?.data], ["deleted", { id, revision: gone!.id! }]);
    assert(BigInt(gone!.id!) <= BigInt(ended.revision));
    assertEquals(await resumed.next(), null, "the stream is over");
    const { status } = await last;
    assertEquals(status, 410);
    for (const path of ["/events", "?after=0", `?after=${gone!.id}&waitMs=60000`]) {
      const late = await apps.ask("c", `/v1/sessions/${id}${path}`);
      assertEquals([late.status, (await late.json()).code], [410, "lost"], path);
    }
    for (const node of apps.cluster.ids) assertEquals(apps.cluster.node(node).watches.watchers, 0);
    assertEquals(apps.reports, []);
  }));

Deno.test("events of a session: its owner and the node that kept it are gone; who watches sees it lapse, and what it held free", () =>
  withApps(
    3,
    async (apps) => {
      // On this clock 500 ms: a busy machine must come to everything below before they lapse.
      const id = await session(apps, "a", 10_000);
      const other = await session(apps, "a", 10_000);
      for (const [name, of] of [["one", id], ["two", other]]) {
        const body = JSON.stringify({ session: of });
        assertEquals((await apps.ask("a", `/v1/locks/${name}`, { method: "POST", body })).status, 200);
      }
      const reader = await open(`${apps.url("b")}/v1/sessions/${id}/events`);
      const all = await open(`${apps.url("c")}/v1/sessions/events?prefix=${other.slice(0, 8)}`);
      await all.next();
      await apps.ask("b", `/v1/sessions/${other}`, { method: "PUT" });
      await apps.ask("c", "/v1/locks/three", { method: "POST", body: JSON.stringify({ session: other }) });
      apps.cluster.kill("a");
      await reader.until(({ event }) => event === "deleted");
      await all.until(({ event, data }) => event === "deleted" && data["id"] === other);
      await all.close();
      for (const name of ["one", "two", "three"]) {
        const lock = await open(`${apps.url("b")}/v1/locks/${name}/events`);
        await lock.until(({ data }) => data["state"] === "free");
        await lock.close();
      }
      const { items } = await (await apps.ask("b", "/v1/locks/one/history")).json();
      assertEquals(items.map(({ end }: { end: string }) => end), ["session"]);
    },
    {},
    { clock: fastClock(20) },
  ));

Deno.test("sessions: events, polls and lists are of one's own; another's and one that never was are answered alike", () => {
  const tokens = parseTokens(JSON.stringify([
    { subject: "one", sha256: sha256Hex("one"), scopes: ["*:read,write:*"] },
    { subject: "two", sha256: sha256Hex("two"), scopes: ["*:read,write:*"] },
    { subject: "two", sha256: sha256Hex("narrow"), scopes: ["session:read:0/*", "lock:read:*"] },
  ]));
  const as = (token: string) => ({ authorization: `Bearer ${token}` });
  return withApps(3, async (apps) => {
    const theirs = await session(apps, "a", 60_000, as("one"));
    const mine = await session(apps, "b", 60_000, as("two"));
    const strip = (text: string) => text.replace(/"requestId":"[^"]*"/, "").replace(/[0-9a-f]{32}/g, "ID");
    for (const path of ["", "/events", "?after=0", "?after=0&waitMs=60000"]) {
      const answers = await Promise.all([theirs, "0".repeat(32)].map(async (id) => {
        const response = await apps.ask("c", `/v1/sessions/${id}${path}`, { headers: as("two") });
        return [response.status, strip(await response.text())];
      }));
      assertEquals(answers[0], answers[1]);
      assertEquals(answers[0]![0], 404);
    }
    const all = await open(`${apps.url("c")}/v1/sessions/events?prefix=`, as("two"));
    assertEquals((await all.next())?.event, "resync");
    for (const token of ["one", "two", "one"]) await session(apps, "a", 60_000, as(token));
    await apps.ask("a", `/v1/sessions/${theirs}`, { method: "DELETE", headers: as("one") });
    await apps.ask("a", `/v1/sessions/${mine}`, { method: "DELETE", headers: as("two") });
    const told = await all.until(({ event, data }) => event === "deleted" && data["id"] === mine);
    // That it was opened this node may have heard only now.
    const seen = told.filter(({ event, data }) => event === "deleted" || data["id"] !== mine);
    assertEquals(seen.map(({ event }) => event), ["changed", "deleted"]);
    await all.close();
    // One that ended, one that lives, and all that is another's beside them: also from where a stream was left.
    const { items } = await (await apps.ask("c", "/v1/sessions", { headers: as("two") })).json();
    assertEquals(items.map(({ id }: { id: string }) => id), [seen[0]!.data["id"]]);
    const resumed = await open(`${apps.url("c")}/v1/sessions/events?prefix=`, {
      ...as("two"),
      "last-event-id": seen[0]!.id!.replace(/\d+$/, "0"),
    });
    const again = await resumed.until(({ data }) => data["id"] === mine);
    for (const { data } of again) assert([mine, seen[0]!.data["id"]].includes(data["id"]), JSON.stringify(data));
    await resumed.close();
    for (const path of ["/v1/sessions", "/v1/sessions/events?prefix=0/"]) {
      assertEquals((await apps.ask("c", path, { headers: as("narrow") })).status, 403, path);
    }
  }, { tokens });
});

Deno.test("sessions: bad input of a list, a poll or a stream names its field", () =>
  withApps(3, async (apps) => {
    const id = await session(apps, "a", 60_000);
    for (
      const [path, field] of [
        ["?limit=0", "limit"],
        ["?limit=1001", "limit"],
        ["?cursor=", "cursor"],
        [`?prefix=${"x".repeat(513)}`, "prefix"],
        ["?values=true", "values"],
        [`/${id}?after=-1`, "after"],
        [`/${id}?after=0&waitMs=300001`, "waitMs"],
        [`/-?name=${id}&after=0`, "name"],
        [`/${id}0?after=0`, "id"],
        [`/${id}/events?name=${id}`, "name"],
        ["/x/events", "id"],
        ["/events?prefix=%00", "prefix"],
        ["/events", "prefix"],
        [`?cursor=${"0".repeat(513)}`, "cursor"],
      ] as const
    ) {
      const response = await apps.ask("b", `/v1/sessions${path}`);
      const { code, field: named } = await response.json();
      assertEquals([response.status, code, named], [400, "invalid-request", field], path);
    }
    assertEquals(IDS(await (await apps.ask("b", "/v1/sessions?prefix=&limit=1")).json()), [id]);
  }));
