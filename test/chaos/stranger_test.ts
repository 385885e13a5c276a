/** What `deno task stranger` does, small, at the real door of a node in this process. */
import { assertEquals } from "@std/assert";
import { echo } from "../transport/contract.ts";
import { startPeer } from "../transport/peer_server.ts";
import { p99 } from "./stranger.ts";
import { type Attack, bodies, chunks, heads } from "./stranger_attacks.ts";

for (
  const [what, attack, refused] of [
    ["chunks of one byte", chunks, true],
    ["half heads", heads, false],
    ["half bodies", bodies, true],
  ] as const satisfies readonly (readonly [string, Attack, boolean])[]
) {
  Deno.test(`a stranger's ${what} are ${refused ? "refused" : "no request"}, and reach no node`, async () => {
    const peer = startPeer(echo, ["secret"]);
    try {
      const outcome = await attack(Number(new URL(peer.url).port), 200, Promise.resolve());
      assertEquals(outcome.refused, refused ? outcome.connections : 0);
      assertEquals(peer.statuses, Array(outcome.refused).fill(401));
    } finally {
      await peer.stop();
    }
  });
}

Deno.test("p99 is the value that 99 of 100 are not above, and nothing of nothing", () => {
  assertEquals(p99(Array.from({ length: 200 }, (_, i) => 200 - i)), 198);
  assertEquals([p99([7]), p99([1, Infinity]), p99([])], [7, Infinity, NaN]);
});
