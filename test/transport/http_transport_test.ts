import { assert, assertEquals, assertRejects } from "@std/assert";
import { ANSWER_HEADER, peerKeys } from "../../src/auth/peer_mac.ts";
import { type Mark, type PeerCause, PeerError, type WireReply } from "../../src/ports.ts";
import { NO_SPANS, type Spans } from "../../src/spans.ts";
import { createHttpTransport, type HttpTransportOptions, PEER_MAX_OPEN } from "../../src/transport/http_transport.ts";
import { decodeRequest, encodeResponse, type ReceivedRequest } from "../../src/transport/wire.ts";
import { VERSION_HEADER, WIRE_ADVICE, WIRE_HEADER, WIRES } from "../../src/version.ts";
import { echo, readAt, realClock } from "./contract.ts";
import { ManualClock, settled } from "./manual_clock.ts";
import { CLUSTER, type PeerServer, startPeer } from "./peer_server.ts";
import { CONFIG, MARK, MESSAGES, REPLIES } from "./samples.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

/** Stands for the MAC of an answer where a test makes the answers. */
const BY_PEER = "by the peer";

type Call = {
  readonly url: string;
  readonly headers: Headers;
  readonly body: ReceivedRequest;
  readonly init: RequestInit;
  /** @param wire what the answer says of its wire; null: nothing */
  answer(response: Response, wire?: string | null): void;
  readonly isAborted: () => boolean;
};

function noted(call: Call): Response {
  const replies: WireReply[] = call.body.messages.map(() => ({ type: "noted" }));
  return new Response(encodeResponse({ mark: MARK, replies }));
}

function sizes(calls: readonly Call[]): number[] {
  return calls.map((call) => call.body.messages.length);
}

/** A transport whose calls wait for the test to answer them, in time that the test moves. */
function setUp(changes: Partial<HttpTransportOptions> = {}) {
  const clock = new ManualClock();
  const calls: Call[] = [];
  const transport = createHttpTransport({
    urls: { b: "http://b.test/", c: "http://c.test:1/base" },
    config: CONFIG,
    versions: new PeerVersions(),
    keys: {
      ...peerKeys({ cluster: CLUSTER, id: "a", secrets: ["secret"] }),
      isAnswer: (_request, answer) => answer.get(ANSWER_HEADER) === BY_PEER,
    },
    fetch: (url, init) => {
      const { promise, resolve, reject } = Promise.withResolvers<Response>();
      init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      calls.push({
        url,
        init,
        headers: new Headers(init.headers),
        body: decodeRequest(new TextDecoder().decode(init.body as Uint8Array)),
        answer: (response, wire = new Headers(init.headers).get(WIRE_HEADER)) => {
          if (wire !== null) response.headers.set(WIRE_HEADER, wire);
          response.headers.set(ANSWER_HEADER, BY_PEER);
          resolve(response);
        },
        isAborted: () => init.signal?.aborted ?? false,
      });
      return promise;
    },
    clock,
    ownMark: () => MARK,
    onMark: () => {},
    ...changes,
  });
  return { clock, calls, transport };
}

/** Sends without waiting; what becomes of it is for the test to look at. */
function sendMany(transport: ReturnType<typeof setUp>["transport"], count: number) {
  const results: string[] = [];
  for (let i = 0; i < count; i++) {
    transport.send("b", readAt(i + 1)).then((reply) => results.push(reply.type), (error) => {
      assert(error instanceof PeerError);
      results.push(error.message);
    });
  }
  return results;
}

Deno.test("a request is a POST to the peer's mailbox that no redirect can carry off", async () => {
  const { calls, transport } = setUp();
  const sent = [
    transport.send("b", MESSAGES.read),
    transport.send("c", MESSAGES.accepted),
  ];
  await settled();
  assertEquals(calls.map((call) => call.url), [
    "http://b.test/paxos/acceptor",
    "http://c.test:1/base/paxos/learner",
  ]);
  for (const call of calls) {
    assertEquals([call.init.method, call.init.redirect], ["POST", "manual"]);
    assertEquals([call.body.config, call.body.mark], [CONFIG, MARK]);
    call.answer(noted(call));
  }
  assertEquals(calls.map((call) => call.headers.get("quorate-to")), ["b.?.0", "c.?.0"]);
  assertEquals(await Promise.all(sent), [{ type: "noted" }, { type: "noted" }]);
  transport.close();
});

