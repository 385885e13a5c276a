/** Members change, on real processes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { KeptEpochs } from "../../src/ports.ts";
import { decodeEpochs } from "../../src/store/epochs_row.ts";
import { EPOCHS_ROW } from "../../src/store/key_space.ts";
import { quoted, section } from "../pages.ts";
import { until } from "../replica/clocks.ts";
import { type MemberCluster, withMembers } from "./member_cluster.ts";
import { drill, toldOf } from "./members_drill.ts";
import { call } from "./real_cluster.ts";

/** A few of each sort, and what they answer with wherever they are asked. */
async function written(cluster: MemberCluster, via: string): Promise<(ids: string) => Promise<void>> {
  const ask = async (method: string, path: string, body?: unknown) => {
    const reply = await call(cluster.url(via), method, path, body);
    assertEquals(reply?.status, 200, `${method} ${path} ${JSON.stringify(reply?.body)}`);
    return reply!.body;
  };
  const { fence } = await ask("POST", "/v1/locks/held", { ttlMs: 600_000 });
  const { term } = await ask("POST", "/v1/elections/led", { ttlMs: 600_000, candidate: "me" });
  for (let i = 0; i < 30; i++) await ask("PUT", `/v1/kv/k${i}`, { i });
  const gone = await ask("POST", "/v1/locks/gone", {});
  await ask("DELETE", `/v1/locks/gone/${gone["fence"]}`);
  return async (ids) => {
    for (const id of ids) {
      const read = async (path: string) => (await call(cluster.url(id), "GET", path))?.body;
      assertEquals((await read("/v1/locks/held"))?.["lastFence"], fence);
      assertEquals((await read("/v1/elections/led"))?.["lastTerm"], term);
      assertEquals((await read("/v1/locks/gone"))?.["lastFence"], gone["fence"]);
      for (let i = 0; i < 30; i++) assertEquals(await read(`/v1/kv/k${i}`), { i });
    }
  };
}

/** A command as docs/operating.md shows it, with this URL for that of a new member. */
function shown(verb: string, url: string): readonly string[] {
  const begin = `quorate member ${verb} `;
  const command = quoted(section("docs/operating.md", "Members")).find((text) => text.startsWith(begin));
  assert(command !== undefined, begin);
  return command.replace(/https:\S+/, url).split(" ").slice(1);
}

Deno.test("members: a lost disk is replaced, and three vote again; and again, and once more after all have started anew", () =>
  withMembers("abc", async (cluster) => {
    const isAll = await written(cluster, "a");
    await cluster.loseDisk("c");
    await cluster.join("d");
    const replaced = await cluster.quorate("ab", ...shown("replace", cluster.url("d")));
    assertEquals(replaced.code, 0, replaced.text);
    assertMatch(replaced.text, /^epoch 1: the members are a, b, d\n/);
    assertMatch(replaced.text, /epoch 1: all names have moved; who is no member any more can be ended\n$/);
    await cluster.moved(1, "abd");
    await isAll("abd");
    // Any two are enough now.
    await cluster.kill("a");
    const lock = await call(cluster.url("d"), "POST", "/v1/locks/new", {});
    assertEquals(lock?.status, 200, JSON.stringify(lock?.body));
    await isAll("bd");
    await cluster.startNode("a");
    await cluster.loseDisk("b");
    await cluster.join("e");
    const again = await cluster.quorate("ad", "member", "replace", "b", "--with", `e=${cluster.url("e")}`, "--json");
    assertEquals(again.code, 0, again.text);
    await cluster.moved(2, "ade");
    await isAll("ade");
    for (const id of "ade") await cluster.kill(id);
    await Promise.all([..."ade"].map((id) => cluster.startNode(id)));
    await isAll("ade");
    const listed = await cluster.quorate("ade", "member", "list");
    assertEquals(listed.text, [..."ade"].map((id) => `${id}\t${cluster.url(id)}\n`).join(""));
    // With an empty store under an old id a member would forget what it has voted.
    await cluster.loseDisk("a");
    await cluster.startNode("a", ["--join", cluster.cluster], false);
    await until("a listens", () => cluster.output("a").includes("listening on"));
    const reply = await call(cluster.url("d"), "POST", "/v1/members", {
      expect: 2,
      members: [...cluster.members("de"), { id: "b", url: cluster.url("a") }],
    });
    assertEquals([reply?.status, reply?.body["detail"]], [
      400,
      "members lists b, which was a member before: take an id that was never used",
    ]);
    await until(
      "a says that it is none",
      () => cluster.output("a").includes("a is a member already, with another store"),
    );
  }));

