/**
 * Lasting connections between nodes, POST and GET /paxos/line: peers only, and not in /openapi.json. Who dials proves to be a
 * peer with both, and with the second that it has the answer to the first: so no stranger's WebSocket is ever opened, nor one
 * for a head that somebody repeats.
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { FrameMac } from "../src/auth/frame_mac.ts";
import { QuorateError } from "../src/errors.ts";
import type { Bodies } from "../src/http/bounded_body.ts";
import { BODY_MAX_BYTES } from "../src/limits.ts";
import { FRESH_TEXT, LINE_PATH, type Lines } from "../src/transport/lines.ts";
import { versionText } from "../src/version.ts";
import type { Env } from "./answer.ts";
import { invalid } from "./error_response.ts";
import { answerPeer, type PeerSide, refuse, refuseOtherConfig, signedBody, verified } from "./peer_head.ts";

export function lineRoutes(
  app: OpenAPIHono<Env>,
  id: string,
  peers: PeerSide & { readonly bodies: Bodies },
  lines: Lines,
): void {
  app.post(LINE_PATH, async (c) => {
    const verdict = verified(c, id, peers);
    if (!verdict.ok) return refuse(c, verdict, peers);
    const body = await signedBody(c, verdict, peers, BODY_MAX_BYTES);
    if (body instanceof Response) return body;
    const { config, nonce, version } = wish(body);
    refuseOtherConfig(config, verdict.from, id, peers);
    peers.versions.said(verdict.from, version);
    const ticket = lines.invite(verdict.from, (ticket) =>
      new FrameMac(
        { cluster: peers.cluster, dialler: verdict.from, acceptor: id, nonce, ticket },
        verdict.secret,
      ));
    return answerPeer(c, JSON.stringify({ ticket, version: versionText(peers.versions.own) }), verdict);
  });

  app.get(LINE_PATH, (c) => {
    const verdict = verified(c, id, peers);
    if (!verdict.ok) return refuse(c, verdict, peers);
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") throw invalid("Upgrade", "is not websocket");
    const ticket = lines.redeem(verdict.from, c.req.query("ticket") ?? null);
    if (ticket === null) throw new QuorateError("peer-unauthenticated", "this ticket is not good, or no longer");
    const { socket, response } = Deno.upgradeWebSocket(c.req.raw);
    lines.accept(verdict.from, ticket, socket);
    return response;
  });
}

type Wish = { readonly config: string; readonly nonce: string; readonly version: unknown };

function wish(body: string): Wish {
  try {
    const { config, nonce, version } = JSON.parse(body);
    if (typeof config === "string" && typeof nonce === "string" && FRESH_TEXT.test(nonce)) {
      return { config, nonce, version };
    }
  } catch {
    // It is refused below, as what is JSON and no wish.
  }
  throw invalid("body", "is not {config, nonce}");
}
