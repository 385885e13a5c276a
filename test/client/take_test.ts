/** What stands in a node's place and is none, as a proxy's page: it is believed nothing, and every call comes to an end. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect } from "../../src/client/connect.ts";
import { QuorateError } from "../../src/client/error.ts";
import { until } from "../replica/clocks.ts";
import { type Scripted, scriptedNode, type Seen } from "./scripted_nodes.ts";

/** Longer than every call here takes, and than a test may hang. */
const HANG_MS = 10_000;

const GRANT = { name: "x", fence: "7", term: "7", candidate: "c", waitedMs: 0, guaranteedForMs: 600 };

async function withNode(answer: (seen: Seen) => Response, use: (node: Scripted) => Promise<void>): Promise<void> {
  const node = scriptedNode(answer);
  try {
    await use(node);
  } finally {
    await node.close();
  }
}

const page = () => new Response("<html>log in</html>", { headers: { "Content-Type": "text/html" } });
const events = (text: string) => new Response(text, { headers: { "Content-Type": "text/event-stream" } });
const NO_NODE: Readonly<Record<string, () => Response>> = {
  "a page": page,
  "nothing": () => new Response(null, { status: 204 }),
  "null": () => Response.json(null),
  "a redirect": () => new Response(null, { status: 302, headers: { Location: "http://elsewhere.example/" } }),
};

for (const [what, answer] of Object.entries(NO_NODE)) {
  Deno.test(`a stranger that answers with ${what}: each call is refused with a QuorateError`, () =>
    withNode(answer, async ({ url }) => {
      const { kv, locks, sessions, elections, semaphores } = connect(url, { timeout: 500 });
      const signal = AbortSignal.timeout(HANG_MS);
      const calls = [
        () => kv.get("x", { signal }),
        () => kv.put("x", "v", { signal }),
        () => kv.delete("x", { signal }),
        () => kv.update("x", () => "v", { signal }),
        () => kv.list("x", { signal })[Symbol.asyncIterator]().next(),
        () => kv.watch("x", { signal }).ready,
        () => locks.tryAcquire("x", { signal }),
        () => locks.acquire("x", { signal }),
        () => locks.tryAcquire(["x", "y"], { signal }),
        () => locks.query({ signal }),
        () => sessions.open({ signal }),
        () => elections.leader("x", { signal }),
        () => elections.campaign("x", { signal }),
        () => semaphores.request("x", { limit: 1, signal }, () => {}),
      ] as readonly (() => Promise<unknown>)[];
      for (const call of calls) assertEquals((await assertRejects(call, QuorateError)).code, "internal", `${call}`);
    }));
}

Deno.test("a stranger that grants for a time that is none, or in an event that is none, grants nothing", async () => {
  const times = [{}, { ...GRANT, guaranteedForMs: "600" }, { ...GRANT, waitedMs: null }, { ...GRANT, waitedMs: -1 }];
  for (const told of times) {
    await withNode(() => Response.json(told), async ({ url }) => {
      const { locks, sessions } = connect(url, { timeout: 500 });
      const signal = AbortSignal.timeout(HANG_MS);
      await assertRejects(() => locks.tryAcquire("x", { signal }), QuorateError);
      await assertRejects(() => sessions.open({ signal }), QuorateError);
    });
  }
  await withNode(() => events("event: granted\ndata: {no\n\n"), async ({ url }) => {
    const signal = AbortSignal.timeout(HANG_MS);
    await assertRejects(() => connect(url, { timeout: 500 }).locks.acquire("x", { signal }), QuorateError);
  });
});

Deno.test("a stranger that answers a renewal keeps nothing: what was granted before is over in its time", async () => {
  for (
    const said of [{}, { waitedMs: 0 }, { waitedMs: 0, guaranteedForMs: "x" }, { waitedMs: [], guaranteedForMs: {} }]
  ) {
    await withNode(({ method }) => Response.json(method === "PUT" ? said : GRANT), async (node) => {
      const lock = (await connect(node.url, { timeout: 500 }).locks.tryAcquire("x"))!;
      await until("it is asked to renew", () => node.seen.some(({ method }) => method === "PUT"));
      assert(lock.remainingMs() <= GRANT.guaranteedForMs);
      await until("it is over", () => !lock.held);
      assertEquals(lock.signal.reason.how, "expired");
      await lock[Symbol.asyncDispose]();
    });
  }
});

Deno.test("what is over whenever its answer comes is not asked for without an end", () =>
  withNode(({ method }) => Response.json(method === "POST" ? { ...GRANT, guaranteedForMs: 0 } : {}), async (node) => {
    const { locks } = connect(node.url, { timeout: 500 });
    const refused = await assertRejects(
      () => locks.tryAcquire("x", { signal: AbortSignal.timeout(HANG_MS) }),
      QuorateError,
    );
    assertEquals([refused.code, refused.retryable], ["not-ready", true]);
    const asked = (wanted: string) => node.seen.filter(({ method }) => method === wanted).length;
    assert(asked("POST") <= 5);
    assertEquals(asked("DELETE"), asked("POST"), "each is given back");
  }));