Deno.test("members: what may not be is refused with its reason, and nothing has changed", () =>
  withMembers("abc", async (cluster) => {
    const refused = async (ids: string, expect = 0) => {
      const { status, body } = (await cluster.change("a", expect, ids))!;
      return [status, body["code"], body["detail"]] as const;
    };
    await cluster.join("d", "q-ffffffffffff");
    assertEquals(await refused("abd"), [
      503,
      "not-ready",
      `d does not answer at ${cluster.url("d")}: d answered 409 config-mismatch`,
    ]);
    await cluster.kill("d");
    assertMatch(`${(await refused("abd"))[2]}`, /^d does not answer at /);
    assertEquals((await refused("abc", 1))[0], 412);
    assertEquals((await refused("ab"))[0], 400);
    await cluster.join("d");
    await cluster.kill("c");
    await cluster.kill("b");
    assertEquals((await refused("abd"))[0], 503);
    await cluster.startNode("b");
    await cluster.startNode("c");
    const { epoch, members } = (await cluster.status("a"))!;
    assertEquals([epoch, members.map(({ id }) => id)], [0, ["a", "b", "c"]]);
    assertEquals((await call(cluster.url("a"), "POST", "/v1/locks/x", {}))?.status, 200);
    // It waits in vain, and says so.
    const waiting = await call(cluster.url("d"), "POST", "/v1/locks/x", {});
    assertEquals([waiting?.status, waiting?.body["code"]], [503, "not-ready"]);
  }));

Deno.test("members: after a change a backup from before still compares, and doctor says nothing of who left but that it did", () =>
  withMembers("abc", async (cluster) => {
    await written(cluster, "a");
    const file = `${cluster.folder}/backup`;
    assertEquals((await cluster.quorate("abc", "backup", file)).code, 0);
    await cluster.join("d");
    await cluster.kill("c");
    const replaced = await cluster.quorate("ab", "member", "replace", "c", "--with", `d=${cluster.url("d")}`);
    assertEquals(replaced.code, 0, replaced.text);
    const verified = await cluster.quorate("abd", "verify", file, "--cluster");
    assertEquals(verified.code, 0, verified.text);
    await cluster.startNode("c", [], false);
    await until("c finds out", async () => (await cluster.status("c"))?.epoch === 1);
    // Its first messages after the start were of the epoch that it had left off in.
    for (const id of "ab") assertEquals((await cluster.status(id))?.others, undefined);
    const { text } = await cluster.quorate("abdc", "doctor");
    assertMatch(text, /^info\tvoting\tc is no member since epoch 1\nhealthy: /);
  }));

Deno.test("members: an id is not used again, though the node that is asked never met it", () =>
  withMembers("abc", async (cluster) => {
    const change = async (via: string, epoch: number, ids: string) => {
      assertEquals((await cluster.change(via, epoch - 1, ids))?.status, 200);
      await cluster.moved(epoch, ids);
    };
    await change("a", 1, "a");
    await cluster.join("d");
    await cluster.join("e");
    await change("a", 2, "ade");
    await cluster.loseDisk("c");
    await cluster.startNode("c", ["--join", cluster.cluster], false);
    await until("c listens", () => cluster.output("c").includes("listening on"));
    const reply = await cluster.change("d", 2, "adec");
    assertEquals([reply?.status, reply?.body["detail"]], [
      400,
      "members lists c, which was a member before: take an id that was never used",
    ]);
  }));

Deno.test("members: who is left of a cluster before brings none of its epochs into one that was made anew of the same ids", () =>
  withMembers("abc", async (cluster) => {
    await cluster.join("d");
    assertEquals((await cluster.change("a", 0, "abd"))?.status, 200);
    await cluster.moved(1, "abd");
    await cluster.kill("d");
    for (const id of "abc") await cluster.loseDisk(id);
    await Promise.all([..."abc"].map((id) => cluster.startNode(id, ["--init"])));
    assertEquals((await call(cluster.url("a"), "PUT", "/v1/kv/k", { i: 1 }))?.status, 200);
    await cluster.startNode("d", [], false);
    await until("d is refused", () => cluster.output("a").includes("it is of another cluster"));
    for (const id of "abc") {
      assertEquals((await cluster.status(id))?.epoch, 0);
      assertEquals((await call(cluster.url(id), "GET", "/v1/kv/k"))?.body, { i: 1 });
    }
    await cluster.join("e");
    assertEquals((await cluster.change("a", 0, "abce"))?.status, 200);
    await cluster.moved(1, "abce");
    assertEquals((await call(cluster.url("e"), "GET", "/v1/kv/k"))?.body, { i: 1 });
  }));