Deno.test("a request for recorded spans bears its own, linked to all of them, and says how it ended; others bear none", async () => {
  let here: string | null = null;
  const asked: unknown[] = [];
  const ended: unknown[] = [];
  const spans: Spans = {
    ...NO_SPANS,
    on: true,
    here: () => here,
    ask: (peer, mailbox, of) => {
      asked.push([peer, mailbox, of]);
      return { traceparent: `of ${of.length}`, end: ({ error }) => ended.push(error) };
    },
  };
  const { calls, transport } = setUp({ spans });
  const sendFor = (span: string | null, instance: number) => {
    here = span;
    return transport.send("b", readAt(instance));
  };
  const sent = [sendFor("one", 1), sendFor(null, 2), sendFor("two", 3), sendFor("one", 4)];
  here = "a later one";
  await settled();
  assertEquals(asked, [["b", "acceptor", ["one", "two"]]]);
  assertEquals(calls.map(({ headers }) => headers.get("traceparent")), ["of 2"]);
  calls[0]!.answer(noted(calls[0]!));
  await Promise.all(sent);
  assertEquals(ended, [null]);

  const alone = sendFor(null, 5);
  await settled();
  calls[1]!.answer(noted(calls[1]!));
  await alone;
  assertEquals([asked.length, calls[1]!.headers.get("traceparent")], [1, null]);

  const failing = assertRejects(() => sendFor("three", 6), PeerError);
  await settled();
  calls[2]!.answer(new Response(null, { status: 502 }));
  await failing;
  await settled();
  assertEquals(ended, [null, "failed"]);
  transport.close();
});

Deno.test("100 messages of one turn are one request; those sent meanwhile are the next", async () => {
  const { calls, transport } = setUp();
  const results = sendMany(transport, 100);
  await settled();
  sendMany(transport, 10);
  await settled();
  sendMany(transport, 10);
  await settled();
  assertEquals(sizes(calls), [100]);
  calls[0]!.answer(noted(calls[0]!));
  await settled();
  assertEquals(results, Array(100).fill("noted"));
  assertEquals(sizes(calls), [100, 20]);
  transport.close();
});

Deno.test("while an answer is long in coming, the next request starts beside it, every few ms", async () => {
  const { clock, calls, transport } = setUp({ pipelineMs: 5 });
  for (let ms = 0; ms < 20; ms++) {
    sendMany(transport, 1);
    await clock.pass(1);
  }
  assertEquals(sizes(calls), [1, 5, 5, 5]);
  assertEquals(calls.map((call) => call.headers.get("quorate-count")), ["1", "2", "3", "4"]);
  transport.close();
});

Deno.test("16 requests are under way to a peer, one more only for a mailbox that has none", async () => {
  const { clock, calls, transport } = setUp({ pipelineMs: 5 });
  for (let i = 0; i < 30; i++) {
    sendMany(transport, 1);
    await clock.pass(5);
  }
  assertEquals(calls.length, 16);
  transport.send("b", MESSAGES.accepted).catch(() => {});
  transport.send("c", MESSAGES.read).catch(() => {});
  await settled();
  assertEquals(calls.slice(16).map((call) => call.url), [
    "http://b.test/paxos/learner",
    "http://c.test:1/base/paxos/acceptor",
  ]);
  // One answer makes no room yet, as 17 are under way; the second does, for all that waits.
  calls[3]!.answer(noted(calls[3]!));
  await settled();
  assertEquals(calls.length, 18);
  calls[4]!.answer(noted(calls[4]!));
  await settled();
  assertEquals(sizes(calls.slice(18)), [14]);
  transport.close();
});

