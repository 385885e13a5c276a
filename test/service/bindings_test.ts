/** What is bound to a session, from the session's side: names come and go without filling it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { NAMES_PER_SESSION } from "../../src/limits.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

async function withSession(run: (cluster: MemoryCluster, session: string) => Promise<void>): Promise<void> {
  const cluster = await memoryCluster(3);
  try {
    const { body } = await cluster.node("a").sessions.open({ holder: "client", ttlMs: 600_000 }, caller());
    await run(cluster, body.id);
  } finally {
    cluster.close();
  }
}

async function boundTo(cluster: MemoryCluster, session: string): Promise<readonly string[]> {
  return (await cluster.node("b").sessions.get(session, caller())).body.bound.map(({ name }) => name);
}

Deno.test("bindings: names taken and given back one after another do not fill a session; what it holds stays bound", () =>
  withSession(async (cluster, session) => {
    const bound = (holder: string) => request(holder, { session });
    await cluster.node("a").locks.acquire("first", bound("h"), caller());
    await cluster.node("a").registers.put("k", { bytes: "", contentType: "a/b", session }, caller());
    for (let i = 0; i < NAMES_PER_SESSION + 200; i++) {
      const { locks } = cluster.node(cluster.ids[i % 3]!);
      const { body } = await locks.acquire(`n${i}`, bound("h"), caller());
      await locks.release(`n${i}`, body.fence, caller());
    }
    const names = await boundTo(cluster, session);
    assert(names.length <= NAMES_PER_SESSION, `${names.length}`);
    assert(["first", "k", `n${NAMES_PER_SESSION + 199}`].every((name) => names.includes(name)), names.join());
    await cluster.node("c").sessions.end(session, caller());
    const { body } = await cluster.node("b").locks.get("first", { stale: false, timeoutMs: 9_000 });
    assertEquals(body.state, "free");
  }));

Deno.test("bindings: a session that holds as many names as there may be is full, until one is given back", () =>
  withSession(async (cluster, session) => {
    const { locks } = cluster.node("b");
    const grants = await Promise.all(
      Array.from({ length: NAMES_PER_SESSION }, (_, i) => locks.acquire(`n${i}`, request("h", { session }), caller())),
    );
    const one = locks.acquire("more", request("h", { session }), caller());
    assertEquals((await assertRejects(() => one, QuorateError)).code, "too-large");
    assertEquals((await locks.get("more", { stale: false, timeoutMs: 9_000 })).body.state, "free");
    const { name, fence } = grants[7]!.body;
    await cluster.node("c").locks.release(name, fence, caller());
    const { body } = await locks.acquire("more", request("h", { session }), caller());
    assertEquals(body.session, session);
    await cluster.node("a").sessions.end(session, caller());
    const left = await Promise.all(
      [...grants.map((grant) => grant.body.name), "more"].map(async (name) =>
        (await locks.get(name, { stale: false, timeoutMs: 20_000 })).body.state
      ),
    );
    assertEquals(new Set(left), new Set(["free"]));
  }));
