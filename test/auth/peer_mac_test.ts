import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { hmacSha256Hex, sha256Hex } from "../../src/auth/digest.ts";
import {
  ANSWER_HEADER,
  MAC_HEADER,
  type PeerIdentity,
  peerKeys,
  peerTo,
  signAnswer,
  type SignedRequest,
  signPeer,
  verifyPeer,
} from "../../src/auth/peer_mac.ts";
import { InvariantError } from "../../src/assert.ts";
import { OWN_VERSION, VERSION_HEADER, versionText, WIRES } from "../../src/version.ts";

const ME: PeerIdentity = { id: "b", incarnation: "inc1", boot: 7 };
const REQUEST: SignedRequest = {
  method: "POST",
  path: "/paxos/acceptor",
  cluster: "blue",
  from: "a",
  to: peerTo("b", ME),
  count: 3,
  bodySha256: sha256Hex("[]"),
};

type Verified = Parameters<typeof verifyPeer>[0];

function verify(headers: Record<string, string>, changed: Partial<Verified> = {}) {
  return verifyPeer({
    method: REQUEST.method,
    path: REQUEST.path,
    headers: new Headers(headers),
    cluster: REQUEST.cluster,
    me: ME,
    members: ["a", "b", "c"],
    secrets: ["new", "old"],
    ...changed,
  });
}

const VERIFIED = {
  ok: true,
  from: "a",
  count: 3,
  bodySha256: REQUEST.bodySha256,
  secret: "new",
  wire: WIRES.most,
} as const;
const UNAUTHENTICATED = { ok: false, code: "peer-unauthenticated" } as const;

Deno.test("a request signed with either secret is from its sender", () => {
  assertEquals(verify(signPeer(REQUEST, "new")), VERIFIED);
  assertEquals(verify(signPeer(REQUEST, "old")), { ...VERIFIED, secret: "old" });
  assertEquals(verify(signPeer(REQUEST, "other")), UNAUTHENTICATED);
});

Deno.test("the first secret signs", () => {
  const { sign } = peerKeys({ cluster: "blue", id: "a", secrets: ["new", "old"] });
  const body = new TextEncoder().encode("[]");
  const headers = sign({
    peer: "b",
    to: REQUEST.to,
    method: "POST",
    path: REQUEST.path,
    count: 3,
    body,
    wire: WIRES.most,
  });
  assertEquals(headers, signPeer(REQUEST, "new"));
});

Deno.test("peer MAC: secrets that are changed hold from the next request on; an answer to one before is known by the second", () => {
  const node = { cluster: "blue", id: "a", secrets: ["old", "new"] };
  const keys = peerKeys(node);
  const request = { peer: "b", to: null, method: "POST", path: "/paxos/acceptor", count: 1, body: "x" };
  const sign = () => keys.sign({ ...request, wire: WIRES.most });
  const before = sign();
  node.secrets = ["new", "old"];
  const after = sign();
  assertNotEquals(before[MAC_HEADER], after[MAC_HEADER]);
  const isAnswer = (request: Record<string, string>, secret: string) => {
    const mac = signAnswer(request[MAC_HEADER]!, "y", secret);
    const answer = new Headers({ [ANSWER_HEADER]: mac, [VERSION_HEADER]: versionText(OWN_VERSION) });
    return keys.isAnswer(request, answer, "y");
  };
  assertEquals([isAnswer(before, "old"), isAnswer(after, "new")], [true, true]);
  node.secrets = ["new"];
  assertEquals([isAnswer(before, "old"), isAnswer(after, "new")], [false, true]);
});

Deno.test("an unsigned request is nobody's, whichever header is missing", () => {
  assertEquals(verify({}), UNAUTHENTICATED);
  for (
    const name of [
      "quorate-peer",
      "quorate-to",
      "quorate-count",
      "quorate-digest",
      "quorate-wire",
      "quorate-version",
      "quorate-mac",
    ]
  ) {
    const { [name]: _, ...rest } = signPeer(REQUEST, "new");
    assertEquals(verify(rest), UNAUTHENTICATED, name);
  }
});