Deno.test("members: an empty disk that is started as a member says that it is nobody's, whatever the members are by now", () =>
  withMembers("abc", async (cluster) => {
    await cluster.join("d");
    assertEquals((await cluster.change("a", 0, "abd"))?.status, 200);
    await cluster.moved(1, "abd");
    await cluster.loseDisk("b");
    await cluster.startNode("b", [], false);
    await until(
      "b is told",
      () => cluster.output("b").includes("this store is nobody's, and takes no part in epoch 1"),
    );
    const { reason, epoch } = (await cluster.status("b"))!;
    assertEquals([reason, epoch], ["this store belongs to no member: run once with --init", 0]);
    // Nor does it become a member again by that.
    await cluster.kill("b");
    await cluster.startNode("b", ["--init"], false);
    await until("b is refused", () => cluster.output("b").includes("it is of another cluster"));
    assertEquals((await cluster.status("b"))?.voting, false);
  }));

Deno.test("members: of two changes one wins, the other is told so; repeated, each is what it was", () =>
  withMembers("abc", async (cluster) => {
    await cluster.join("d");
    await cluster.join("e");
    const both = await Promise.all([cluster.change("a", 0, "abd"), cluster.change("b", 0, "abce")]);
    const won = both.findIndex((reply) => reply?.status === 200);
    assert(won >= 0, JSON.stringify(both));
    const [winner, loser] = won === 0 ? ["abd", "abce"] : ["abce", "abd"];
    await until(
      "both know",
      async () => (await cluster.status("a"))?.epoch === 1 && (await cluster.status("b"))?.epoch === 1,
    );
    for (const via of ["a", "b"]) {
      assertEquals((await cluster.change(via, 0, winner))?.body["outcome"], "unchanged");
      const lost = await cluster.change(via, 0, loser);
      assertEquals([lost?.status, lost?.body["epoch"]], [412, 1]);
    }
    const { members } = (await cluster.status("b"))!;
    assertEquals(members.map(({ id }) => id), [...winner]);
  }));

Deno.test("members: whoever was away finds out, and all go on after they are started again with what they were started with", () =>
  withMembers("abc", async (cluster) => {
    await cluster.join("d");
    await cluster.kill("c");
    assertEquals((await cluster.change("a", 0, "abcd"))?.status, 200);
    await cluster.startNode("c", [], false);
    for (const id of "abcd") {
      await until(`${id} votes in epoch 1`, async () => {
        const status = await cluster.status(id);
        return status?.epoch === 1 && status.voting;
      });
    }
    for (const id of "abcd") await cluster.kill(id);
    await Promise.all([..."abcd"].map((id) => cluster.startNode(id)));
    for (const id of "abcd") assertEquals((await cluster.status(id))?.epoch, 1);
    // A list that is neither the first nor the new one would be somebody's mistake.
    await cluster.kill("a");
    await cluster.startNode("a", [], true);
  }));

Deno.test("members: one becomes three, and another of them is one alone in the end; who left says so", () =>
  withMembers("a", async (cluster) => {
    const isAll = await written(cluster, "a");
    await cluster.join("b");
    await cluster.join("c");
    assertEquals((await cluster.change("a", 0, "abc"))?.status, 200);
    await cluster.moved(1, "abc");
    await isAll("abc");
    await cluster.kill("a");
    await isAll("bc");
    await cluster.startNode("a");
    assertEquals((await cluster.change("b", 1, "c"))?.status, 200);
    await cluster.moved(2, "abc");
    await isAll("c");
    const { reason, voting } = (await cluster.status("a"))!;
    assertEquals([reason, voting], ["no member since epoch 2", false]);
    const ready = await call(cluster.url("a"), "GET", "/readyz");
    assertEquals([ready?.status, ready?.body["detail"]], [503, "no member since epoch 2"]);
    await cluster.kill("a");
    await cluster.kill("b");
    await isAll("c");
    await cluster.kill("c");
    await cluster.startNode("c");
    await isAll("c");
    assertEquals((await call(cluster.url("c"), "POST", "/v1/locks/alone", {}))?.status, 200);
  }));

