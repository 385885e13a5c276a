import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { PeerSide } from "../../routes/peer_head.ts";
import { peerKeys, peerTo, signPeer } from "../../src/auth/peer_mac.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { BATCH_MAX_BYTES, BODIES_MAX_BYTES, BODY_DEADLINE_MS, PAXOS_BODY_MAX_BYTES } from "../../src/limits.ts";
import { type Mark, NO_MARK, type WireMessage } from "../../src/ports.ts";
import { createHttpTransport } from "../../src/transport/http_transport.ts";
import { decodeResponse, encodeRequest } from "../../src/transport/wire.ts";
import { OWN_VERSION, versionText, WIRE_ADVICE, WIRES } from "../../src/version.ts";
import { MESSAGES, REPLIES } from "../transport/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { raw, type Script, scripted, serving } from "./scripted_node.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

const MINE: Mark = { incarnation: "i", boot: 4, run: "r", seq: 10 };
const THEIRS: Mark = { incarnation: "j", boot: 1, run: "s", seq: 5 };
const CONFIG = sha256Hex("config");
const READ: WireMessage = { type: "read", key: "lock/a", epoch: 0, instance: 1 };
const COLLISION: WireMessage = {
  type: "collision",
  key: "lock/a",
  epoch: 0,
  instance: 1,
  ballot: [0, "", 0],
  reports: [],
};
const BODY = encodeRequest({ config: CONFIG, mark: THEIRS, messages: [READ] });

function peered(script: Script = {}, changes: Partial<PeerSide> = {}) {
  const refusals: unknown[] = [];
  const peers = side({ refused: (...args) => refusals.push(args), ...changes });
  return { ...scripted(script, { peers }), refusals };
}

function side(changes: Partial<PeerSide> = {}): PeerSide {
  return {
    cluster: "test",
    secrets: () => ["secret"],
    members: () => ["a", "b"],
    config: () => CONFIG,
    identity: () => MINE,
    mark: () => MINE,
    versions: new PeerVersions(),
    refused: () => {},
    ...changes,
  };
}

function signed(
  body: string | Uint8Array,
  { path = "/paxos/acceptor", from = "b", boot = MINE.boot, secret = "secret", cluster = "test", me = "a" } = {},
): Record<string, string> {
  const to = peerTo(me, { incarnation: MINE.incarnation, boot });
  const request = { method: "POST", path, cluster, from, to, count: 1, bodySha256: sha256Hex(body) };
  return signPeer(request, secret);
}

/** With the length that a socket would show, unless the test says another. */
function framed(body: BodyInit, headers: Record<string, string>): Record<string, string> {
  if (body instanceof ReadableStream) return headers;
  return { "content-length": `${new TextEncoder().encode(String(body)).length}`, ...headers };
}