Deno.test("a MAC without the wire, as nodes of 0.1.0 make it, is nobody's", () => {
  const { method, path, cluster, from, to, count, bodySha256 } = REQUEST;
  const lines = ["quorate-peer-v1", method, path, cluster, from, to, count, bodySha256];
  const macOf = (parts: readonly unknown[]) => `v1=${hmacSha256Hex("new", parts.map((line) => `${line}\n`).join(""))}`;
  const headers = signPeer(REQUEST, "new");
  assertEquals(headers["quorate-mac"], macOf([...lines, WIRES.most, versionText(OWN_VERSION)]));
  assertEquals(verify({ ...headers, "quorate-mac": macOf(lines) }), UNAUTHENTICATED);
});

/** Made by `signPeer` and `signAnswer` of 0.2.0 for REQUEST. */
const OF_0_2_0 = {
  headers: {
    "quorate-peer": "a",
    "quorate-to": "b.inc1.7",
    "quorate-count": "3",
    "quorate-digest": REQUEST.bodySha256,
    "quorate-wire": "5",
    "quorate-cluster": "blue",
    "quorate-mac": "v1=4f082ea773ea114ce09b005a35d6cd39aab8858677e233fa862127f7fd2ab5ce",
  },
  answer: "v1=2d5db0a53a1044a9d014b8e24f73eb1d47165a92dfff0dccd222a5f294583357",
};

Deno.test("wire 5: requests and answers are signed and known as 0.2.0 has them; what it says of versions is under no MAC", () => {
  const { [VERSION_HEADER]: version, ...headers } = signPeer(REQUEST, "new", {
    wire: 5,
    version: "x; wire=5-5; machine=3",
  });
  assertEquals([headers, version], [OF_0_2_0.headers, "x; wire=5-5; machine=3"]);
  assertEquals(verify(OF_0_2_0.headers), { ...VERIFIED, wire: 5 });
  assertEquals(verify({ ...OF_0_2_0.headers, [VERSION_HEADER]: "whatever" }), { ...VERIFIED, wire: 5 });
  const keys = peerKeys({ cluster: "blue", id: "a", secrets: ["new"] });
  const isAnswer = (more: Record<string, string>, body = "[]") =>
    keys.isAnswer(OF_0_2_0.headers, new Headers({ [ANSWER_HEADER]: OF_0_2_0.answer, ...more }), body);
  assertEquals([isAnswer({}), isAnswer({ [VERSION_HEADER]: "whatever" }), isAnswer({}, "[ ]")], [true, true, false]);
  assertEquals(signAnswer(OF_0_2_0.headers[MAC_HEADER], "[]", "new", { wire: 5, version: "x" }), OF_0_2_0.answer);
});

Deno.test("an answer of wire 6 is under a MAC with what its sender says of itself", () => {
  const keys = peerKeys({ cluster: "blue", id: "a", secrets: ["new"] });
  const request = signPeer(REQUEST, "new");
  const version = versionText({ ...OWN_VERSION, machine: 7 });
  const mac = signAnswer(request[MAC_HEADER]!, "[]", "new", { wire: WIRES.most, version });
  const isAnswer = (said: string) =>
    keys.isAnswer(request, new Headers({ [ANSWER_HEADER]: mac, [VERSION_HEADER]: said }), "[]");
  assertEquals([isAnswer(version), isAnswer(versionText(OWN_VERSION)), isAnswer("")], [true, false, false]);
});

Deno.test("whatever is changed after signing, it is nobody's", () => {
  const headers = signPeer(REQUEST, "new");
  const elsewhere: Partial<Verified>[] = [
    { method: "PUT" },
    { path: "/paxos/learner" },
    { path: "/paxos/acceptor?x" },
  ];
  for (const changed of elsewhere) assertEquals(verify(headers, changed), UNAUTHENTICATED, JSON.stringify(changed));

  const mac = headers["quorate-mac"]!;
  const forged: Record<string, string>[] = [
    { "quorate-peer": "c" },
    { "quorate-cluster": "green" },
    { "quorate-to": peerTo("b", { incarnation: "inc1", boot: 8 }) },
    { "quorate-digest": sha256Hex("[ ]") },
    { "quorate-digest": REQUEST.bodySha256.toUpperCase() },
    { "quorate-digest": "" },
    { "quorate-wire": "1" },
    { "quorate-wire": `${WIRES.least}` },
    { "quorate-wire": `${WIRES.least - 1}` },
    { "quorate-wire": `${WIRES.most + 1}` },
    { "quorate-wire": `0${WIRES.most}` },
    { "quorate-version": versionText({ ...OWN_VERSION, machine: 99 }) },
    { "quorate-version": "" },
    { "quorate-count": "4" },
    { "quorate-count": "03" },
    { "quorate-count": "-3" },
    { "quorate-count": "3.0" },
    { "quorate-count": "9007199254740993" },
    { "quorate-mac": mac.replace("v1=", "v2=") },
    { "quorate-mac": mac.replace("v1=", "") },
    { "quorate-mac": mac.slice(0, -1) },
    { "quorate-mac": "v1=" + "0".repeat(64) },
  ];
  for (const changed of forged) {
    assertEquals(verify({ ...headers, ...changed }), UNAUTHENTICATED, JSON.stringify(changed));
  }
});

