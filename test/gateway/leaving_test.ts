/** Who went away while it waited, through a gateway: its place is given up if nobody can come back for it. */
import { assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import {
  cuttingNode,
  grant,
  nobody,
  problem,
  type Scripted,
  scriptedNode,
  withGateway,
} from "../client/scripted_nodes.ts";

const LOCK = "/v1/locks/x";
const waiting: RequestInit = { body: `{"holder":"me","waitMs":20000}` };
const STREAM = { Accept: "text/event-stream" };

/** Says nothing to whoever waits; what it is told of those that left. */
const hanging = (left: () => Response | Promise<Response> = () => Response.json({ outcome: "left", revision: "1" })) =>
  scriptedNode(({ method }) => method === "DELETE" ? left() : new Promise(() => {}));
const leaves = (...nodes: readonly Scripted[]) =>
  nodes.flatMap(({ seen }) => seen.filter(({ method }) => method === "DELETE"));
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

/** Asks through a gateway and goes away once the first node has it. */
async function goAway(
  nodes: readonly Scripted[],
  path: string,
  init: RequestInit,
  options: Parameters<typeof withGateway>[2] = {},
): Promise<void> {
  await withGateway(nodes, async ({ ask }) => {
    const gone = new AbortController();
    const asked = ask("POST", path, { ...init, signal: gone.signal });
    await until("it is asked", () => nodes[0]!.seen.length === 1);
    gone.abort();
    await asked;
    await settled();
  }, options);
}

Deno.test("leaving: a take whose key the gateway made gives up its place, as its caller, and its tries are cancelled", async () => {
  const paths = [
    [LOCK, "/v1/locks/x/queue/"],
    ["/v1/elections/a%2fb?timeoutMs=500", "/v1/elections/a%2fb/queue/"],
    ["/v1/semaphores/-?name=a+b", "/v1/semaphores/-/queue/"],
  ] as const;
  for (const [path, place] of paths) {
    for (const init of [waiting, { body: `{"waitMs":0}`, headers: STREAM }]) {
      const node = hanging();
      const headers = { ...init.headers, Authorization: "Bearer secret", "X-Request-Id": "mine" };
      await goAway([node], path, { ...init, headers });
      const [take, left] = node.seen;
      await until("the try is told", () => take!.signal.aborted);
      const key = take!.headers.get("idempotency-key");
      assertEquals(left!.target, `${place}${key}${path.includes("name=") ? "?name=a+b" : ""}`);
      assertEquals([left!.method, left!.headers.get("authorization"), left!.body], ["DELETE", "Bearer secret", ""]);
      assertEquals([node.seen.length, left!.headers.get("idempotency-key")], [2, null]);
    }
  }
});

Deno.test("leaving: a key that needs it is escaped in the path", async () => {
  const node = hanging();
  await goAway([node], LOCK, waiting, { newId: () => "a/b?c#%" });
  assertEquals(node.seen[1]!.target, "/v1/locks/x/queue/a%2Fb%3Fc%23%25");
});

Deno.test("leaving: a set gives up each of its names", async () => {
  const node = hanging();
  await goAway([node], "/v1/locks", { body: JSON.stringify({ names: ["b", "a/b", "c?d", "events"] }) });
  const key = node.seen[0]!.headers.get("idempotency-key");
  const places = leaves(node).map(({ target }) => target).sort();
  const paths = ["a%2Fb", "b", "c%3Fd"].map((name) => `/v1/locks/${name}/queue/${key}`);
  assertEquals(places, [`/v1/locks/-/queue/${key}?name=events`, ...paths]);
});

Deno.test("leaving: a set that no node takes has nothing to give up", async () => {
  const names = [["a", ".."], ["a", ""], ["a", 7], Array(17).fill("a"), "a", undefined, ["\ud800"]];
  for (const body of [...names.map((some) => JSON.stringify({ names: some })), "{", "[]", "null", ""]) {
    const node = hanging();
    await goAway([node], "/v1/locks", { body });
    assertEquals(leaves(node), [], body);
  }
});

Deno.test("leaving: whoever can come back keeps its place, and what has none gives up nothing", async () => {
  const others = [
    [LOCK, { ...waiting, headers: { "Idempotency-Key": "mine" } }],
    [LOCK, { body: "{}", headers: { ...STREAM, "Idempotency-Key": "mine" } }],
    ["/v1/locks", { body: `{"names":["a"]}`, headers: { "Idempotency-Key": "mine" } }],
    [LOCK, { ...waiting, headers: { "Quorate-Hedge": "3" } }],
    [LOCK, { body: "{}" }],
    [LOCK, { body: `{"waitMs":"20000"}` }],
    [`${LOCK}/1025`, waiting],
    ["/v1/kv/x", waiting],
    ["/v1/sessions", waiting],
    ["/v1/batch", { body: `[{"method":"POST","path":"/v1/locks/x","body":{"waitMs":5}}]` }],
  ] as const;
  for (const [path, init] of others) {
    const node = hanging();
    await goAway([node], path, init);
    assertEquals(node.seen.length, 1, path);
  }
});

Deno.test("leaving: where one node does not take it the next does, and no third is asked", async () => {
  const failing = () => hanging(() => problem(503, "no-quorum"));
  for (
    const [nodes, asked] of [
      [[failing(), hanging(), hanging()], [1, 1, 0]],
      [[failing(), failing(), hanging()], [1, 1, 0]],
      [[hanging(), hanging()], [1, 0]],
      [[hanging(() => problem(404, "no-route")), hanging()], [1, 0]],
      [[hanging(() => problem(429, "rate-limited")), hanging()], [1, 1]],
      [[failing(), nobody()], [1, 0]],
    ] as const
  ) {
    await goAway(nodes, LOCK, waiting);
    assertEquals(nodes.map((node) => leaves(node).length), [...asked]);
  }
});

Deno.test("leaving: a node that does not answer it holds nobody up for long", async () => {
  const nodes = [hanging(() => new Promise(() => {})), hanging(() => new Promise(() => {}))];
  await withGateway(nodes, async ({ ask, clock }) => {
    const gone = new AbortController();
    const asked = ask("POST", LOCK, { ...waiting, signal: gone.signal });
    await until("it is asked", () => nodes[0]!.seen.length === 1);
    gone.abort();
    for (const node of nodes) {
      await until("it is told", () => leaves(node).length === 1);
      await clock.pass(1_000);
      await until("nobody waits", () => leaves(node)[0]!.signal.aborted);
    }
    await asked;
    assertEquals(clock.timers, 0);
  });
});

Deno.test("leaving: only who went away leaves: not who was answered, nor a try that another one outran, nor who waits too long", async () => {
  // Answered.
  for (const answer of [() => grant(), () => problem(409, "held"), () => problem(503, "no-quorum")]) {
    const node = scriptedNode(answer);
    await withGateway([node], async ({ ask }) => {
      const gone = new AbortController();
      const response = await ask("POST", LOCK, { ...waiting, signal: gone.signal });
      // As runtimes abort after a whole answer too.
      gone.abort();
      await response.text();
      await settled();
      assertEquals(leaves(node), []);
    });
  }
  // Outrun: a set is asked of the next node after a second of silence.
  const nodes = [hanging(), scriptedNode(() => Response.json({ grants: [] }))];
  await withGateway(nodes, async ({ ask, clock }) => {
    const asked = ask("POST", "/v1/locks", { body: `{"names":["a"]}` });
    await until("the first has it", () => nodes[0]!.seen.length === 1);
    await clock.pass(1_000);
    assertEquals((await asked).status, 200);
    await until("the first is cancelled", () => nodes[0]!.seen[0]!.signal.aborted);
    await settled();
    assertEquals(leaves(...nodes), []);
  });
  // Too long.
  const slow = hanging();
  await withGateway([slow], async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, { body: `{"waitMs":1000}` });
    await until("it is asked", () => slow.seen.length === 1);
    await clock.pass(6_300);
    assertEquals((await asked).status, 504);
    await settled();
    assertEquals(leaves(slow), []);
  });
  // Cut off, with no other node.
  const cut = cuttingNode();
  await withGateway([cut], async ({ ask }) => {
    assertEquals((await ask("POST", LOCK, waiting)).status, 504);
    await settled();
    assertEquals(leaves(cut), []);
  });
});

