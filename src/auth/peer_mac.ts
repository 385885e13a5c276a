/**
 * How nodes know each other: a MAC over the head of each request to /paxos, and in the head the digest of its body. So a
 * receiver knows who sends before it reads any of the body. No clock in it; a repeated request is harmless by protocol,
 * and one made for an earlier boot of the receiver is refused.
 *
 *     Quorate-Peer: a                      the sender
 *     Quorate-To: b.INCARNATION.BOOT       the receiver; `b.?.0` from a sender that has not met it
 *     Quorate-Count: 17                    counts the sender's requests
 *     Quorate-Digest: HEX                  SHA-256 of the body
 *     Quorate-Wire: 6                      the wire it is in; a receiver that does not speak it refuses before all else
 *     Quorate-Version: 0.3.0; wire=5-6; machine=3   what the sender says of itself (version.ts); wire 5 has none
 *     Quorate-Cluster: q-3f…               the sender's cluster; well signed of another is told apart from badly signed
 *     Quorate-Mac: v1=HEX                  HMAC-SHA256 with the peer secret
 *
 * The MAC is over ten lines, each ended by "\n" and holding no other, so no two requests have the same text:
 * `quorate-peer-v1`, method, path (with its query, if any), cluster, Quorate-Peer, Quorate-To, Quorate-Count,
 * Quorate-Digest, Quorate-Wire, Quorate-Version. On wire 5 the last is not among them: the header is there for who wants to go on
 * in a newer wire, and proves nothing.
 *
 * An answer that counts (200) has one too, `Quorate-Answer: v1=HEX`, with the secret that the request was signed with. It is
 * over four lines, `quorate-answer-v1`, the request's Quorate-Mac, the SHA-256 of the body and, from wire 6 on, the answer's
 * Quorate-Version: so it answers that request and no other. Refusals have none, as who refuses may have another secret; they can
 * end a request, and no more.
 */
import { assert } from "../assert.ts";
import type { Identity } from "../ports.ts";
import {
  type NodeVersion,
  OWN_VERSION,
  readVersion,
  readWire,
  speaks,
  VERSION_HEADER,
  versionText,
  WIRE_HEADER,
  WIRE_OF_VERSIONS,
} from "../version.ts";
import { FrameMac, type LineNames } from "./frame_mac.ts";
import { equalDigests, hmacSha256Hex, sha256Hex } from "./digest.ts";

export const PEER_HEADER = "quorate-peer";
export const TO_HEADER = "quorate-to";
export const COUNT_HEADER = "quorate-count";
export const DIGEST_HEADER = "quorate-digest";
export const MAC_HEADER = "quorate-mac";
export const ANSWER_HEADER = "quorate-answer";
export const CLUSTER_HEADER = "quorate-cluster";

const TO_MAX_CHARS = 512;

/** The node a request is for, as it is now. `boot` is 0 for ever on a shared store. */
export type PeerIdentity = Pick<Identity, "id" | "incarnation" | "boot">;

export type SignedRequest = {
  readonly method: string;
  readonly path: string;
  readonly cluster: string;
  readonly from: string;
  /** The whole text of `Quorate-To`. */
  readonly to: string;
  readonly count: number;
  /** Hex. */
  readonly bodySha256: string;
};
/** The wire that a request is in, and `Quorate-Version` of its sender. */
type Speaking = { readonly wire: number; readonly version: string };
const SPEAKING: Speaking = { wire: OWN_VERSION.wires.most, version: versionText(OWN_VERSION) };

export type PeerVerdict =
  /** `from` sends it in this wire, if the SHA-256 of its body is this; `secret` is the one that it signed with. */
  | {
    readonly ok: true;
    readonly from: string;
    readonly count: number;
    readonly bodySha256: string;
    readonly secret: string;
    readonly wire: number;
  }
  /** But for the first these are well signed: by a node with another list of members, by none of ours, for another node. */
  | {
    readonly ok: false;
    readonly code: "peer-unauthenticated" | "config-mismatch" | "unknown-peer" | "peer-misdirected";
  }
  /** Well signed, for another boot or incarnation of this node: `to` is the `Quorate-To` that holds now. */
  | { readonly ok: false; readonly code: "peer-hello"; readonly to: string };

