/** docs/proxy.md does what it says, where nginx or Caddy are: what never ends is ended by them, and all else goes through. */
import { assertEquals } from "@std/assert";
import { peerKeys } from "../../src/auth/peer_mac.ts";
import { createHttpTransport } from "../../src/transport/http_transport.ts";
import { EventReader } from "../routes/event_reader.ts";
import { type Apps, withApps } from "../routes/memory_apps.ts";
import { echo, realClock } from "../transport/contract.ts";
import { CLUSTER, startPeer } from "../transport/peer_server.ts";
import { CONFIG, MARK, MESSAGES } from "../transport/samples.ts";
import { findProxy, type Program, withProxy } from "./reverse_proxy.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

const PATH = "/v1/kv/a%2Fb%20c";

for (const program of ["nginx", "caddy"] as const) {
  const { path, looked } = findProxy(program);
  const test = (what: string, run: (path: string) => Promise<void>) =>
    Deno.test({
      name: `docs/proxy.md, ${program}: ${what}${path === null ? `: SKIPPED, no ${looked}` : ""}`,
      ignore: path === null,
      fn: () => run(path!),
    });

  test("half a head, half a body and an idle connection are ended, and nothing is done for them", (path) =>
    before(program, path, async (port, { cluster }) => {
      const put = `PUT ${PATH} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
      const get = `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
      const ends = ["POST /v1/kv/x HT", `${put}Content-Length: 100\r\n\r\n{`, `${get}\r\n`].map((begun) =>
        untilEnd(port, begun)
      );
      const [head, body, idle] = await Promise.all(ends);
      assertEquals(/^(?:|HTTP\/1\.1 4\d\d [^]*)$/.test(head!), true, head);
      assertEquals(/^(?:|HTTP\/1\.1 [45]\d\d [^]*)$/.test(body!), true, body);
      assertEquals(/^HTTP\/1\.1 404 /.test(idle!), true, idle);
      assertEquals(await cluster.store("a").keys("", "", 1), []);
    }));

  test("names, long polls and event streams go through, for longer than a head may take", (path) =>
    before(program, path, async (port) => {
      const url = `http://127.0.0.1:${port}${PATH}`;
      const put = async (value: string) => {
        const response = await fetch(url, { method: "PUT", body: value });
        const { key, revision } = await response.json();
        assertEquals([response.status, key], [200, "a/b c"]);
        return revision as string;
      };
      const revision = await put("first");
      const stream = await fetch(`${url}/events`);
      const events = new EventReader(stream);
      assertEquals((await events.next())?.data["revision"], revision);
      const poll = await fetch(`${url}?after=${revision}&waitMs=1500`);
      assertEquals([poll.status, await poll.text()], [304, ""]);
      const next = await put("second");
      assertEquals((await events.next())?.data["revision"], next);
      await events.close();
    }));

  test("a peer's requests go through, at their largest too", async (path) => {
    const peer = startPeer(echo, ["secret"]);
    try {
      await withProxy(program, path, peer.url, async (port) => {
        const transport = createHttpTransport({
          urls: { b: `http://127.0.0.1:${port}` },
          config: CONFIG,
          versions: new PeerVersions(),
          keys: peerKeys({ cluster: CLUSTER, id: "a", secrets: ["secret"] }),
          fetch,
          clock: realClock,
          ownMark: () => MARK,
          onMark: () => {},
          deadlineMs: 60_000,
        });
        const state = { mode: { kind: "prepare" }, pad: "x".repeat(55_000) } as never;
        const message = { ...MESSAGES.prepare, snapshot: { ...MESSAGES.prepare.snapshot!, state } };
        const replies = await Promise.all(Array.from({ length: 37 }, () => transport.send("b", message)));
        assertEquals(replies.map(({ type }) => type), Array(37).fill("learned"));
        assertEquals(peer.statuses, [401, 200]);
        transport.close();
      });
    } finally {
      await peer.stop();
    }
  });
}

/** A node of its own cluster behind the proxy. */
async function before(program: Program, path: string, run: (port: number, apps: Apps) => Promise<void>): Promise<void> {
  await withApps(1, (apps) => withProxy(program, path, apps.url("a"), (port) => run(port, apps)));
}

/** What is answered on a connection on which no more is sent, once the other side has closed it. */
async function untilEnd(port: number, begun: string): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    await connection.write(new TextEncoder().encode(begun));
    return await new Response(connection.readable).text();
  } catch {
    // Reset.
    return "";
  }
}
