/** Each fault of a link, on a real server behind it: what arrives, what takes effect, what comes back. */
import { assert, assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { MessageReader } from "./http_frames.ts";
import { Mesh } from "./mesh.ts";
import { Link, NO_FAULTS } from "./proxy.ts";
import { pause } from "./real_cluster.ts";

/** Counts what takes effect, by body. */
type Server = { readonly url: string; readonly effects: string[]; close(): Promise<void> };

function serve(): Server {
  const effects: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const body = await request.text();
    effects.push(body);
    return new Response(`${request.method} ${new URL(request.url).pathname} ${body}`);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    effects,
    async close() {
      await server.shutdown();
    },
  };
}

/** The answer, or null if the connection ended instead. */
async function ask(link: Link, body: string, signal?: AbortSignal): Promise<string | null> {
  try {
    const response = await fetch(`${link.url}/x`, { method: "POST", body, ...(signal ? { signal } : {}) });
    return await response.text();
  } catch {
    return null;
  }
}

/** Asks, and gives up a moment after the link has counted a loss; true if it had, and nothing had come back. */
async function isLost(link: Link, body: string): Promise<boolean> {
  const losses = () => link.counts.lostRequests + link.counts.lostResponses;
  const before = losses();
  const giveUp = new AbortController();
  let isOver = false;
  const answer = ask(link, body, giveUp.signal).finally(() => isOver = true);
  await until("it is lost or answered", () => isOver || losses() > before);
  await pause(20);
  giveUp.abort();
  return await answer === null && losses() === before + 1;
}

async function withLink(test: (link: Link, server: Server) => Promise<void>): Promise<void> {
  const server = serve();
  const link = new Link(server.url, 1);
  try {
    await test(link, server);
  } finally {
    link.close();
    await server.close();
  }
}

Deno.test("link: an open one carries requests and answers unchanged, large ones too, many at once", () =>
  withLink(async (link, server) => {
    const bodies = ["", "é", "x".repeat(300_000), ...Array.from({ length: 30 }, (_, i) => `n${i}`)];
    const answers = await Promise.all(bodies.map((body) => ask(link, body)));
    assertEquals(answers, bodies.map((body) => `POST /x ${body}`));
    assertEquals(server.effects.length, bodies.length);
    assertEquals(link.counts.carried, bodies.length);
  }));

Deno.test("link: a dropped request has no effect and no answer; a dropped answer has its effect", () =>
  withLink(async (link, server) => {
    link.faults = { ...NO_FAULTS, dropRequest: 1 };
    assert(await isLost(link, "request"));
    assertEquals([server.effects, link.counts.lostRequests], [[], 1]);
    link.faults = { ...NO_FAULTS, dropResponse: 1 };
    assert(await isLost(link, "response"));
    assertEquals([server.effects, link.counts.lostResponses], [["response"], 1]);
    link.faults = NO_FAULTS;
    assertEquals(await ask(link, "after"), "POST /x after");
  }));

Deno.test("link: a duplicate takes effect twice and is answered once; a delayed request is answered", () =>
  withLink(async (link, server) => {
    link.faults = { ...NO_FAULTS, duplicate: 1, delay: 1, delayMaxMs: 20 };
    assertEquals(await ask(link, "twice"), "POST /x twice");
    await until("the repetition arrives", () => server.effects.length === 2);
    assertEquals(server.effects, ["twice", "twice"]);
    assertEquals([link.counts.repeated, link.counts.delayed], [1, 1]);
  }));

Deno.test("link: half-open takes requests and answers none, mute lets them take effect, cut refuses; each heals", () =>
  withLink(async (link, server) => {
    // One connection of each kind stands already.
    assertEquals(await ask(link, "before"), "POST /x before");
    link.state = "half-open";
    assert(await isLost(link, "half-open"));
    assertEquals(server.effects, ["before"]);
    link.state = "mute";
    assert(await isLost(link, "mute"));
    assertEquals(server.effects, ["before", "mute"]);
    link.state = "cut";
    assertEquals(await ask(link, "cut"), null);
    assertEquals(server.effects, ["before", "mute"]);
    link.state = "open";
    assertEquals(await ask(link, "after"), "POST /x after");
  }));

Deno.test("link: a cut ends a request that is under way", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async () => {
    await promise;
    return new Response("late");
  });
  const link = new Link(`http://127.0.0.1:${server.addr.port}`, 1);
  const answer = ask(link, "under way");
  await new Promise((done) => setTimeout(done, 50));
  link.state = "cut";
  assertEquals(await answer, null);
  resolve();
  link.close();
  await server.shutdown();
});

Deno.test("link: a server that is gone is an error at once, and one that is back is reached", async () => {
  const first = serve();
  const port = Number(new URL(first.url).port);
  const link = new Link(first.url, 1);
  assertEquals(await ask(link, "a"), "POST /x a");
  await first.close();
  assertEquals(await ask(link, "b"), null);
  const second = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, () => new Response("back"));
  assertEquals(await ask(link, "c"), "back");
  link.close();
  await second.shutdown();
});

