/** A request of a peer that somebody repeats, byte for byte: it is answered, and nothing comes of it. */
import { assert, assertEquals } from "@std/assert";
import { DEDUP_WINDOW, WINDOW_INSTANCES } from "../../src/limits.ts";
import { HttpCluster } from "./http_cluster.ts";

const PATH = "/v1/kv/-?key=x";

Deno.test("a forward that is repeated when its command has left the window is answered, and not applied again", async () => {
  const forwards: { readonly url: string; readonly init: RequestInit }[] = [];
  const cluster = await HttpCluster.start(3, {
    modes: [{ prefix: "kv/", mode: "classic" }],
    fetch: (url, init) => {
      const text = new TextDecoder().decode(init.body as Uint8Array<ArrayBuffer>);
      if (text.includes('"forward"') && text.includes("an-old-write")) forwards.push({ url, init });
      return fetch(url, init);
    },
  });
  try {
    // Whoever does not coordinate the key forwards.
    for (const id of cluster.ids) await put(cluster, id, "old", `an-old-write-${id}`);
    assert(forwards.length >= 2, "two of three forward");
    for (let i = 0; i <= DEDUP_WINDOW + WINDOW_INSTANCES; i++) {
      await put(cluster, cluster.ids[i % 3]!, `new ${i}`, `new-${i}`);
    }
    const before = await get(cluster);
    assertEquals(before.text, `new ${DEDUP_WINDOW + WINDOW_INSTANCES}`);
    for (const { url, init } of [...forwards, ...forwards]) {
      const { signal: _, ...repeated } = init;
      const response = await fetch(url, repeated);
      assertEquals([response.status, (await response.json()).replies.length > 0], [200, true]);
    }
    // What was repeated is decided before this, if at all: one coordinator takes what comes in its order.
    await put(cluster, "a", "last", "last");
    assertEquals((await get(cluster)).text, "last");
    const values = cluster.events("kv/x").flatMap((event) => event.kind === "decided" ? [event.instance] : []);
    assertEquals(Math.max(...values), before.instance + 1);
    assertEquals(cluster.reports, []);
  } finally {
    await cluster.stop();
  }
});

async function put(cluster: HttpCluster, id: string, value: string, key: string): Promise<void> {
  const { status, body } = await cluster.ask(id, "PUT", PATH, value, key);
  assertEquals(status, 200, JSON.stringify(body));
}

async function get(cluster: HttpCluster): Promise<{ text: string; instance: number }> {
  const response = await fetch(`${cluster.url("b")}${PATH}`);
  return { text: await response.text(), instance: Number(response.headers.get("consensus-instance")) };
}
