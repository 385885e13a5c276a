/** Waiting as a stream of events, over real sockets and through two nodes. */
import { assert, assertEquals } from "@std/assert";
import { EventReader } from "./event_reader.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { scripted } from "./scripted_node.ts";
import { QuorateError } from "../../src/errors.ts";

const EVENTS = { accept: "text/event-stream" };
const WAIT = { waitMs: 60_000, holder: "w" };

async function hold(apps: Apps, id: string, name: string): Promise<string> {
  const response = await apps.ask(id, `/v1/locks/${name}`, { method: "POST", body: '{"holder":"first"}' });
  return (await response.json()).fence;
}

function release(apps: Apps, id: string, name: string, fence: string): Promise<Response> {
  return apps.ask(id, `/v1/locks/${name}/${fence}`, { method: "DELETE" });
}

async function wait(apps: Apps, id: string, name: string, body: unknown = WAIT, headers: Record<string, string> = {}) {
  const response = await fetch(`${apps.url(id)}/v1/locks/${name}`, {
    method: "POST",
    headers: { ...EVENTS, ...headers },
    body: JSON.stringify(body),
  });
  assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"]);
  return { reader: new EventReader(response), key: response.headers.get("idempotency-key")! };
}

Deno.test("a waiter's stream: its position, the next one, then the grant, and the end", () =>
  withApps(3, async (apps) => {
    const fence = await hold(apps, "a", "q");
    const one = await wait(apps, "b", "q", { ...WAIT, holder: "one" });
    assertEquals(await one.reader.next(), { event: "queued", id: null, data: { position: 1 } });
    const two = await wait(apps, "c", "q", { ...WAIT, holder: "two" });
    assertEquals((await two.reader.next())?.data, { position: 2 });
    await release(apps, "a", "q", fence);
    const granted = await one.reader.next();
    assertEquals([granted?.event, granted?.data["holder"]], ["granted", "one"]);
    assert(BigInt(`${granted?.data["fence"]}`) > BigInt(fence));
    assertEquals(await one.reader.next(), null);
    assertEquals((await two.reader.next())?.data, { position: 1 });
    await release(apps, "a", "q", `${granted?.data["fence"]}`);
    assertEquals((await two.reader.next())?.data["holder"], "two");
    assertEquals(await two.reader.next(), null);
  }));

Deno.test("a waiter's stream: cut, it goes on with its place at another node under the same Idempotency-Key", () =>
  withApps(3, async (apps) => {
    const fence = await hold(apps, "a", "q");
    const first = await wait(apps, "b", "q", WAIT, { "idempotency-key": "mine" });
    assertEquals((await first.reader.next())?.data, { position: 1 });
    const behind = await wait(apps, "a", "q", { ...WAIT, holder: "behind" });
    assertEquals((await behind.reader.next())?.data, { position: 2 });
    await first.reader.close();
    const again = await wait(apps, "c", "q", WAIT, { "idempotency-key": first.key });
    assertEquals((await again.reader.next())?.data, { position: 1 }, "still before who came later");
    await release(apps, "a", "q", fence);
    const granted = await again.reader.next();
    assertEquals([granted?.event, granted?.data["holder"]], ["granted", "w"]);
    // Asked once more, it is the same grant; with another body it is another request.
    const repeated = await wait(apps, "a", "q", WAIT, { "idempotency-key": first.key });
    assertEquals((await repeated.reader.next())?.data["fence"], granted?.data["fence"]);
    const other = await apps.ask("b", "/v1/locks/q", {
      method: "POST",
      headers: { ...EVENTS, "idempotency-key": first.key },
      body: JSON.stringify({ ...WAIT, holder: "other" }),
    });
    assertEquals([other.status, (await other.json()).code], [422, "idempotency-mismatch"]);
    await behind.reader.close();
  }));

Deno.test("a waiter's stream: its node dies while it is first; at another node it is first still", () =>
  withApps(5, async (apps) => {
    const fence = await hold(apps, "a", "q");
    const first = await wait(apps, "b", "q", WAIT, { "idempotency-key": "mine" });
    assertEquals((await first.reader.next())?.data, { position: 1 });
    apps.cluster.kill("b");
    await first.reader.close();
    const again = await wait(apps, "c", "q", WAIT, { "idempotency-key": first.key });
    assertEquals((await again.reader.next())?.data, { position: 1 });
    await release(apps, "a", "q", fence);
    assertEquals((await again.reader.next())?.event, "granted");
  }));

