/** The Paxos mailboxes, POST /paxos/acceptor, /coordinator and /learner: peers only, none of them in /openapi.json. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { PEER_HEADER } from "../src/auth/peer_mac.ts";
import type { Admission } from "../src/http/admission.ts";
import { QuorateError } from "../src/errors.ts";
import type { Bodies } from "../src/http/bounded_body.ts";
import { PAXOS_BODY_MAX_BYTES } from "../src/limits.ts";
import { type Mailbox, MAILBOXES, type NodeId } from "../src/ports.ts";
import type { NodeService } from "../src/service/service.ts";
import { LINE_HEADER } from "../src/transport/lines.ts";
import { answered, decodeRequest, encodeResponse } from "../src/transport/wire.ts";
import type { Env } from "./answer.ts";
import { withRoom } from "./admit.ts";
import { answerDirect } from "./direct.ts";
import { clientOf, type Door } from "./gate.ts";

import { lineRoutes } from "./line.ts";
import { answeredIn, answerPeer, type PeerSide, refuse, refuseOtherConfig, signedBody, verified } from "./peer_head.ts";
import type { Limits } from "./rate_limit.ts";

/**
 * Peers, told by their MAC, and direct clients, by their own credential (direct.ts). Between peers
 * `{config, mark, messages}` in, `{mark, replies}` out, one reply per message in order. The head comes first: of a body
 * nothing is read before its sender is known to be a peer. What comes on a lasting connection is answered alike.
 *
 * @param report told of what is no refusal, where no answer of the app does
 */
export function paxosRoutes(
  app: OpenAPIHono<Env>,
  node: NodeService,
  peers: PeerSide & { readonly bodies: Bodies },
  clients: Door & { readonly limits: Limits; readonly admission: Admission },
  report: (error: Error, mailbox: Mailbox) => void,
): void {
  app.use("/paxos/*", async (c, next) => {
    c.set("wire", answeredIn(c, peers));
    c.set("route", MAILBOXES.some((mailbox) => c.req.path === `/paxos/${mailbox}`) ? c.req.path : "/paxos");
    await next();
  });
  const serve = async (from: NodeId, mailbox: Mailbox, body: string, wire: number): Promise<string> => {
    const request = decodeRequest(body);
    refuseOtherConfig(request.config, from, node.id, peers);
    const replies = await answered(
      request.messages,
      (messages) => node.receive(from, mailbox, messages, request.mark),
    );
    // Read after the work: replies may rest on commits it made (PROTOCOL.md §9).
    return encodeResponse({ mark: peers.mark(), replies }, wire);
  };
  for (const mailbox of MAILBOXES) {
    app.post(`/paxos/${mailbox}`, async (c) => {
      // Asked for with `get` here: to answer `has` the runtime first makes a list of all headers.
      const { headers } = c.req.raw;
      if (mailbox === "acceptor" && headers.get(PEER_HEADER) === null && headers.get("quorate-hedge") !== null) {
        c.set("client", clientOf(c, clients));
        return await withRoom(c, clients.admission, () => answerDirect(c, node, clients.limits));
      }
      const verdict = verified(c, node.id, peers);
      if (!verdict.ok) return refuse(c, verdict, peers);
      const body = await signedBody(c, verdict, peers, PAXOS_BODY_MAX_BYTES);
      if (body instanceof Response) return body;
      if (headers.get(LINE_HEADER) !== null) peers.lines?.wanted(verdict.from);
      return answerPeer(c, await serve(verdict.from, mailbox, body, verdict.wire), verdict);
    });
  }
  const { lines } = peers;
  if (lines === undefined) return;
  lineRoutes(app, node.id, peers, lines);
  lines.serve((from, mailbox, body) =>
    // A connection lasts no longer than the process that it is with, so what that has said of itself holds.
    serve(from, mailbox, body, peers.versions.wireTo(from)).catch((error) => {
      if (!(error instanceof QuorateError)) report(error, mailbox);
      throw error;
    })
  );
}
