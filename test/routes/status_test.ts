/** What a node says of itself and of records it cannot answer from, over HTTP. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { STOPPED_SHOWN_MAX } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { EventReader } from "./event_reader.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { tell } from "./noun_requests.ts";

const { hash } = createMachine({ digest: sha256Hex });
const base64 = (text: string) => btoa(text);

/** Waits until every disk has the record at `instance`, or a later one. */
async function settledAt(apps: Apps, key: string, instance: number): Promise<void> {
  const { cluster } = apps;
  const standsAt = (id: string) => JSON.parse(cluster.disk(id).records.get(key) ?? '{"instance":0}').instance;
  await until(`${key} is everywhere`, () => cluster.ids.every((id) => standsAt(id) >= instance));
}

/** One node's record says another value, as a fault of memory or an editor left it; with or without the hash that fits. */
function rot(apps: Apps, id: string, key: string, from: string, to: string, isHashed: boolean): void {
  const { records } = apps.cluster.disk(id);
  const record = JSON.parse(records.get(key)!.replaceAll(from, to));
  assert(JSON.stringify(record) !== records.get(key), "it is another one now");
  records.set(key, JSON.stringify({ ...record, stateHash: isHashed ? hash(record.state) : "rotten" }));
}

for (const isHashed of [true, false]) {
  const what = isHashed ? "contradicts the others'" : "is not what its hash is of";
  Deno.test(`status: a record that ${what} answers nothing, reads are the others', and it is told`, async () => {
    const lines: string[] = [];
    await withApps(
      3,
      async (apps) => {
        assertEquals((await tell(apps, "b", "PUT", "/v1/kv/x", "sound")).status, 200);
        await settledAt(apps, "kv/x", 2);
        rot(apps, "a", "kv/x", base64("sound"), base64("wrong"), isHashed);
        const read = (path = "") => apps.ask("a", `/v1/kv/x${path}`);
        for (let i = 0; i < 3; i++) {
          const response = await read();
          assertEquals([response.status, await response.text()], [200, "sound"]);
        }
        await until("it is told", async () => (await tell(apps, "a", "GET", "/v1/status")).body.stopped !== undefined);
        const { stopped } = (await tell(apps, "a", "GET", "/v1/status")).body;
        assertEquals([stopped.count, stopped.names.length], [1, 1]);
        assertEquals([stopped.names[0].noun, stopped.names[0].name], ["kv", "x"]);
        for (const id of ["b", "c"]) {
          assertEquals((await tell(apps, id, "GET", "/v1/status")).body.stopped, undefined);
        }
        const refused = [
          await tell(apps, "a", "GET", "/v1/kv/x?consistency=stale"),
          await tell(apps, "a", "PUT", "/v1/kv/x", "more"),
        ];
        assertEquals(refused.map(({ status, body }) => [status, body.code]), Array(2).fill([503, "not-ready"]));
        assertStringIncludes(await (await read("/events")).text(), ": not-ready ");
        const { body: page } = await tell(apps, "a", "GET", "/v1/kv?prefix=&values=true");
        assertEquals(page.items.map(({ value }: { value: string }) => value), [base64("sound")]);
        assertEquals(
          lines.filter((line) => line.startsWith('a: "kv/x" answers nothing here')).length,
          1,
          lines.join("\n"),
        );
        assertEquals(lines.filter((line) => line.includes("different states")).length, isHashed ? 1 : 0);
        // The others go on without it.
        assertEquals((await tell(apps, "c", "PUT", "/v1/kv/x", "later")).status, 200);
        assertEquals(await (await read()).text(), "later");
      },
      {},
      { report: (id, line) => lines.push(`${id}: ${line}`) },
    );
  });
}

Deno.test("status: with two states and nobody to say which, a read is refused, and both records are left as they are", () =>
  withApps(3, async (apps) => {
    await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
    await settledAt(apps, "kv/x", 2);
    rot(apps, "a", "kv/x", base64("sound"), base64("wrong"), true);
    apps.cluster.kill("c");
    for (const id of ["a", "b"]) {
      const { status, body } = await tell(apps, id, "GET", "/v1/kv/x?timeoutMs=200");
      assertEquals([status, body.code], [503, "no-quorum"], id);
      assert(body.detail.includes("different states"), body.detail);
      assertEquals((await tell(apps, id, "GET", "/v1/status")).body.stopped, undefined);
    }
  }));

