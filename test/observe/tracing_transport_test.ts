import { assert, assertEquals, assertRejects } from "@std/assert";
import { tracingTransport } from "../../src/observe/tracing_transport.ts";
import { NO_TRACE, PeerError, type Sighting, type Transport } from "../../src/ports.ts";
import { MESSAGES, REPLIES } from "../transport/samples.ts";

/** Answers `a`, and nobody else; notes whether it was closed. */
function scripted() {
  const done = { closed: false };
  const transport: Transport = {
    send: (to) => to === "a" ? Promise.resolve(REPLIES.accepted) : Promise.reject(new PeerError("silence")),
    rttMs: (to) => to === "a" ? 7 : 0,
    close: () => void (done.closed = true),
  };
  return { transport, done };
}

Deno.test("tracing transport: each message when it leaves, its reply or its absence when that is known", async () => {
  const seen: Sighting[] = [];
  const { transport, done } = scripted();
  const traced = tracingTransport(transport, { on: true, record: (sighting) => void seen.push(sighting) });
  const message = MESSAGES.accept;
  const reply = traced.send("a", message);
  assertEquals(seen, [{ type: "sent", to: "a", message }]);
  assertEquals(await reply, REPLIES.accepted);
  await assertRejects(() => traced.send("b", message), PeerError, "silence");
  assertEquals(seen.slice(1), [
    { type: "answered", from: "a", message, reply: REPLIES.accepted },
    { type: "sent", to: "b", message },
    { type: "answered", from: "b", message, reply: null },
  ]);
  assertEquals(traced.rttMs("a"), 7);
  traced.close();
  assert(done.closed);
});

Deno.test("tracing transport: off, it is the very transport", () => {
  const { transport } = scripted();
  assert(tracingTransport(transport, NO_TRACE) === transport);
});
