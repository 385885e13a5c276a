import { assertEquals, assertMatch } from "@std/assert";
import { UnderWay } from "../../routes/under_way.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { withApps } from "./memory_apps.ts";
import { answer, GRANT, scripted } from "./scripted_node.ts";

const WHY = "the members of the cluster change";

function standing(script: Record<string, unknown>) {
  const clock = new ManualClock();
  const underWay = new UnderWay((ms, run) => clock.after(ms, run));
  const node = scripted(script, { underWay });
  const ask = async (method: string, path: string, headers: Record<string, string> = {}) => {
    const response = await node.app.request(path, { method, headers });
    return { status: response.status, body: await response.json() };
  };
  return { ...node, clock, underWay, ask };
}

Deno.test("under way: what comes to its end in time is answered as it would be", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { ask, underWay, clock } = standing({ acquire: () => promise });
  const asked = ask("POST", "/v1/locks/x");
  await settled();
  const ended = underWay.end(200, WHY);
  await clock.pass(199);
  resolve(answer(GRANT));
  assertEquals((await asked).status, 200);
  await ended;
  assertEquals(clock.timers, 0);
});

Deno.test("under way: the rest is told to come again, a write with its key as nobody knows what became of it", async () => {
  const never = new Promise(() => {});
  const { ask, underWay, clock, reports } = standing({ acquire: () => never, get: () => never });
  const write = ask("POST", "/v1/locks/x", { "Idempotency-Key": "k1" });
  const read = ask("GET", "/v1/locks/x");
  await settled();
  const ended = underWay.end(200, WHY);
  await clock.pass(200);
  const { status, body } = await write;
  assertEquals([status, body.code, body.idempotencyKey, body.retryable], [504, "outcome-unknown", "k1", true]);
  assertEquals((await read).status, 503);
  assertEquals((await read).body.detail, WHY);
  await ended;
  assertEquals(reports, []);
});

Deno.test("under way: what fails after it was cut off is no failure of the node", async () => {
  const { promise, reject } = Promise.withResolvers<unknown>();
  const { ask, underWay, clock, reports } = standing({ get: () => promise });
  const asked = ask("GET", "/v1/locks/x");
  await settled();
  const ended = underWay.end(200, WHY);
  await clock.pass(200);
  assertEquals((await asked).status, 503);
  await ended;
  reject(new Error("too late"));
  await settled();
  assertEquals(reports, []);
});

Deno.test("under way: with nothing under way it is over at once, and streams end", () => {
  const clock = new ManualClock();
  const underWay = new UnderWay((ms, run) => clock.after(ms, run));
  return withApps(1, async (apps) => {
    const stream = await apps.ask("a", "/v1/locks/x/events");
    assertEquals(stream.status, 200);
    await underWay.end(200, WHY);
    assertMatch(await stream.text(), /^event: changed\n/);
    assertEquals(clock.timers, 0);
  }, { underWay });
});
