/** What `deno task stranger` does, small, at the real door of a node in this process. */
import { assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { echo } from "../transport/contract.ts";
import { startPeer } from "../transport/peer_server.ts";
import { p99 } from "./stranger.ts";
import { type Attack, bodies, chunks, heads, type Hold, upgrades } from "./stranger_attacks.ts";

const COUNT = 200;

for (
  const [what, attack, count, answers] of [
    // One write: a second one may come to another connection, which is refused by itself.
    ["chunks of one byte are refused in one request", chunks, 100, 1],
    ["half heads are no request", heads, COUNT, 0],
    ["half bodies are refused before their other halves", bodies, COUNT, COUNT],
    ["WebSockets are none, and their frames are not read", upgrades, COUNT, COUNT],
  ] as const satisfies readonly (readonly [string, Attack, number, number])[]
) {
  Deno.test(`a stranger's ${what}, and nothing reaches the node`, async () => {
    let reached = 0;
    const peer = startPeer(async (from, mailbox, messages) => {
      reached++;
      return await echo(from, mailbox, messages);
    }, ["secret"]);
    try {
      const hold: Hold = async (answered) => {
        await until("all are answered", () => answered() >= answers);
        // What was no request by now is none: a whole one that came after it has its answer.
        const whole = await fetch(new URL("paxos/acceptor", peer.url), { method: "POST", body: "{}" });
        await whole.body?.cancel();
      };
      const { refused } = await attack(Number(new URL(peer.url).port), count, hold);
      assertEquals([refused, peer.statuses, reached], [answers, Array(answers + 1).fill(401), 0]);
    } finally {
      await peer.stop();
    }
  });
}

Deno.test("p99 is the value that 99 of 100 are not above, and nothing of nothing", () => {
  assertEquals(p99(Array.from({ length: 200 }, (_, i) => 200 - i)), 198);
  assertEquals([p99([7]), p99([1, Infinity]), p99([])], [7, Infinity, NaN]);
});