Deno.test("what is sent in one turn of the event loop is one request, however late in it", async () => {
  const { calls, transport } = setUp();
  sendMany(transport, 2);
  for (let i = 0; i < 10; i++) await null;
  sendMany(transport, 3);
  await settled();
  assertEquals(sizes(calls), [5]);
  transport.close();
});

Deno.test("a request holds 1,000 messages and 2 MiB at most", async () => {
  const { calls, transport } = setUp({ pipelineMs: 0 });
  sendMany(transport, 1_500);
  await settled();
  assertEquals(sizes(calls), [1_000, 500]);
  const snapshot = {
    ...MESSAGES.prepare.snapshot!,
    state: { mode: { kind: "prepare" }, pad: "x".repeat(55_000) } as never,
  };
  for (let i = 0; i < 60; i++) transport.send("b", { ...MESSAGES.prepare, snapshot }).catch(() => {});
  await settled();
  assertEquals(sizes(calls.slice(2)), [37, 23]);
  for (const call of calls) assert((call.init.body as Uint8Array).length <= 2 * 1024 * 1024);
  transport.close();
});

Deno.test("the deadline counts from the send, also of what never left", async () => {
  const { clock, calls, transport } = setUp({ deadlineMs: 1_000, pipelineMs: 2_000 });
  const early = sendMany(transport, 2);
  await clock.pass(400);
  const later = sendMany(transport, 2);
  await clock.pass(599);
  assertEquals([early, later], [[], []]);
  await clock.pass(1);
  assertEquals(early, Array(2).fill("b gave no answer within 1000 ms"));
  // Nobody waits for the first request any more, so the second goes. How late it is answered is still listened for.
  assertEquals(calls.map((call) => call.isAborted()), [false, false]);
  await clock.pass(400);
  assertEquals(later, early);
  await clock.pass(3_599);
  assertEquals(calls.map((call) => call.isAborted()), [false, false]);
  await clock.pass(401);
  assertEquals([calls.map((call) => call.isAborted()), clock.timers], [[true, true], 0]);
  transport.close();
});

Deno.test("a peer that answers late is waited for longer, one that is silent is not, and one that is fast again no more", async () => {
  const { clock, calls, transport } = setUp({ deadlineMs: 1_000 });
  const answeredAfter = async (ms: number) => {
    const sent = sendMany(transport, 1);
    await settled();
    await clock.pass(ms);
    const call = calls.at(-1)!;
    call.answer(noted(call));
    await settled();
    return sent[0];
  };
  assertEquals(await answeredAfter(1_200), "b gave no answer within 1000 ms");
  // The median, as long as there are few.
  assertEquals(transport.rttMs("b"), 1_200);
  for (let i = 0; i < 3; i++) assertEquals(await answeredAfter(1_200), "noted");
  assertEquals(await answeredAfter(4_700), "noted");
  const silent = sendMany(transport, 1);
  await clock.pass(20_000);
  assertEquals(silent, ["b gave no answer within 4800 ms"]);
  for (let i = 0; i < 8; i++) await answeredAfter(10);
  const short = sendMany(transport, 1);
  await clock.pass(1_000);
  assertEquals(short, ["b gave no answer within 1000 ms"]);
  transport.close();
});

Deno.test("of a peer that is silent, no more than 16 requests are listened for", async () => {
  const { clock, calls, transport } = setUp({ deadlineMs: 1_000, pipelineMs: 5 });
  for (let i = 0; i < 40; i++) {
    sendMany(transport, 1);
    await settled();
    await clock.pass(80);
  }
  const open = calls.filter((call) => !call.isAborted()).length;
  assert(open <= 32, `${open} are open`);
  assertEquals([calls.length, calls[0]!.isAborted(), calls.at(-1)!.isAborted()], [40, true, false]);
  const all = calls.length;
  transport.close();
  await settled();
  assertEquals([calls.filter((call) => call.isAborted()).length, clock.timers], [all, 0]);
});

