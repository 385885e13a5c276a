/** A node's /paxos over real HTTP, as its routes will be: authenticated before it is parsed, then one reply each. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { type PeerIdentity, verifyPeer } from "../../src/auth/peer_mac.ts";
import { QuorateError } from "../../src/errors.ts";
import type { Mailbox } from "../../src/replica/ports.ts";
import type { Receive } from "../../src/transport/local_transport.ts";
import { decodeRequest, encodeResponse } from "../../src/transport/wire.ts";
import { WIRE_HEADER, WIRE_VERSION } from "../../src/version.ts";
import { CONFIG, MARK } from "./samples.ts";

export type PeerServer = {
  readonly url: string;
  /** What it is now; a test may give it another boot. */
  me: PeerIdentity;
  /** Status of each answer. */
  readonly statuses: number[];
  stop(): Promise<void>;
};

export const CLUSTER = "blue";

export function startPeer(receive: Receive, secrets: readonly string[]): PeerServer {
  const stopped = new AbortController();
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: stopped.signal, onListen: () => {} },
    async (request) => {
      const response = await answer(request);
      response.headers.set(WIRE_HEADER, `${WIRE_VERSION}`);
      server.statuses.push(response.status);
      return response;
    },
  );
  const server: PeerServer = {
    url: `http://127.0.0.1:${http.addr.port}/`,
    me: { id: "b", incarnation: "inc1", boot: 7 },
    statuses: [],
    stop: async () => {
      stopped.abort();
      await http.finished;
    },
  };

  async function answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname;
    const body = await request.text();
    const verdict = verifyPeer({
      method: request.method,
      path,
      headers: request.headers,
      bodySha256: sha256Hex(body),
      cluster: CLUSTER,
      me: server.me,
      members: ["a", "b", "c"],
      secrets,
    });
    if (!verdict.ok) {
      const headers: Record<string, string> = verdict.code === "peer-hello" ? { "quorate-to": verdict.to } : {};
      return Response.json({ code: verdict.code }, { status: verdict.code === "unknown-peer" ? 403 : 401, headers });
    }
    try {
      const { config, mark, messages } = decodeRequest(body);
      if (config !== CONFIG) return Response.json({ code: "config-mismatch" }, { status: 409 });
      const replies = await receive(verdict.from, path.slice("/paxos/".length) as Mailbox, messages, mark);
      return new Response(encodeResponse({ mark: MARK, replies }));
    } catch (error) {
      const code = error instanceof QuorateError ? error.code : "internal";
      return Response.json({ code }, { status: error instanceof QuorateError ? 400 : 500 });
    }
  }

  return server;
}
