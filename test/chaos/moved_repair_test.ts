/** Repair of a record while members change, and after it, on real processes and real Deno KV files. */
import { assertEquals, assertMatch } from "@std/assert";
import { ballotRow } from "../../src/store/key_space.ts";
import { until } from "../replica/clocks.ts";
import { type MemberCluster, withMembers } from "./member_cluster.ts";
import { call } from "./real_cluster.ts";

const put = async (cluster: MemberCluster, id: string, name: string, body: string) =>
  (await call(cluster.url(id), "PUT", `/v1/kv/${name}?timeoutMs=5000`, body))?.status;
const textOf = async (cluster: MemberCluster, id: string, query = "") =>
  await (await fetch(`${cluster.url(id)}/v1/kv/x${query}`)).text();
const repair = (cluster: MemberCluster, ids: string, ...more: readonly string[]) =>
  cluster.quorate(ids, "repair", "x", "--noun", "kv", ...more);

/** Three members, and junk in the place of what c has of x. */
async function spoiled(cluster: MemberCluster): Promise<void> {
  for (const name of ["x", "y"]) assertEquals(await put(cluster, "a", name, name), 200);
  await until("c has x", async () => await textOf(cluster, "c", "?consistency=stale") === '"x"');
  await cluster.kill("c");
  {
    using kv = await Deno.openKv(cluster.store("c"));
    await kv.set(ballotRow("kv/x"), new TextEncoder().encode("junk"));
  }
  await cluster.startNode("c");
}

/** It is repaired in this epoch, and c is one of a quorum that has nobody to spare. */
async function isRepaired(cluster: MemberCluster): Promise<void> {
  const seen = await repair(cluster, "bcd");
  assertEquals(seen.code, 1, seen.text);
  assertMatch(seen.text, /^c\tdamaged\t.*\nd\tsound\t/m);
  assertMatch(seen.text, /^c\trepair\t/m);
  const done = await repair(cluster, "bcd", "--yes");
  assertEquals(done.code, 0, done.text);
  assertMatch(done.text, /^c\trepaired\t/m);
  await cluster.kill("b");
  assertEquals(await put(cluster, "d", "x", "later"), 200);
  assertEquals(await textOf(cluster, "c"), '"later"');
  assertEquals((await cluster.status("c"))?.stopped, undefined);
}

Deno.test("repair: names move though one member's record is damaged, and then it is repaired in the new epoch", () =>
  withMembers("abc", async (cluster) => {
    await spoiled(cluster);
    assertEquals(await cluster.replace("abc", "a", "d"), "dbc");
    await cluster.kill("a");
    await isRepaired(cluster);
  }));

Deno.test("repair: of a name that cannot move yet it is refused, and nothing is changed; once the name has moved it is done", () =>
  withMembers("abc", async (cluster) => {
    await spoiled(cluster);
    await cluster.join("d");
    // Only b can say what x holds: two of the three would have to.
    cluster.signal("a", "SIGSTOP");
    const changed = await cluster.change("b", 0, "bcd");
    assertEquals(changed?.status, 200, JSON.stringify(changed?.body));
    await until("y has moved", async () => await put(cluster, "d", "y", "y2") === 200);
    assertEquals(await put(cluster, "b", "x", "x2"), 503);
    const seen = await repair(cluster, "bcd");
    assertEquals(seen.code, 1, seen.text);
    assertMatch(seen.text, /^c\twait\tthe name has not moved to the new members yet: bring back those from before/m);
    const refused = await repair(cluster, "bcd", "--yes");
    assertEquals(refused.code, 1, refused.text);
    assertMatch(refused.text, /^c waits up to 20 s for that$/m);
    assertMatch(
      refused.text,
      /b says nothing of it \(the name has not moved to epoch 1 there\); .*nothing has changed/,
    );
    // What cannot be known yet is nobody's to say.
    const [, hash] = /^b\tsound\t\d+\t([0-9a-f]{32})/m.exec(seen.text) ?? [];
    const accepted = await repair(cluster, "c", "--yes", "--accept", hash!);
    assertEquals(accepted.code, 1, accepted.text);
    assertMatch(accepted.text, /it is not for a person to say/);
    cluster.signal("a", "SIGCONT");
    await cluster.moved(1, "bcd");
    assertEquals(await textOf(cluster, "d"), '"x"');
    await cluster.kill("a");
    await isRepaired(cluster);
  }));
