/** A node's real /paxos on a real socket; what is behind its mailboxes is what the test says. */
import { type PeerIdentity, peerKeys } from "../../src/auth/peer_mac.ts";
import { Lines } from "../../src/transport/lines.ts";
import type { Receive } from "../../src/transport/local_transport.ts";
import { scripted } from "../routes/scripted_node.ts";
import { realClock } from "./contract.ts";
import { CONFIG, MARK } from "./samples.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

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
  const peers = {
    cluster: CLUSTER,
    secrets: () => secrets,
    members: () => ["a", "b", "c"],
    config: () => CONFIG,
    identity: () => server.me,
    mark: () => MARK,
    versions: new PeerVersions(),
    refused: () => {},
    // A door for connections; whom it dials is nobody.
    lines: new Lines({
      urls: {},
      config: CONFIG,
      versions: new PeerVersions(),
      keys: peerKeys({ cluster: CLUSTER, id: "b", secrets }),
      fetch,
      clock: realClock,
      connect: (url, headers) => new WebSocket(url, { headers }),
      newId: () => crypto.randomUUID(),
      life: () => "",
    }),
  };
  const { app } = scripted({ receive }, { peers }, "b");
  const stopped = new AbortController();
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: stopped.signal, onListen: () => {} },
    async (request) => {
      const response = await app.fetch(request);
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
  return server;
}
