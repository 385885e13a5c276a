/** Events as they come over the wire, and a stream that goes on at another time. */
import { assertEquals } from "@std/assert";
import { Calls } from "../../src/client/calls.ts";
import { endlessEvents, eventsOf } from "../../src/client/events.ts";
import { createLocks } from "../../src/client/locks.ts";
import { webWorld } from "../../src/client/world.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { until } from "../replica/clocks.ts";
import { grant, scriptedNode } from "./scripted_nodes.ts";

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

Deno.test("events: a stream is watched at the node that it comes from, whoever was asked last", async () => {
  const clock = new ManualClock();
  const [first, second] = ["http://a.example", "http://b.example"];
  const begun = Promise.withResolvers<Response>();
  const asked: string[] = [];
  const pinged: string[] = [];
  let isSilent = false;
  const stream = (body: BodyInit) => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  const fetch = (url: string, { signal }: RequestInit) => {
    const { origin, pathname } = new URL(url);
    if (pathname === "/healthz") {
      pinged.push(origin);
      // A network that swallows what goes to the first.
      if (!isSilent || origin !== first) return Promise.resolve(new Response());
      return new Promise<Response>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    }
    asked.push(origin);
    if (asked.length === 1) return begun.promise;
    return asked.length === 2 ? new Promise<Response>(() => {}) : Promise.resolve(stream("id: 2\ndata: 2\n\n"));
  };
  const calls = new Calls({ ...webWorld, clock, fetch }, {
    nodes: [first, second],
    token: undefined,
    timeoutMs: 1_000,
    learnMembers: false,
    hedgeMs: 50,
  });
  const gone = new AbortController();
  const events = endlessEvents(calls, { target: "/v1/locks/x/events" }, gone.signal);
  const one = events.next();
  await until("the first is asked", () => asked.length === 1);
  await clock.pass(50);
  assertEquals(asked, [first, second]);
  let tell = (_text: string) => {};
  const open = new ReadableStream<Uint8Array>({
    start: (controller) => void (tell = (text) => controller.enqueue(new TextEncoder().encode(text))),
  });
  begun.resolve(stream(open));
  tell("id: 1\ndata: 1\n\n");
  assertEquals((await one).value?.data, 1);
  isSilent = true;
  pinged.length = 0;
  const next = events.next();
  // It is pinged after three seconds, and has one to answer.
  for (let i = 0; i < 60 && asked.length < 3; i++) await clock.pass(100);
  assertEquals([pinged[0], asked.length], [first, 3]);
  assertEquals((await next).value?.data, 2);
  gone.abort();
  await events.return();
});

Deno.test("events: a wait in a queue is watched at the node that keeps it, whoever was asked last", async () => {
  const clock = new ManualClock();
  const [first, second] = ["http://a.example", "http://b.example"];
  const begun = Promise.withResolvers<Response>();
  const asked: string[] = [];
  let isSilent = false;
  const stream = (body: BodyInit) => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  const fetch = (url: string, { method, signal }: RequestInit) => {
    const { origin, pathname } = new URL(url);
    const never = () =>
      new Promise<Response>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    if (pathname === "/healthz") return isSilent && origin === first ? never() : Promise.resolve(new Response());
    if (method === "HEAD") return Promise.resolve(new Response(null, { headers: { "Consensus-Instance": "7" } }));
    if (method === "DELETE") return Promise.resolve(Response.json({ outcome: "released" }));
    asked.push(origin);
    if (asked.length === 1) return begun.promise;
    return asked.length === 2 ? never() : Promise.resolve(grant());
  };
  const calls = new Calls({ ...webWorld, clock, fetch }, {
    nodes: [first, second],
    token: undefined,
    timeoutMs: 10_000,
    learnMembers: false,
  });
  const positions: number[] = [];
  const taking = createLocks(calls).acquire("x", { onPosition: (position) => positions.push(position) });
  await until("the first is asked", () => asked.length === 1);
  // So long a node may say nothing before another one is asked too.
  await clock.pass(1_000);
  assertEquals(asked, [first, second]);
  begun.resolve(
    stream(
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('event: queued\ndata: {"position":1}\n\n')),
      }),
    ),
  );
  await until("it waits", () => positions.length === 1);
  isSilent = true;
  for (let i = 0; i < 60 && asked.length < 3; i++) await clock.pass(100);
  assertEquals([positions, asked.length], [[1], 3]);
  const lock = await taking;
  assertEquals(lock.fence, 1025n);
  await lock.release();
});
