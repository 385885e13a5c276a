/** What `deno task stalls` does, once of each kind, on nodes of this process. */
import { assertEquals } from "@std/assert";
import { versionOf } from "../package/installed.ts";
import { withApps } from "../routes/memory_apps.ts";
import { DENO, nodeIn } from "./holder_process.ts";
import { disposeRound, silenceRound, stallRound } from "./stall_rounds.ts";

Deno.test("client: a process stalled beyond its leases claims none in any callback or read, however it was stalled", () =>
  withApps(3, async ({ cluster, url }) => {
    const urls = cluster.ids.map(url);
    const kinds = ["block", "stop", "jump"] as const;
    const wrong = await Promise.all(kinds.map((how) => stallRound(how, DENO, urls)));
    assertEquals(wrong, kinds.map(() => []));
  }));

Deno.test("client: in processes cut off from their cluster holds end in time, and to dispose throws nothing", () =>
  withApps(3, async ({ cluster, url }) => {
    const urls = cluster.ids.map(url);
    assertEquals(await Promise.all([silenceRound(DENO, urls), disposeRound("cut", DENO, urls)]), [[], []]);
  }));

const version = await versionOf("node");
Deno.test({
  name: `client: a process stalled beyond its leases claims none, in Node ${
    version ?? "(SKIPPED: node is not on PATH)"
  }`,
  ignore: version === null,
  fn: () =>
    withApps(3, async ({ cluster, url }) => {
      const folder = await Deno.makeTempDir();
      try {
        const node = await nodeIn(folder);
        assertEquals(await stallRound("back", node!, cluster.ids.map(url)), []);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }),
});
