/** The Paxos mailboxes, POST /paxos/acceptor, /coordinator and /learner: peers only, none of them in /openapi.json. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { sha256Hex } from "../src/auth/digest.ts";
import { NEVER_MET, PEER_HEADER, type PeerVerdict, TO_HEADER, verifyPeer } from "../src/auth/peer_mac.ts";
import type { ClientToken } from "../src/auth/tokens.ts";
import { QuorateError } from "../src/errors.ts";
import type { Bodies } from "../src/http/bounded_body.ts";
import { PAXOS_BODY_MAX_BYTES } from "../src/limits.ts";
import { MAILBOXES, type Mark, type NodeId, type PeerCause } from "../src/ports.ts";
import type { NodeService } from "../src/service/service.ts";
import { answered, decodeRequest, encodeResponse } from "../src/transport/wire.ts";
import { otherWire, WIRE_ADVICE, WIRE_HEADER, WIRE_VERSION } from "../src/version.ts";
import { type Ctx, type Env, sendText } from "./answer.ts";
import { decodeUtf8 } from "./body.ts";
import { answerDirect } from "./direct.ts";
import { invalid, problem } from "./error_response.ts";
import { clientOf } from "./gate.ts";
import type { Limits } from "./rate_limit.ts";

/** What a node has to know to talk with its peers. */
export type PeerSide = {
  readonly cluster: string;
  /** One, or two while they are changed. */
  readonly secrets: readonly string[];
  /** Who may call, learners too. */
  members(): readonly NodeId[];
  /** Hex SHA-256 of this node's ClusterConfig. */
  config(): string;
  /** Whose store this node's is; null while it belongs to no member. */
  identity(): { readonly incarnation: string; readonly boot: number } | null;
  /** This node's last commit, as it may be told. */
  mark(): Mark;
  /** A request was refused that says it is from `from`; which causes prove that it is, isProven says. */
  refused(from: string, why: PeerCause): void;
};

/**
 * Peers, told by their MAC, and direct clients, by their own credential (direct.ts). Between peers
 * `{config, mark, messages}` in, `{mark, replies}` out, one reply per message in order. The head comes first: of a body
 * nothing is read before its sender is known to be a peer.
 */
export function paxosRoutes(
  app: OpenAPIHono<Env>,
  node: NodeService,
  peers: PeerSide & { readonly bodies: Bodies },
  clients: { readonly tokens: readonly ClientToken[] | null; readonly limits: Limits },
): void {
  app.use("/paxos/*", async (c, next) => {
    c.set("isWire", true);
    await next();
  });
  for (const mailbox of MAILBOXES) {
    app.post(`/paxos/${mailbox}`, async (c) => {
      // Asked for with `get` here: to answer `has` the runtime first makes a list of all headers.
      const { headers } = c.req.raw;
      if (mailbox === "acceptor" && headers.get(PEER_HEADER) === null && headers.get("quorate-hedge") !== null) {
        c.set("client", clientOf(c, clients.tokens));
        return await answerDirect(c, node, clients.limits);
      }
      refuseOtherWire(headers, node.id, peers);
      const verdict = verify(c, node.id, peers);
      if (!verdict.ok) return refuse(c, verdict, peers);
      // Every peer says it. Of a head that somebody repeats the MAC is good, and its body could go on for as long as it may.
      if (headers.get("content-length") === null) throw invalid("Content-Length", "is missing");
      const body = await peers.bodies.read(c.req.raw, PAXOS_BODY_MAX_BYTES);
      if (sha256Hex(body) !== verdict.bodySha256) return refuse(c, { ok: false, code: "peer-unauthenticated" }, peers);

      const request = decodeRequest(decodeUtf8(body));
      if (request.config !== peers.config()) {
        peers.refused(verdict.from, "other-members");
        throw new QuorateError("config-mismatch", `${node.id} runs another ClusterConfig than ${verdict.from}`);
      }
      const replies = await answered(
        request.messages,
        (messages) => node.receive(verdict.from, mailbox, messages, request.mark),
      );
      // Read after the work: replies may rest on commits it made (PROTOCOL.md §9).
      return sendText(c, 200, encodeResponse({ mark: peers.mark(), replies }));
    });
  }
}

/** Before anything else of a peer's request is looked at: in another wire its MAC and its body may mean anything. */
function refuseOtherWire(headers: Headers, id: NodeId, peers: PeerSide): void {
  // Who does not say that it is a peer is refused as a stranger.
  const wire = headers.get(PEER_HEADER) !== null ? otherWire(headers.get(WIRE_HEADER)) : null;
  if (wire === null) return;
  peers.refused(headers.get(PEER_HEADER)!, "other-wire");
  throw new QuorateError("wire-mismatch", `the sender speaks ${wire}, ${id} wire ${WIRE_VERSION}: ${WIRE_ADVICE}`);
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
    secrets: peers.secrets,
  });
}

const REFUSED: Readonly<Record<(PeerVerdict & { ok: false })["code"], PeerCause | null>> = {
  "peer-hello": null,
  "peer-unauthenticated": "other-secret",
  "config-mismatch": "other-members",
  "unknown-peer": "no-member",
  "peer-misdirected": "wrong-node",
};

function refuse(c: Ctx, verdict: PeerVerdict & { ok: false }, peers: PeerSide): Response {
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