/** Stands for the incarnation and boot of a node that its peer has not met, or whose store belongs to nobody. */
export const NEVER_MET: Omit<PeerIdentity, "id"> = { incarnation: "?", boot: 0 };

/** Text of `Quorate-To` for a peer; null: never met. */
export function peerTo(id: string, met: Omit<PeerIdentity, "id"> | null): string {
  const { incarnation, boot } = met ?? NEVER_MET;
  return `${id}.${incarnation}.${boot}`;
}

/** The headers of a request. */
export function signPeer(request: SignedRequest, secret: string, speaking = SPEAKING): Record<string, string> {
  return {
    [PEER_HEADER]: request.from,
    [TO_HEADER]: request.to,
    [COUNT_HEADER]: String(request.count),
    [DIGEST_HEADER]: request.bodySha256,
    [WIRE_HEADER]: `${speaking.wire}`,
    [VERSION_HEADER]: speaking.version,
    [CLUSTER_HEADER]: request.cluster,
    [MAC_HEADER]: `v1=${mac(request, secret, speaking)}`,
  };
}

/**
 * What http_transport.ts asks for: how one node signs its requests, with the first of its secrets, and knows answers to them.
 * `secrets` is read each time: they may be changed while the node runs.
 */
export function peerKeys(
  node: {
    readonly cluster: string;
    readonly id: string;
    readonly secrets: readonly string[];
    readonly version?: NodeVersion;
  },
): {
  sign(request: {
    readonly peer: string;
    readonly to: string | null;
    readonly method: string;
    readonly path: string;
    readonly count: number;
    readonly body: string | Uint8Array;
    readonly wire: number;
  }): Record<string, string>;
  isAnswer(
    request: Readonly<Record<string, string>>,
    answer: { get(name: string): string | null },
    body: string,
  ): boolean;
  /** The MACs of a connection that this node dials. */
  frames(line: Omit<LineNames, "cluster" | "dialler">): FrameMac;
} {
  const signing = () => checkedSecrets(node.secrets)[0];
  // What is wrong from the beginning is said before the first request.
  signing();
  const version = versionText(node.version ?? OWN_VERSION);
  return {
    sign: ({ peer, to, method, path, count, body, wire }) =>
      signPeer(
        {
          method,
          path,
          cluster: node.cluster,
          from: node.id,
          to: to ?? peerTo(peer, null),
          count,
          bodySha256: sha256Hex(body),
        },
        signing(),
        { wire, version },
      ),
    // It has the secret of its request, and that may be the second one by now.
    isAnswer: (request, answer, body) => {
      const by = { wire: Number(request[WIRE_HEADER]), version: answer.get(VERSION_HEADER) ?? "" };
      return checkedSecrets(node.secrets).some((secret) =>
        equalDigests(answer.get(ANSWER_HEADER) ?? "", signAnswer(request[MAC_HEADER]!, body, secret, by))
      );
    },
    frames: (line) => new FrameMac({ ...line, cluster: node.cluster, dialler: node.id }, signing()),
  };
}

/** `Quorate-Answer` of a body that answers the request with this Quorate-Mac. */
export function signAnswer(requestMac: string, body: string, secret: string, { wire, version } = SPEAKING): string {
  const more = wire < WIRE_OF_VERSIONS ? "" : `${version}\n`;
  return `v1=${hmacSha256Hex(secret, `quorate-answer-v1\n${requestMac}\n${sha256Hex(body)}\n${more}`)}`;
}

/**
 * Who sends a request, to be asked before its body is read. `members` are the peers that may call (learners too);
 * of `secrets`, one or two, either is accepted, so that they can be changed node by node.
 */
