/** A process that cannot serve: whoever watches is not turned away for good. */
import { assertEquals, assertMatch } from "@std/assert";
import { notReady } from "../../src/http/not_ready.ts";

const ask = (path: string, method = "GET", headers: Record<string, string> = {}) =>
  notReady(new Request(`http://127.0.0.1:8701${path}`, { method, headers }), "this node is starting", () => "made");

Deno.test("not ready: a stream that says so and ends to whoever watches, for an EventSource bears no other status", async () => {
  for (const path of ["/v1/locks/a%2Fb/events", "/v1/kv/events?prefix=", "/v1/kv/-/events?key=x"]) {
    const response = ask(path);
    assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"], path);
    assertMatch(await response.text(), /^retry: [0-9]+\n: not-ready "this node is starting"\n\n$/);
  }
});

Deno.test("not ready: 503 to everybody else", async () => {
  const others = [["/v1/locks/a"], ["/v1/locks/a/events", "HEAD"], ["/v1/locks/events", "POST"], ["/v1/a/b/c/events"]];
  for (const [path = "", method] of [...others, ["/readyz"], ["/paxos/acceptor", "POST"]]) {
    const response = ask(path, method);
    const { code, status, retryable } = await response.json();
    assertEquals([response.status, status, code, retryable], [503, 503, "not-ready", true], path);
    assertEquals(response.headers.get("retry-after"), "1");
  }
});

Deno.test("not ready: a problem as any other, that says when to come back and which request it answers", async () => {
  for (const [given, told] of [["mine", "mine"], ["no id", "made"]] as const) {
    const response = ask("/v1/locks/a", "POST", { "x-request-id": given });
    assertEquals(await response.json(), {
      type: "about:blank",
      title: "Not ready",
      status: 503,
      code: "not-ready",
      detail: "this node is starting",
      requestId: told,
      retryable: true,
      retryAfterMs: 1_000,
    });
    assertEquals(response.headers.get("x-request-id"), told);
    assertEquals(ask("/v1/locks/events", "GET", { "x-request-id": given }).headers.get("x-request-id"), told);
  }
});

Deno.test("not ready: a process that starts is alive, and says so to /livez alone", async () => {
  for (const method of ["GET", "HEAD"]) assertEquals(ask("/livez", method).status, 200);
  assertEquals(await ask("/livez").json(), { ok: true });
  for (const [path, method] of [["/livez", "POST"], ["/healthz", "GET"], ["/livez/", "GET"]] as const) {
    assertEquals(ask(path, method).status, 503, path);
  }
});
