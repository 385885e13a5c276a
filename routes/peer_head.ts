/** The head of a peer's request: who sends it, and how one is refused whose sender is no peer, or none of this cluster. */
import {
  ANSWER_HEADER,
  MAC_HEADER,
  NEVER_MET,
  PEER_HEADER,
  type PeerVerdict,
  signAnswer,
  TO_HEADER,
  verifyPeer,
} from "../src/auth/peer_mac.ts";
import { sha256Hex } from "../src/auth/digest.ts";
import { QuorateError } from "../src/errors.ts";
import type { Bodies } from "../src/http/bounded_body.ts";
import type { Mark, NodeId, PeerCause } from "../src/ports.ts";
import type { Lines } from "../src/transport/lines.ts";
import type { PeerVersions } from "../src/transport/peer_versions.ts";
import {
  otherWire,
  readWire,
  speaks,
  VERSION_HEADER,
  versionText,
  WIRE_ADVICE,
  WIRE_HEADER,
  WIRE_OF_VERSIONS,
  wireWords,
} from "../src/version.ts";
import { type Ctx, sendText } from "./answer.ts";
import { decodeUtf8 } from "./body.ts";
import { invalid, problem } from "./error_response.ts";

/** What a node has to know to talk with its peers. */
export type PeerSide = {
  readonly cluster: string;
  /** One, or two while they are changed, as they are at the moment. */
  secrets(): readonly string[];
  /** Who may call, learners too. */
  members(): readonly NodeId[];
  /** Hex SHA-256 of this node's ClusterConfig. */
  config(): string;
  /** Whose store this node's is; null while it belongs to no member. */
  identity(): { readonly incarnation: string; readonly boot: number } | null;
  /** This node's last commit, as it may be told. */
  mark(): Mark;
  readonly versions: PeerVersions;
  /** Lasting connections; absent: this node has none, as where several processes are one node. */
  readonly lines?: Lines;
  /** A request was refused that says it is from `from`; which causes prove that it is, isProven says. */
  refused(from: string, why: PeerCause): void;
};

export type Verified = PeerVerdict & { readonly ok: true };

/** Throws `wire-mismatch`. Of a body nothing is read. */
export function verified(c: Ctx, id: NodeId, peers: PeerSide): PeerVerdict {
  const { headers } = c.req.raw;
  refuseOtherWire(headers, id, peers);
  const verdict = verify(c, id, peers);
  if (verdict.ok) {
    const said = { wire: headers.get(WIRE_HEADER), version: headers.get(VERSION_HEADER) };
    peers.versions.note(verdict.from, said, verdict.wire >= WIRE_OF_VERSIONS);
  }
  return verdict;
}

/** The wire of an answer: that of its request, or the newest where this node does not speak that. */
export function answeredIn(
  c: Ctx,
  { versions: { own } }: PeerSide,
): { readonly wire: number; readonly version: string } {
  const asked = readWire(c.req.raw.headers.get(WIRE_HEADER));
  return { wire: speaks(own.wires, asked) ? asked : own.wires.most, version: versionText(own) };
}

/** The text of the body whose digest was signed, or the refusal of another. */
export async function signedBody(
  c: Ctx,
  verdict: Verified,
  peers: PeerSide & { readonly bodies: Bodies },
  maxBytes: number,
): Promise<string | Response> {
  // Every peer says it. Of a head that somebody repeats the MAC is good, and its body could go on for as long as it may.
  if (c.req.raw.headers.get("content-length") === null) throw invalid("Content-Length", "is missing");
  const body = await peers.bodies.read(c.req.raw, maxBytes);
  if (sha256Hex(body) !== verdict.bodySha256) return refuse(c, { ok: false, code: "peer-unauthenticated" }, peers);
  return decodeUtf8(body);
}

/** Throws `config-mismatch`. */
export function refuseOtherConfig(config: string, from: NodeId, id: NodeId, peers: PeerSide): void {
  if (config === peers.config()) return;
  peers.refused(from, "other-members");
  throw new QuorateError("config-mismatch", `${id} runs another ClusterConfig than ${from}`);
}

/** 200, under the MAC of its request. */
export function answerPeer(c: Ctx, text: string, { secret }: Verified): Response {
  const mac = c.req.raw.headers.get(MAC_HEADER)!;
  return sendText(c, 200, text, { [ANSWER_HEADER]: signAnswer(mac, text, secret, c.get("wire")!) });
}

/** Before anything else of a peer's request is looked at: in another wire its MAC and its body may mean anything. */
function refuseOtherWire(headers: Headers, id: NodeId, peers: PeerSide): void {
  // Who does not say that it is a peer is refused as a stranger.
  const { wires } = peers.versions.own;
  const wire = headers.get(PEER_HEADER) !== null ? otherWire(headers.get(WIRE_HEADER), wires) : null;
  if (wire === null) return;
  peers.refused(headers.get(PEER_HEADER)!, "other-wire");
  throw new QuorateError("wire-mismatch", `this is in ${wire}, and ${id} speaks ${wireWords(wires)}: ${WIRE_ADVICE}`);
}

function verify(c: Ctx, id: NodeId, peers: PeerSide): PeerVerdict {
  const { raw } = c.req;
  // While it is nobody's it goes by the name that who has not met it calls it by.
  const { incarnation, boot } = peers.identity() ?? NEVER_MET;
  return verifyPeer({
    method: raw.method,
    path: raw.url.slice(raw.url.indexOf("/", raw.url.indexOf("://") + 3)),
    headers: raw.headers,
    cluster: peers.cluster,
    me: { id, incarnation, boot },
    members: peers.members(),
    secrets: peers.secrets(),
    version: peers.versions.own,
  });
}

const REFUSED: Readonly<Record<(PeerVerdict & { ok: false })["code"], PeerCause | null>> = {
  "peer-hello": null,
  "peer-unauthenticated": "other-secret",
  "config-mismatch": "other-members",
  "unknown-peer": "no-member",
  "peer-misdirected": "wrong-node",
};

export function refuse(c: Ctx, verdict: PeerVerdict & { ok: false }, peers: PeerSide): Response {
  const from = c.req.raw.headers.get(PEER_HEADER);
  const why = REFUSED[verdict.code];
  if (from !== null && why !== null) peers.refused(from, why);
  switch (verdict.code) {
    case "peer-hello": {
      const error = new QuorateError("peer-hello", `this node is ${verdict.to} now`, { more: { to: verdict.to } });
      return problem(c, error, { [TO_HEADER]: verdict.to });
    }
    case "unknown-peer":
      return problem(c, new QuorateError("unknown-peer", "the sender is no member of this cluster"));
    case "config-mismatch":
      return problem(c, new QuorateError("config-mismatch", "the sender has another list of members"));
    case "peer-misdirected":
      return problem(c, new QuorateError("peer-misdirected", "this node is not the one that the request is for"));
    case "peer-unauthenticated":
      return problem(c, new QuorateError("peer-unauthenticated", "no valid Quorate-Mac for this request"));
  }
}