Deno.test("a request that is under way for longer than others took says that the peer is slow, as long as it lasts", async () => {
  const { clock, calls, transport } = setUp({ deadlineMs: 1_000 });
  const answer = (i: number) => calls[i]!.answer(noted(calls[i]!));
  sendMany(transport, 1);
  await settled();
  await clock.pass(3);
  answer(0);
  await settled();
  sendMany(transport, 1);
  await settled();
  await clock.pass(49);
  assertEquals(transport.rttMs("b"), 3);
  await clock.pass(31);
  assertEquals(transport.rttMs("b"), 80);
  await clock.pass(900);
  assertEquals(transport.rttMs("b"), 250);
  // One that left later is answered: it was that request, not the peer.
  sendMany(transport, 1);
  await settled();
  await clock.pass(5);
  answer(2);
  await settled();
  assertEquals(transport.rttMs("b"), 5);
  await clock.pass(100);
  // Nobody waits for it any more.
  assertEquals(transport.rttMs("b"), 5);
  transport.close();
});

Deno.test("a request goes on while one of its messages has time left", async () => {
  const { clock, calls, transport } = setUp({ deadlineMs: 1_000, pipelineMs: 10_000 });
  const blocked = sendMany(transport, 1);
  await clock.pass(900);
  const young = sendMany(transport, 1);
  await clock.pass(100);
  assertEquals(blocked.length, 1);
  await clock.pass(850);
  calls[1]!.answer(noted(calls[1]!));
  await settled();
  assertEquals(young, ["noted"]);
  transport.close();
  await settled();
  assertEquals(clock.timers, 0);
});

Deno.test("what waits for one peer is bounded, and others are not bound by it", async () => {
  const { calls, transport } = setUp();
  const results = sendMany(transport, PEER_MAX_OPEN + 1);
  await settled();
  assertEquals(results, ["too many messages wait for b"]);
  transport.send("c", MESSAGES.read).catch(() => {});
  await settled();
  assertEquals(calls.length, 2);
  transport.close();
  await settled();
  assertEquals(results.length, PEER_MAX_OPEN + 1);
});

Deno.test("a peer's mark is told before its replies are", async () => {
  const order: string[] = [];
  const { calls, transport } = setUp({
    onMark: (peer: string, mark: Mark) => void order.push(`${peer} ${mark.run} ${mark.seq}`),
  });
  const sent = transport.send("b", MESSAGES.read).then((reply) => order.push(reply.type));
  await settled();
  calls[0]!.answer(noted(calls[0]!));
  await sent;
  assertEquals(order, ["b run1 42", "noted"]);
  transport.close();
});

Deno.test("the mark that leaves is that of the moment of leaving", async () => {
  let seq = 1;
  const { calls, transport } = setUp({ ownMark: () => ({ ...MARK, seq }) });
  sendMany(transport, 1);
  await settled();
  sendMany(transport, 1);
  seq = 9;
  calls[0]!.answer(noted(calls[0]!));
  await settled();
  assertEquals(calls.map((call) => call.body.mark.seq), [1, 9]);
  transport.close();
});

Deno.test("rttMs is the median of the last 15 round trips", async () => {
  const { clock, calls, transport } = setUp();
  const roundTrip = async (ms: number) => {
    const sent = transport.send("b", MESSAGES.read);
    await settled();
    await clock.pass(ms);
    const call = calls.at(-1)!;
    call.answer(noted(call));
    await sent;
  };
  await roundTrip(500);
  assertEquals(transport.rttMs("b"), 500);
  for (let i = 0; i < 4; i++) await roundTrip(10);
  assertEquals(transport.rttMs("b"), 10);
  for (let i = 0; i < 8; i++) await roundTrip(20);
  assertEquals(transport.rttMs("b"), 20);
  for (let i = 0; i < 15; i++) await roundTrip(3);
  assertEquals([transport.rttMs("b"), transport.rttMs("c")], [3, 0]);
  transport.close();
});

