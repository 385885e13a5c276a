import { assertEquals } from "@std/assert";
import { peerKeys } from "../../src/auth/peer_mac.ts";
import { createHttpTransport } from "../../src/transport/http_transport.ts";
import { createLocalNetwork } from "../../src/transport/local_transport.ts";
import { realClock, transportContract } from "./contract.ts";
import { LinePair } from "./line_pair.ts";
import { CLUSTER, startPeer } from "./peer_server.ts";
import { CONFIG, MARK } from "./samples.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

transportContract("local", (receive, deadlineMs) => {
  const network = createLocalNetwork({ clock: realClock, deadlineMs });
  network.connect("b", receive);
  return {
    transport: network.transportOf("a"),
    stop: () => Promise.resolve(network.disconnect("b")),
  };
});

transportContract("lines", async (receive, deadlineMs) => {
  const pair = new LinePair(receive, { deadlineMs });
  await pair.stand();
  const { transport, b } = pair;
  return {
    transport,
    stop: async () => {
      await pair.stop();
      // But for what was sent once b was gone, which reached nobody.
      assertEquals(b.posts, []);
    },
  };
});

transportContract("http", (receive, deadlineMs) => {
  const peer = startPeer(receive, ["secret"]);
  const transport = createHttpTransport({
    // A port nobody can listen on.
    urls: { b: peer.url, c: "http://127.0.0.1:1" },
    config: CONFIG,
    versions: new PeerVersions(),
    keys: peerKeys({ cluster: CLUSTER, id: "a", secrets: ["secret"] }),
    fetch,
    clock: realClock,
    ownMark: () => MARK,
    onMark: () => {},
    deadlineMs,
  });
  return { transport, stop: peer.stop };
});
