/** Lasting connections over real sockets: who gets one, what ends it, and that what goes on beside it is right. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FrameMac } from "../../src/auth/frame_mac.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { peerKeys, peerTo, signPeer } from "../../src/auth/peer_mac.ts";
import { LINE_WAITING_MAX_BYTES } from "../../src/limits.ts";
import { type Mailbox, PeerError, type WireMessage } from "../../src/ports.ts";
import type { Receive } from "../../src/transport/local_transport.ts";
import { until } from "../replica/clocks.ts";
import { raw } from "../routes/scripted_node.ts";
import { echo, readAt } from "./contract.ts";
import { type LineNode, LinePair, type PairOptions } from "./line_pair.ts";
import { CLUSTER } from "./peer_server.ts";
import { CONFIG, MARK, MESSAGES } from "./samples.ts";
import { OWN_VERSION } from "../../src/version.ts";

async function withPair(
  receive: Receive,
  test: (pair: LinePair) => Promise<void>,
  options: PairOptions = {},
): Promise<void> {
  const pair = new LinePair(receive, options);
  try {
    await test(pair);
  } finally {
    await pair.stop();
  }
}

/** What b was asked, in order, and by whom. */
function noting() {
  const seen: (readonly [string, Mailbox, number])[] = [];
  const receive: Receive = (from, mailbox, messages) => {
    for (const message of messages) seen.push([from, mailbox, "instance" in message ? message.instance : 0]);
    return echo(from, mailbox, messages);
  };
  return { seen, receive };
}

/** Dials b as node `from` does, and what is to be known of the connection. */
async function dialled(b: LineNode, { from = "a", secret = "secret", nonce = "n".repeat(22), boot = 7 } = {}) {
  const to = peerTo("b", { incarnation: "inc-b", boot });
  const body = JSON.stringify({ config: CONFIG, nonce });
  const post = {
    method: "POST",
    path: "/paxos/line",
    cluster: CLUSTER,
    from,
    to,
    count: 1,
    bodySha256: sha256Hex(body),
  };
  const answer = await fetch(`${b.url}/paxos/line`, { method: "POST", body, headers: signPeer(post, secret) });
  const { ticket, code } = await answer.json();
  return { status: answer.status, code, ticket, nonce, to, from };
}

/** The head of the GET that redeems a ticket. */
function redeeming(ticket: string, { from = "a", to = "b.inc-b.7", secret = "secret" } = {}) {
  const path = `/paxos/line?ticket=${ticket}`;
  const head = { method: "GET", path, cluster: CLUSTER, from, to, count: 2, bodySha256: sha256Hex("") };
  return { path, headers: signPeer(head, secret) };
}

