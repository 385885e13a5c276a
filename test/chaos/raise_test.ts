/**
 * The end of a rolling upgrade, on real processes under load: today's nodes are exchanged for those of a release to come, and back until
 * the machine is raised.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { MembersState } from "../../src/api.ts";
import { MACHINE_VERSION, VERSION, WIRES } from "../../src/version.ts";
import { Command, type Ended } from "../cli/command.ts";
import { freePort } from "../free_ports.ts";
import { until } from "../replica/clocks.ts";
import { NodeProcess } from "./node_process.ts";
import { call, pause, RealCluster } from "./real_cluster.ts";
import { nodeOfChanged } from "./releases.ts";
import { inFolder, knowsAll, LOADED_MS, speaking, TODAY, Upgrade } from "./upgrade.ts";

/** What the next release may bring: a wire more and one less, and a machine more. */
const NEXT = "9.0.0";
const CHANGES: Readonly<Record<string, (text: string) => string>> = {
  "src/version.ts": (text) =>
    text.replace(`VERSION = "${VERSION}"`, `VERSION = "${NEXT}"`)
      .replace(`MACHINE_VERSION = ${MACHINE_VERSION}`, `MACHINE_VERSION = ${MACHINE_VERSION + 1}`)
      .replace(
        `WIRES: Wires = { least: ${WIRES.least}, most: ${WIRES.most} }`,
        `WIRES: Wires = { least: ${WIRES.most}, most: ${WIRES.most + 1} }`,
      ),
  "src/machine/size.ts": (text) =>
    text.replace(
      `${MACHINE_VERSION}: FIXED_V2_BYTES`,
      `${MACHINE_VERSION}: FIXED_V2_BYTES, ${MACHINE_VERSION + 1}: FIXED_V2_BYTES`,
    ),
};

/** The command line of today. */
async function quorate(...args: readonly string[]): Promise<Ended> {
  await using command = new Command(args);
  return await command.ended();
}

Deno.test("upgrade: to a release to come, and back until the machine is raised; from then on who knows less does not vote", () =>
  inFolder(async (folder, later) => {
    const next = await nodeOfChanged(`${folder}/next`, CHANGES);
    const upgrade = await Upgrade.start(TODAY, later);
    const { cluster } = upgrade;
    await upgrade.exchange(["c", "a"], next);
    const mixed = await upgrade.said("c", knowsAll);
    assertEquals(speaking(mixed), {
      a: [NEXT, WIRES.most + 1],
      b: [VERSION, WIRES.most],
      c: [NEXT, WIRES.most + 1],
    });
    assertEquals(mixed.machine, { version: MACHINE_VERSION, knows: MACHINE_VERSION + 1 });
    assertEquals(await upgrade.raise("c", ["b"]), [409, "not-upgraded", ["b"]]);
    assertEquals(await upgrade.raise("b"), [200, MACHINE_VERSION, MACHINE_VERSION]);
    const refused = await quorate("raise", "--url", cluster.url("a"));
    assertEquals([refused.code === 0, refused.out], [false, []]);
    assertMatch(
      refused.err.join("\n"),
      new RegExp(
        `not all nodes know version ${MACHINE_VERSION + 1} of the machine: .*b knows up to ${MACHINE_VERSION}`,
      ),
    );

    // All are upgraded, and one goes back: nothing was written that today's nodes do not read.
    await upgrade.exchange(["b"], next);
    await upgrade.exchange(["c"], TODAY);
    await upgrade.exchange(["c"], next);
    await upgrade.said("a", (status) => status.members.every(({ wire }) => wire === WIRES.most + 1));
    const raised = await quorate("raise", "--url", cluster.url("a"));
    assertEquals([raised.code, raised.out], [0, [
      `the machine is at version ${MACHINE_VERSION + 1}, was ${MACHINE_VERSION}`,
    ]], raised.err.join("\n"));
    for (const id of cluster.ids) await upgrade.said(id, ({ machine }) => machine?.version === MACHINE_VERSION + 1);
    assertEquals(await upgrade.raise("b"), [200, MACHINE_VERSION + 1, MACHINE_VERSION + 1]);
    await pause(LOADED_MS);

    // A node that knows less says so, and is none of a quorum; with the newer version it is one again.
    await cluster.end("b");
    await cluster.startNode("b", [], { main: TODAY, ready: false });
    const behind = await upgrade.said("b", ({ reason }) => reason?.includes("machine") === true);
    assertEquals(behind.voting, false);
    const knowsLess = `raised to version ${
      MACHINE_VERSION + 1
    }, and this node \\(.*\\) knows up to ${MACHINE_VERSION}: `;
    assertMatch(behind.reason!, new RegExp(`${knowsLess}start a newer version$`));
    await cluster.says("b", behind.reason!);
    await pause(LOADED_MS);
    await cluster.end("b");
    await cluster.startNode("b", [], { main: next });
    await upgrade.judge();
    const { body } = (await call(cluster.url("a"), "GET", "/v1/backup"))!;
    const newer = (body["items"] as { state: { version: number } }[]).filter(({ state }) =>
      state.version > MACHINE_VERSION
    );
    assert(newer.length > 0, "names are raised by what is decided of them next");
  }));

Deno.test("upgrade: a new cluster begins with all that its nodes know, and nobody has to raise it", () =>
  inFolder(async (folder, later) => {
    const main = await nodeOfChanged(`${folder}/next`, CHANGES);
    const cluster = await RealCluster.start(3, 0, { isolates: 1, main });
    later.defer(() => cluster.stop());
    const known = JSON.stringify({ version: MACHINE_VERSION + 1, knows: MACHINE_VERSION + 1 });
    for (const id of cluster.ids) {
      let machine: unknown;
      await until(() => `${id} begins with ${known}; it is at ${JSON.stringify(machine)}`, async () => {
        machine = (await call(cluster.url(id), "GET", "/v1/status"))?.body["machine"];
        return JSON.stringify(machine) === known;
      });
    }
    // Today's node knows less than that: it does not become a member, and nothing is decided.
    const { members, cluster: name } = (await call(cluster.url("a"), "GET", "/v1/members"))!.body;
    const port = freePort();
    const store = `${folder}/d.sqlite`;
    const joining = new NodeProcess(
      ["--id", "d", "--port", `${port}`, "--kv", store, "--join", name as string],
      {},
      [],
    );
    later.defer(() => joining.kill());
    await until("d listens", () => joining.output.join("").includes("listening on"));
    const url = `http://127.0.0.1:${port}`;
    const next = [...members as MembersState["members"], { id: "d", url }];
    const refused = (await call(cluster.url("b"), "POST", "/v1/members", { expect: 0, members: next }))!;
    assertEquals([refused.status, refused.body["code"], refused.body["behind"]], [409, "not-upgraded", ["d"]]);
    assertMatch(
      refused.body["detail"] as string,
      new RegExp(
        `^d \\(.*\\) knows up to version ${MACHINE_VERSION} of the machine, and .* raised to ${
          MACHINE_VERSION + 1
        }: start`,
      ),
    );
    for (const id of cluster.ids) {
      assertEquals((await call(cluster.url(id), "GET", "/v1/members"))?.body, { cluster: name, epoch: 0, members });
    }
  }));
