/** The map of a watch: a list fills it, events keep it, and the newer of the two counts. */
import { assertEquals, assertRejects } from "@std/assert";
import { Calls } from "../../src/client/calls.ts";
import { QuorateError } from "../../src/client/error.ts";
import { createKv } from "../../src/client/kv.ts";
import { webWorld } from "../../src/client/world.ts";
import { until } from "../replica/clocks.ts";
import { problem, scriptedNode } from "./scripted_nodes.ts";
import { SleepyClock } from "./sleepy_clock.ts";

function item(key: string, revision: number, value = `${revision}`) {
  return { key, revision: `${revision}`, contentType: "text/plain", value: btoa(value) };
}

/** A node whose stream says what the test sends, and whose lists are the test's. */
function watched(lists: readonly (readonly object[])[]) {
  const encoder = new TextEncoder();
  let stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  let listed = 0;
  const node = scriptedNode(({ target }) => {
    if (!target.includes("/events")) return Response.json({ items: lists[listed++] ?? [], cursor: null });
    const body = new ReadableStream<Uint8Array>({ start: (own) => void (stream = own) });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  });
  const send = (event: string, data: object) =>
    stream!.enqueue(encoder.encode(`event: ${event}\nid: 1\ndata: ${JSON.stringify(data)}\n\n`));
  const calls = new Calls(webWorld, { nodes: [node.url], token: undefined, timeoutMs: 1_000, learnMembers: false });
  return { node, send, watch: createKv(calls).watch("p/"), isOpen: () => stream !== null };
}

Deno.test("kv.watch: what is older than what is known changes nothing, and a list that lacks a key ends it", async () => {
  const { node, send, watch, isOpen } = watched([[item("p/a", 5), item("p/b", 6)], [item("p/b", 6), item("p/c", 9)]]);
  const told: string[] = [];
  const reading = (async () => {
    for await (const { key, entry } of watch) told.push(`${key} ${entry?.text() ?? "gone"}`);
  })();
  await until("it is open", isOpen);
  send("resync", { prefix: "p/" });
  await watch.ready;
  send("changed", item("p/a", 4));
  send("deleted", { key: "p/b", revision: "5" });
  send("changed", item("p/a", 7));
  await until("the newer one is heard", () => watch.entries.get("p/a")?.text() === "7");
  assertEquals([...watch.entries.keys()], ["p/a", "p/b"]);
  send("resync", { prefix: "p/" });
  await until("the second list is heard", () => !watch.entries.has("p/a") && watch.entries.has("p/c"));
  await until("all is told", () => told.length === 5);
  assertEquals(told, ["p/a 5", "p/b 6", "p/a 7", "p/c 9", "p/a gone"]);
  watch.close();
  await reading;
  await node.close();
});

Deno.test("kv.watch: what it is refused with ends it, and is told to whoever waits for it", async () => {
  const node = scriptedNode(({ target }) => target === "/healthz" ? new Response() : problem(403, "forbidden"));
  const calls = new Calls(webWorld, { nodes: [node.url], token: undefined, timeoutMs: 1_000, learnMembers: false });
  const watch = createKv(calls).watch("p/");
  assertEquals((await assertRejects(() => watch.ready, QuorateError)).code, "forbidden");
  await assertRejects(async () => {
    for await (const _ of watch);
  }, QuorateError);
  await node.close();
});

Deno.test("kv.watch: closed by its signal, also before it began", async () => {
  const { node, watch } = watched([]);
  await watch[Symbol.asyncDispose]();
  for await (const _ of watch) throw new Error("nothing changes any more");
  await node.close();
});

Deno.test("kv.watch: closed while it is filled, it asks for nothing more", async () => {
  const encoder = new TextEncoder();
  const node = scriptedNode(({ target, signal }) => {
    if (target === "/healthz") return new Response();
    const stream = new ReadableStream({ start: (own) => own.enqueue(encoder.encode("event: resync\ndata: {}\n\n")) });
    if (target.includes("/events")) return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(new Response())));
  });
  const clock = new SleepyClock();
  const calls = new Calls({ ...webWorld, clock }, {
    nodes: [node.url],
    token: undefined,
    timeoutMs: 30_000,
    learnMembers: false,
  });
  const watch = createKv(calls).watch("p/");
  await until("the list is asked for", () => node.seen.some(({ target }) => target.includes("values=true")));
  watch.close();
  let isReady = false;
  watch.ready.then(() => isReady = true);
  await until("it is over, and no timer is left", () => isReady && clock.timers === 0);
  assertEquals(watch.entries.size, 0);
  await node.close();
});