Deno.test("no answer but a good one is an answer", async () => {
  const replies = [REPLIES.noted];
  const cases: readonly [Response, string][] = [
    [new Response("down", { status: 503 }), "b answered 503"],
    [Response.json({ code: "config-mismatch" }, { status: 409 }), "b answered 409 config-mismatch"],
    [new Response(null, { status: 204 }), "b answered 204"],
    [new Response(null, { status: 302, headers: { location: "http://evil.test" } }), "b answered 302"],
    [new Response("<html>"), "is not JSON"],
    [new Response(""), "is not JSON"],
    [new Response("[".repeat(100_000)), "is not JSON"],
    [new Response("[".repeat(100_000) + "]".repeat(100_000)), "is not an object"],
    [Response.json({ mark: MARK, replies: [] }), "1 messages with 0 replies"],
    [Response.json({ mark: MARK, replies: [...replies, ...replies] }), "1 messages with 2 replies"],
    [Response.json({ mark: { ...MARK, seq: -1 }, replies }), "mark.seq"],
    [new Response(" ".repeat(2 * 1024 * 1024 + 1)), "above 2097152 bytes"],
    [new Response("x".repeat(100_000), { status: 500 }), "above 65536 bytes"],
    [new Response(new Uint8Array([0x22, 0xff, 0x22])), "no usable answer"],
  ];
  for (const [response, why] of cases) {
    const { calls, clock, transport } = setUp();
    const sent = assertRejects(() => transport.send("b", MESSAGES.read), PeerError, why);
    await settled();
    calls[0]!.answer(response);
    await sent;
    // Read to its end or cancelled: either way nothing holds the connection.
    assert(response.body === null || response.bodyUsed, why);
    assertEquals([calls.length, clock.timers, transport.rttMs("b")], [1, 0, 0]);
    transport.close();
  }
});

Deno.test("a reply that cannot be believed is unavailable by itself, and takes none of its answer with it", async () => {
  const { calls, transport } = setUp();
  const strange = [{ type: "promise" }, { type: "from-tomorrow", instance: 1 }, { ...REPLIES.view, vote: 1 }, null];
  const sent = [...strange, REPLIES.noted].map((_, i) => transport.send("b", readAt(i + 1)));
  await settled();
  assertEquals(sizes(calls), [5]);
  calls[0]!.answer(Response.json({ mark: MARK, replies: [...strange, REPLIES.noted] }));
  const replies = await Promise.all(sent);
  assertEquals(replies.map(({ type }) => type), [...Array(4).fill("unavailable"), "noted"]);
  assertEquals(replies[0], { type: "unavailable", reason: "replies[0].instance is not an integer from 1" });
  transport.close();
});

Deno.test("a peer of another wire is known by what it answers, as every other cause of a refusal is", async () => {
  const problem = (status: number, code: string) => Response.json({ code }, { status });
  const cases: readonly [Response | null, string | null, string | null, PeerCause?][] = [
    [null, null, "wire 1"],
    [null, "1", "wire 1"],
    [null, "9", "wire 9"],
    [null, "two", "a wire without a proper number"],
    [null, "2, 2", "a wire without a proper number"],
    // What a node of 0.1.0 says to a request that is not signed as it signs.
    [problem(401, "peer-unauthenticated"), null, "wire 1"],
    [problem(409, "wire-mismatch"), "9", "wire 9"],
    // Neither is from the peer itself, so neither says anything of its wire.
    [problem(503, "not-ready"), null, null, "not-ready"],
    [new Response("<html>", { status: 502 }), null, null, "failed"],
    // Its secret is another one, its wire is not.
    [problem(401, "peer-unauthenticated"), `${WIRES.least}`, null, "other-secret"],
    [problem(403, "unknown-peer"), `${WIRES.least}`, null, "no-member"],
    [problem(409, "config-mismatch"), `${WIRES.least}`, null, "other-members"],
    [problem(421, "peer-misdirected"), `${WIRES.least}`, null, "wrong-node"],
    [problem(500, "constructor"), `${WIRES.least}`, null, "failed"],
  ];
  for (const [refusal, wire, speaks, why = "other-wire"] of cases) {
    const { calls, transport } = setUp();
    const says = speaks === null ? "b answered " : `b speaks ${speaks}, this node wires 5 to 6: ${WIRE_ADVICE}`;
    const sent = assertRejects(() => transport.send("b", MESSAGES.read), PeerError, says);
    await settled();
    const call = calls.at(-1)!;
    const response = refusal?.clone() ?? noted(call);
    call.answer(response, wire);
    assertEquals((await sent).why, why);
    assert(response.bodyUsed, says);
    transport.close();
  }
});

