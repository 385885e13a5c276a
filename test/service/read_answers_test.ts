/** What is not there is answered by a read, over HTTP: 404 and 410 write nothing, at no node, and are no less true. */
import { assert, assertEquals } from "@std/assert";
import { caller } from "../replica/memory_cluster.ts";
import { until } from "../replica/clocks.ts";
import type { AcceptorRecord } from "../../src/paxos/message.ts";
import { type Apps, withApps } from "../routes/memory_apps.ts";
import { tell } from "../routes/noun_requests.ts";

const SESSION = "0123456789abcdef0123456789abcdef";

/** What every disk holds, names and records. */
function disks({ cluster }: Apps): string {
  return JSON.stringify(cluster.ids.map((id) => [...cluster.disk(id).records].sort()));
}

async function settled(apps: Apps, key: string): Promise<void> {
  const { cluster } = apps;
  const records = () =>
    cluster.ids.map((id) => JSON.parse(cluster.disk(id).records.get(key) ?? "null") as AcceptorRecord | null);
  await until(`${key} is everywhere`, () => {
    const [first, ...others] = records();
    const isWritten = (record: AcceptorRecord | null | undefined) => record?.vote === null;
    return isWritten(first) && others.every((record) => isWritten(record) && record!.instance === first!.instance);
  });
}

/** Renewals, releases and ends of what never was. */
const NEVER: readonly (readonly [method: string, path: string, body?: unknown])[] = [
  ["PUT", "/v1/locks/never-was/999"],
  ["PUT", "/v1/locks/never-was/99999999", { ttlMs: 5_000 }],
  ["DELETE", "/v1/locks/never-was/999"],
  ["PUT", "/v1/locks/-/1025?name=never-was"],
  ["PUT", "/v1/elections/never-was/1025", { value: "me" }],
  ["PUT", "/v1/elections/never-was/1025"],
  ["DELETE", "/v1/elections/never-was/1025"],
  ["PUT", "/v1/semaphores/never-was/1025"],
  ["DELETE", "/v1/semaphores/never-was/1025"],
  ["PUT", `/v1/sessions/${SESSION}`],
  ["DELETE", `/v1/sessions/${SESSION}`],
];

Deno.test("read answers: a renewal or release of what no log knows is 404, and no node has a record of it", () =>
  withApps(3, async (apps) => {
    const keyed = { "idempotency-key": "mine" };
    const hedged = { ...keyed, "quorate-hedge": "0" };
    for (const id of ["a", "c"]) {
      for (const [method, path, body] of NEVER) {
        for (const headers of [{}, keyed, ...(path.includes("sessions") ? [] : [hedged])]) {
          const told = await tell(apps, id, method, path, body, headers);
          assertEquals(
            [told.status, told.body.code],
            [404, "not-found"],
            `${method} ${path} ${JSON.stringify(headers)}`,
          );
          assertEquals(told.headers.get("consensus-path"), "read");
        }
      }
      for (const noun of ["locks", "elections", "semaphores"]) {
        const left = await tell(apps, id, "DELETE", `/v1/${noun}/never-was/queue/some-key`);
        assertEquals([left.status, left.body.outcome], [200, "left"]);
      }
      const gone = await tell(apps, id, "DELETE", "/v1/kv/never-was");
      assertEquals([gone.status, gone.body.revision], [404, "0"]);
    }
    const operations = NEVER.map(([method, path, body]) => ({ method, path, ...(body === undefined ? {} : { body }) }));
    const batch = await tell(apps, "b", "POST", "/v1/batch", operations);
    assertEquals(batch.body.map(({ status }: { status: number }) => status), operations.map(() => 404));
    assertEquals(disks(apps), JSON.stringify(apps.cluster.ids.map(() => [])));
    for (const noun of ["locks", "elections", "semaphores", "kv", "sessions"]) {
      assertEquals((await tell(apps, "a", "GET", `/v1/${noun}?prefix=`)).body, { items: [], cursor: null }, noun);
    }
  }));

