/** Pages of other origins: over the routes of a node and through a gateway, as a browser asks. */
import { assert, assertEquals } from "@std/assert";
import { gatewayBefore } from "../../src/compose/gateway_before.ts";
import { Outward } from "../../src/compose/outward.ts";
import { withCors } from "../../routes/cors.ts";
import { type Apps, withApps } from "./memory_apps.ts";

const PAGE = "https://app.example";
const ALLOWED = "access-control-allow-origin";

type Handler = (request: Request) => Response | Promise<Response>;

/** As it is composed. */
const nodeOf = (apps: Apps, origins: readonly string[]): Handler =>
  withCors(origins, (request) => apps.handle("a", request));

function fromPage(origin: string, method: string, path: string, init: RequestInit = {}): Request {
  const headers = { ...init.headers, host: "127.0.0.1:8701", origin, "sec-fetch-site": "cross-site" };
  return new Request(`http://127.0.0.1:8701${path}`, { ...init, method, headers });
}

async function preflight(handler: Handler, origin: string) {
  const asks = { "access-control-request-method": "PUT", "access-control-request-headers": "fence,idempotency-key" };
  const response = await handler(fromPage(origin, "OPTIONS", "/v1/locks/deploy", { headers: asks }));
  await response.body?.cancel();
  return response;
}

Deno.test("cors: a page of a listed origin takes a lock, reads what it is told, and is told of refusals too", () =>
  withApps(3, async (apps) => {
    const handler = nodeOf(apps, [PAGE]);
    const { status, headers } = await preflight(handler, PAGE);
    assertEquals([status, headers.get(ALLOWED)], [204, PAGE]);
    assertEquals(headers.get("access-control-allow-headers"), "fence,idempotency-key");
    assert(headers.get("access-control-allow-methods")!.split(",").includes("DELETE"));
    assertEquals(headers.get("access-control-allow-credentials"), null);

    const taken = await handler(fromPage(PAGE, "POST", "/v1/locks/deploy", { body: "{}" }));
    assertEquals([taken.status, taken.headers.get(ALLOWED), taken.headers.get("vary")], [200, PAGE, "Origin"]);
    assert(taken.headers.get("access-control-expose-headers")!.split(",").includes("Consensus-Instance"));
    assertEquals((await taken.json()).name, "deploy");
    const held = await handler(fromPage(PAGE, "POST", "/v1/locks/deploy", { body: '{"holder": "other"}' }));
    assertEquals([held.status, held.headers.get(ALLOWED)], [409, PAGE]);
    assertEquals((await held.json()).code, "held");
    const nowhere = await handler(fromPage(PAGE, "GET", "/v1/nothing"));
    assertEquals([nowhere.status, nowhere.headers.get(ALLOWED)], [404, PAGE]);
    await nowhere.body?.cancel();
  }, { origins: [PAGE] }));

Deno.test("cors: a page of any other origin is let in and told nothing, as without the setting", () =>
  withApps(1, async (apps) => {
    for (const [origins, origin] of [[[PAGE], "https://app.example.evil"], [[PAGE], "null"], [[], PAGE]] as const) {
      const handler = nodeOf(apps, origins);
      assertEquals((await preflight(handler, origin)).headers.get(ALLOWED), null);
      const response = await handler(fromPage(origin, "POST", "/v1/locks/deploy", { body: "{}" }));
      assertEquals([response.status, response.headers.get(ALLOWED)], [403, null]);
      assertEquals((await response.json()).code, "cross-site");
    }
  }, { origins: [] }));

Deno.test("cors: what is not a page is answered as before, and what is between nodes is for no page", () =>
  withApps(1, async (apps) => {
    const handler = nodeOf(apps, [PAGE]);
    const plain = await handler(new Request("http://127.0.0.1:8701/v1/locks/deploy"));
    assertEquals([plain.status, plain.headers.get(ALLOWED)], [200, null]);
    await plain.body?.cancel();
    const peer = await handler(fromPage(PAGE, "OPTIONS", "/paxos/acceptor"));
    assertEquals(peer.headers.get(ALLOWED), null);
    await peer.body?.cancel();
  }, { origins: [PAGE] }));

Deno.test("cors: a gateway lets in the pages of its own list, also before nodes that would refuse them", () =>
  withApps(1, async (apps) => {
    const before = gatewayBefore(
      { nodes: [apps.url("a")], learnMembers: true },
      [PAGE],
      new Outward(null),
      new AbortController().signal,
      () => {},
    );
    const gateway = withCors([PAGE], before);
    assertEquals((await preflight(gateway, PAGE)).headers.get(ALLOWED), PAGE);
    const taken = await gateway(fromPage(PAGE, "POST", "/v1/locks/deploy", { body: "{}" }));
    assertEquals([taken.status, taken.headers.get(ALLOWED)], [200, PAGE]);
    assertEquals((await taken.json()).name, "deploy");
    const other = await gateway(fromPage("https://other.example", "POST", "/v1/locks/deploy", { body: "{}" }));
    assertEquals([other.status, (await other.json()).code], [403, "cross-site"]);
  }));
