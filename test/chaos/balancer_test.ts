/** The balancer before the processes of an acceptor: who gets a request is chance, and what it gets is what was sent. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SEED, seeded } from "../replica/clocks.ts";
import { raw } from "../routes/scripted_node.ts";
import { Balancer } from "./balancer.ts";

const REQUESTS = 60;

/** Answers with its name and what it was asked. */
function serve(name: string) {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const body = await request.text();
    return Response.json({ name, at: request.url.replace(/^http:\/\/[^/]+/, ""), body });
  });
}

Deno.test("balancer: one client's requests go to all processes, to those that are there, and to none when there is none", async () => {
  const servers = [serve("x"), serve("y")] as const;
  const balancer = new Balancer(0, seeded(SEED));
  const url = `http://127.0.0.1:${balancer.port}/`;
  const askedOf = async () => {
    const names: Record<string, number> = { x: 0, y: 0 };
    for (let i = 0; i < REQUESTS; i++) names[(await (await fetch(url)).json()).name]!++;
    return names;
  };
  try {
    await assertRejects(() => fetch(url));
    for (const { addr } of servers) balancer.add(addr.port);
    const both = await askedOf();
    assert(both["x"]! > REQUESTS / 5 && both["y"]! > REQUESTS / 5, JSON.stringify(both));
    assertEquals(servers.map(({ addr }) => balancer.counts.get(addr.port)), [both["x"], both["y"]]);
    // Gone, and nobody has told the balancer.
    await servers[0].shutdown();
    assertEquals(await askedOf(), { x: 0, y: REQUESTS });
    balancer.remove(servers[1].addr.port);
    await assertRejects(() => fetch(url));
  } finally {
    balancer.close();
    await servers[1].shutdown();
  }
});

Deno.test("balancer: paths and bodies arrive as they were sent, however they were cut on the way", async () => {
  const server = serve("x");
  const balancer = new Balancer(0, seeded(SEED));
  balancer.add(server.addr.port);
  try {
    const body = "e".repeat(100_000);
    const bytes = new TextEncoder().encode(body);
    const head = `POST /v1/%ff%2F%zz/x?name=%2e%2E HTTP/1.1\r\nHost: h\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    for (const cut of [1, 40, head.length - 2, head.length]) {
      const answer = await raw(balancer.port, head.slice(0, cut), head.slice(cut), bytes);
      assertEquals([answer.status, answer.headers.get("connection")], [200, "close"]);
      assertEquals([answer.body["at"], String(answer.body["body"]).length], [
        "/v1/%ff%2F%zz/x?name=%2e%2E",
        body.length,
      ]);
    }
  } finally {
    balancer.close();
    await server.shutdown();
  }
});
