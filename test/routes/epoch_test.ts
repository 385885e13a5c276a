/** POST /paxos/epoch, as any node that holds the secret may call it, and nobody else. */
import { assertEquals } from "@std/assert";
import type { AppOptions } from "../../routes/app.ts";
import { createJoiningApp } from "../../routes/joining.ts";
import type { PeerSide } from "../../routes/peer_head.ts";
import { ANSWER_HEADER, MAC_HEADER, peerTo, signAnswer, signPeer } from "../../src/auth/peer_mac.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { decodeAnswer, encodeTold, EPOCH_PATH, type EpochTold } from "../../src/epochs/exchange.ts";
import { EPOCHS_MAX_BYTES } from "../../src/limits.ts";
import { NO_MARK } from "../../src/ports.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";
import { epochOf, KNOWS, rowOf } from "../epochs/samples.ts";
import { scripted } from "./scripted_node.ts";

const ROW = rowOf(epochOf(0, "abc"), epochOf(1, "abd"));
const BODY = encodeTold({ row: ROW });
const IDENTITY = { incarnation: "i", boot: 4 };

function side(changes: Partial<PeerSide> = {}): PeerSide {
  return {
    cluster: "q-0123456789ab",
    secrets: () => ["secret"],
    members: () => ["a", "b", "c"],
    config: () => "",
    identity: () => IDENTITY,
    mark: () => NO_MARK,
    versions: new PeerVersions(),
    refused: () => {},
    ...changes,
  };
}

function standing(changes: Partial<PeerSide> = {}) {
  const heard: (readonly [string, EpochTold])[] = [];
  const refusals: unknown[] = [];
  const hearEpoch: AppOptions["hearEpoch"] = (from, told) => {
    heard.push([from, told]);
    const who = { cluster: "q-0123456789ab", id: "a", incarnation: "i", isJoining: false, isShared: false, ...KNOWS };
    return Promise.resolve({ ...who, row: told.row });
  };
  const peers = side({ refused: (...args) => refusals.push(args), ...changes });
  return { ...scripted({}, { peers, hearEpoch }), heard, refusals, peers, hearEpoch };
}

function signed(
  body: string,
  { from = "d", boot = 4, secret = "secret", cluster = "q-0123456789ab", me = "a", path = EPOCH_PATH } = {},
): Record<string, string> {
  const to = peerTo(me, { ...IDENTITY, boot });
  const bodySha256 = sha256Hex(body);
  const head = signPeer({ method: "POST", path, cluster, from, to, count: 1, bodySha256 }, secret);
  return { "content-length": `${new TextEncoder().encode(body).length}`, ...head };
}

async function post(node: Pick<ReturnType<typeof standing>, "app">, body: string, headers: Record<string, string>) {
  const response = await node.app.request(EPOCH_PATH, { method: "POST", body, headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

Deno.test("epoch: who holds the secret is heard, member or not, and the answer is under the MAC of its request", async () => {
  const node = standing();
  for (const from of ["b", "d"]) {
    const headers = signed(BODY, { from });
    const { status, headers: answered, text } = await post(node, BODY, headers);
    assertEquals(status, 200);
    assertEquals(decodeAnswer(text).row, ROW);
    assertEquals(answered.get(ANSWER_HEADER), signAnswer(headers[MAC_HEADER]!, text, "secret"));
  }
  assertEquals(node.heard, [["b", { row: ROW }], ["d", { row: ROW }]]);
  assertEquals([node.calls, node.refusals], [[], []]);
});

Deno.test("epoch: a stranger is refused before anything of its body is read", async () => {
  const node = standing();
  const cases: readonly (readonly [string, Record<string, string>, number])[] = [
    ["no head", { "content-length": `${BODY.length}` }, 401],
    ["a secret that is another", signed(BODY, { secret: "another" }), 401],
    ["a head of another path", signed(BODY, { path: "/paxos/acceptor" }), 401],
    ["a head of another body", { ...signed(encodeTold({ row: null })), "content-length": `${BODY.length}` }, 401],
    ["an old boot", signed(BODY, { boot: 3 }), 401],
    ["another node", signed(BODY, { me: "c" }), 421],
    ["this node itself", signed(BODY, { from: "a" }), 403],
    ["another cluster", signed(BODY, { cluster: "q-ffffffffffff" }), 409],
    ["no length", Object.fromEntries(Object.entries(signed(BODY)).filter(([name]) => name !== "content-length")), 400],
  ];
  for (const [name, headers, status] of cases) assertEquals((await post(node, BODY, headers)).status, status, name);
  const wire = await post(node, BODY, { ...signed(BODY), "quorate-wire": "4" });
  assertEquals(wire.status, 409);
  assertEquals(node.heard, []);
});

Deno.test("epoch: what is malformed or too large is refused, and changes nothing", async () => {
  const node = standing();
  const bad = [
    "",
    "null",
    "{}",
    '{"row":1}',
    '{"row":null,"more":1}',
    BODY.replace('"epoch":1', '"epoch":3'),
    "[".repeat(9_000),
  ];
  for (const body of bad) assertEquals((await post(node, body, signed(body))).status, 400, body.slice(0, 50));
  const huge = `{"row":null${" ".repeat(EPOCHS_MAX_BYTES)}}`;
  assertEquals((await post(node, huge, signed(huge))).status, 413);
  assertEquals([node.heard, node.reports], [[], []]);
  const got = await node.app.request(EPOCH_PATH);
  assertEquals([got.status, got.headers.get("allow")], [405, "POST"]);
});

Deno.test("epoch: a node that waits to be made a member hears of epochs, and serves nobody", async () => {
  const { hearEpoch, heard } = standing();
  const app = createJoiningApp({
    id: "a",
    peers: side({ identity: () => null }),
    hear: hearEpoch!,
    newId: () => "id",
    now: () => 0,
    after: () => () => {},
    report: () => {},
  });
  const to = peerTo("a", null);
  const head = { method: "POST", path: EPOCH_PATH, cluster: "q-0123456789ab", from: "b", to, count: 1 };
  const headers = {
    "content-length": `${BODY.length}`,
    ...signPeer({ ...head, bodySha256: sha256Hex(BODY) }, "secret"),
  };
  assertEquals((await app.request(EPOCH_PATH, { method: "POST", body: BODY, headers })).status, 200);
  assertEquals(heard, [["b", { row: ROW }]]);
  const other = await app.request(EPOCH_PATH, { method: "POST", body: "{}", headers });
  assertEquals(other.status, 401);
  for (
    const [path, method, status] of [
      ["/livez", "GET", 200],
      ["/readyz", "GET", 503],
      ["/v1/status", "GET", 503],
      ["/v1/locks/x", "POST", 503],
      ["/v1/members", "POST", 503],
      ["/paxos/acceptor", "POST", 503],
      ["/", "GET", 503],
    ] as const
  ) {
    const response = await app.request(path, { method });
    assertEquals(response.status, status, path);
    const { detail } = await response.json();
    if (status === 503) assertEquals(detail, "this node waits to be made a member of cluster q-0123456789ab", path);
  }
});