Deno.test("status: a session whose record has stopped here lives on, is listed, and what is bound to it is its own", () =>
  withApps(3, async (apps) => {
    const { body: session } = await tell(apps, "b", "POST", "/v1/sessions", { holder: "me", ttlMs: 60_000 });
    const key = `session/${session.id}`;
    await settledAt(apps, key, 2);
    rot(apps, "a", key, '"holder":"me"', '"holder":"xy"', true);
    const { body } = await tell(apps, "a", "GET", `/v1/sessions/${session.id}`);
    assertEquals(body.holder, "me");
    await until("it has stopped", async () => (await tell(apps, "a", "GET", "/v1/status")).body.stopped !== undefined);
    const { body: page } = await tell(apps, "a", "GET", "/v1/sessions?prefix=");
    assertEquals(page.items.map(({ holder }: { holder: string }) => holder), ["me"]);
    const { status } = await tell(apps, "b", "POST", "/v1/locks/bound", { session: session.id });
    assertEquals(status, 200);
    await settledAt(apps, "lock/bound", 2);
    // Whether its holder's session has ended, a quorum says.
    assertEquals((await tell(apps, "a", "POST", "/v1/locks/bound")).body.code, "held");
    const events = await apps.ask("a", `/v1/sessions/${session.id}/events`);
    assertStringIncludes(await events.text(), ": not-ready ");
  }));

Deno.test("status: those who watch a name whose record has stopped here go on being told, by what a quorum has", () =>
  withApps(
    3,
    async (apps) => {
      await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
      await settledAt(apps, "kv/x", 2);
      const streams = ["/v1/kv/x/events", "/v1/kv/events?prefix="];
      const readers = await Promise.all(streams.map(async (path) => new EventReader(await apps.ask("a", path))));
      for (const reader of readers) await reader.next();
      rot(apps, "a", "kv/x", base64("sound"), base64("wrong"), true);
      await (await apps.ask("a", "/v1/kv/x")).text();
      await until(
        "it has stopped",
        async () => (await tell(apps, "a", "GET", "/v1/status")).body.stopped !== undefined,
      );
      const { body: written } = await tell(apps, "b", "PUT", "/v1/kv/x", "later");
      for (const reader of readers) {
        const seen = await reader.until(({ data }) => data["revision"] === written.revision);
        assert(seen.every(({ data }) => data["value"] !== base64("wrong")));
        await reader.close();
      }
    },
    {},
    { clock: fastClock(100) },
  ));

Deno.test("status: whoever may not read a name is not told that it has stopped, and a great many are counted", async () => {
  const tokens = parseTokens(JSON.stringify([
    { subject: "mine", sha256: sha256Hex("mine"), scopes: ["lock:read:mine/*"] },
    { subject: "root", sha256: sha256Hex("root"), scopes: ["admin:*"] },
  ]));
  await withApps(1, async (apps) => {
    const { records } = apps.cluster.disk("a");
    const names = ["mine/a", "theirs/b", ...Array.from({ length: STOPPED_SHOWN_MAX }, (_, i) => `theirs/${i}`)];
    const { locks } = apps.cluster.node("a");
    for (const name of names) {
      records.set(`lock/${name}`, '{"instance":2,"state":{},"stateHash":"rotten"}');
      await locks.get(name, { stale: true, timeoutMs: 1_000 }).catch(() => {});
    }
    const stopped = async (token: string) =>
      (await tell(apps, "a", "GET", "/v1/status", undefined, { authorization: `Bearer ${token}` })).body.stopped;
    const mine = await stopped("mine");
    assertEquals([mine.count, mine.names.map(({ name }: { name: string }) => name)], [names.length, ["mine/a"]]);
    const all = await stopped("root");
    assertEquals([all.count, all.names.length], [names.length, STOPPED_SHOWN_MAX]);
    assertEquals((await tell(apps, "a", "GET", "/v1/status")).status, 401);
  }, { tokens });
});

Deno.test("status: every answer to a caller that is known says the epoch, refusals and streams too; no stranger is told", () => {
  const tokens = parseTokens(JSON.stringify([
    { subject: "mine", sha256: sha256Hex("mine"), scopes: ["lock:read,write:mine/*"] },
  ]));
  return withApps(1, async (apps) => {
    const epochOf = async (method: string, path: string, more: Record<string, string> = {}, token = "mine") => {
      const headers = { authorization: `Bearer ${token}`, ...more };
      const response = await apps.ask("a", path, { method, headers, ...(method === "POST" ? { body: "{}" } : {}) });
      await response.body?.cancel();
      return [response.status, response.headers.get("quorate-epoch")];
    };
    assertEquals(await epochOf("POST", "/v1/locks/mine%2Fx"), [200, "3"]);
    assertEquals(await epochOf("GET", "/v1/locks/mine%2Fx"), [200, "3"]);
    assertEquals(await epochOf("HEAD", "/v1/locks/mine%2Fx"), [200, "3"]);
    assertEquals(await epochOf("GET", "/v1/locks/mine%2Fx/events", { accept: "text/event-stream" }), [200, "3"]);
    assertEquals(await epochOf("GET", "/v1/locks/other"), [403, "3"]);
    assertEquals(await epochOf("GET", "/v1/locks/mine%2Fx?x"), [400, "3"]);
    assertEquals(await epochOf("GET", "/v1/locks/mine%2Fx", {}, "guessed"), [401, null]);
    assertEquals(await epochOf("GET", "/v1/nothing", {}, "guessed"), [401, null]);
    assertEquals(await epochOf("GET", "/healthz"), [200, null]);
    assertEquals(await epochOf("GET", "/readyz"), [200, null]);
  }, { tokens, epoch: 3 });
});