export function verifyPeer(
  request: {
    readonly method: string;
    /** As received, with its query if it has one. */
    readonly path: string;
    readonly headers: { get(name: string): string | null };
    readonly cluster: string;
    readonly me: PeerIdentity;
    readonly members: readonly string[];
    readonly secrets: readonly string[];
    readonly version?: NodeVersion;
  },
): PeerVerdict {
  const { method, path, headers, cluster, me, version: own = OWN_VERSION } = request;
  const from = headers.get(PEER_HEADER);
  const to = headers.get(TO_HEADER);
  const countText = headers.get(COUNT_HEADER);
  const bodySha256 = headers.get(DIGEST_HEADER);
  const given = /^v1=([0-9a-f]{64})$/.exec(headers.get(MAC_HEADER) ?? "")?.[1];
  const unauthenticated: PeerVerdict = { ok: false, code: "peer-unauthenticated" };
  if (!from || !to || countText === null || given === undefined) return unauthenticated;
  if (bodySha256 === null || !/^[0-9a-f]{64}$/.test(bodySha256)) return unauthenticated;
  // Whoever receives says more of that, and before (routes/peer_head.ts).
  const wire = readWire(headers.get(WIRE_HEADER));
  if (!speaks(own.wires, wire)) return unauthenticated;
  const version = headers.get(VERSION_HEADER) ?? "";
  if (wire >= WIRE_OF_VERSIONS && readVersion(version) === null) return unauthenticated;
  if (to.length > TO_MAX_CHARS || !/^(0|[1-9][0-9]{0,15})$/.test(countText)) return unauthenticated;
  const count = Number(countText);
  if (!Number.isSafeInteger(count)) return unauthenticated;

  // Who names none has ours, or is not understood.
  const claimed = headers.get(CLUSTER_HEADER) ?? cluster;
  const signed: SignedRequest = { method, path, cluster: claimed, from, to, count, bodySha256 };
  const speaking = { wire, version };
  if (lines(signed, speaking).some((line) => line.includes("\n"))) return unauthenticated;
  let authentic: string | null = null;
  // Every secret is tried, and only then is anything said: a stranger learns neither members nor the current boot.
  for (const secret of checkedSecrets(request.secrets)) {
    if (equalDigests(given, mac(signed, secret, speaking))) authentic = secret;
  }
  if (authentic === null) return unauthenticated;

  // Ids may hold dots, incarnation and boot do not. A request for another node is a wrong url, not an old boot.
  const addressee = /^(.+)\.[^.]*\.[^.]*$/.exec(to)?.[1];
  if (addressee === undefined) return unauthenticated;
  if (addressee !== me.id) return { ok: false, code: "peer-misdirected" };
  // A node does not write to itself: a request "from me" is a mirror of mine, or a twin under my id.
  if (from === me.id || !request.members.includes(from)) return { ok: false, code: "unknown-peer" };
  // Nothing of it may count here: quorums of another list of members are not quorums of this one.
  if (claimed !== cluster) return { ok: false, code: "config-mismatch" };
  const now = peerTo(me.id, me);
  return to === now
    ? { ok: true, from, count, bodySha256, secret: authentic, wire }
    : { ok: false, code: "peer-hello", to: now };
}

function mac(request: SignedRequest, secret: string, speaking: Speaking): string {
  const parts = lines(request, speaking);
  assert(parts.every((line) => !line.includes("\n")), "no signed field holds a newline");
  return hmacSha256Hex(secret, parts.map((line) => `${line}\n`).join(""));
}

function lines(request: SignedRequest, { wire, version }: Speaking): readonly string[] {
  const { method, path, cluster, from, to, count, bodySha256 } = request;
  const parts = ["quorate-peer-v1", method, path, cluster, from, to, String(count), bodySha256, String(wire)];
  return wire < WIRE_OF_VERSIONS ? parts : [...parts, version];
}

function checkedSecrets(secrets: readonly string[]): readonly [string, ...string[]] {
  const [first, second] = secrets;
  assert(first !== undefined && secrets.length <= 2, "one peer secret, or two while they are changed");
  assert(first !== "" && second !== "", "a peer secret is not empty");
  return second === undefined ? [first] : [first, second];
}
