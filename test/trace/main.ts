/** `deno task trace`: the six flows on five real processes, drawn. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { traceFrom } from "../../src/cli/trace.ts";
import { chartOf } from "../../src/observe/chart.ts";
import { textChart } from "../../src/observe/chart_text.ts";
import { mergeTraces } from "../../src/observe/merge.ts";
import type { TraceEvent } from "../../src/observe/trace.ts";
import { createModes } from "../../src/engine/modes.ts";
import { call, pause, RealCluster, type Reply } from "../chaos/real_cluster.ts";
import { argumentsOf, refuse } from "../options.ts";
import { checkBasic, checkCollapsed, checkCoordinated, checkFast, checkMulti, checkUncoordinated } from "./flows.ts";

/** By prefix of the name. Nodes of this process inherit both. */
const MODES = "lock/prepare/=prepare,lock/multi/=multi,lock/uncoordinated/=uncoordinated";
/** A split that is stuck takes luck: three clients have to meet within a fraction of a round trip. */
const TRIES_MAX = 400;
/** Late replies and Learn messages are part of the chart. */
const SETTLE_MS = 60;

type Recorded = { readonly traces: readonly (readonly TraceEvent[])[]; readonly events: readonly TraceEvent[] };

const FLOWS: Readonly<Record<string, { readonly title: string; run(cluster: RealCluster): Promise<Recorded> }>> = {
  1: {
    title: "Basic Paxos: a request through c",
    async run(cluster) {
      await acquire(cluster, "c", "prepare/x", "one");
      const recorded = await record(cluster, "prepare/x");
      checkBasic(recorded.events, "one", "c", 3);
      return recorded;
    },
  },
  2: {
    title: "Multi-Paxos: two requests through c, one through a, which forwards it",
    async run(cluster) {
      const granted = await acquire(cluster, "c", "multi/x", "one");
      await pause(SETTLE_MS);
      const url = `/v1/locks/-/${granted.body["fence"]}?name=multi/x`;
      await call(cluster.url("c"), "DELETE", url, undefined, { "Idempotency-Key": "two" });
      await pause(SETTLE_MS);
      await acquire(cluster, "a", "multi/x", "three");
      const recorded = await record(cluster, "multi/x");
      checkMulti(recorded.events, ["one", "two", "three"], "c", "a");
      return recorded;
    },
  },
  3: {
    title: "Fast Paxos: a request through c",
    async run(cluster) {
      await acquire(cluster, "c", "fast/x", "one");
      const recorded = await record(cluster, "fast/x");
      checkFast(recorded.events, "one", "c");
      return recorded;
    },
  },
  4: {
    title: "coordinated recovery: requests through a, b and c collide",
    run: (cluster) =>
      collideUntilStuck(cluster, "fast/collision", ({ events }, name) => {
        const mode = createModes(cluster.ids, [], sha256Hex).initial(`lock/${name}`);
        checkCoordinated(events, ["by-a", "by-b", "by-c"], mode.kind === "fast" ? mode.coordinator : "");
      }),
  },
  5: {
    title: "uncoordinated recovery: requests through a, b and c collide",
    run: (cluster) =>
      collideUntilStuck(cluster, "uncoordinated/collision", ({ events }) => {
        checkUncoordinated(events, ["by-a", "by-b", "by-c"]);
      }),
  },
  6: {
    title: "collapsed roles: one request, hedged to a, c and e",
    async run(cluster) {
      await Promise.all(["a", "c", "e"].map((id) => acquire(cluster, id, "fast/hedge", "one", "racer", 0)));
      const recorded = await record(cluster, "fast/hedge");
      checkCollapsed(recorded.events, "one");
      return recorded;
    },
  },
};

/** On fresh names until the standing ballot's own recovery, 0..1, ended a collision. */
async function collideUntilStuck(
  cluster: RealCluster,
  prefix: string,
  check: (recorded: Recorded, name: string) => void,
): Promise<Recorded> {
  let why: unknown = "no collision was stuck";
  for (let i = 0; i < TRIES_MAX; i++) {
    const name = `${prefix}-${i}`;
    const replies = await Promise.all(["a", "b", "c"].map((id) => acquire(cluster, id, name, `by-${id}`)));
    if (!replies.some(({ headers }) => headers.get("consensus-ballot") === "0..1")) continue;
    const recorded = await record(cluster, name);
    try {
      check(recorded, name);
      console.log(`(collision ${i + 1} of at most ${TRIES_MAX} was stuck and recovered at 0..1)\n`);
      return recorded;
    } catch (error) {
      // Said, not hidden: a Prepare of somebody impatient may have crossed it, or something is wrong.
      why = error;
      console.log(`(collision ${i + 1} ended at 0..1 but shows something else: ${(error as Error).message})\n`);
    }
  }
  throw new Error(`none of ${TRIES_MAX} collisions shows it`, { cause: why });
}

async function acquire(
  cluster: RealCluster,
  node: string,
  name: string,
  id: string,
  holder = node,
  hedge?: number,
): Promise<Reply> {
  const headers = { "Idempotency-Key": id, ...(hedge === undefined ? {} : { "Quorate-Hedge": `${hedge}` }) };
  const reply = await call(cluster.url(node), "POST", `/v1/locks/-?name=${name}`, { holder }, headers);
  if (reply === null || (reply.status !== 200 && reply.status !== 409)) {
    throw new Error(`${node} answers ${reply?.status}: ${JSON.stringify(reply?.body)}`);
  }
  return reply;
}

async function record(cluster: RealCluster, name: string): Promise<Recorded> {
  await pause(SETTLE_MS);
  const answers = await Promise.all(cluster.ids.map((id) => traceFrom(cluster.url(id), "lock", name)));
  const traces = answers.map(({ events }) => events);
  return { traces, events: mergeTraces(traces) };
}

const HELP = `deno task trace [FLOW...]

The six flows of PROTOCOL.md §1 on five real processes over HTTP, each with a file of its own; a chart of what they recorded
for each. What a chart shows is checked first, from the messages. Without a FLOW, of ${
  Object.keys(FLOWS).join(", ")
}, all.

Exit code: 0 drawn, 1 one is not as it should be, 2 an argument is wrong.`;

const { positionals } = argumentsOf(HELP, {});
const chosen = positionals.length > 0 ? positionals : Object.keys(FLOWS);
const unknown = chosen.find((number) => FLOWS[number] === undefined);
if (unknown !== undefined) refuse(`there is no flow ${unknown}; they are ${Object.keys(FLOWS).join(", ")}`);
Deno.env.set("QUORATE_TRACE", "1");
Deno.env.set("QUORATE_MODES", MODES);
const cluster = await RealCluster.start(5);
try {
  // Nodes that have just started do not know each other's round trips yet.
  for (const id of [...cluster.ids, ...cluster.ids]) await acquire(cluster, id, `warm/${id}`, crypto.randomUUID());
  for (const number of chosen) {
    const { title, run } = FLOWS[number]!;
    console.log(`Flow ${number}, ${title}\n`);
    const { traces } = await run(cluster);
    console.log(textChart(chartOf(traces, cluster.ids)));
  }
} finally {
  await cluster.stop();
}
