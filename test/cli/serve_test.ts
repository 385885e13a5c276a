/** The listening side of a process, before there is a node behind it. */
import { assertEquals } from "@std/assert";
import { listen } from "../../src/cli/serve.ts";

const PAGE = "https://app.example";

Deno.test("listen: a page of a listed origin reads that the node is starting, and asks first as browsers do", async () => {
  const listener = listen({ host: "127.0.0.1", port: 0, tls: null, cors: [PAGE] });
  const ask = async (method: string, origin: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${listener.url}/v1/locks/x`, { method, headers: { origin, ...headers } });
    await response.body?.cancel();
    return [response.status, response.headers.get("access-control-allow-origin")];
  };
  try {
    assertEquals(await ask("GET", PAGE), [503, PAGE]);
    assertEquals(await ask("OPTIONS", PAGE, { "access-control-request-method": "PUT" }), [204, PAGE]);
    assertEquals(await ask("GET", "https://other.example"), [503, null]);
  } finally {
    await listener.stop();
  }
});
