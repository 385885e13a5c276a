import { assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { Bodies } from "../../src/http/bounded_body.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

const KIB = 1_024;
const RELEASE = "/v1/locks/x/1025";

function setUp(limits: { maxBytes?: number; deadlineMs?: number } = {}) {
  const clock = new ManualClock();
  return { clock, bodies: new Bodies((ms, run) => clock.after(ms, run), limits) };
}

/** A request whose body the test sends piece by piece. */
function sending(headers: Record<string, string> = {}, method = "POST", path = "/") {
  const cancelled: unknown[] = [];
  let stream!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (stream = controller),
    cancel: () => void cancelled.push(true),
  });
  const request = new Request(`http://localhost${path}`, { method, headers, body });
  return {
    request,
    cancelled,
    send: async (bytes: number) => {
      stream.enqueue(new Uint8Array(bytes).fill(1));
      await settled();
    },
    end: () => stream.close(),
    break: () => stream.error(new Error("connection reset")),
  };
}

async function refusal(read: Promise<Uint8Array>): Promise<[string, string]> {
  const { code, message } = await assertRejects(() => read, QuorateError);
  return [code, message];
}

Deno.test("Bodies.read: the bytes as they came, in any pieces, and no room taken afterwards", async () => {
  const { clock, bodies } = setUp();
  const text = "é".repeat(3_000);
  const whole = new Request("http://localhost/", { method: "POST", body: text });
  assertEquals(new TextDecoder().decode(await bodies.read(whole, 6_000)), text);
  assertEquals(await bodies.read(new Request("http://localhost/"), 0), new Uint8Array());
  const slow = sending();
  const read = bodies.read(slow.request, 3_001);
  for (const bytes of [1, 0, 2_000, 1_000]) await slow.send(bytes);
  slow.end();
  assertEquals(await read, new Uint8Array(3_001).fill(1));
  assertEquals([bodies.bytes, clock.timers], [0, 0]);
});

Deno.test("Bodies.read: a release of HTTP/1.1 that announces no body has none; any other request may have one", async () => {
  const { bodies } = setUp();
  const host = { host: "localhost" };
  assertEquals(await bodies.read(sending(host, "DELETE", RELEASE).request, 10), new Uint8Array());
  const others = [
    sending(host, "PUT", RELEASE),
    sending({ ...host, "transfer-encoding": "chunked" }, "DELETE", RELEASE),
    sending({ ...host, "content-length": "1" }, "DELETE", RELEASE),
    // As over HTTP/2, where nothing need say that a body comes.
    sending({}, "DELETE", RELEASE),
    // A force: it needs a reason.
    sending(host, "DELETE", "/v1/locks/x"),
    sending(host, "DELETE", "/v1/kv/-?key=a/b/c"),
  ];
  for (const other of others) {
    const read = bodies.read(other.request, 10);
    await other.send(1);
    other.end();
    assertEquals(await read, new Uint8Array([1]));
  }
});

Deno.test("Bodies.read: a chunk costs its size: it is copied, and what the runtime handed out is not kept", async () => {
  const { bodies } = setUp();
  // One buffer for all chunks: whoever keeps a view of it finds it overwritten.
  const shared = new Uint8Array(64 * KIB);
  let next = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(stream) {
      if (next === 20_000) return stream.close();
      shared[0] = next++ % 251;
      stream.enqueue(shared.subarray(0, 1));
    },
  }, { highWaterMark: 0 });
  const bytes = await bodies.read(new Request("http://localhost/", { method: "POST", body }), 64 * KIB);
  assertEquals(bytes.filter((byte, i) => byte !== i % 251).length, 0);
  assertEquals([bytes.length, bytes.buffer.byteLength], [20_000, 20_000]);
});

Deno.test("Bodies.read: what is larger than announced or allowed is too-large, and read no further", async () => {
  const { bodies, clock } = setUp();
  const announced = sending({ "content-length": "11" });
  assertEquals(await refusal(bodies.read(announced.request, 10)), ["too-large", "the body is over 10 bytes"]);
  const endless = sending({ "content-length": "2000" });
  const refused = refusal(bodies.read(endless.request, 3_000));
  await endless.send(3_000);
  await endless.send(1);
  assertEquals(await refused, ["too-large", "the body is over 3000 bytes"]);
  const more = new Request("http://localhost/", { method: "POST", headers: { "content-length": "2" }, body: "12345" });
  assertEquals(await refusal(bodies.read(more, 4)), ["too-large", "the body is over 4 bytes"]);
  assertEquals([endless.cancelled, bodies.bytes, clock.timers], [[true], 0, 0]);
});

Deno.test("Bodies.read: a body that has not come to its end in time is request-timeout, however steadily it comes", async () => {
  const { bodies, clock } = setUp({ deadlineMs: 10_000 });
  const slow = sending();
  const refused = refusal(bodies.read(slow.request, 100));
  for (let i = 0; i < 9; i++) {
    await slow.send(1);
    await clock.pass(1_111);
  }
  await clock.pass(1);
  assertEquals(await refused, ["request-timeout", "the body did not come to its end within 10000 ms"]);
  assertEquals([slow.cancelled, bodies.bytes, clock.timers], [[true], 0, 0]);
});