async function post(
  node: ReturnType<typeof peered>,
  body: BodyInit,
  headers: Record<string, string>,
  path = "/paxos/acceptor",
) {
  const response = await node.app.request(path, { method: "POST", body, headers: framed(body, headers) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, problem: JSON.parse(text) };
}

describe("a peer's call", () => {
  it("reaches the node's mailbox and is answered in order", async () => {
    let seq = MINE.seq;
    const receive = () => {
      seq++;
      return [{ type: "noted" }];
    };
    const node = peered({ receive }, { mark: () => ({ ...MINE, seq }) });
    const { status, text, headers } = await post(node, BODY, signed(BODY));
    assertEquals(status, 200);
    assertEquals(headers.get("quorate-wire"), `${WIRES.most}`);
    const answer = decodeResponse(text);
    assertEquals(answer.replies, [{ type: "noted" }]);
    assertEquals(node.calls, [{ method: "receive", args: ["b", "acceptor", [READ], THEIRS] }]);
    // The mark of the answer is taken after the work, of which there may have been a commit.
    assertEquals(answer.mark.seq, MINE.seq + 1);
  });

  it("reaches the coordinator with what is for it", async () => {
    const node = peered();
    const path = "/paxos/coordinator";
    const body = encodeRequest({ config: CONFIG, mark: THEIRS, messages: [COLLISION] });
    assertEquals((await post(node, body, signed(body, { path }), path)).status, 200);
    assertEquals(node.calls[0]?.args.slice(0, 2), ["b", "coordinator"]);
  });

  it("is answered before the store is anybody's: who does not vote yet asks those who do not either", async () => {
    const marks = encodeRequest({ config: CONFIG, mark: THEIRS, messages: [{ type: "marks", of: "b" }] });
    const reply = { type: "marks", of: "b", mark: null } as const;
    const node = peered({ receive: [reply] }, { identity: () => null, mark: () => NO_MARK });
    const to = peerTo("a", null);
    const request = { method: "POST", path: "/paxos/acceptor", cluster: "test", from: "b", to, count: 1 };
    const { status, text } = await post(node, marks, signPeer({ ...request, bodySha256: sha256Hex(marks) }, "secret"));
    assertEquals([status, decodeResponse(text)], [200, { mark: NO_MARK, replies: [reply] }]);
  });

  it("brings imports and their answers as they are, and what is none of them is refused alone", async () => {
    const messages = [MESSAGES["import-prepare"], MESSAGES["import-accept"], MESSAGES["import-learn"], MESSAGES.read];
    const replies = [
      REPLIES["import-promise"],
      REPLIES["import-accepted"],
      REPLIES["import-refused"],
      REPLIES.unimported,
    ];
    const node = peered({ receive: replies });
    const body = encodeRequest({ config: CONFIG, mark: THEIRS, messages });
    const { status, text } = await post(node, body, signed(body));
    assertEquals([status, decodeResponse(text).replies], [200, replies]);
    assertEquals(node.calls[0]?.args[2], messages);

    const bad = body.replace('"epoch":1', '"epoch":0');
    const answer = decodeResponse((await post(peered({ receive: replies.slice(1) }), bad, signed(bad))).text);
    assertEquals(answer.replies.map(({ type }) => type), ["unavailable", ...replies.slice(1).map(({ type }) => type)]);
  });

  it("comes over a real socket", async () => {
    const node = peered();
    await serving(node, async (port) => {
      const url = `http://127.0.0.1:${port}/paxos/acceptor`;
      const response = await fetch(url, { method: "POST", body: BODY, headers: signed(BODY) });
      assertEquals(decodeResponse(await response.text()).replies, [{ type: "noted" }]);
    });
  });
});

it("http_transport.ts is understood, and learns the boot it was not told of", async () => {
  const node = peered();
  const statuses: number[] = [];
  const transport = createHttpTransport({
    urls: { a: "http://a.example:8701" },
    config: CONFIG,
    versions: new PeerVersions(),
    keys: peerKeys({ cluster: "test", id: "b", secrets: ["secret"] }),
    fetch: async (url, init) => {
      const { length } = init.body as Uint8Array;
      const response = await node.app.request(url, {
        ...init,
        headers: { ...init.headers as Record<string, string>, "content-length": `${length}` },
      });
      statuses.push(response.status);
      return response;
    },
    clock: {
      now: () => performance.now(),
      wall: () => Date.now(),
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    ownMark: () => THEIRS,
    onMark: () => {},
  });
  try {
    assertEquals(await transport.send("a", READ), { type: "noted" });
    assertEquals(await transport.send("a", COLLISION), { type: "noted" });
  } finally {
    transport.close();
  }
  assertEquals(statuses, [401, 200, 200]);
  assertEquals(node.calls.map(({ args }) => args[3]), [THEIRS, THEIRS]);
});

it("a message that is refused is answered by itself, and those beside it reach the node", async () => {
  const node = peered();
  const from = (read: string) =>
    BODY.replace(JSON.stringify(READ), `${JSON.stringify(READ)},${read},${JSON.stringify(READ)}`);
  for (const bad of ["null", '{"type":"decide"}', '{"type":"from-tomorrow"}', '{"type":"read","key":"lock/a"}']) {
    const body = from(bad);
    const { status, text } = await post(node, body, signed(body));
    assertEquals(status, 200, bad);
    assertEquals(decodeResponse(text).replies.map(({ type }) => type), ["noted", "unavailable", "noted"], bad);
    assertEquals(node.calls.splice(0), [{ method: "receive", args: ["b", "acceptor", [READ, READ], THEIRS] }], bad);
  }
  assertEquals(node.reports, []);
});

/** The wire of a request, or the newest where it names none that there is. */
function wireOf(headers: Record<string, string>): string {
  return headers["quorate-wire"] === "5" ? "5" : `${WIRES.most}`;
}

describe("a call that is refused reaches nobody", () => {
  async function refused(
    body: BodyInit,
    headers: Record<string, string>,
    expected: [number, string, string?],
    { path = "/paxos/acceptor", changes = {} as Partial<PeerSide> } = {},
  ) {
    const node = peered({}, changes);
    const { status, problem, headers: answered } = await post(node, body, headers, path);
    const [, , field] = expected;
    assertEquals([status, problem.code, problem.field], [expected[0], expected[1], field], JSON.stringify(problem));
    assertEquals(answered.get("content-type"), "application/problem+json");
    assertEquals(answered.get("quorate-wire"), expected[1] === "wire-mismatch" ? `${WIRES.most}` : wireOf(headers));
    assertEquals(answered.get("quorate-version"), versionText(OWN_VERSION));
    assertEquals([node.calls, node.reports], [[], []]);
    return { problem, headers: answered };
  }

  it("unsigned, or signed with another secret, path, cluster or body", async () => {
    await refused(BODY, {}, [401, "peer-unauthenticated"]);
    await refused(BODY, signed(BODY, { secret: "other" }), [401, "peer-unauthenticated"]);
    await refused(BODY, signed(BODY, { path: "/paxos/learner" }), [401, "peer-unauthenticated"]);
    await refused(`${BODY} `, signed(BODY), [401, "peer-unauthenticated"]);
    await refused(BODY, signed(BODY), [401, "peer-unauthenticated"], { path: "/paxos/acceptor?x" });
    await refused(BODY, { ...signed(BODY), "quorate-peer": "c" }, [401, "peer-unauthenticated"]);
    await refused(BODY, { ...signed(BODY), "quorate-count": "2" }, [401, "peer-unauthenticated"]);
    const { headers } = await refused(BODY, { authorization: "Bearer t" }, [401, "peer-unauthenticated"]);
    assertEquals(headers.get("www-authenticate"), "Quorate-Mac");
  });

  it("with another body than the one whose digest was signed", async () => {
    await refused(BODY, { ...signed(BODY), "quorate-digest": sha256Hex(`${BODY} `) }, [401, "peer-unauthenticated"]);
    const other = BODY.replace("lock/a", "lock/b");
    await refused(other, signed(BODY), [401, "peer-unauthenticated"]);
    await refused(other, { ...signed(BODY), "quorate-digest": sha256Hex(other) }, [401, "peer-unauthenticated"]);
  });

  it("before any of its body is read, whoever is no peer or does not say how much comes", async () => {
    const sized = { "content-length": `${BODY.length}` };
    const { "quorate-digest": _, ...without } = signed(BODY);
    const strangers: [Record<string, string>, [number, string, string?]][] = [
      [{}, [401, "peer-unauthenticated"]],
      [sized, [401, "peer-unauthenticated"]],
      [{ ...sized, "quorate-peer": "b", "quorate-wire": `${WIRES.most}` }, [401, "peer-unauthenticated"]],
      [{ ...sized, ...without }, [401, "peer-unauthenticated"]],
      [{ ...sized, ...signed(BODY, { secret: "other" }) }, [401, "peer-unauthenticated"]],
      [{ ...sized, ...signed(BODY, { from: "z" }) }, [403, "unknown-peer"]],
      [{ ...sized, ...signed(BODY, { boot: 3 }) }, [401, "peer-hello"]],
      [{ ...sized, ...signed(BODY), "quorate-wire": "2" }, [409, "wire-mismatch"]],
      [signed(BODY), [400, "invalid-request", "Content-Length"]],
      [{ ...signed(BODY), "content-length": `${PAXOS_BODY_MAX_BYTES + 1}` }, [413, "too-large"]],
    ];
    for (const [headers, expected] of strangers) {
      let reads = 0;
      const pull = () => void reads++;
      const body = new ReadableStream({ pull }, { highWaterMark: 0 });
      await refused(body, headers, expected);
      assertEquals(reads, 0, JSON.stringify(headers));
    }
  });

  it("where there is no mailbox, and says which wire it would be, which /v1 does not", async () => {
    const node = peered({});
    for (
      const [method, path, status, wire] of [
        ["POST", "/paxos/nobody", 404, `${WIRES.most}`],
        ["GET", "/paxos/acceptor", 405, `${WIRES.most}`],
        ["GET", "/v1/nothing", 404, null],
        ["GET", "/v1/locks/a", 200, null],
      ] as const
    ) {
      const answer = await node.app.request(path, { method });
      await answer.body?.cancel();
      assertEquals([answer.status, answer.headers.get("quorate-wire")], [status, wire], path);
    }
  });

  it("of another cluster, or for another node, and is told so", async () => {
    await refused(BODY, signed(BODY, { cluster: "other" }), [409, "config-mismatch"]);
    const to = { "quorate-to": "c.i.4" };
    await refused(BODY, { ...signed(BODY), ...to }, [401, "peer-unauthenticated"]);
    await refused(BODY, signed(BODY, { me: "c" }), [421, "peer-misdirected"]);
  });

  it("and the node hears of whom and why", async () => {
    const cases: [Record<string, string>, unknown[]][] = [
      [signed(BODY, { secret: "other" }), ["b", "other-secret"]],
      [signed(BODY, { cluster: "other" }), ["b", "other-members"]],
      [signed(BODY, { from: "z" }), ["z", "no-member"]],
      [signed(BODY, { me: "c" }), ["b", "wrong-node"]],
      [{ ...signed(BODY), "quorate-wire": "9" }, ["b", "other-wire"]],
    ];
    for (const [headers, told] of cases) {
      const node = peered();
      await post(node, BODY, headers);
      assertEquals(node.refusals, [told]);
    }
    // Who names nobody is nobody, and an earlier boot is no fault.
    for (const headers of [{}, { "quorate-wire": "9" }, signed(BODY, { boot: 3 }), signed(BODY)]) {
      const node = peered();
      await post(node, BODY, headers);
      assertEquals(node.refusals, []);
    }
    const node = peered();
    const other = encodeRequest({ config: sha256Hex("another"), mark: THEIRS, messages: [READ] });
    await post(node, other, signed(other));
    assertEquals(node.refusals, [["b", "other-members"]]);
  });

  it("over a real socket too: the answer comes while most of the body is still to come", async () => {
    const node = peered();
    await serving(node, async (port) => {
      const head = "POST /paxos/acceptor HTTP/1.1\r\nHost: localhost\r\n";
      for (const begun of ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]) {
        const { status, body } = await raw(port, head + begun);
        assertEquals([status, body.code], [401, "peer-unauthenticated"]);
      }
    });
    assertEquals([node.calls, node.reports], [[], []]);
  });

  it("whose body has not come to its end in time, if it is a peer's", async () => {
    const clock = new ManualClock();
    const node = scripted({}, { peers: side(), after: (ms, run) => clock.after(ms, run) });
    const body = new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode(BODY.slice(0, 9))) });
    const headers = { ...signed(BODY), "content-length": `${BODY.length}` };
    const asked = node.app.request("/paxos/acceptor", { method: "POST", body, headers });
    await settled();
    await clock.pass(BODY_DEADLINE_MS);
    const response = await asked;
    const { code, retryable, outcome } = await response.json();
    assertEquals([response.status, code, retryable, outcome], [408, "request-timeout", true, "none"]);
    assertEquals([node.calls, clock.timers], [[], 0]);
  });

  it("but not because bodies of clients want its room", async () => {
    const clock = new ManualClock();
    const node = scripted({}, { peers: side(), after: (ms, run) => clock.after(ms, run) });
    const encoder = new TextEncoder();
    let stream!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (own) => void (stream = own) });
    stream.enqueue(encoder.encode(BODY.slice(0, 9)));
    const headers = { ...signed(BODY), "content-length": `${BODY.length}` };
    const asked = node.app.request("/paxos/acceptor", { method: "POST", body, headers });
    await settled();
    const bytes = new Uint8Array(BATCH_MAX_BYTES).fill(0x20);
    const clients = Array.from({ length: BODIES_MAX_BYTES / BATCH_MAX_BYTES + 1 }, () => {
      const body = new ReadableStream({ start: (stream) => stream.enqueue(bytes) });
      return node.app.request("/v1/batch", { method: "POST", body });
    });
    assertEquals((await clients[0]!).status, 408);
    stream.enqueue(encoder.encode(BODY.slice(9)));
    stream.close();
    assertEquals((await asked).status, 200);
    await clock.pass(BODY_DEADLINE_MS);
    await Promise.all(clients);
    assertEquals([node.calls.length, clock.timers], [1, 0]);
  });

  it("from a peer of another wire, before its MAC, its body and the own store are looked at", async () => {
    const { "quorate-wire": _, ...silent } = signed(BODY);
    const others: [Record<string, string>, string][] = [
      [silent, "wire 1"],
      [{ ...silent, "quorate-wire": "1" }, "wire 1"],
      [{ ...silent, "quorate-wire": `${WIRES.least - 1}` }, `wire ${WIRES.least - 1}`],
      [{ ...silent, "quorate-wire": `${WIRES.most + 1}` }, `wire ${WIRES.most + 1}`],
      ...["", "two", "03", "3.0", "-3", "3, 3", "9".repeat(99)].map((wire): [Record<string, string>, string] => [
        { ...silent, "quorate-wire": wire },
        "a wire without a proper number",
      ]),
    ];
    for (const [headers, wire] of others) {
      const { problem } = await refused(BODY, headers, [409, "wire-mismatch"]);
      assertEquals(problem.retryable, false);
      assertEquals(problem.detail, `this is in ${wire}, and a speaks wires 5 to 6: ${WIRE_ADVICE}`);
      await refused("{", { ...headers, "quorate-mac": "v2=what" }, [409, "wire-mismatch"]);
      await refused(BODY, headers, [409, "wire-mismatch"], { changes: { identity: () => null } });
    }
    // Who does not even say that it is a peer is told nothing.
    await refused(BODY, { "quorate-wire": "9" }, [401, "peer-unauthenticated"]);
  });

  it("from nobody of the cluster", async () => {
    await refused(BODY, signed(BODY, { from: "z" }), [403, "unknown-peer"]);
    await refused(BODY, signed(BODY, { from: "a" }), [403, "unknown-peer"]);
  });

  it("for an earlier boot, and is told the present one", async () => {
    const { problem, headers } = await refused(BODY, signed(BODY, { boot: 3 }), [401, "peer-hello"]);
    assertEquals([problem.to, headers.get("quorate-to"), problem.retryable], ["a.i.4", "a.i.4", true]);
  });

  it("from a node with another ClusterConfig", async () => {
    const body = encodeRequest({ config: sha256Hex("another"), mark: THEIRS, messages: [READ] });
    await refused(body, signed(body), [409, "config-mismatch"]);
  });

  it("signed, but malformed", async () => {
    const bad = ["{", "[]", "{}", "", `${BODY}x`, "[".repeat(100_000)];
    for (const body of bad) {
      const node = peered();
      const { status, problem } = await post(node, body, signed(body));
      assertEquals([status, problem.code, typeof problem.field], [400, "invalid-request", "string"], body.slice(0, 80));
      assertEquals([node.calls, node.reports], [[], []]);
    }
    const bytes = new Uint8Array([0xff]);
    await refused(bytes, { ...signed(bytes), "content-length": "1" }, [400, "invalid-request", "body"]);
  });

  it("above its limit", async () => {
    const large = " ".repeat(PAXOS_BODY_MAX_BYTES + 1);
    await refused(large, signed(large), [413, "too-large"]);
    await refused(large, { ...signed(large), "content-length": "2" }, [413, "too-large"]);
    const node = peered();
    await serving(node, async (port) => {
      const lines = Object.entries(signed(large)).map(([name, value]) => `${name}: ${value}\r\n`).join("");
      const head = `POST /paxos/acceptor HTTP/1.1\r\nHost: localhost\r\n${lines}`;
      const { status, body } = await raw(port, `${head}Content-Length: ${large.length}\r\n\r\n{`);
      assertEquals([status, body.code], [413, "too-large"]);
    });
  });

  it("made for a store that was there, while it belongs to no member", async () => {
    const { problem } = await refused(BODY, signed(BODY), [401, "peer-hello"], { changes: { identity: () => null } });
    assertEquals(problem.to, "a.?.0");
  });
});

it("a cluster of one has no mailboxes", async () => {
  const { app } = scripted();
  const response = await app.request("/paxos/acceptor", { method: "POST", body: BODY, headers: signed(BODY) });
  assertEquals([response.status, (await response.json()).code], [404, "no-route"]);
});
