/** What `deno task stranger` does, small, at the real door of a node in this process. */
import { assertEquals } from "@std/assert";
import { until } from "../client/scripted_nodes.ts";
import { echo } from "../transport/contract.ts";
import { startPeer } from "../transport/peer_server.ts";
import { p99 } from "./stranger.ts";
import { type Attack, bodies, chunks, heads, type Hold } from "./stranger_attacks.ts";

const COUNT = 200;

for (
  const [what, attack, answers] of [
    ["chunks of one byte are refused in one request", chunks, 1],
    ["half heads are no request", heads, 0],
    ["half bodies are refused before their other halves", bodies, COUNT],
  ] as const satisfies readonly (readonly [string, Attack, number])[]
) {
  Deno.test(`a stranger's ${what}, and nothing reaches the node`, async () => {
    const peer = startPeer(echo, ["secret"]);
    try {
      const hold: Hold = (answered) => until("all are answered", () => answered() >= answers);
      const { refused } = await attack(Number(new URL(peer.url).port), COUNT, hold);
      assertEquals([refused, peer.statuses], [answers, Array(answers).fill(401)]);
    } finally {
      await peer.stop();
    }
  });
}

Deno.test("p99 is the value that 99 of 100 are not above, and nothing of nothing", () => {
  assertEquals(p99(Array.from({ length: 200 }, (_, i) => 200 - i)), 198);
  assertEquals([p99([7]), p99([1, Infinity]), p99([])], [7, Infinity, NaN]);
});
