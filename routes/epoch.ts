/** POST /paxos/epoch: nodes tell each other of epochs, whatever members each has. Not in /openapi.json. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { PEER_HEADER } from "../src/auth/peer_mac.ts";
import type { Bodies } from "../src/http/bounded_body.ts";
import { EPOCHS_MAX_BYTES } from "../src/limits.ts";
import type { NodeId } from "../src/ports.ts";
import { decodeTold, encodeAnswer, EPOCH_PATH, type EpochAnswer, type EpochTold } from "../src/epochs/exchange.ts";
import type { Env } from "./answer.ts";
import { answerPeer, type PeerSide, refuse, signedBody, verified } from "./peer_head.ts";

/** Resolves once this node has gone where what it is told takes it. */
export type HearEpoch = (from: NodeId, told: EpochTold) => Promise<EpochAnswer>;

/**
 * Whoever holds the secret may tell: a new member is in nobody's list yet. So its config is not compared, and its MAC is that of
 * the cluster as it is of every other call.
 */
export function epochRoutes(
  app: OpenAPIHono<Env>,
  id: NodeId,
  peers: PeerSide & { readonly bodies: Bodies },
  hear: HearEpoch,
): void {
  app.post(EPOCH_PATH, async (c) => {
    const from = c.req.raw.headers.get(PEER_HEADER);
    const anybody = { ...peers, members: () => from === null ? [] : [from] };
    const verdict = verified(c, id, anybody);
    if (!verdict.ok) return refuse(c, verdict, anybody);
    const body = await signedBody(c, verdict, anybody, EPOCHS_MAX_BYTES);
    if (body instanceof Response) return body;
    return answerPeer(c, encodeAnswer(await hear(verdict.from, decodeTold(body))), verdict);
  });
}