/** Answers with a stream that says `queued` and stays open until `end` is called. */
function queueing() {
  let stream: ReadableStreamDefaultController<Uint8Array>;
  const encoder = new TextEncoder();
  const events = () =>
    new ReadableStream<Uint8Array>({
      start: (own) => {
        stream = own;
        stream.enqueue(encoder.encode(`event: queued\ndata: {"position":1}\n\n`));
      },
    });
  const node = scriptedNode(({ method }) =>
    method === "DELETE"
      ? Response.json({})
      : new Response(events(), { headers: { "Content-Type": "text/event-stream" } })
  );
  return { node, end: () => stream.close() };
}

Deno.test("leaving: who reads a stream leaves by ending it early, and not by reading it to its end", async () => {
  for (const own of [false, true]) {
    const { node } = queueing();
    await withGateway([node], async ({ ask }) => {
      const headers = own ? { ...STREAM, "Idempotency-Key": "mine" } : STREAM;
      const reader = (await ask("POST", LOCK, { ...waiting, headers })).body!.getReader();
      assertEquals(new TextDecoder().decode((await reader.read()).value), `event: queued\ndata: {"position":1}\n\n`);
      await reader.cancel();
      await settled();
      const key = node.seen[0]!.headers.get("idempotency-key");
      assertEquals(leaves(node).map(({ target }) => target), own ? [] : [`${LOCK}/queue/${key}`]);
      await until("the stream is told", () => node.seen[0]!.signal.aborted);
    });
  }
  const { node, end } = queueing();
  await withGateway([node], async ({ ask }) => {
    const response = await ask("POST", LOCK, { ...waiting, headers: STREAM });
    end();
    await response.text();
    await settled();
    assertEquals(leaves(node), []);
  });
});

Deno.test("leaving: a stream whose node dies is not left: its reader may come back with the key it was told", async () => {
  const event = `event: queued\ndata: {"position":1}\n\n`;
  const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const dying = cuttingNode(`${head}${event.length.toString(16)}\r\n${event}\r\n`);
  const other = hanging();
  await withGateway([dying, other], async ({ ask }) => {
    const response = await ask("POST", LOCK, { ...waiting, headers: STREAM });
    await response.text().catch(() => {});
    await settled();
    assertEquals(leaves(dying, other), []);
  });
});

Deno.test("leaving: a gateway that is told to stop says so of nobody", async () => {
  const node = hanging();
  const closing = new AbortController();
  closing.abort();
  await goAway([node], LOCK, waiting, { closing: closing.signal });
  assertEquals(node.seen.length, 1);
});
