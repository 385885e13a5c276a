/** Events as they come over the wire, and a stream that goes on at another time. */
import { assertEquals } from "@std/assert";
import { Calls } from "../../src/client/calls.ts";
import { endlessEvents, eventsOf } from "../../src/client/events.ts";
import { webWorld } from "../../src/client/world.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { scriptedNode, until } from "./scripted_nodes.ts";

function streamOf(...chunks: readonly string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(stream) {
      for (const chunk of chunks) stream.enqueue(encoder.encode(chunk));
      stream.close();
    },
  });
}

async function read(...chunks: readonly string[]) {
  const events = [];
  for await (const event of eventsOf(streamOf(...chunks), new AbortController().signal)) events.push(event);
  return events;
}

Deno.test("events: whole ones, however they are cut into chunks; comments and what is not finished are none", async () => {
  const text = 'event: changed\nid: 7\ndata: {"a":"ä: b"}\n\n:\n\ndata: 1\n\nevent: cut\ndata: 2\n';
  const whole = [{ event: "changed", id: "7", data: { a: "ä: b" } }, { event: "message", id: null, data: 1 }];
  assertEquals(await read(text), whole);
  assertEquals(await read(...text), whole);
});

Deno.test("events: an abort ends them, though the stream goes on", async () => {
  const gone = new AbortController();
  const body = new ReadableStream<Uint8Array>({
    start: (stream) => stream.enqueue(new TextEncoder().encode("data: 1\n\n")),
  });
  const seen = [];
  for await (const event of eventsOf(body, gone.signal)) {
    seen.push(event.data);
    gone.abort();
  }
  assertEquals(seen, [1]);
});

Deno.test("events: a stream that breaks off goes on behind its last event", async () => {
  const node = scriptedNode(({ headers, target }) => {
    if (target === "/healthz") return new Response();
    const after = Number(headers.get("last-event-id") ?? "0");
    return new Response(streamOf(`id: ${after + 1}\ndata: ${after + 1}\n\n`, ":\n\n"), {
      headers: { "Content-Type": "text/event-stream" },
    });
  });
  const calls = new Calls(webWorld, { nodes: [node.url], token: undefined, timeoutMs: 1_000, learnMembers: false });
  const gone = new AbortController();
  const seen: unknown[] = [];
  for await (const { data } of endlessEvents(calls, { target: "/v1/locks/x/events" }, gone.signal)) {
    seen.push(data);
    if (seen.length === 3) gone.abort();
  }
  assertEquals(seen, [1, 2, 3]);
  await node.close();
});

Deno.test("events: who is told when to come back to a stream does not come before", async () => {
  const clock = new ManualClock();
  let asked = 0;
  const fetch = (url: string) => {
    if (url.endsWith("/healthz")) return Promise.resolve(new Response());
    asked++;
    const [headers, body] = asked === 1
      ? [{ "Retry-After": "2" }, `retry: 2000\n: not-ready "as scripted"\n\n`]
      : [{}, "id: 1\ndata: 1\n\n"];
    return Promise.resolve(new Response(body, { headers: { ...headers, "Content-Type": "text/event-stream" } }));
  };
  const nodes = ["http://a.example"];
  const one = new Calls({ ...webWorld, clock, fetch }, {
    nodes,
    token: undefined,
    timeoutMs: 1_000,
    learnMembers: false,
  });
  const gone = new AbortController();
  const next = endlessEvents(one, { target: "/v1/locks/x/events" }, gone.signal).next();
  await until("it waits", () => asked === 1 && clock.timers === 1);
  await clock.pass(1_999);
  assertEquals(asked, 1);
  await clock.pass(1);
  assertEquals((await next).value?.data, 1);
  assertEquals(asked, 2);
  gone.abort();
});