Deno.test("a peer is asked in the oldest wire until it has said more, and then in the newest that both speak", async () => {
  const { calls, transport } = setUp();
  const wires: (string | null)[] = [];
  const ask = async (says: string | null, refusal?: { readonly speaks: string }) => {
    const sent = transport.send("b", MESSAGES.read).then(({ type }) => type, (error) => error as PeerError);
    await settled();
    const call = calls.at(-1)!;
    wires.push(call.headers.get(WIRE_HEADER));
    const response = refusal === undefined ? noted(call) : Response.json({ code: "wire-mismatch" }, { status: 409 });
    if (says !== null) response.headers.set(VERSION_HEADER, says);
    call.answer(response, refusal?.speaks);
    return await sent;
  };
  assertEquals(await ask(null), "noted");
  assertEquals(await ask("0.3.0; wire=5-6; machine=3"), "noted");
  assertEquals(await ask("0.3.0; wire=5-6; machine=3"), "noted");
  assertEquals(await ask("9.0.0; wire=6-9; machine=3"), "noted");
  // Its process is an older one by now: what was on its way is lost, which says nothing of the peer.
  const lost = await ask(null, { speaks: "5" }) as PeerError;
  assertEquals([lost.message, lost.why], ["b speaks wire 5: what is sent from now on is in wire 5", null]);
  assertEquals(await ask(null), "noted");
  // One that speaks none of this node's wires is refused for good.
  const never = await ask("9.0.0; wire=7-9; machine=3", { speaks: "9" }) as PeerError;
  assertEquals([never.message, never.why], [
    `b speaks wires 7 to 9, this node wires 5 to 6: ${WIRE_ADVICE}`,
    "other-wire",
  ]);
  assertEquals(wires, ["5", "5", "6", "6", "6", "5", "5"]);
  transport.close();
});

Deno.test("a refusal tells its status and code", async () => {
  const { calls, transport } = setUp();
  const sent = assertRejects(() => transport.send("b", MESSAGES.read), PeerError);
  await settled();
  calls[0]!.answer(Response.json({ code: "unknown-peer" }, { status: 403 }));
  assertEquals((await sent).cause, { status: 403, code: "unknown-peer" });
  transport.close();
});

function hello(to: string): Response {
  return Response.json({ code: "peer-hello" }, { status: 401, headers: { "quorate-to": to } });
}

Deno.test("after a hello the same request is signed again, once, under a new count", async () => {
  const { calls, transport } = setUp();
  const sent = transport.send("b", MESSAGES.read);
  await settled();
  calls[0]!.answer(hello("b.inc1.7"));
  await settled();
  assertEquals(calls.map((call) => call.headers.get("quorate-to")), ["b.?.0", "b.inc1.7"]);
  assertEquals(calls.map((call) => call.headers.get("quorate-count")), ["1", "2"]);
  assertEquals(calls[0]!.body, calls[1]!.body);
  calls[1]!.answer(noted(calls[1]!));
  assertEquals(await sent, { type: "noted" });

  const again = assertRejects(() => transport.send("b", MESSAGES.read), PeerError, "401 peer-hello");
  await settled();
  assertEquals(calls[2]!.headers.get("quorate-to"), "b.inc1.7");
  calls[2]!.answer(hello("b.inc1.8"));
  await settled();
  calls[3]!.answer(hello("b.inc1.9"));
  await again;
  assertEquals(calls.length, 4);
  transport.close();
});

Deno.test("a hello that does not name that very peer is a refusal", async () => {
  for (const to of ["c.inc1.7", "", "b" + ".".repeat(600)]) {
    const { calls, transport } = setUp();
    const sent = assertRejects(() => transport.send("b", MESSAGES.read), PeerError, "401 peer-hello");
    await settled();
    calls[0]!.answer(hello(to));
    await sent;
    assertEquals(calls.length, 1);
    transport.close();
  }
});