Deno.test("read answers: what was held and is over is told as ever, to its holder and to others, without a write", () =>
  withApps(3, async (apps) => {
    const { body: old } = await tell(apps, "a", "POST", "/v1/locks/x", { holder: "h" });
    const release = { "idempotency-key": "release" };
    assertEquals(
      (await tell(apps, "a", "DELETE", `/v1/locks/x/${old.fence}`, undefined, release)).body.outcome,
      "released",
    );
    const { body: held } = await tell(apps, "a", "POST", "/v1/locks/x", { holder: "h" });
    await settled(apps, "lock/x");
    // The window has its own result for the first, by its key.
    assertEquals(
      (await tell(apps, "b", "DELETE", `/v1/locks/x/${old.fence}`, undefined, release)).body.outcome,
      "released",
    );
    const before = disks(apps);
    assertEquals((await tell(apps, "b", "DELETE", `/v1/locks/x/${old.fence}`)).body.outcome, "already-released");
    const renewed = await tell(apps, "c", "PUT", `/v1/locks/x/${old.fence}`);
    assertEquals([renewed.status, renewed.body.code, renewed.body.fence], [410, "lost", old.fence]);
    // Nothing is told of another subject's fence.
    const { locks } = apps.cluster.node("b");
    const stranger = caller({ subject: "stranger" });
    const refused = await locks.release("x", held.fence, stranger).catch(({ code }) => code);
    assertEquals(refused, "not-found");
    assertEquals(disks(apps), before);
    assertEquals((await tell(apps, "c", "PUT", `/v1/locks/x/${held.fence}`)).status, 200);
  }));

Deno.test("read answers: a session that has ended is 410 to keep and ended already to end, without a write", () =>
  withApps(3, async (apps) => {
    const { body: session } = await tell(apps, "a", "POST", "/v1/sessions", { holder: "me" });
    const path = `/v1/sessions/${session.id}`;
    assertEquals((await tell(apps, "b", "PUT", path)).status, 200);
    assertEquals((await tell(apps, "b", "DELETE", path)).body.outcome, "ended");
    await settled(apps, `session/${session.id}`);
    const before = disks(apps);
    for (const id of ["a", "b", "c"]) {
      assertEquals((await tell(apps, id, "PUT", path)).status, 410);
      assertEquals((await tell(apps, id, "DELETE", path)).body.outcome, "already-ended");
    }
    assertEquals(disks(apps), before);
  }));

Deno.test("read answers: a node that has not heard of a grant yet asks for it, and renews and releases it", () =>
  withApps(3, async (apps) => {
    const { cluster } = apps;
    // Word of the decision reaches nobody; c may not have voted for it.
    cluster.network.drop(({ kind, content }) => kind === "request" && content.type === "learn");
    for (const name of ["x", "y", "z"]) {
      const { body } = await tell(apps, "a", "POST", `/v1/locks/${name}`, { holder: "h" });
      assertEquals((await tell(apps, "c", "PUT", `/v1/locks/${name}/${body.fence}`)).status, 200);
      assertEquals((await tell(apps, "b", "DELETE", `/v1/locks/${name}/${body.fence}`)).body.outcome, "released");
    }
  }));

Deno.test("read answers: without a read quorum a made-up fence is 503, and nothing is known of it", () =>
  withApps(3, async (apps) => {
    for (const id of ["b", "c"]) apps.cluster.kill(id);
    const { status, body } = await tell(apps, "a", "PUT", "/v1/locks/never-was/999?timeoutMs=100");
    assertEquals([status, body.code, body.outcome], [503, "no-quorum", "none"]);
    assertEquals(apps.cluster.disk("a").records.size, 0);
  }));

Deno.test("read answers: to delete what is absent under a key, or under a fence, is decided: an earlier try may be under way", () =>
  withApps(3, async (apps) => {
    const { cluster } = apps;
    const key = { "idempotency-key": "delete" };
    const isOfDelete = (text: string) => text.includes('"type":"delete"');
    // The first try reaches nobody while a lives on, and is heard of later.
    let isLost = true;
    cluster.network.drop(({ from, content }) => isLost && from === "a" && isOfDelete(JSON.stringify(content)));
    const first = tell(apps, "a", "DELETE", "/v1/kv/x?timeoutMs=5000", undefined, key);
    await until("it voted for its own", () => cluster.disk("a").records.has("kv/x"));
    const second = await tell(apps, "b", "DELETE", "/v1/kv/x", undefined, key);
    assertEquals([second.status, second.body.code], [404, "not-found"]);
    assertEquals((await tell(apps, "b", "PUT", "/v1/kv/x", "kept")).status, 200);
    isLost = false;
    assertEquals((await first).status, 404);
    for (const id of cluster.ids) assertEquals(await (await apps.ask(id, "/v1/kv/x")).text(), "kept");

    assertEquals((await tell(apps, "b", "DELETE", "/v1/kv/fenced", undefined, { fence: "5000" })).status, 404);
    assertEquals((await tell(apps, "c", "PUT", "/v1/kv/fenced", "late", { fence: "4999" })).status, 412);
    assert(cluster.disk("b").records.has("kv/fenced"));
  }));
