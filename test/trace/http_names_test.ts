/** More names than one answer of a peer may hold, listed over HTTP by a node that has heard of none of them. */
import { assertEquals } from "@std/assert";
import { BATCH_MAX_OPERATIONS, KEYS_PER_REPLY } from "../../src/limits.ts";
import { type AskKeys, PeerError } from "../../src/ports.ts";
import { HttpCluster } from "./http_cluster.ts";

const BATCHES = Math.ceil(KEYS_PER_REPLY / BATCH_MAX_OPERATIONS) + 1;

Deno.test("names: a list of more than one answer between nodes may hold has every name once, in order", async () => {
  const cluster = await HttpCluster.start(3);
  try {
    cluster.around = (from, to, _message, go) => {
      if (from === "c" || to === "c") throw new PeerError("cut off by this test");
      return go();
    };
    const names = Array.from({ length: BATCHES * BATCH_MAX_OPERATIONS }, (_, i) => `n/${String(i).padStart(4, "0")}`);
    await Promise.all(
      Array.from({ length: BATCHES }, async (_, batch) => {
        const some = names.slice(batch * BATCH_MAX_OPERATIONS, (batch + 1) * BATCH_MAX_OPERATIONS);
        const operations = some.map((key) => ({ method: "PUT", path: `/v1/kv/-?key=${key}`, body: "x" }));
        const { status, body } = await cluster.ask("ab"[batch % 2]!, "POST", "/v1/batch", operations, `batch-${batch}`);
        assertEquals([status, body.map(({ status }: { status: number }) => status)], [200, some.map(() => 200)]);
      }),
    );
    const asked: AskKeys[] = [];
    cluster.around = (from, to, message, go) => {
      if (from === "c" && to === "a" && message.type === "keys") asked.push(message);
      return go();
    };
    const response = await fetch(`${cluster.url("c")}/v1/kv?prefix=n/&limit=1000&timeoutMs=30000`);
    const { items } = await response.json() as { items: readonly { readonly key: string }[] };
    assertEquals(items.map(({ key }) => key), names);
    assertEquals(asked.map(({ after, limit }) => [after, limit]), [
      ["kv/", KEYS_PER_REPLY],
      [`kv/${names[KEYS_PER_REPLY - 1]}`, KEYS_PER_REPLY],
    ]);
    assertEquals(cluster.reports, []);
  } finally {
    await cluster.stop();
  }
});
