/**
 * The six flows of PROTOCOL.md §1 as whole nodes run them in memory: what was recorded is asserted message by message,
 * and its chart is compared with the one stored beside this file. `QUORATE_CHARTS=write` writes the charts anew.
 */
import { assert, assertEquals } from "@std/assert";
import { chartOf } from "../../src/observe/chart.ts";
import { textChart } from "../../src/observe/chart_text.ts";
import type { ModeName } from "../../src/engine/modes.ts";
import { checkBasic, checkCollapsed, checkCoordinated, checkFast, checkMulti, checkUncoordinated } from "./flows.ts";
import { ofKind, paths, shown, waves, whileAsked } from "./recorded.ts";
import { nameOfCoordinator, Scenario } from "./scenario.ts";

function flow(title: string, n: number, mode: ModeName, run: (scenario: Scenario) => Promise<void>): void {
  Deno.test(`flow ${title}`, async () => {
    const scenario = await Scenario.start(n, mode);
    try {
      await run(scenario);
    } finally {
      scenario.close();
    }
  });
}

async function assertChart(scenario: Scenario, name: string, flow: number, title: string): Promise<void> {
  const file = new URL(`./flow_${flow}.txt`, import.meta.url);
  const drawn = `Flow ${flow}, ${title}\n\n${textChart(chartOf(scenario.traces(name), scenario.cluster.ids))}`;
  if (Deno.env.get("QUORATE_CHARTS") === "write") await Deno.writeTextFile(file, drawn);
  assertEquals(drawn, await Deno.readTextFile(file));
}

/** All at once; each is granted or told who holds it. */
async function collide(scenario: Scenario, nodes: readonly string[], name: string): Promise<void> {
  const asked = nodes.map((id) => scenario.acquire(id, name, `by-${id}`));
  for (const end of await scenario.during(Promise.allSettled(asked))) {
    assert(end.status === "fulfilled" || end.reason.code === "held", JSON.stringify(end));
  }
  await scenario.settle();
}

flow(
  "1, Basic Paxos: a Prepare wave and an Accept! wave before the answer, two round trips",
  5,
  "prepare",
  async (s) => {
    await s.during(s.acquire("c", "flow-1", "one"));
    await s.settle();
    const events = s.events("flow-1");
    checkBasic(events, "one", "c", 3);
    for (const { to } of waves(whileAsked(events, "one"))) assertEquals(to, ["a", "b", "d", "e"]);
    await assertChart(s, "flow-1", 1, "Basic Paxos: c asks for promises, then for votes.");
  },
);

flow("2, Multi-Paxos: a Prepare for the first request only, then Accept! of one coordinator", 5, "multi", async (s) => {
  const { body: { fence } } = await s.during(s.acquire("c", "flow-2", "one"));
  await s.settle();
  await s.during(s.release("c", "flow-2", fence, "two"));
  await s.settle();
  await s.during(s.acquire("a", "flow-2", "three"));
  await s.settle();
  checkMulti(s.events("flow-2"), ["one", "two", "three"], "c", "a");
  await assertChart(s, "flow-2", 2, "Multi-Paxos: only the first request pays a Prepare; a forwards to c.");
});

flow(
  "3, Fast Paxos: no Prepare and no coordinator from Accept! to the answer, one round trip",
  5,
  "fast",
  async (s) => {
    // Another node coordinates: had it a part in this, it would show.
    const name = nameOfCoordinator("flow-3-", "a", s.cluster.ids);
    await s.during(s.acquire("c", name, "one"));
    await s.settle();
    const events = s.events(name);
    checkFast(events, "one", "c");
    // With its nearest majority, two steps of one round trip: the far ones answer later.
    assertEquals(paths(events), ["fast 1 0..0"]);
    await assertChart(s, name, 3, "Fast Paxos: the standing ballot is an Any; c's nearest majority is enough.");
  },
);

flow(
  "4, coordinated recovery: three collide, the coordinator's Accept! at 0..1 decides them all",
  5,
  "fast",
  async (s) => {
    const name = nameOfCoordinator("flow-4-", "b", s.cluster.ids);
    // a has a and b, c has c and d, e only itself: nobody can win any more.
    await collide(s, ["a", "c", "e"], name);
    const events = s.events(name);
    checkCoordinated(events, ["by-a", "by-c", "by-e"], "b");
    const proposed = waves(events).filter(({ type }) => type === "accept" || type === "prepare");
    assertEquals(proposed.map(shown), ["a accept 0..0", "c accept 0..0", "e accept 0..0", "b accept 0..1"]);
    // The pick was free: all in one batch.
    assertEquals(new Set(paths(events)), new Set(["recovered 1 0..1"]));
    await assertChart(s, name, 4, "coordinated recovery: a, c and e collide; b coordinates.");
  },
);

for (const { n, nodes } of [{ n: 4, nodes: ["a", "d"] }, { n: 5, nodes: ["a", "c", "e"] }]) {
  flow(`5, uncoordinated recovery, n=${n}: acceptors vote at 0..1 by themselves`, n, "uncoordinated", async (s) => {
    await collide(s, nodes, "flow-5");
    const events = s.events("flow-5");
    checkUncoordinated(events, nodes.map((id) => `by-${id}`));
    const votes = waves(events).filter(({ ballot }) => ballot === "0..1");
    assertEquals(votes.map(({ node }) => node).sort(), s.cluster.ids, "every acceptor picked");
    if (n === 4) {
      await assertChart(s, "flow-5", 5, "uncoordinated recovery: a and d collide; acceptors tell each other.");
    }
  });
}

flow(
  "6, collapsed roles: a request to three servers is one value, each answers when it learned",
  5,
  "fast",
  async (s) => {
    const nodes = ["a", "c", "e"];
    const answers = await s.during(Promise.all(nodes.map((id) => s.acquire(id, "flow-6", "one", 0))));
    await s.settle();
    assertEquals(new Set(answers.map(({ body }) => body.fence)).size, 1);
    const events = s.events("flow-6");
    checkCollapsed(events, "one");
    assertEquals(waves(events).filter(({ type }) => type === "accept").map(({ node }) => node), nodes);
    // Here, where nothing but distance makes a difference, the first that learns is the first that answers.
    assertEquals(ofKind(events, "response")[0]!.node, ofKind(events, "decided")[0]!.node);
    // Every server tells every other its vote, and each counts for itself.
    assertEquals(waves(events).filter(({ type }) => type === "accepted").map(({ to }) => to.length), [4, 4, 4, 4, 4]);
    assertEquals(ofKind(events, "decided").map(({ how }) => how), [
      "counted",
      "counted",
      "counted",
      "counted",
      "counted",
    ]);
    await assertChart(s, "flow-6", 6, "collapsed roles: one request, hedged to a, c and e, is one value.");
  },
);
