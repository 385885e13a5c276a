/** Streams of events: bounded in number and in what a slow reader may leave unread; freed whoever ends them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Hono } from "hono";
import type { Ctx, Env } from "../../routes/answer.ts";
import { eventBytes, type EventStream, EventStreams } from "../../routes/event_stream.ts";
import { QuorateError } from "../../src/errors.ts";
import { EVENTS_BEHIND_MAX, STREAM_HEARTBEAT_MS, STREAMS_PER_NODE } from "../../src/limits.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { EventReader } from "./event_reader.ts";

function rig() {
  const clock = new ManualClock();
  const streams = new EventStreams((ms, run) => clock.after(ms, run));
  let ends = 0;
  /** Opens one; `begin` default: nothing is sent. */
  const open = async (
    begin: (stream: EventStream) => void = () => {},
    signal: AbortSignal = new AbortController().signal,
  ) => {
    const made: { stream?: EventStream } = {};
    const app = new Hono<Env>();
    app.get("/", (c) => {
      c.set("requestId", "r");
      c.set("elapsedMs", () => 0);
      return streams.answer(c as Ctx, (stream) => {
        made.stream = stream;
        begin(stream);
        return Promise.resolve(() => void ends++);
      });
    });
    app.onError((error) => {
      throw error;
    });
    const response = await app.fetch(new Request("http://localhost/", { signal }));
    return { response, stream: made.stream! };
  };
  return { clock, streams, open, ends: () => ends };
}

const event = (n: number) => eventBytes("changed", { n }, `${n}`);

Deno.test("event stream: what was sent before the answer comes first, then the rest in order, then the end", async () => {
  const { open, ends } = rig();
  const { response, stream } = await open((stream) => stream.send(event(1)));
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  assertEquals(response.headers.get("cache-control"), "no-store");
  for (let n = 2; n <= 10; n++) stream.send(event(n));
  stream.end();
  stream.send(event(11));
  assertEquals(ends(), 0, "not before all is read");
  const reader = new EventReader(response);
  for (let n = 1; n <= 10; n++) assertEquals(await reader.next(), { event: "changed", id: `${n}`, data: { n } });
  assertEquals([await reader.next(), ends(), stream.ended], [null, 1, true]);
});

Deno.test("event stream: a reader exactly at the bound gets everything, one event more and it is cut off", async () => {
  for (const more of [0, 1]) {
    const { open, ends } = rig();
    const { response, stream } = await open();
    // One has left for the reader's side already.
    for (let n = 0; n < 1 + EVENTS_BEHIND_MAX + more; n++) stream.send(event(n));
    assertEquals([stream.ended, ends()], [more > 0, more]);
    const reader = new EventReader(response);
    if (more > 0) {
      await assertRejects(() => reader.until(() => false), Error, "too far behind");
      continue;
    }
    for (let n = 0; n <= EVENTS_BEHIND_MAX; n++) assertEquals((await reader.next())?.data, { n });
    await reader.close();
    assertEquals(ends(), 1);
  }
});

Deno.test("event stream: a comment now and then, but not on top of events nobody reads, and no timer without streams", async () => {
  const { clock, open } = rig();
  assertEquals(clock.timers, 0);
  const idle = await open();
  const stuck = await open();
  assertEquals(clock.timers, 1, "one for all");
  for (let n = 0; n < 3; n++) stuck.stream.send(event(n));
  for (let n = 0; n < EVENTS_BEHIND_MAX + 9; n++) await clock.pass(STREAM_HEARTBEAT_MS);
  assert(!stuck.stream.ended && !idle.stream.ended, "an idle client that does not read is not cut off by comments");
  const reader = new EventReader(idle.response);
  idle.stream.send(event(7));
  assertEquals([(await reader.next())?.id, reader.comments], ["7", 2]);
  await reader.close();
  await stuck.response.body!.cancel();
  assertEquals(clock.timers, 0);
});

Deno.test("event stream: the client is gone, before or after the answer: what the stream stood for is stopped, once", async () => {
  const { open, ends } = rig();
  const gone = new AbortController();
  const { stream } = await open(() => {}, gone.signal);
  gone.abort();
  assertEquals([stream.ended, ends()], [true, 1]);
  stream.send(event(1));
  stream.end();
  const early = await open((stream) => stream.send(event(1)), AbortSignal.abort());
  assertEquals([early.stream.ended, ends()], [true, 2]);
});

Deno.test("event stream: one more than a node has is refused, polls counted; a place is free again once one ends", async () => {
  const { streams, open } = rig();
  const release = Promise.withResolvers<void>();
  const polls = [streams.during(() => release.promise), streams.during(() => release.promise)];
  const opened = [];
  for (let i = 0; i < STREAMS_PER_NODE - polls.length; i++) opened.push(await open());
  for (const attempt of [() => open(), () => streams.during(() => Promise.resolve())]) {
    const { code, facts } = await assertRejects(attempt, QuorateError);
    assertEquals([code, facts.retryAfterMs], ["too-many-streams", STREAM_HEARTBEAT_MS]);
  }
  await opened[0]!.response.body!.cancel();
  opened[0] = await open();
  await assertRejects(() => open(), QuorateError);
  release.resolve();
  await Promise.all(polls);
  const failing = () =>
    open(() => {
      throw new QuorateError("no-quorum", "test");
    });
  for (let i = 0; i < 5; i++) assertEquals((await assertRejects(failing, QuorateError)).code, "no-quorum");
  await settled();
  for (let i = 0; i < polls.length; i++) opened.push(await open());
  await assertRejects(() => open(), QuorateError, "streams are open", "those that failed to begin count no more");
  for (const { response } of opened) await response.body!.cancel();
});
