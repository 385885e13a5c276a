/** A member whose store was lost and made again (PROTOCOL.md §9): silence of the others is no consent to a second life. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ComposedCluster } from "./composed.ts";

const X = "/v1/kv/x";

/** What is said of a member that is refused. */
function refusalOf(status: Record<string, unknown>, id: string): string {
  const members = status["members"] as { id: string; fault?: { cause: string; detail: string } }[];
  const fault = members.find((member) => member.id === id)?.fault;
  return fault?.cause === "other-life" ? fault.detail : "";
}

Deno.test("second life: a shared database that was lost and made again while nobody answered gets no vote, ever", () =>
  ComposedCluster.with(3, async (cluster) => {
    await cluster.start("a", "kv:first");
    for (const id of ["b", "c"]) await cluster.start(id, `${id}.sqlite`, ["--init"]);
    assertEquals((await cluster.ask("a", "POST", "/v1/init", { id: "a" })).status, 200);
    await cluster.vote("a", "b", "c");
    cluster.silence("c");
    assertEquals((await cluster.ask("b", "PUT", X, "acknowledged")).status, 200);

    await cluster.stop("a");
    cluster.silence("a", "b", "c");
    await cluster.start("a", "kv:second");
    // Whoever is not there cannot refuse it.
    assertEquals((await cluster.ask("a", "POST", "/v1/init", { id: "a" })).status, 200);
    const waiting = await cluster.status("a");

    cluster.heal();
    cluster.silence("b");
    const read = await cluster.ask("c", "GET", `${X}?timeoutMs=500`);
    assertEquals([read.status, read.body["code"]], [503, "no-quorum"], "c and an empty a make no quorum");
    assertEquals(waiting["voting"], false, JSON.stringify(waiting));

    cluster.heal();
    const told = await cluster.ask("c", "GET", X);
    assertEquals([told.status, told.text], [200, "acknowledged"]);
    const { voting, reason } = await cluster.comes("a", ({ reason }) => /quarantined/.test(`${reason}`));
    assertEquals(voting, false);
    assertMatch(`${reason}`, /knows another life of this member/);
    assertMatch(cluster.lines.get("a")!.join("\n"), /never votes again.*another life of this member/);
    // And those who knew the first take nothing of the second, and say so.
    for (const id of ["b", "c"]) {
      await cluster.ask("a", "GET", `${X}?timeoutMs=300`);
      const status = await cluster.comes(id, (status) => refusalOf(status, "a") !== "");
      assertMatch(refusalOf(status, "a"), /lost or exchanged/);
      assertEquals(cluster.lines.get(id)!.filter((line) => /^a: other-life/.test(line)).length, 1);
    }
    // Whoever serves that database next finds it written there.
    await cluster.stop("a");
    await cluster.start("a", "kv:second");
    assertMatch(`${(await cluster.status("a"))["reason"]}`, /^quarantined/);
  }));

Deno.test("second life: where two of three lost their files and only they answer each other, neither votes", () =>
  ComposedCluster.with(3, async (cluster) => {
    for (const id of cluster.ids) await cluster.start(id, `${id}.sqlite`, ["--init"]);
    await cluster.vote("a", "b", "c");
    cluster.silence("c");
    assertEquals((await cluster.ask("a", "PUT", X, "acknowledged")).status, 200);
    cluster.heal();
    for (const id of ["a", "b", "c"]) await cluster.stop(id);
    for (const id of ["a", "c"]) await cluster.start(id, `${id}-anew.sqlite`, ["--init"]);
    // Each of them has heard the other, which knows of nothing.
    for (let i = 0; i < 10; i++) {
      const read = await cluster.ask("c", "GET", `${X}?timeoutMs=100`);
      assertEquals([read.status, read.body["code"]], [503, "no-quorum"], read.text);
    }
    for (const id of ["a", "c"]) assertEquals((await cluster.status(id))["voting"], false);
    await cluster.start("b", "b.sqlite");
    for (const id of ["a", "c"]) await cluster.comes(id, ({ reason }) => /^quarantined/.test(`${reason}`));
  }));

Deno.test("second life: with one of three absent a new cluster does not vote yet, and says who is missing; then it does", () =>
  ComposedCluster.with(3, async (cluster) => {
    await cluster.start("a", "a.sqlite", ["--init"]);
    await cluster.start("b", "kv:b");
    assertEquals((await cluster.ask("b", "POST", "/v1/init", { id: "b" })).status, 200);
    const { reason } = await cluster.comes("a", ({ reason }) => /: c$/.test(`${reason}`));
    assertStringIncludes(`${reason}`, "new store");
    assertEquals((await cluster.status("b"))["voting"], false);
    await cluster.start("c", "c.sqlite", ["--init"]);
    await cluster.vote("a", "b", "c");
    // Confirmed once, a database votes at once, whoever answers.
    await cluster.stop("b");
    cluster.silence("b");
    await cluster.start("b", "kv:b");
    assertEquals((await cluster.status("b"))["voting"], true);
  }));

Deno.test("second life: four of five form a cluster, in any order; the fifth joins it when it comes", () =>
  ComposedCluster.with(5, async (cluster) => {
    for (const id of ["d", "b", "a"]) await cluster.start(id, `${id}.sqlite`, ["--init"]);
    await cluster.comes("a", ({ reason }) => /: c, e$/.test(`${reason}`));
    await cluster.start("c", "kv:c");
    assertEquals((await cluster.ask("c", "POST", "/v1/init", { id: "c" })).status, 200);
    await cluster.vote("a", "b", "c", "d");
    assertEquals((await cluster.ask("d", "PUT", X, "by four")).status, 200);
    await cluster.start("e", "e.sqlite", ["--init"]);
    await cluster.vote("e");
    assertEquals((await cluster.ask("e", "GET", X)).text, "by four");
  }));
