/** What a caller is guaranteed of a grant that a second node answered with: never more than holds from its own send. */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { createGateway } from "../../src/gateway/gateway.ts";
import { laterEvents, laterGrant } from "../../src/client/late_grant.ts";
import { VirtualClock } from "../sim/virtual_time.ts";
import { type Apps, memoryApps } from "../routes/memory_apps.ts";

const encoder = new TextEncoder();
const later = (body: unknown, lateMs: number) => {
  const text = laterGrant(encoder.encode(JSON.stringify(body)), lateMs);
  return text === null ? null : JSON.parse(text);
};

Deno.test("late grant: only waitedMs is changed, in a grant or a set of them, whether it was waited for or not", () => {
  const waited = { fence: "1", waitedMs: 10, guaranteedForMs: 100, lapsesInMs: 200, ttlMs: 90 };
  const { waitedMs: _, ...none } = waited;
  assertEquals(later(waited, 1_000), { ...waited, waitedMs: 990 });
  assertEquals(later({ ...waited, waitedMs: 0 }, 1_000), { ...waited, waitedMs: 980 });
  assertEquals(later(none, 1_000), { ...waited, waitedMs: 980 });
  assertEquals(later({ grants: [waited, none, 7] }, 1_000), {
    grants: [{ ...waited, waitedMs: 990 }, { ...waited, waitedMs: 980 }, 7],
  });
  for (
    const body of [{ grants: [] }, { waitedMs: 10 }, { outcome: "released" }, [], null, 7, "x", [waited], {
      guaranteedForMs: "7",
    }]
  ) {
    assertEquals(later(body, 1_000), null);
  }
  assertEquals(laterGrant(encoder.encode("{"), 1_000), null);
});

Deno.test("late grant: what is added is rounded down and scaled for both clocks; less than a millisecond is nothing", () => {
  const grant = { waitedMs: 0, guaranteedForMs: 100 };
  for (const [lateMs, added] of [[1.5, 1], [101, 99], [102, 99], [10_100, 9_900], [300_000, 294_059]] as const) {
    assertEquals(later(grant, lateMs), { ...grant, waitedMs: added });
  }
  for (const lateMs of [0, 0.4, 1]) assertEquals(later(grant, lateMs), null);
});

async function streamed(chunks: readonly Uint8Array[], lateMs: number): Promise<string> {
  return await new Response(laterEvents(ReadableStream.from(chunks), lateMs)).text();
}

Deno.test("late grant: of a stream only what `granted` says is changed, wherever its bytes are cut", async () => {
  const grant = {
    holder: "é\u2028 ✅",
    metadata: 'event: granted\n\n"waitedMs":1',
    waitedMs: 20,
    guaranteedForMs: 100,
  };
  const granted = `event: granted\ndata: ${JSON.stringify(grant)}\n\n`;
  const others = `event: queued\ndata: {"position":2}\n\n:\n\nevent: error\ndata: {"guaranteedForMs":1}\n\n`;
  const bytes = encoder.encode(others + granted + "event: que");
  for (const size of [1, 2, 3, 7, 40, bytes.length]) {
    const chunks = Array.from(
      { length: Math.ceil(bytes.length / size) },
      (_, i) => bytes.slice(i * size, (i + 1) * size),
    );
    const text = await streamed(chunks, 1_000);
    assert(text.startsWith(others) && text.endsWith("\n\nevent: que"), text);
    const data = text.slice(others.length).split("\n")[1]!;
    assertMatch(data, /^data: [\x20-\x7e]*$/);
    assertEquals(JSON.parse(data.slice(6)), { ...grant, waitedMs: 1_000 });
    // What rounds to nothing is the very same stream.
    assertEquals(await streamed(chunks, 0.4), new TextDecoder().decode(bytes));
  }
});

Deno.test("late grant: a stream whose event never ends is not gathered, and one that is no grant comes through", async () => {
  const endless = "x".repeat(10_000);
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({ pull: (stream) => (sent++, stream.enqueue(encoder.encode(endless))) });
  const reader = laterEvents(body, 1_000).getReader();
  assertGreater((await reader.read()).value!.length, 60_000);
  assert(sent < 20, `${sent}`);
  await reader.cancel();
  for (const text of ["event: granted\ndata: {\n\n", "event: granted\n\n", "event: granted\ndata: 7\n\n"]) {
    assertEquals(await streamed([encoder.encode(text)], 1_000), text);
  }
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
      // What a gateway asks before it writes is no try.
      if (search.includes("consistency=stale")) return apps.ask(id, pathname + search, init);
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
  // Nodes that answer a repeated take with the times of the first fail it.
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
      assertEquals([response.status, grant.replayed, fences], [200, true, [grant.fence, grant.fence]]);
      const untilMs = sentMs + grant.waitedMs + grant.guaranteedForMs;
      // The lease begins anew with the second try.
      assertGreater(untilMs, clock.now() + 7_000);
      await clock.sleep(untilMs - 1 - clock.now());
      assertEquals(await thief(apps, "x"), 409);
    });
  });
}

Deno.test(
  "late grant: a long wait at a node that dies: the grant out of the queue of the next is worth its ttl",
  async () => {
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
      const untilMs = sentMs + grant.waitedMs + grant.guaranteedForMs;
      // Without what went by at the first node it would be over before it came.
      assertGreater(untilMs, clock.now() + 7_000);
      await clock.sleep(untilMs - 1 - clock.now());
      assertEquals(await thief(apps, "x"), 409);
      // The wait is told 2 % short, and so is the ttl.
      await clock.sleep(1_000);
      assertEquals(await thief(apps, "x"), 200, "and not for ever");
    });
  },
);