Deno.test("a waiter's stream: what is refused before there is a place is an ordinary answer, later it is an event", () =>
  withApps(3, async (apps) => {
    await hold(apps, "a", "q");
    const refused = await apps.ask("b", "/v1/locks/q", { method: "POST", headers: EVENTS, body: "{}" });
    assertEquals([refused.status, (await refused.json()).code], [409, "held"]);
    const invalid = await apps.ask("b", "/v1/locks/q", { method: "POST", headers: EVENTS, body: '{"ttlMs":1}' });
    assertEquals([invalid.status, (await invalid.json()).field], [400, "ttlMs"]);
    const { reader } = await wait(apps, "b", "q", { ...WAIT, waitMs: 30 });
    assertEquals((await reader.next())?.event, "queued");
    const late = await reader.next();
    assertEquals([late?.event, late?.data["status"], late?.data["code"]], ["error", 409, "held"]);
    assertEquals(await reader.next(), null);
    const free = await wait(apps, "c", "free", {});
    assertEquals((await free.reader.next())?.event, "granted");
  }));

Deno.test("Accept: only its media type text/event-stream asks for events", async () => {
  const cases: [string, boolean][] = [
    ["text/event-stream", true],
    ["application/json, Text/Event-Stream;q=0.9", true],
    ["*/*", false],
    ["text/event-streams", false],
    ["application/json", false],
  ];
  for (const [accept, expected] of cases) {
    const { app } = scripted();
    const response = await app.request("/v1/locks/a", { method: "POST", headers: { accept } });
    assertEquals(response.headers.get("content-type"), expected ? "text/event-stream" : "application/json", accept);
    await response.body?.cancel();
  }
});

Deno.test("a waiter's stream: a failure of the node's own is an event without its text, and in the log; a leaver's is neither", async () => {
  const fail = Promise.withResolvers<never>();
  const { app, reports } = scripted({
    acquire: (_name: unknown, _request: unknown, { onPosition }: { onPosition: (n: number) => void }) => {
      onPosition(3);
      return fail.promise;
    },
  });
  const response = await app.request("/v1/locks/a", { method: "POST", headers: EVENTS });
  const left = await app.request("/v1/locks/a", { method: "POST", headers: EVENTS });
  await left.body!.cancel();
  fail.reject(new Error("hunter2"));
  const reader = new EventReader(response);
  assertEquals((await reader.next())?.data, { position: 3 });
  const error = await reader.next();
  assertEquals([error?.data["code"], error?.data["outcome"]], ["internal", "unknown"]);
  assert(!JSON.stringify(error).includes("hunter2"));
  assertEquals(reports.length, 1);
  assert(!(reports[0] instanceof QuorateError));
});

Deno.test("a waiter's stream: elections and semaphores tell positions and grants likewise", () =>
  withApps(3, async (apps) => {
    const cases = [
      ["/v1/elections/q", { candidate: "first" }, { candidate: "second", waitMs: 60_000 }, "term"],
      ["/v1/semaphores/q", { limit: 1, holder: "first" }, { limit: 1, holder: "second", waitMs: 60_000 }, "fence"],
    ] as const;
    for (const [path, first, second, number] of cases) {
      const held = await apps.ask("a", path, { method: "POST", body: JSON.stringify(first) });
      const fence = (await held.json())[number];
      const response = await fetch(apps.url("b") + path, {
        method: "POST",
        headers: EVENTS,
        body: JSON.stringify(second),
      });
      const reader = new EventReader(response);
      assertEquals(await reader.next(), { event: "queued", id: null, data: { position: 1 } });
      assertEquals((await apps.ask("c", `${path}/${fence}`, { method: "DELETE" })).status, 200);
      const granted = await reader.next();
      assertEquals(granted?.event, "granted");
      assert(BigInt(`${granted?.data[number]}`) > BigInt(fence));
      assertEquals(await reader.next(), null);
    }
  }));
