/**
 * The six flows of PROTOCOL.md §1 over the routes and the HTTP transport, on Deno KV, asserted message by message; and the
 * explicit Any of flow 3, which reaches every acceptor there and is answered.
 */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { submitDirect } from "../../src/client/direct.ts";
import type { TraceEvent } from "../../src/observe/trace.ts";
import { PeerError, type WireMessage } from "../../src/ports.ts";
import { checkBasic, checkCollapsed, checkCoordinated, checkFast, checkMulti, checkUncoordinated } from "./flows.ts";
import { type Around, HttpCluster } from "./http_cluster.ts";
import { ofKind, waves, withoutNonce } from "./recorded.ts";
import { nameOfCoordinator } from "./scenario.ts";

/** On a busy machine somebody may be impatient, and the run shows that instead: then the next name is tried. */
const TRIES = 10;
const MODES = (["prepare", "multi", "fast", "uncoordinated"] as const).map((mode) => ({
  prefix: `lock/${mode}/`,
  mode,
}));

const FLOWS: Readonly<Record<string, (cluster: HttpCluster, i: number) => Promise<void>>> = {
  "1, Basic Paxos": async (cluster, i) => {
    await acquire(cluster, "c", `prepare/${i}`, "one");
    checkBasic(await recorded(cluster, `prepare/${i}`), "one", "c", 3);
  },
  "2, Multi-Paxos": async (cluster, i) => {
    const name = `multi/${i}`;
    const { body: { fence } } = await acquire(cluster, "c", name, "one");
    await recorded(cluster, name);
    await cluster.ask("c", "DELETE", `/v1/locks/-/${fence}?name=${name}`, undefined, "two");
    await recorded(cluster, name);
    await acquire(cluster, "a", name, "three");
    checkMulti(await recorded(cluster, name), ["one", "two", "three"], "c", "a");
  },
  "3, Fast Paxos": async (cluster, i) => {
    const name = nameOfCoordinator(`fast/three-${i}-`, "a", cluster.ids);
    await acquire(cluster, "c", name, "one");
    checkFast(await recorded(cluster, name), "one", "c");
  },
  "4, coordinated recovery": async (cluster, i) => {
    const name = nameOfCoordinator(`fast/four-${i}-`, "b", cluster.ids);
    await collide(cluster, name);
    checkCoordinated(await recorded(cluster, name), ["by-a", "by-c", "by-e"], "b");
  },
  "5, uncoordinated recovery": async (cluster, i) => {
    await collide(cluster, `uncoordinated/${i}`);
    checkUncoordinated(await recorded(cluster, `uncoordinated/${i}`), ["by-a", "by-c", "by-e"]);
  },
  "6, collapsed roles": async (cluster, i) => {
    const name = `fast/six-${i}`;
    const asked = ["a", "c", "e"].map((id) => acquire(cluster, id, name, "one", { "Quorate-Hedge": "0" }));
    const answers = await Promise.all(asked);
    assertEquals(new Set(answers.map(({ body }) => body.fence)).size, 1);
    checkCollapsed(await recorded(cluster, name), "one");
  },
};

Deno.test("the six flows over routes and HTTP transport show what each must show", async (t) => {
  const cluster = await HttpCluster.start(5, { modes: MODES });
  try {
    // Timers follow measured round trips.
    for (const id of [...cluster.ids, ...cluster.ids]) await acquire(cluster, id, `warm/${id}`, crypto.randomUUID());
    for (const [title, run] of Object.entries(FLOWS)) await t.step(title, () => eventually(cluster, run));
    assertEquals(cluster.reports, []);
  } finally {
    await cluster.stop();
  }
});

Deno.test("an explicit Any reaches every acceptor over HTTP, and the next node decides in the ballot it opened", async () => {
  const cluster = await HttpCluster.start(3, { modes: MODES });
  try {
    await eventually(cluster, openedBallot);
    assertEquals(cluster.reports, []);
  } finally {
    await cluster.stop();
  }
});

