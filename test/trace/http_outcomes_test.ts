/** What a node is told that commands came to which it forwarded, by messages of peers over HTTP. */
import { assert, assertEquals } from "@std/assert";
import { DEDUP_WINDOW, WINDOW_INSTANCES } from "../../src/limits.ts";
import { writeResult } from "../../src/machine/result_code.ts";
import type { Command } from "../../src/paxos/message.ts";
import { PeerError } from "../../src/ports.ts";
import { until } from "../replica/clocks.ts";
import { HttpCluster } from "./http_cluster.ts";

const PATH = "/v1/kv/-?key=x";
/** No register of this test gets there. */
const MADE_UP = "424242";

Deno.test("outcomes: a member's word is the answer where the window has forgotten; a stranger's and no result are none", async () => {
  const cluster = await HttpCluster.start(3, { modes: [{ prefix: "kv/", mode: "classic" }], learners: ["v"] });
  try {
    let coordinator = "";
    cluster.around = (_from, to, message, go) => {
      if (message.type === "forward") coordinator = to;
      return go();
    };
    for (const id of cluster.ids) assertEquals((await cluster.ask(id, "PUT", PATH, "old", `old-${id}`)).status, 200);
    const [cut, third] = cluster.ids.filter((id) => id !== coordinator) as [string, string];

    // It forwards three writes, and from then on it hears nothing and nobody hears it.
    const forwarded = new Map<string, Command>();
    cluster.around = async (from, to, message, go) => {
      if (from === cut && message.type === "forward" && to === coordinator) {
        for (const command of message.commands) forwarded.set(command.id, command);
        return await go();
      }
      if (from === cut || to === cut) throw new PeerError("cut off by this test");
      return await go();
    };
    const [told, byStranger, unreadable] = ["told", "by-stranger", "unreadable"].map((key) =>
      cluster.ask(cut, "PUT", `${PATH}&timeoutMs=30000`, key, key)
    );
    await until("all are forwarded", () => forwarded.size === 3);
    for (let i = 0; i <= DEDUP_WINDOW + WINDOW_INSTANCES; i++) {
      assertEquals((await cluster.ask(i % 2 === 0 ? third : coordinator, "PUT", PATH, "new", `new-${i}`)).status, 200);
    }

    const say = async (as: string, ...results: readonly (readonly [key: string, result: string])[]) => {
      const peer = cluster.peer(as);
      const reply = await peer.send(cut, {
        type: "outcomes",
        key: "kv/x",
        epoch: 0,
        instance: 1,
        results: results.map(([key, result]) => ({ subject: forwarded.get(key)!.subject, id: key, result })),
      });
      assertEquals(reply, { type: "noted" });
      peer.close();
    };
    const written = writeResult({ outcome: "written", revision: MADE_UP });
    await say("v", ["by-stranger", written]);
    await say(coordinator, ["unreadable", `${written},1`], ["told", written]);
    cluster.around = (_from, _to, _message, go) => go();

    const answers = await Promise.all([told!, byStranger!, unreadable!]);
    assertEquals(answers.map(({ status, body }) => [status, body.revision ?? body.code]), [
      [200, MADE_UP],
      [504, "outcome-unknown"],
      [504, "outcome-unknown"],
    ]);
    for (const { body: { detail } } of answers.slice(1)) assert(/too much was decided meanwhile/.test(detail), detail);
    assertEquals(cluster.reports, []);
  } finally {
    await cluster.stop();
  }
});