Deno.test("link: the same seed draws the same for the same requests", async () => {
  const drops = async (seed: number): Promise<boolean[]> => {
    const server = serve();
    const link = new Link(server.url, seed);
    link.faults = { ...NO_FAULTS, dropRequest: 0.5 };
    const dropped: boolean[] = [];
    for (let i = 0; i < 12; i++) dropped.push(await isLost(link, `${i}`));
    link.close();
    await server.close();
    return dropped;
  };
  const [one, again, other] = [await drops(1), await drops(1), await drops(2)];
  assertEquals(one, again);
  assert(one.some((dropped) => dropped) && one.some((dropped) => !dropped));
  assert(one.some((dropped, i) => dropped !== other[i]));
});

/** A WebSocket over the link to a server that says `1`, `2`, …, one each time it is told to. */
async function withSocket(
  test: (link: Link, says: readonly string[], say: () => void, isOpen: () => boolean) => Promise<void>,
): Promise<void> {
  let far: WebSocket | null = null;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    far = socket;
    return response;
  });
  const link = new Link(`http://127.0.0.1:${server.addr.port}`, 1);
  const near = new WebSocket(link.url.replace("http", "ws"));
  const says: string[] = [];
  near.onmessage = ({ data }) => void says.push(data);
  near.onerror = () => {};
  try {
    await until("it stands", () => near.readyState === WebSocket.OPEN && far?.readyState === WebSocket.OPEN);
    let said = 0;
    await test(link, says, () => far!.send(`${++said}`), () => near.readyState === WebSocket.OPEN);
  } finally {
    link.close();
    await until("it has ended", () => near.readyState === WebSocket.CLOSED && far?.readyState === WebSocket.CLOSED);
    await server.shutdown();
  }
}

Deno.test("link: a WebSocket is carried, in order also where it is delayed, and is cut with the link", () =>
  withSocket(async (link, says, say, isOpen) => {
    say();
    await until("it came", () => says.length === 1);
    link.faults = { ...NO_FAULTS, delay: 1, delayMaxMs: 5 };
    for (let i = 0; i < 10; i++) say();
    await until("all came", () => says.length === 11);
    assertEquals(says, Array.from({ length: 11 }, (_, i) => `${i + 1}`));
    assert(link.counts.delayed > 0);
    link.state = "cut";
    await until("it has ended", () => !isOpen());
  }));

Deno.test("link: a WebSocket over a mute link says nothing, and ends when it would say something again", () =>
  withSocket(async (link, says, say, isOpen) => {
    link.state = "mute";
    say();
    await until("it is lost", () => link.counts.lostResponses === 1);
    assert(isOpen());
    link.state = "open";
    say();
    await until("it has ended", () => !isOpen());
    assertEquals(says, []);
  }));

Deno.test("mesh: one link per directed pair; what is done to one is not done to its opposite", async () => {
  const [a, b] = [serve(), serve()];
  const mesh = new Mesh(new Map([["a", a.url], ["b", b.url]]), 1);
  try {
    mesh.set([["a", "b"]], "cut");
    assertEquals(await ask(mesh.link(["a", "b"]), "x"), null);
    assertEquals(await ask(mesh.link(["b", "a"]), "y"), "POST /x y");
    mesh.setFaults({ ...NO_FAULTS, dropRequest: 1 });
    assert(await isLost(mesh.link(["b", "a"]), "z"));
    mesh.heal();
    assertEquals(await ask(mesh.link(["a", "b"]), "w"), "POST /x w");
    assertEquals([mesh.counts().carried, mesh.counts().lostRequests], [2, 1]);
  } finally {
    mesh.close();
    await Promise.all([a.close(), b.close()]);
  }
});

Deno.test("frames: messages in pieces and together are told apart; one without a length is refused", async () => {
  const reader = (...pieces: string[]) => {
    const left = pieces.map((piece) => new TextEncoder().encode(piece));
    return new MessageReader({
      read(buffer) {
        const piece = left.shift();
        if (piece === undefined) return Promise.resolve(null);
        buffer.set(piece);
        return Promise.resolve(piece.length);
      },
    });
  };
  const text = (bytes: Uint8Array | null) => bytes === null ? null : new TextDecoder().decode(bytes);
  const [post, get] = ["POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"];
  const split = reader(...(post + get).split(/(?<=\r)/), post.slice(0, -1));
  assertEquals([text(await split.next()), text(await split.next()), await split.next()], [post, get, null]);
  const together = reader(post + get + post);
  for (const message of [post, get, post, null]) assertEquals(text(await together.next()), message);
  for (
    const bad of [
      "HTTP/1.1 200 OK\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "x".repeat(65 * 1024),
    ]
  ) {
    const failed = await reader(...bad.match(/.{1,1000}/gs)!).next().then(() => false, () => true);
    assert(failed, bad.slice(0, 40));
  }
});