async function openedBallot(cluster: HttpCluster, i: number): Promise<void> {
  const name = nameOfCoordinator(`fast/any-${i}-`, "b", cluster.ids);
  const key = `lock/${name}`;
  await halfVoted(cluster, name);
  const answer = await fetch(`${cluster.url("a")}/v1/locks/-?name=${name}`);
  assertEquals((await answer.json()).state, "free");
  const events = await recorded(cluster, name);
  cluster.around = SENT_AT_ONCE;
  const anys = ofKind(events, "answered").filter(({ message }) => message.type === "any");
  assertEquals(anys.map(({ node, from, reply }) => [node, from, reply?.type]).sort(), [
    ["a", "b", "opened"],
    ["a", "c", "opened"],
  ]);
  for (const { message } of anys) assertEquals(withoutNonce(message.ballot!), "1.a.0");
  const { headers } = await acquire(cluster, "b", name, "next");
  // A trace shortens nonces.
  const opened = anys[0]!.message.ballot!.replace(/\.0$/, "");
  assert(headers.get("consensus-ballot")!.startsWith(opened), `${headers.get("consensus-ballot")} is not ${opened}`);
  const prepares = (some: readonly TraceEvent[]) => waves(some).filter(({ type }) => type === "prepare");
  assertEquals(prepares(cluster.events(key)), prepares(events), "no Prepare for it");
}

/** On fresh names, until a run shows it. */
async function eventually(
  cluster: HttpCluster,
  run: (cluster: HttpCluster, i: number) => Promise<void>,
): Promise<void> {
  let why: unknown;
  for (let i = 0; i < TRIES; i++) {
    try {
      return await run(cluster, i);
    } catch (error) {
      why = error;
    } finally {
      cluster.around = SENT_AT_ONCE;
    }
  }
  throw why;
}

const SENT_AT_ONCE: Around = (_from, _to, _message, go) => go();

async function acquire(
  cluster: HttpCluster,
  node: string,
  name: string,
  id: string,
  more: Record<string, string> = {},
) {
  const holder = more["Quorate-Hedge"] === undefined ? node : "racer";
  const answer = await cluster.ask(node, "POST", `/v1/locks/-?name=${name}`, { holder }, id, more);
  assert(answer.status === 200 || answer.status === 409, JSON.stringify(answer.body));
  return answer;
}

/** What was recorded, once every message has its answer and nothing more has come for a while. */
async function recorded(cluster: HttpCluster, name: string): Promise<readonly TraceEvent[]> {
  let events = cluster.events(`lock/${name}`);
  for (let i = 0, calm = 0; i < 200 && calm < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const now = cluster.events(`lock/${name}`);
    const isCalm = now.length === events.length && ofKind(now, "sent").length === ofKind(now, "answered").length;
    calm = isCalm ? calm + 1 : 0;
    events = now;
  }
  return events;
}

/** a has its own vote and b's, c has c's and d's, e only its own: nobody can win the standing ballot any more. */
async function collide(cluster: HttpCluster, name: string): Promise<void> {
  const all = Promise.withResolvers<void>();
  const split = Promise.withResolvers<void>();
  let [proposals, votes] = [0, 0];
  cluster.around = async (from, to, message, go) => {
    if (!isProposal(message, `lock/${name}`)) return await go();
    if (++proposals === 12) all.resolve();
    await all.promise;
    if (from + to === "ab" || from + to === "cd") {
      const reply = await go();
      if (++votes === 2) split.resolve();
      return reply;
    }
    await split.promise;
    return await go();
  };
  try {
    await Promise.all(["a", "c", "e"].map((id) => acquire(cluster, id, name, `by-${id}`)));
  } finally {
    all.resolve();
    split.resolve();
  }
}

function isProposal(message: WireMessage, key: string): boolean {
  return message.type === "accept" && message.key === key && message.instance === 1 && message.ballot[0] === 0 &&
    message.ballot[2] === 0;
}

/**
 * A client reaches only c and gives up, and nobody hears of c's vote but who asks; whoever reads hears c first, is not sure,
 * and prepares without it.
 */
async function halfVoted(cluster: HttpCluster, name: string): Promise<void> {
  const key = `lock/${name}`;
  const viewed = Promise.withResolvers<void>();
  const lost = () => Promise.reject(new PeerError("lost by the test"));
  cluster.around = async (_from, to, message, go) => {
    if (!("key" in message) || message.key !== key) return await go();
    if (message.type === "accepted" || (message.type === "prepare" && to === "c")) return await lost();
    if (message.type !== "read") return await go();
    if (to !== "c") await viewed.promise;
    return await go().finally(() => to === "c" && viewed.resolve());
  };
  const members = Object.fromEntries(cluster.ids.map((id) => [id, cluster.url(id)]));
  const end = await submitDirect(
    {
      members,
      subject: "local",
      digest: (text) => Promise.resolve(sha256Hex(text)),
      fetch: (url, init) =>
        url.startsWith(members["c"]!) ? fetch(url, init) : Promise.reject(new Error("out of reach")),
    },
    key,
    { type: "acquire", holder: "gone", mode: "exclusive", ttlMs: 30_000, lockDelayMs: 0, atMs: 0 },
    "gone",
    0,
  );
  assertEquals(end.type, "unsettled");
}