/** Status of the upgrade, over bare TCP. */
async function upgrade(b: LineNode, path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const lines = Object.entries({
    host: "127.0.0.1",
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(b.url).port) });
  try {
    await connection.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`));
    const buffer = new Uint8Array(4_096);
    const size = await connection.read(buffer) ?? 0;
    return Number(new TextDecoder().decode(buffer.subarray(0, size)).split(" ")[1]);
  } finally {
    connection.close();
  }
}

Deno.test("the first request is a POST, and brings about both connections; the next are frames", async () => {
  const { seen, receive } = noting();
  await withPair(receive, async ({ transport, a, b }) => {
    await transport.send("b", readAt(1));
    await until("both stand", () => a.lines.stands("b") && b.lines.stands("a"));
    const posts = b.posts.length;
    for (let i = 2; i < 6; i++) await transport.send("b", readAt(i));
    assertEquals(b.posts.length, posts);
    assertEquals(seen, [1, 2, 3, 4, 5].map((i) => ["a", "acceptor", i] as const));
    assertEquals([a.refusals, b.refusals, a.reports, b.reports], [[], [], [], []]);
  });
});

Deno.test("whoever has a connection knows for certain what the other is, also where the heads of their wire prove nothing", async () => {
  const version = { version: "7.0.0", wires: { least: 5, most: 5 }, machine: 9 };
  await withPair(echo, async ({ transport, a, b }) => {
    await transport.send("b", readAt(1));
    await until("both stand", () => a.lines.stands("b") && b.lines.stands("a"));
    for (const known of [a.versions.of("b")!, b.versions.of("a")!]) {
      assertEquals([known.version, known.wires, known.machine, known.isProven], ["7.0.0", version.wires, 9, true]);
    }
  }, { version });
});

Deno.test("what a peer that dials says of itself is passed over where it is no such text", async () => {
  await withPair(echo, async ({ b }) => {
    for (const version of [9, null, {}, "", "x".repeat(10_000), "7.0.0; wire=5-5"]) {
      const body = JSON.stringify({ config: CONFIG, nonce: "n".repeat(16), version });
      const post = { method: "POST", path: "/paxos/line", cluster: CLUSTER, from: "a", to: "b.inc-b.7", count: 1 };
      const headers = signPeer({ ...post, bodySha256: sha256Hex(body) }, "secret");
      const answer = await fetch(`${b.url}/paxos/line`, { method: "POST", body, headers });
      assertEquals([answer.status, typeof (await answer.json()).ticket], [200, "string"]);
    }
    assertEquals(b.versions.of("a")!.version, OWN_VERSION.version);
  });
});

Deno.test("a peer's mark is told before the replies of a frame are, and the mark that leaves is the newest", async () => {
  const order: string[] = [];
  let seq = 1;
  const options: PairOptions = {
    onMark: (peer, mark) => void order.push(`${peer} ${mark.seq}`),
    ownMark: () => ({ ...MARK, seq: seq++ }),
  };
  const marks: number[] = [];
  const receive = (async (from: string, mailbox: Mailbox, messages: readonly WireMessage[], mark: { seq: number }) => {
    marks.push(mark.seq);
    return await echo(from, mailbox, messages);
  }) as Receive;
  await withPair(receive, async (pair) => {
    await pair.stand();
    for (let i = 0; i < 2; i++) await pair.transport.send("b", readAt(1)).then(({ type }) => order.push(type));
    assertEquals(order, ["b 42", "learned", "b 42", "learned"]);
    assertEquals(marks, [1, 2]);
  }, options);
});

Deno.test("a stranger gets no WebSocket: unsigned, of another secret, of no member, with no ticket or an old one", async () => {
  await withPair(echo, async ({ b }) => {
    const good = await dialled(b);
    assertEquals(good.status, 200);
    const { path, headers } = redeeming(good.ticket);
    assertEquals(await upgrade(b, path, {}), 401);
    assertEquals(await upgrade(b, path, redeeming(good.ticket, { secret: "other" }).headers), 401);
    assertEquals(await upgrade(b, path, redeeming(good.ticket, { from: "z" }).headers), 403);
    assertEquals(await upgrade(b, path, redeeming(good.ticket, { from: "c" }).headers), 401, "another member's ticket");
    assertEquals(await upgrade(b, path, redeeming("x".repeat(22)).headers), 401);
    const none = redeeming("x".repeat(22));
    assertEquals(await upgrade(b, none.path, none.headers), 401);
    assertEquals(await upgrade(b, path, redeeming(good.ticket, { to: "b.inc-b.6" }).headers), 401, "an earlier boot");
    // A head that is repeated is signed as well as the first was.
    assertEquals(await upgrade(b, path, headers), 101);
    assertEquals(await upgrade(b, path, headers), 401);
    // With a newer ticket the one before it is void.
    const older = redeeming((await dialled(b)).ticket);
    const newer = redeeming((await dialled(b)).ticket);
    assertEquals(await upgrade(b, older.path, older.headers), 401);
    assertEquals(await upgrade(b, newer.path, newer.headers), 101);
    assertEquals(b.reports, []);
  });
});

Deno.test("who asks for a connection is refused as every peer is, and told why", async () => {
  await withPair(echo, async ({ b }) => {
    assertEquals((await dialled(b, { secret: "other" })).code, "peer-unauthenticated");
    assertEquals((await dialled(b, { from: "z" })).code, "unknown-peer");
    assertEquals((await dialled(b, { boot: 6 })).code, "peer-hello");
    assertEquals(b.refusals, [["a", "other-secret"], ["z", "no-member"]]);
    for (const nonce of ["", "short", "x".repeat(65), "with space, and comma.."]) {
      assertEquals((await dialled(b, { nonce })).code, "invalid-request", nonce);
    }
    const url = `${b.url}/paxos/line`;
    const port = Number(new URL(b.url).port);
    const signed = (body: string) =>
      signPeer({
        method: "POST",
        path: "/paxos/line",
        cluster: CLUSTER,
        from: "a",
        to: "b.inc-b.7",
        count: 1,
        bodySha256: sha256Hex(body),
      }, "secret");
    for (
      const [body, code] of [
        ["{", "invalid-request"],
        ["null", "invalid-request"],
        [JSON.stringify({ config: "d".repeat(64), nonce: "n".repeat(22) }), "config-mismatch"],
        [" ".repeat(70_000), "too-large"],
      ] as const
    ) {
      const answer = await fetch(url, { method: "POST", body, headers: signed(body) });
      assertEquals((await answer.json()).code, code);
    }
    // Before any of its body is read.
    const head = "POST /paxos/line HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{";
    assertEquals((await raw(port, head)).status, 401);
    const { headers, path } = redeeming((await dialled(b)).ticket);
    const plain = await fetch(b.url + path, { headers });
    assertEquals((await plain.json()).field, "Upgrade");
  });
});

/** Makes WebSockets whose frames the test takes and gives on: as they are, changed, twice, later or never. */
function tampered(pass: (frame: string, on: (frame: unknown) => void) => void) {
  return (url: string, headers: Readonly<Record<string, string>>): WebSocket => {
    const socket = new WebSocket(url, { headers });
    const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage")!;
    Object.defineProperty(socket, "onmessage", {
      set: (run: (event: { data: unknown }) => void) =>
        set!.call(socket, ({ data }: MessageEvent) => pass(data, (frame) => run({ data: frame }))),
    });
    return socket;
  };
}

for (
  const [what, change] of [
    ["altered", (frame) => frame.replace('"instance":2', '"instance":3')],
    ["cut short", (frame) => frame.slice(0, 30)],
    ["without its MAC", (frame) => frame.slice(64)],
    ["oversized", (frame) => frame + " ".repeat(2_200_000)],
    ["bytes, not text", (frame) => new TextEncoder().encode(frame)],
    ["an earlier one", (_, earlier) => earlier],
  ] as const satisfies readonly (readonly [string, (frame: string, earlier: string) => unknown])[]
) {
  Deno.test(`a frame that is ${what} ends the connection, and its request`, async () => {
    let isOn = false;
    let earlier = "";
    const connect = tampered((frame, on) => {
      on(isOn ? change(frame, earlier) : frame);
      earlier = frame;
    });
    await withPair(echo, async (pair) => {
      await pair.stand();
      assertEquals(await pair.transport.send("b", readAt(1)), { type: "learned", instance: 1 });
      isOn = true;
      const failed = await assertRejects(() => pair.transport.send("b", readAt(2)), PeerError, "ended");
      assertEquals(failed.why, "unreachable");
      assertEquals(pair.a.lines.stands("b"), false);
      isOn = false;
      // What comes next is a POST.
      assertEquals(await pair.transport.send("b", readAt(4)), { type: "learned", instance: 4 });
    }, { connect });
  });
}

Deno.test("a frame that is repeated is taken once, and ends the connection", async () => {
  const { seen, receive } = noting();
  let isOn = false;
  const connect = tampered((frame, on) => {
    on(frame);
    if (isOn) on(frame);
  });
  await withPair(receive, async (pair) => {
    await pair.stand();
    isOn = true;
    // Its answer may come before the end does.
    await pair.transport.send("b", readAt(2)).catch((error) => assert(error instanceof PeerError));
    await until("it has ended", () => !pair.a.lines.stands("b") && !pair.b.lines.stands("a"));
    assertEquals(seen, [["a", "acceptor", 2]]);
  }, { connect });
});

Deno.test("a connection is for one life of who dialled it: after another boot its frames are not taken", async () => {
  const { seen, receive } = noting();
  await withPair(receive, async (pair) => {
    await pair.stand();
    pair.b.boot = 8;
    await assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "ended");
    assertEquals(seen, []);
    // By POST it is told the new boot, and met again.
    assertEquals(await pair.transport.send("b", readAt(2)), { type: "learned", instance: 2 });
    assertEquals(seen, [["a", "acceptor", 2]]);
  });
});

Deno.test("secrets are changed node by node, and connections stand all the while", async () => {
  const steps: readonly NonNullable<PairOptions["secrets"]>[] = [
    { a: ["old"], b: ["old", "new"] },
    { a: ["old", "new"], b: ["new", "old"] },
    { a: ["new", "old"], b: ["new"] },
  ];
  for (const secrets of steps) {
    await withPair(echo, async (pair) => {
      await pair.stand();
      assertEquals(await pair.transport.send("b", readAt(2)), { type: "learned", instance: 2 });
      assertEquals(pair.b.posts, []);
    }, { secrets });
  }
  const secrets = { a: ["other"], b: ["secret"] };
  await withPair(echo, async (pair) => {
    await assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "401 peer-unauthenticated");
    await until("a has dialled", () => pair.b.statuses.length > 0);
    assertEquals([pair.b.statuses, pair.a.lines.stands("b")], [[401], false]);
  }, { secrets });
});

Deno.test("where no WebSocket comes through, requests go on by POST", async () => {
  const before = (_: string, request: Request) =>
    request.headers.has("upgrade") ? new Response("no upgrade here", { status: 400 }) : null;
  await withPair(echo, async ({ transport, a, b }) => {
    for (let i = 1; i < 5; i++) assertEquals(await transport.send("b", readAt(i)), { type: "learned", instance: i });
    await until("both have tried", () => a.statuses.length > 0 && b.statuses.length > 0);
    assertEquals([a.lines.stands("b"), b.lines.stands("a"), b.posts.length], [false, false, 5]);
  }, { before });
});

Deno.test("the peer restarts: what was under way fails at once, and the next connection is for its new life", async () => {
  const held = Promise.withResolvers<void>();
  let isHeld = true;
  let came = 0;
  const receive: Receive = async (from, mailbox, messages) => {
    came++;
    if (isHeld) await held.promise;
    return await echo(from, mailbox, messages);
  };
  await withPair(receive, async (pair) => {
    await pair.stand();
    const sent = assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "ended");
    await until("b has it", () => came === 1);
    pair.b.lines.close();
    await sent;
    isHeld = false;
    held.resolve();
    assertEquals(await pair.transport.send("b", readAt(2)), { type: "learned", instance: 2 });
  });
});

Deno.test("under load, connections that end and come back lose no more than what was under way, and repeat nothing", async () => {
  const seen = new Map<number, number>();
  const receive: Receive = (from, mailbox, messages) => {
    for (const message of messages) {
      const { instance } = message as { instance: number };
      seen.set(instance, (seen.get(instance) ?? 0) + 1);
    }
    return echo(from, mailbox, messages);
  };
  const sockets: WebSocket[] = [];
  const connect = (url: string, headers: Readonly<Record<string, string>>) => {
    const socket = new WebSocket(url, { headers });
    sockets.push(socket);
    return socket;
  };
  await withPair(receive, async (pair) => {
    let next = 0;
    let failed = 0;
    for (let round = 0; round < 2; round++) {
      await pair.transport.send("b", readAt(++next));
      await until("both stand", async () => {
        await pair.transport.send("b", readAt(++next));
        return pair.a.lines.stands("b");
      });
      const sent: Promise<void>[] = [];
      for (let i = 0; i < 50; i++) {
        const instance = ++next;
        sent.push(
          pair.transport.send("b", readAt(instance)).then((reply) => {
            assertEquals(reply, { type: "learned", instance });
          }, (error) => {
            assert(error instanceof PeerError);
            failed++;
          }),
        );
        if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
        if (i === 25) { for (const socket of sockets.splice(0)) socket.close(); }
      }
      await Promise.all(sent);
    }
    assert(failed < 100, `${failed} failed`);
    assertEquals([...seen.values()].filter((times) => times > 1), []);
  }, { connect });
});

/** Dials b as another life of `a` would, with the same id and secret. */
async function opened(b: LineNode) {
  const { ticket, nonce } = await dialled(b);
  const { path, headers } = redeeming(ticket);
  const socket = new WebSocket(b.url.replace("http", "ws") + path, { headers });
  const frames = peerKeys({ cluster: CLUSTER, id: "a", secrets: ["secret"] }).frames({ acceptor: "b", nonce, ticket });
  const texts: (string | null)[] = [];
  socket.onmessage = ({ data }) => void texts.push(frames.open(data));
  const closed = () => until("it has ended", () => socket.readyState === WebSocket.CLOSED);
  await new Promise((resolve) => socket.onopen = resolve);
  return { socket, closed, texts };
}

Deno.test("a peer has one connection at a time, the newest, and it ends if anything comes on it", async () => {
  await withPair(echo, async ({ b }) => {
    const first = await opened(b);
    const second = await opened(b);
    await first.closed();
    second.socket.send("x");
    await second.closed();
    assertEquals(b.reports, []);
  });
});

Deno.test("what an earlier life of a peer asked is not answered to the next", async () => {
  const { seen, receive } = noting();
  const gate = Promise.withResolvers<void>();
  const gated: Receive = async (from, mailbox, messages, mark) => {
    const replies = await receive(from, mailbox, messages, mark);
    await gate.promise;
    return replies;
  };
  const kept: (() => void)[] = [];
  let isKept = false;
  const connect = tampered((frame, on) => isKept ? kept.push(() => on(frame)) : on(frame));
  await withPair(gated, async (pair) => {
    await pair.stand();
    const sent = [assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "ended")];
    await until("b has begun the work", () => seen.length === 1);
    // Another mailbox, so that it leaves beside the first; b has it and has not read it.
    isKept = true;
    sent.push(assertRejects(() => pair.transport.send("b", MESSAGES.accepted), PeerError, "ended"));
    await until("b has it", () => kept.length > 0);
    const next = await opened(pair.b);
    await Promise.all(sent);
    isKept = false;
    for (const deliver of kept) deliver();
    gate.resolve();
    // Whatever went over the new connection came before this.
    pair.b.transport.send("a", readAt(9)).catch(() => {});
    await until("something came", () => next.texts.length > 0);
    assertEquals(next.texts.map((text) => text?.split(" ")[0]), ["ask"]);
    assertEquals(seen, [["a", "acceptor", 1]]);
    next.socket.close();
    await next.closed();
  }, { connect });
});

Deno.test("a connection that takes no more is left for a POST, and its memory is bounded", async () => {
  const stuck: Receive = () => new Promise(() => {});
  const lines: WebSocket[] = [];
  const send = WebSocket.prototype.send;
  let waiting = 0;
  const property = Object.getOwnPropertyDescriptor(WebSocket.prototype, "bufferedAmount")!;
  await withPair(stuck, async (pair) => {
    await pair.stand();
    Object.defineProperty(WebSocket.prototype, "bufferedAmount", { configurable: true, get: () => waiting });
    WebSocket.prototype.send = function (data) {
      lines.push(this);
      send.call(this, data);
    };
    try {
      pair.transport.send("b", readAt(1)).catch(() => {});
      await until("it left", () => lines.length === 1);
      waiting = LINE_WAITING_MAX_BYTES + 1;
      pair.transport.send("b", { ...MESSAGES.accepted }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 0));
      assertEquals(lines.length, 1);
    } finally {
      Object.defineProperty(WebSocket.prototype, "bufferedAmount", property);
      WebSocket.prototype.send = send;
    }
  });
});

Deno.test("a request that is answered late ends no connection, and the next go as frames again once anything came", async () => {
  const gate = Promise.withResolvers<void>();
  const late: Receive = async (from, mailbox, messages) => {
    if (messages.some((message) => "instance" in message && message.instance === 1)) await gate.promise;
    return await echo(from, mailbox, messages);
  };
  await withPair(late, async (pair) => {
    await pair.stand();
    await assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "within 200 ms");
    assertEquals([pair.b.posts.length, pair.a.lines.stands("b")], [0, true]);
    // Nothing came meanwhile: whether anybody is there, POST tells.
    await pair.transport.send("b", readAt(2));
    const posts = pair.b.posts.length;
    assertEquals([posts > 0, pair.a.lines.stands("b")], [true, true]);
    gate.resolve();
    await until("the late answer is there", () => pair.a.lines.isHeard("b"));
    await pair.transport.send("b", readAt(3));
    assertEquals([pair.b.posts.length, pair.a.lines.stands("b")], [posts, true]);
  }, { deadlineMs: 200 });
});

Deno.test("while other answers come, a request that is never answered ends no connection", async () => {
  const stuck: Receive = (from, mailbox, messages) =>
    messages.some((message) => "instance" in message && message.instance === 1)
      ? new Promise(() => {})
      : echo(from, mailbox, messages);
  await withPair(stuck, async (pair) => {
    await pair.stand();
    const posts = pair.b.posts.length;
    const lost = assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "within 200 ms");
    // Another turn, so that it does not travel with the first.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await pair.transport.send("b", readAt(2));
    await lost;
    await pair.transport.send("b", readAt(3));
    assertEquals([pair.b.posts.length, pair.a.lines.stands("b")], [posts, true]);
  }, { deadlineMs: 200 });
});

Deno.test("requests that nothing answers end the connections: whether anybody is there, POST tells", async () => {
  const stuck: Receive = () => new Promise(() => {});
  await withPair(stuck, async (pair) => {
    await pair.stand();
    await assertRejects(() => pair.transport.send("b", readAt(1)), PeerError, "within 20 ms");
    assertEquals(pair.a.lines.isHeard("b"), false);
    await until("the connections have ended", () => !pair.a.lines.stands("b"));
  }, { deadlineMs: 20 });
});

Deno.test("frames: each MAC is of its number, its text and its connection", () => {
  const names = { cluster: "blue", dialler: "a", acceptor: "b", nonce: "n", ticket: "t" };
  const of = (changes: Partial<typeof names> = {}, secret = "secret") => new FrameMac({ ...names, ...changes }, secret);
  const [first, second] = ((mac) => [mac.seal("x"), mac.seal("x")])(of());
  const opening = of();
  assertEquals([opening.open(first!), opening.open(second!)], ["x", "x"]);
  assertEquals(of().open(second!), null);
  assertEquals(of({}, "other").open(first!), null);
  for (const name of Object.keys(names)) assertEquals(of({ [name]: "z" }).open(first!), null, name);
  assertEquals([of().open(""), of().open("x".repeat(64))], [null, null]);
});