Deno.test("Bodies.read: a small body that was announced has the same time, and gives its room back", async () => {
  const { bodies, clock } = setUp({ deadlineMs: 10_000 });
  const slow = sending({ "content-length": "20" });
  const refused = refusal(bodies.read(slow.request, 100));
  await slow.send(19);
  assertEquals([bodies.bytes, clock.timers], [KIB, 1]);
  await clock.pass(10_000);
  assertEquals(await refused, ["request-timeout", "the body did not come to its end within 10000 ms"]);
  assertEquals([bodies.bytes, clock.timers], [0, 0]);
  const broken = sending({ "content-length": "20" });
  const ended = refusal(bodies.read(broken.request, 100));
  await broken.send(1);
  broken.break();
  assertEquals(await ended, ["invalid-request", "body ended early"]);
  assertEquals([bodies.bytes, clock.timers], [0, 0]);
});

Deno.test("Bodies.read: what came with its head costs no timer", async () => {
  let timers = 0;
  const bodies = new Bodies(() => (timers++, () => {}));
  for (const size of [0, 3, KIB, KIB + 1]) {
    const headers = { "content-length": `${size}` };
    const request = new Request("http://localhost/", { method: "POST", headers, body: new Uint8Array(size) });
    assertEquals((await bodies.read(request, 4 * KIB)).length, size);
    await settled();
  }
  assertEquals([timers, bodies.bytes], [0, 0]);
});

Deno.test("Bodies.read: small bodies are the oldest too, and make way", async () => {
  const { bodies } = setUp({ maxBytes: 4 * KIB });
  const small = sending({ "content-length": "20" });
  const refused = refusal(bodies.read(small.request, 100));
  await small.send(1);
  const large = sending();
  const read = bodies.read(large.request, 8 * KIB);
  await large.send(4 * KIB);
  assertEquals(await refused, ["request-timeout", "the body took long, and its room was needed for others"]);
  large.end();
  assertEquals([(await read).length, bodies.bytes], [4 * KIB, 0]);
});

Deno.test("Bodies.read: a server hands out no more than Content-Length says, and nothing that comes in chunks besides", async () => {
  const got: [string | null, number | string][] = [];
  const bodies = new Bodies(() => () => {});
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const size = await bodies.read(request, 1_500).then(({ length }) => length, ({ code }: QuorateError) => code);
    got.push([request.headers.get("content-length"), size]);
    return new Response(null, { headers: { connection: "close" } });
  });
  try {
    const chunked = `7d0\r\n${"a".repeat(2_000)}\r\n0\r\n\r\n`;
    for (
      const [headers, body] of [
        ["Content-Length: 2", "a".repeat(2_000)],
        ["Content-Length: 2\r\nTransfer-Encoding: chunked", chunked],
        ["Transfer-Encoding: chunked\r\nContent-Length: 2", chunked],
      ]
    ) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
      await connection.write(new TextEncoder().encode(`POST / HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n${body}`));
      await connection.read(new Uint8Array(1_000)).catch(() => {});
      connection.close();
    }
  } finally {
    await server.shutdown();
  }
  assertEquals(got, [["2", 2]]);
});

Deno.test("Bodies.read: a connection that breaks in the middle of a body is invalid-request", async () => {
  const { bodies, clock } = setUp();
  const broken = sending();
  const refused = refusal(bodies.read(broken.request, 100));
  await broken.send(1);
  broken.break();
  assertEquals(await refused, ["invalid-request", "body ended early"]);
  assertEquals([bodies.bytes, clock.timers], [0, 0]);
});

Deno.test("Bodies.read: unfinished bodies take no more than their room together: the oldest makes way", async () => {
  const { bodies } = setUp({ maxBytes: 64 * KIB });
  const slow = Array.from({ length: 5 }, () => sending());
  const reads = slow.map(({ request }) => bodies.read(request, 64 * KIB));
  const ends = reads.map((read) => read.then(() => "read", (error: QuorateError) => error.code));
  for (const { send } of slow.slice(0, 4)) await send(15 * KIB);
  assertEquals(bodies.bytes, 61 * KIB);
  await slow[4]!.send(15 * KIB);
  assertEquals(bodies.bytes, 60 * KIB);
  assertEquals(await refusal(reads[0]!), ["request-timeout", "the body took long, and its room was needed for others"]);
  assertEquals(slow.map(({ cancelled }) => cancelled.length), [1, 0, 0, 0, 0]);
  // Whoever is quick is read, though all the room is taken by others.
  const quick = new Request("http://localhost/", { method: "POST", body: new Uint8Array(8 * KIB) });
  assertEquals((await bodies.read(quick, 64 * KIB)).length, 8 * KIB);
  for (const { end } of slow.slice(2)) end();
  const codes = await Promise.all(ends);
  assertEquals(codes, ["request-timeout", "request-timeout", "read", "read", "read"]);
  assertEquals(bodies.bytes, 0);
});
