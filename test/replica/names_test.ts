/** Names that a node has never heard of, because whoever decided them died before it told: lists and watchers find them. */
import { assertEquals } from "@std/assert";
import { fastClock } from "./clocks.ts";
import { EventReader } from "../routes/event_reader.ts";
import { type Apps, withApps } from "../routes/memory_apps.ts";

/** Node c hears nothing from a, neither to vote nor that it was decided; then a is gone. */
async function decideUnheard(
  apps: Apps,
  ...requests: readonly (readonly [method: string, path: string, body?: string])[]
) {
  const heal = apps.cluster.network.drop(({ from, to }) => from === "a" && to === "c");
  for (const [method, path, body] of requests) {
    const response = await apps.ask("a", path, { method, ...(body === undefined ? {} : { body }) });
    assertEquals(response.ok, true, await response.text());
  }
  apps.cluster.kill("a");
  heal();
}

async function list(apps: Apps, id: string, path: string): Promise<readonly unknown[]> {
  const response = await apps.ask(id, path);
  assertEquals(response.status, 200, path);
  const { items } = await response.json() as { items: readonly Record<string, unknown>[] };
  return items.map(({ key, name, id }) => key ?? name ?? id);
}

Deno.test("a list has every name that was written before, also at a node that never heard of it", () =>
  withApps(
    3,
    async (apps) => {
      await decideUnheard(
        apps,
        ["PUT", "/v1/kv/news%2F1", "one"],
        ["POST", "/v1/locks/news%2Flock", "{}"],
        ["POST", "/v1/elections/news%2Fleader", "{}"],
        ["POST", "/v1/semaphores/news%2Fpool", `{"limit":2}`],
        ["POST", "/v1/sessions", "{}"],
      );
      for (const id of ["c", "b"]) {
        assertEquals(await list(apps, id, "/v1/kv?prefix=news/"), ["news/1"], id);
        assertEquals(await list(apps, id, "/v1/locks?prefix=news/"), ["news/lock"], id);
        assertEquals(await list(apps, id, "/v1/elections?prefix=news/"), ["news/leader"], id);
        assertEquals(await list(apps, id, "/v1/semaphores?prefix="), ["news/pool"], id);
        assertEquals((await list(apps, id, "/v1/sessions")).length, 1, id);
      }
    },
    {},
    { deadlineMs: 50 },
  ));

Deno.test("a watcher of a prefix is told of a name that its node has never heard of, and of one that came and went", () =>
  withApps(
    3,
    async (apps) => {
      const response = await fetch(`${apps.url("c")}/v1/kv/events?prefix=news/`, {
        signal: AbortSignal.timeout(60_000),
      });
      const reader = new EventReader(response);
      assertEquals((await reader.next())?.event, "resync");
      await decideUnheard(
        apps,
        ["PUT", "/v1/kv/news%2F1", "one"],
        ["PUT", "/v1/kv/news%2F2", "two"],
        ["DELETE", "/v1/kv/news%2F2"],
      );
      const told = new Set<string>();
      await reader.until(({ event, data }) => {
        told.add(`${data["key"]} ${event}`);
        return told.has("news/1 changed") && told.has("news/2 deleted");
      });
      await reader.close();
    },
    {},
    { clock: fastClock(20) },
  ));

Deno.test("a list without a quorum is refused: it might lack any name", () =>
  withApps(
    3,
    async (apps) => {
      apps.cluster.kill("a");
      apps.cluster.kill("b");
      const response = await apps.ask("c", "/v1/kv?prefix=&timeoutMs=100");
      assertEquals([response.status, (await response.json()).code], [503, "no-quorum"]);
    },
    {},
    { deadlineMs: 20 },
  ));

Deno.test("pages of any size go through all names once, some of which each node lacks", () =>
  withApps(3, async (apps) => {
    const { network } = apps.cluster;
    const names = Array.from({ length: 13 }, (_, i) => `p/${String(i).padStart(2, "0")}`);
    for (const [i, name] of names.entries()) {
      // Each time another one hears nothing of it.
      const [one, deaf] = [["a", "c"], ["b", "a"], ["c", "b"]][i % 3] as [string, string];
      const heal = network.drop(({ from, to }) => from === one && to === deaf);
      assertEquals(
        (await apps.ask(one, `/v1/kv/${encodeURIComponent(name)}`, { method: "PUT", body: "x" })).status,
        200,
      );
      heal();
    }
    for (const limit of [1, 2, 5, 13, 50]) {
      const found: string[] = [];
      let after = "";
      for (let pages = 0; pages < 20; pages++) {
        const response = await apps.ask("c", `/v1/kv?prefix=p/&limit=${limit}${after}`);
        const { items, cursor } = await response.json() as { items: readonly { key: string }[]; cursor: string | null };
        found.push(...items.map(({ key }) => key));
        if (cursor === null) break;
        after = `&cursor=${encodeURIComponent(cursor)}`;
      }
      assertEquals(found, names, `${limit}`);
    }
  }));