Deno.test("a member of another cluster is told so, if it holds the secret, and nothing of what it asks is taken", () => {
  const mismatch = { ok: false, code: "config-mismatch" } as const;
  assertEquals(verify(signPeer(REQUEST, "new"), { cluster: "green" }), mismatch);
  assertEquals(verify(signPeer({ ...REQUEST, to: peerTo("b", null) }, "new"), { cluster: "green" }), mismatch);
  assertEquals(verify(signPeer(REQUEST, "other"), { cluster: "green" }), UNAUTHENTICATED);
  // Without the header it is the receiver's or nobody's.
  const { "quorate-cluster": _, ...silent } = signPeer(REQUEST, "new");
  assertEquals(verify(silent).ok, true);
  assertEquals(verify(silent, { cluster: "green" }), UNAUTHENTICATED);
});

Deno.test("fields do not run into each other", () => {
  const shifted = { ...REQUEST, cluster: "blueX", from: "a" };
  const other = { ...REQUEST, cluster: "blue", from: "Xa" };
  assertNotEquals(signPeer(shifted, "new")["quorate-mac"], signPeer(other, "new")["quorate-mac"]);
  assertThrows(() => signPeer({ ...REQUEST, cluster: "blue\na" }, "new"), InvariantError, "newline");
});

Deno.test("a well signed request of a stranger, or in my own name, is of an unknown peer", () => {
  for (const from of ["z", "b"]) {
    assertEquals(verify(signPeer({ ...REQUEST, from }, "new")), { ok: false, code: "unknown-peer" });
  }
});

Deno.test("a request for an earlier boot or incarnation, or from one that never met me, is told the current one", () => {
  const hello = { ok: false, code: "peer-hello", to: "b.inc1.7" } as const;
  for (const to of ["b.inc1.6", "b.inc1.8", "b.inc0.7", peerTo("b", null)]) {
    assertEquals(verify(signPeer({ ...REQUEST, to }, "new")), hello, to);
    const signedAgain = signPeer({ ...REQUEST, to: hello.to }, "new");
    assertEquals(verify(signedAgain).ok, true);
    // Only to one who holds a secret.
    assertEquals(verify(signPeer({ ...REQUEST, to }, "other")), UNAUTHENTICATED, to);
  }
  assertEquals(verify(signPeer({ ...REQUEST, from: "z", to: "b.inc1.6" }, "new")).ok, false);
});

Deno.test("a request for another node is not helped along, even if its id begins like mine", () => {
  for (const to of ["b", "b.7"]) assertEquals(verify(signPeer({ ...REQUEST, to }, "new")), UNAUTHENTICATED, to);
  for (const to of ["c.inc1.7", "b.x.inc1.7", "bb.inc1.7"]) {
    assertEquals(verify(signPeer({ ...REQUEST, to }, "new")), { ok: false, code: "peer-misdirected" }, to);
    assertEquals(verify(signPeer({ ...REQUEST, to }, "other")), UNAUTHENTICATED, to);
  }
  const dotted = { ...ME, id: "b.x" };
  const signed = signPeer({ ...REQUEST, to: "b.x.inc1.6" }, "new");
  assertEquals(verify(signed, { me: dotted, members: ["a", "b.x"] }), {
    ok: false,
    code: "peer-hello",
    to: "b.x.inc1.7",
  });
});

Deno.test("no secret, an empty one or three of them are refused", () => {
  for (const secrets of [[], [""], ["a", ""], ["a", "b", "c"]]) {
    assertThrows(() => peerKeys({ cluster: "blue", id: "a", secrets }), InvariantError, "secret");
  }
});
