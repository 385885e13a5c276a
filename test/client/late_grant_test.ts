/** What a caller is guaranteed of a grant that a second node answered with: never more than holds from its own send. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { createGateway } from "../../src/client/gateway.ts";
import { laterGrant } from "../../src/client/late_grant.ts";
import { VirtualClock } from "../sim/virtual_time.ts";
import { type Apps, memoryApps } from "../routes/memory_apps.ts";

const encoder = new TextEncoder();
const later = (body: unknown, lateMs: number) => {
  const text = laterGrant(encoder.encode(JSON.stringify(body)), lateMs);
  return text === null ? null : JSON.parse(text);
};

Deno.test("late grant: only what was waited for is changed, in a grant or a set of them", () => {
  const waited = { fence: "1", waitedMs: 10, guaranteedForMs: 100, lapsesInMs: 200, ttlMs: 90 };
  const shown = { fence: "1", waitedMs: 1_010, guaranteedForMs: 1_090, lapsesInMs: 1_210, ttlMs: 90 };
  const atOnce = { ...waited, waitedMs: 0 };
  assertEquals(later(waited, 1_000), shown);
  assertEquals(later({ grants: [waited, atOnce] }, 1_000), { grants: [shown, atOnce] });
  for (
    const body of [atOnce, { grants: [atOnce] }, { waitedMs: 10 }, { outcome: "released" }, [], null, 7, "x", [waited]]
  ) {
    assertEquals(later(body, 1_000), null);
  }
  assertEquals(laterGrant(encoder.encode("{"), 1_000), null);
});

type Call = { readonly id: string; readonly answer: Promise<Response> };

/** A gateway before a real cluster in virtual time. `through` says what becomes of each call to a node. */
async function withCluster(
  through: (call: Call, count: number) => Promise<Response>,
  run: (
    world: { clock: VirtualClock; apps: Apps; ask: (path: string, body: object) => Promise<Response> },
  ) => Promise<void>,
): Promise<void> {
  const clock = new VirtualClock();
  const apps = await memoryApps(3, {}, { clock });
  let count = 0;
  let ids = 0;
  const gateway = createGateway({
    nodes: apps.cluster.ids.map((id) => `http://${id}.example`),
    fetch: (url, init) => {
      const { host, pathname, search } = new URL(url);
      const id = host.slice(0, 1);
      if (pathname === "/healthz") return id === "a" ? Promise.resolve(new Response()) : new Promise(() => {});
      return through({ id, answer: apps.ask(id, pathname + search, init) }, ++count);
    },
    clock,
    newId: () => `made-${++ids}`,
    report: (error) => console.error(error),
  });
  const ask = (path: string, body: object) =>
    gateway(new Request(`https://locks.example${path}`, { method: "POST", body: JSON.stringify(body) }));
  try {
    await clock.run(run({ clock, apps, ask }), 120_000);
  } finally {
    await apps.close();
  }
}

/** Whether somebody else gets it, asked through a node that saw nothing of the gateway. */
async function thief(apps: Apps, name: string): Promise<number> {
  const body = JSON.stringify({ holder: "thief" });
  const response = await apps.ask("c", `/v1/locks/${name}`, { method: "POST", body });
  await response.body?.cancel();
  return response.status;
}

for (const after of ["an answer that is lost at once", "an answer that never comes"]) {
  Deno.test(`late grant: granted, and ${after}: one fence, and held for all that the answer says`, async () => {
    const fences: unknown[] = [];
    const through = async ({ id, answer }: Call) => {
      const response = await answer;
      fences.push((await response.clone().json()).fence);
      if (id !== "a") return response;
      if (after.includes("lost")) throw new TypeError("connection closed");
      return await new Promise<Response>(() => {});
    };
    await withCluster(through, async ({ clock, apps, ask }) => {
      const sentMs = clock.now();
      const response = await ask("/v1/locks/x", { ttlMs: 8_000 });
      const grant = await response.json();
      assertEquals([response.status, grant.waitedMs, fences], [200, 0, [grant.fence, grant.fence]]);
      assertGreater(sentMs + grant.guaranteedForMs, clock.now());
      await clock.sleep(sentMs + grant.guaranteedForMs - 1 - clock.now());
      assertEquals(await thief(apps, "x"), 409);
    });
  });
}

Deno.test("late grant: a long wait at a node that dies: the grant out of the queue of the next is worth its ttl", async () => {
  const cut = Promise.withResolvers<Response>();
  const through = ({ answer }: Call, count: number) => count === 1 ? cut.promise : answer;
  await withCluster(through, async ({ clock, apps, ask }) => {
    const held = await (await apps.ask("b", "/v1/locks/x", { method: "POST", body: `{"ttlMs":60000}` })).json();
    const sentMs = clock.now();
    const asked = ask("/v1/locks/x", { ttlMs: 8_000, waitMs: 60_000 });
    await clock.sleep(20_000);
    cut.reject(new TypeError("connection closed"));
    await clock.sleep(2_000);
    await (await apps.ask("b", `/v1/locks/x/${held.fence}`, { method: "DELETE" })).body?.cancel();
    const grant = await (await asked).json();
    assert(grant.fence !== held.fence && grant.waitedMs >= 21_000, JSON.stringify(grant));
    const untilMs = sentMs + grant.guaranteedForMs;
    // Without what went by at the first node it would be over before it came.
    assertGreater(untilMs, clock.now() + 7_000);
    await clock.sleep(untilMs - 1 - clock.now());
    assertEquals(await thief(apps, "x"), 409);
    await clock.sleep(500);
    assertEquals(await thief(apps, "x"), 200, "and not for ever");
  });
});
