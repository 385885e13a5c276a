/** What a failed fetch says of how far it came, as this runtime and the others say it. */
import { assert, assertEquals } from "@std/assert";
import { wasNeverSent } from "../../src/client/never_sent.ts";
import { cuttingNode, nobody } from "./scripted_nodes.ts";

async function failure(url: string, init: RequestInit = {}): Promise<unknown> {
  return await fetch(url, init).then((response) => response.text()).then(() => assert(false), (error) => error);
}

Deno.test("never sent: a refused connection and an unknown host, as Deno tells them", async () => {
  assertEquals(wasNeverSent(await failure(nobody().url)), true);
  assertEquals(wasNeverSent(await failure("http://quorate.invalid/")), true);
});

Deno.test("never sent: what was cut, half answered or cancelled may have arrived", async () => {
  for (const reply of ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", "nonsense\r\n\r\n"]) {
    const node = cuttingNode(reply);
    assertEquals(wasNeverSent(await failure(node.url, { method: "POST", body: "{}" })), false, reply);
    assertEquals(node.seen.length, 1);
    await node.close();
  }
  assertEquals(wasNeverSent(await failure(nobody().url, { signal: AbortSignal.abort() })), false);
});

Deno.test("never sent: Node and Bun have codes; what says nothing of it may have arrived", () => {
  const refused = new TypeError("fetch failed", { cause: Object.assign(new Error(), { code: "ECONNREFUSED" }) });
  assertEquals(wasNeverSent(refused), true);
  assertEquals(wasNeverSent(Object.assign(new Error(), { code: "ConnectionRefused" })), true);
  assertEquals(wasNeverSent(new TypeError("x", { cause: { code: "ECONNRESET" } })), false);
  for (const error of [new TypeError("fetch failed"), "refused", null, undefined, 7]) {
    assertEquals(wasNeverSent(error), false);
  }
});
