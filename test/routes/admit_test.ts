/** A node that has more to do than it can, over its routes: who is refused, how, and who never is. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ADMISSION_WAIT_MS, ADMITTED_AT_ONCE } from "../../src/limits.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { answer, GRANT, type Json, scripted } from "./scripted_node.ts";

/** An app whose node answers no take, until it is told to. */
function hanging() {
  const clock = new ManualClock();
  const release = Promise.withResolvers<void>();
  const hangs = () => release.promise.then(() => answer(GRANT));
  const { app, calls } = scripted({ acquire: hangs, get: hangs }, {
    now: () => clock.now(),
    after: (ms, run) => clock.after(ms, run),
  });
  const send = async (request: Request) => {
    const response = await app.fetch(request);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const ask = (method: string, path: string, body?: unknown) =>
    send(
      new Request(`http://localhost${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
    );
  const begun = async (count: number) => {
    for (let i = 0; i < 100 && calls.length < count; i++) await settled();
    assertEquals(calls.length, count);
  };
  const fill = async () => {
    const takes = Array.from({ length: ADMITTED_AT_ONCE }, (_, i) => ask("POST", `/v1/locks/full${i}`, {}));
    await begun(ADMITTED_AT_ONCE);
    return takes;
  };
  return { ask, send, calls, begun, fill, clock, release: release.resolve };
}

Deno.test("overload: what finds no room in time is 503 overloaded with nothing of it begun, and the rest is answered", async () => {
  const { ask, calls, fill, clock, release } = hanging();
  const takes = await fill();
  const late = [ask("POST", "/v1/locks/late", {}), ask("GET", "/v1/locks/late"), ask("POST", "/v1/batch", [])];
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

Deno.test("overload: who waits for a lock takes nobody's room", async () => {
  const { ask, begun, release } = hanging();
  const many = ADMITTED_AT_ONCE * 2;
  const waiters = Array.from({ length: many }, (_, i) => ask("POST", `/v1/locks/n${i}`, { waitMs: 60_000 }));
  await begun(many);
  const take = ask("POST", "/v1/locks/other", {});
  await begun(many + 1);
  release();
  await Promise.all([...waiters, take]);
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

Deno.test("overload: a batch has one place, and its operations none besides", async () => {
  const { ask, begun, release, calls } = hanging();
  const operations = Array.from({ length: 17 }, (_, i) => ({ method: "GET", path: `/v1/locks/n${i}` }));
  const batches = Array.from({ length: ADMITTED_AT_ONCE }, () => ask("POST", "/v1/batch", operations));
  await begun(ADMITTED_AT_ONCE * 16);
  release();
  for (const { status, text } of await Promise.all(batches)) {
    assertEquals(status, 200);
    assert(!text.includes("overloaded"));
  }
  assertEquals(calls.length, ADMITTED_AT_ONCE * 17);
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