async function withPeer(secrets: readonly string[], test: (peer: PeerServer) => Promise<void>): Promise<void> {
  const peer = startPeer(echo, secrets);
  try {
    await test(peer);
  } finally {
    await peer.stop();
  }
}

function transportTo(
  peer: PeerServer,
  secrets: readonly string[],
  config = CONFIG,
  changes: Partial<HttpTransportOptions> = {},
) {
  return createHttpTransport({
    urls: { b: peer.url },
    config,
    versions: new PeerVersions(),
    keys: peerKeys({ cluster: CLUSTER, id: "a", secrets }),
    fetch,
    clock: realClock,
    ownMark: () => MARK,
    onMark: () => {},
    ...changes,
  });
}

Deno.test("over HTTP: an answer counts only if the peer made it for that very request", async () => {
  await withPeer(["secret"], async (peer) => {
    const earlier: Response[] = [];
    const marks: string[] = [];
    let between: (answer: Response, body: string) => Response = (answer, body) => remade(answer, body);
    const transport = transportTo(peer, ["secret"], CONFIG, {
      fetch: async (url, init) => {
        const answer = await fetch(url, init);
        const body = await answer.text();
        earlier.push(remade(answer, body));
        return answer.status === 200 ? between(answer, body) : remade(answer, body);
      },
      onMark: (id) => void marks.push(id),
    });
    assertEquals(await transport.send("b", readAt(1)), { type: "learned", instance: 1 });
    const first = earlier.at(-1)!;
    const changes: readonly [string, typeof between][] = [
      ["altered", (answer, body) => remade(answer, body.replace('"instance":1', '"instance":9'))],
      ["without its MAC", (answer, body) => remade(answer, body, ANSWER_HEADER)],
      ["an earlier one", () => first.clone()],
      ["nobody's", (answer, body) => remade(answer, body, ANSWER_HEADER, `v1=${"0".repeat(64)}`)],
    ];
    for (const [what, change] of changes) {
      between = change;
      await assertRejects(() => transport.send("b", readAt(1)), PeerError, "is not under the MAC", what);
    }
    assertEquals(marks, ["b"]);
    transport.close();
  });
});

function remade(answer: Response, body: string, header?: string, value?: string): Response {
  const headers = new Headers(answer.headers);
  if (header !== undefined) headers.delete(header);
  if (header !== undefined && value !== undefined) headers.set(header, value);
  return new Response(body, { status: answer.status, headers });
}

Deno.test("over HTTP: met at the first request, and again after the peer's restart", async () => {
  await withPeer(["secret"], async (peer) => {
    const transport = transportTo(peer, ["secret"]);
    await transport.send("b", readAt(1));
    await transport.send("b", readAt(1));
    assertEquals(peer.statuses, [401, 200, 200]);
    peer.me = { ...peer.me, boot: 8 };
    await transport.send("b", readAt(1));
    assertEquals(peer.statuses, [401, 200, 200, 401, 200]);
    transport.close();
  });
});

Deno.test("over HTTP: secrets are changed node by node without a gap", async () => {
  await withPeer(["new", "old"], async (peer) => {
    for (const secrets of [["old"], ["old", "new"], ["new", "old"], ["new"]]) {
      const transport = transportTo(peer, secrets);
      await transport.send("b", readAt(1));
      transport.close();
    }
    const transport = transportTo(peer, ["other", "new"]);
    await assertRejects(() => transport.send("b", readAt(1)), PeerError, "401 peer-unauthenticated");
    transport.close();
  });
});

Deno.test("over HTTP: another configuration is refused by name", async () => {
  await withPeer(["secret"], async (peer) => {
    const transport = transportTo(peer, ["secret"], "d".repeat(64));
    await assertRejects(() => transport.send("b", readAt(1)), PeerError, "409 config-mismatch");
    transport.close();
  });
});
