/** Requests between a client and a node of one process. */
import { assertEquals, assertRejects } from "@std/assert";
import { wasNeverSent } from "../../src/client/never_sent.ts";
import { fetchOver } from "../../src/testing/way.ts";

/** A way that is open, to a node that counts what arrives and answers with a stream that stays open. */
function waySetUp() {
  const life = new AbortController();
  const arrived: Request[] = [];
  let opened = Promise.withResolvers<void>();
  opened.resolve();
  let isThere = true;
  const handle = (request: Request) => {
    arrived.push(request);
    const bytes = new TextEncoder().encode("one");
    const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(bytes) });
    return Promise.resolve(new Response(body, { status: 201, headers: { "x-name": "value" } }));
  };
  return {
    arrived,
    ask: fetchOver({ open: () => opened.promise, node: () => isThere ? { gone: life.signal, handle } : null }),
    close: () => void (opened = Promise.withResolvers()),
    open: () => opened.resolve(),
    leave: () => void (isThere = false),
    die: () => life.abort(new TypeError("it died")),
  };
}
const URL_A = "http://localhost:1/v1/x";

Deno.test("fetchOver hands over what was sent and what was answered", async () => {
  const { ask, arrived } = waySetUp();
  const response = await ask(URL_A, { method: "PUT", body: "text", headers: { "x-a": "b" } });
  assertEquals([response.status, response.headers.get("x-name")], [201, "value"]);
  const [request] = arrived;
  assertEquals([request!.url, request!.method, request!.headers.get("x-a")], [URL_A, "PUT", "b"]);
  assertEquals(await request!.text(), "text");
  const reader = response.body!.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "one");
  await reader.cancel();
});

Deno.test("fetchOver is refused as never sent where no node is", async () => {
  const { ask, leave, arrived } = waySetUp();
  leave();
  const error = await assertRejects(() => ask(URL_A, {}), TypeError);
  assertEquals([wasNeverSent(error), arrived.length], [true, 0]);
});

Deno.test("fetchOver breaks at once when its node dies, its streams too, and that may have been sent", async () => {
  const { ask, die, close, open } = waySetUp();
  const response = await ask(URL_A, {});
  const reader = response.body!.getReader();
  await reader.read();
  const next = reader.read();
  // Across a cut nobody hears of it.
  close();
  const cut = assertRejects(() => ask(URL_A, {}), TypeError, "it died");
  die();
  assertEquals(await Promise.race([next.catch(() => "broke"), Promise.resolve("waits")]), "waits");
  open();
  const error = await assertRejects(() => next, TypeError, "it died");
  assertEquals(wasNeverSent(error), false);
  await cut;
});

Deno.test("fetchOver of a closed way arrives once it is open, unless its sender has given up", async () => {
  const { ask, close, open, arrived } = waySetUp();
  close();
  const gone = new AbortController();
  const given = assertRejects(() => ask(URL_A, { signal: gone.signal }), DOMException);
  const kept = ask(URL_A, { method: "POST", signal: new AbortController().signal });
  gone.abort();
  await given;
  assertEquals(arrived.length, 0);
  open();
  await (await kept).body!.cancel();
  assertEquals(arrived.map(({ method }) => method), ["POST"]);
});

Deno.test("fetchOver tells the node of a sender that gives up, and the sender at once", async () => {
  const { ask, arrived } = waySetUp();
  const gone = new AbortController();
  const response = await ask(URL_A, { signal: gone.signal });
  const reader = response.body!.getReader();
  await reader.read();
  const next = reader.read();
  gone.abort(new Error("enough"));
  await assertRejects(() => next, Error, "enough");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(arrived[0]!.signal.aborted, true);
  await assertRejects(() => ask(URL_A, { signal: gone.signal }), Error, "enough");
});