/** What a node has counted since it began, under all labels. */
async function countedAt(cluster: MemberCluster, id: string, name: string): Promise<number> {
  const text = await (await fetch(`${cluster.url(id)}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

Deno.test("members: once all names have moved, a new name takes as many writes and decisions as before", () =>
  withMembers("abc", async (cluster) => {
    const names = 20;
    const total = async (ids: string, name: string) => {
      const counts = await Promise.all([...ids].map((id) => countedAt(cluster, id, name)));
      return counts.reduce((sum, one) => sum + one, 0);
    };
    const writes = (ids: string) => total(ids, "quorate_store_commit_duration_seconds_count");
    /** What is learned is written a little later, of these names and of those that were moved. */
    const settled = async (ids: string) => {
      let [last, same] = [await writes(ids), 0];
      await until("nothing more is written", async () => {
        const now = await writes(ids);
        same = now === last ? same + 1 : 0;
        last = now;
        return same >= 10;
      });
      return last;
    };
    const cost = async (prefix: string, ids: string) => {
      const [before, decided] = [await settled(ids), await total(ids, "quorate_decisions_total")];
      for (let i = 0; i < names; i++) {
        const reply = await call(cluster.url("a"), "POST", `/v1/locks/${prefix}${i}`, {});
        assertEquals(reply?.status, 200, JSON.stringify(reply?.body));
      }
      const after = await settled(ids);
      return { writes: after - before, decisions: await total(ids, "quorate_decisions_total") - decided };
    };
    await cost("warm", "abc");
    const before = await cost("before", "abc");
    await cluster.replace("abc", "c", "d");
    await cost("moved", "abd");
    const after = await cost("after", "abd");
    assertEquals([before.decisions, after.decisions], [names, names]);
    // Two votes and the proposer's decision, which then three write: an import takes nine more of each name. Nodes write now and
    // then what they know of each other.
    assert(after.writes < before.writes + names, `${before.writes} writes became ${after.writes}`);
    assert(await total("abd", "quorate_grants_total") >= 2 * names, "what is granted of new names is counted");
  }));

/** What a node's file says, whether it runs or not. */
async function epochsIn(path: string): Promise<KeptEpochs | null> {
  const kv = await Deno.openKv(path);
  try {
    return decodeEpochs((await kv.get(EPOCHS_ROW)).value);
  } finally {
    kv.close();
  }
}

Deno.test("members: a new member notes in its file that it has all names, and that is there whenever it is started again", () =>
  withMembers("abc", async (cluster) => {
    const isAll = await written(cluster, "a");
    await cluster.replace("abc", "c", "d");
    const hasNote = async (id: string) => (await epochsIn(cluster.store(id)))?.arrived === true;
    await until("d has all names", () => hasNote("d"));
    await cluster.kill("d");
    await cluster.startNode("d");
    assert(await hasNote("d"));
    await isAll("d");
    // Who was a member before has nothing to fetch; and the next epoch has its own.
    assertEquals(await hasNote("a"), false);
    await cluster.replace("abd", "a", "e");
    assertEquals([(await epochsIn(cluster.store("d")))?.current.epoch, await hasNote("d")], [2, false]);
    await until("e has all names", () => hasNote("e"));
    await isAll("e");
  }));

Deno.test("members: who stood still while they changed goes over when it wakes, and what it sends from before counts for nothing", () =>
  withMembers("abc", async (cluster) => {
    const isAll = await written(cluster, "c");
    await cluster.join("d");
    cluster.signal("c", "SIGSTOP");
    assertEquals((await cluster.change("a", 0, "abcd"))?.status, 200);
    await isAll("abd");
    cluster.signal("c", "SIGCONT");
    await cluster.moved(1, "abcd");
    await isAll("abcd");
  }));

Deno.test("members: disks are lost and replaced, three become four, five and three while clients work and nodes are killed", async () => {
  // They rest long enough not to keep the machine busy: what counts is that there is something to lose at each moment.
  const seed = Math.floor(Math.random() * 1_000);
  const drilled = await drill({ forMs: 0, rounds: 1, workers: 12, thinkMs: 1_000, seed });
  console.log(toldOf(drilled));
  assertEquals([drilled.lost, drilled.fell, drilled.violations], [[], [], []]);
  assertEquals([drilled.changes, drilled.disksLost], [6, 3]);
  assert(drilled.kills > 0 && drilled.writes > 500, toldOf(drilled));
});
