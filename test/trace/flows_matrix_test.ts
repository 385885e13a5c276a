/**
 * Each flow of PROTOCOL.md §1 at n = 3, 4 and 5: undisturbed, with an acceptor down, with every message twice, and with
 * each class of messages late. Every command is decided once and its client is told what it came to; what makes a flow
 * itself is asserted wherever nothing is late.
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { type DirectOp, submitDirect } from "../../src/client/direct.ts";
import { type NodeId, sameBallot, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import type { Certificate } from "../../src/paxos/message.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import type { DirectAccept } from "../../src/service/service.ts";
import type { Caller } from "../../src/service/service.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import { caller, request } from "../replica/memory_cluster.ts";
import {
  acquire,
  assertCommands,
  assertOnce,
  client,
  finalRecord,
  holdUntil,
  initialMode,
  inOrder,
  isProposal,
  nameWhere,
  type Observed,
  pathOf,
  type Told,
  withCluster,
} from "./observed_cluster.ts";

type Setting = {
  readonly cluster: Observed;
  readonly up: readonly NodeId[];
  readonly quorums: QuorumSystem;
  /** Nothing is late, so every step is taken by whom the flow names. */
  readonly prompt: boolean;
  readonly twice: boolean;
};

type Flow = { readonly name: string; readonly run: (setting: Setting) => Promise<void> };

type Trouble = {
  readonly name: string;
  readonly down?: (ids: readonly NodeId[]) => NodeId;
  readonly twice?: true;
  readonly late?: (parcel: Parcel) => boolean;
};

const ofType = (...types: string[]) => ({ content }: Parcel) => types.includes(content.type);
/** More than a loser waits before it acts (20 ms), less than a coordinator is given up after (100 ms). */
const LATE_MS = 30;
const TROUBLES: readonly Trouble[] = [
  { name: "undisturbed" },
  { name: "the first acceptor down", down: (ids) => ids[0]! },
  { name: "the last acceptor down", down: (ids) => ids.at(-1)! },
  { name: "every message twice", twice: true },
  { name: "Prepare late", late: ofType("prepare") },
  { name: "Promise late", late: ofType("promise") },
  { name: "Accept! late", late: ofType("accept") },
  { name: "Accept! to one acceptor late", late: (parcel) => parcel.content.type === "accept" && parcel.to === "c" },
  { name: "Accepted late", late: ofType("accepted") },
  { name: "refusals late", late: ofType("refused") },
  { name: "Learn late", late: ofType("learn") },
  { name: "collision reports late", late: ofType("collision") },
  { name: "forwards late", late: ofType("forward") },
];

/** Longer than it takes every node to learn of a decision. */
const HEARD_MS = 50;

/** Every node that is up takes the name and the next one, which may not have heard of it, gives it back. */
async function takeTurns({ cluster, up }: Setting, name: string, pauseMs = 0): Promise<readonly Told[]> {
  const asked: Caller[] = [];
  const ends: Told[] = [];
  let last = 0;
  for (const [i, id] of up.entries()) {
    const taker = client(id);
    const taken = await acquire(cluster, name, taker);
    assert(taken.fence !== null, `${id} gets it`);
    assertGreater(Number(taken.fence), last);
    last = Number(taken.fence);
    if (pauseMs > 0) await cluster.clock.sleep(pauseMs);
    const giver = client(up[(i + 1) % up.length]!);
    const { body, receipt } = await cluster.node(giver.node).locks.release(name, taken.fence, giver.caller);
    assertEquals(body.outcome, "released");
    if (pauseMs > 0) await cluster.clock.sleep(pauseMs);
    // A release is forgotten soon, as it may be repeated.
    asked.push(taker.caller);
    ends.push(taken, { client: giver, receipt, fence: taken.fence });
  }
  await cluster.settle();
  assertCommands(await finalRecord(cluster, `lock/${name}`, up), asked);
  return ends;
}

/** Everybody asks once, at once. */
async function askAtOnce({ cluster, up }: Setting, name: string): Promise<readonly Told[]> {
  const ends = await Promise.all(up.map((id) => acquire(cluster, name, client(id))));
  await cluster.settle();
  assertOnce(await finalRecord(cluster, `lock/${name}`, up), ends);
  return ends;
}

/**
 * A split that no value can win: proposers vote for themselves, the others for one of the first two. It takes three
 * proposers, at n=4 two; with one acceptor down at n=3 the two that are left.
 */
async function stuckSplit(setting: Setting, name: string): Promise<{ ends: readonly Told[]; first: Certificate }> {
  const { cluster, up } = setting;
  const { ids } = cluster;
  const proposers = up.slice(0, ids.length === 4 && up.length === 4 ? 2 : 3);
  const [p, q, ...more] = proposers as [NodeId, NodeId];
  const hold = holdUntil(cluster, proposers.length * (ids.length - 1), isProposal(`lock/${name}`));
  const asked = proposers.map((id) => acquire(cluster, name, client(id)));
  await hold.all;
  const others = up.filter((id) => !proposers.includes(id));
  const order = (i: number) => [...i % 2 === 0 ? [p, q] : [q, p], ...more].join("");
  hold.release(inOrder(Object.fromEntries(others.map((id, i) => [id, order(i)]))));
  const ends = await Promise.all(asked);
  await cluster.settle();
  assertOnce(await finalRecord(cluster, `lock/${name}`, up), ends);
  const [first] = cluster.decisions(`lock/${name}`, 1);
  assertEquals(pathOf(first), "recovered", JSON.stringify(first));
  return { ends, first: first! };
}

function about({ cluster: { parcels } }: Setting, name: string, ...types: string[]): readonly Parcel[] {
  return parcels.filter(({ kind, content }) =>
    kind === "request" && "key" in content && content.key === `lock/${name}` && types.includes(content.type)
  );
}

// The flows

async function basic(setting: Setting): Promise<void> {
  for (const { receipt } of await takeTurns(setting, "prepare/turns")) {
    assertEquals(receipt.path, "recovered");
    assert(!receipt.ballot.startsWith("0."), receipt.ballot);
  }
  for (const { receipt } of await askAtOnce(setting, "prepare/duel")) assertEquals(receipt.path, "recovered");
}

async function multi(setting: Setting): Promise<void> {
  const { cluster, up } = setting;
  const name = "multi/turns";
  const [first, ...rest] = await takeTurns(setting, name, HEARD_MS);
  assertEquals(first!.receipt.path, "recovered");
  for (const { receipt } of rest) assertEquals([receipt.path, receipt.ballot], ["classic", "0..0"]);
  // Phase 1 was paid once, by the first.
  const leader = first!.client.node;
  const prepares = about(setting, name, "prepare");
  // A node that had not learned of it yet may ask at instance 1 too, and is told that it is over.
  assertEquals(prepares.filter(({ content }) => "instance" in content && content.instance > 1), []);
  if (setting.prompt) {
    assertEquals(prepares.filter(({ from }) => from === leader).length, cluster.ids.length - 1);
    // Requests reach the coordinator from any node, once each.
    assertEquals(about(setting, name, "forward").length, rest.filter((end) => end.client.node !== leader).length);
  }
  await takeTurns(setting, "multi/hurried");
  await askAtOnce(setting, "multi/all");
  // The coordinator dies: one Prepare takes the key over, not one for each instance.
  const left = up.filter((id) => id !== leader);
  if (!setting.quorums.isClassic(new Set(left))) return;
  cluster.kill(leader);
  const paid = about(setting, name, "prepare").length;
  const { body, receipt } = await cluster.node(left[0]!).locks.acquire(name, request("next"), caller());
  assertEquals(receipt.path, "recovered");
  await cluster.clock.sleep(HEARD_MS);
  for (const id of left) {
    const renewed = await cluster.node(id).locks.renew(name, body.fence, {}, caller());
    assertEquals([renewed.receipt.path, renewed.receipt.ballot], ["classic", "0..0"]);
  }
  const takeover = about(setting, name, "prepare").slice(paid);
  assertEquals(new Set(takeover.map(({ content }) => "ballot" in content && content.ballot[1])).size, 1);
}

async function fastFromNodes(setting: Setting): Promise<void> {
  const name = "fast/turns";
  for (const { receipt } of await takeTurns(setting, name)) {
    assert(["fast", "open-fast"].includes(receipt.path), receipt.path);
    assertEquals(receipt.ballot, "0..0");
  }
  if (setting.prompt) assertEquals(about(setting, name, "prepare", "collision", "forward"), []);
  await askAtOnce(setting, "fast/all");
}

async function fastDirect(setting: Setting): Promise<void> {
  const { cluster, up, quorums } = setting;
  const opens = quorums.isOpenFast(new Set(up));
  const alone = hedged(up[0]!, "x");
  const taken = await direct(setting, "fast/direct", alone, 0);
  assertEquals(taken.directly, opens, "an open quorum is up, or it cannot be decided so");
  if (opens) {
    // The nodes learned it from each other's Accepted, and tell the same.
    assertEquals((await acquire(cluster, "fast/direct", { ...alone, node: up[1]! })).fence, taken.fence);
  }
  assertEquals(taken.receipt.path, opens ? "open-fast" : "recovered");
  await cluster.settle();
  assertOnce(await finalRecord(cluster, "lock/fast/direct", up), [taken]);
  // Two that meet: at every acceptor in the order of its place, so that neither wins where they are even.
  const both = await Promise.all(
    ["x", "y"].map((holder, turn) => direct(setting, "fast/meet", hedged(up[turn]!, holder), turn)),
  );
  await cluster.settle();
  assertOnce(await finalRecord(cluster, "lock/fast/meet", up), both);
}

async function coordinated(setting: Setting): Promise<void> {
  const { cluster, up, prompt } = setting;
  const name = nameWhere(cluster, "fast/split-", (coordinator) => up.includes(coordinator));
  const { ends, first } = await stuckSplit(setting, name);
  if (!prompt) return;
  assertEquals(first.ballot, STANDING_RECOVERY, "by the named coordinator");
  const key = `lock/${name}`;
  const mode = initialMode(cluster, key);
  const sent = about(setting, name, "accept").filter(({ content }) =>
    content.type === "accept" && sameBallot(content.ballot, STANDING_RECOVERY)
  );
  assert(mode.kind === "fast" && sent.length > 0 && sent.every(({ from }) => from === mode.coordinator));
  // All up, the pick is free, and a batch of all that collided.
  if (up.length === cluster.ids.length) {
    assertEquals(ends.map(({ receipt }) => [receipt.path, receipt.instance]), ends.map(() => ["recovered", 1]));
    assertEquals(about(setting, name, "prepare"), []);
  }
}

async function uncoordinated(setting: Setting): Promise<void> {
  const { up, prompt, quorums } = setting;
  const name = "uncoordinated/split";
  const { first } = await stuckSplit(setting, name);
  if (!quorums.isOpenFast(new Set(up))) {
    assertGreater(first.ballot[0], 0, "no open quorum can form: by a Prepare");
    return;
  }
  if (!prompt) return;
  assertEquals([first.kind, first.ballot], ["open", STANDING_RECOVERY], "by the acceptors themselves");
  const fromAbove = about(setting, name, "accept", "prepare", "collision").filter(({ content }) =>
    content.type === "accept" && content.instance === 1
      ? !sameBallot(content.ballot, [0, "", 0])
      : content.type !== "accept"
  );
  assertEquals(fromAbove, [], "nobody told them to");
}

async function racedToAll(setting: Setting): Promise<void> {
  const { cluster, up, quorums } = setting;
  const one = hedged(up[0]!, "x");
  const ends = await Promise.all(up.map((node) => acquire(cluster, "fast/hedged", { ...one, node })));
  const paths = ends.map(({ receipt }) => receipt.path);
  if (quorums.isOpenFast(new Set(up))) assert(!setting.prompt || paths.includes("open-fast"), `${paths}`);
  else assert(paths.every((path) => path === "recovered"), `${paths}`);
  const two = ["x", "y"].map((holder) => hedged(up[0]!, holder));
  const meeting = await Promise.all(
    two.flatMap((each) => up.map((node) => acquire(cluster, "fast/hedges", { ...each, node }))),
  );
  await cluster.settle();
  assertOnce(await finalRecord(cluster, "lock/fast/hedged", up), ends);
  assertOnce(await finalRecord(cluster, "lock/fast/hedges", up), meeting);
}

// Direct clients

function hedged(node: NodeId, holder: string) {
  return { ...client(node, { hedge: 0 }), holder };
}

/** The shipped client, whose requests reach the nodes without HTTP; what it cannot settle goes through its node. */
async function direct(
  setting: Setting,
  name: string,
  by: ReturnType<typeof hedged>,
  turn: number,
): Promise<Told & { readonly directly: boolean }> {
  const { cluster, up, twice } = setting;
  const { clock } = cluster;
  const { subject, idempotencyKey } = by.caller;
  let place = 0;
  const fetch = async (url: string, init: RequestInit) => {
    const id = new URL(url).hostname;
    if (!up.includes(id)) throw new TypeError("connection refused");
    // Even ones hear the first of two first, odd ones the second.
    await clock.sleep(place++ % 2 === turn ? 1 : 2);
    const { messages } = JSON.parse(String(init.body)) as { messages: DirectAccept[] };
    const replies = await cluster.node(id).acceptDirect(messages);
    // A message that comes twice gets the same answer, and casts no second vote.
    if (twice) await cluster.node(id).acceptDirect(messages);
    return Response.json({ replies });
  };
  const members = Object.fromEntries(cluster.ids.map((id) => [id, `http://${id}`]));
  const digest = (text: string) => Promise.resolve(sha256Hex(text));
  const op: DirectOp = {
    type: "acquire",
    holder: by.holder,
    mode: "exclusive",
    ttlMs: 30_000,
    lockDelayMs: 0,
    atMs: 0,
  };
  const end = await submitDirect({ members, subject, fetch, digest }, `lock/${name}`, op, idempotencyKey, 0);
  if (end.type === "unsettled") return { ...await acquire(cluster, name, by), directly: false };
  const receipt = { path: "open-fast", instance: end.instance, ballot: "0..0" } as const;
  return { client: by, receipt, fence: end.result.fence ?? null, directly: true };
}

const FLOWS: readonly Flow[] = [
  { name: "flow 1, Basic Paxos", run: basic },
  { name: "flow 2, Multi-Paxos", run: multi },
  { name: "flow 3, Fast Paxos by nodes", run: fastFromNodes },
  { name: "flow 3, Fast Paxos by direct clients", run: fastDirect },
  { name: "flow 4, coordinated recovery", run: coordinated },
  { name: "flow 5, uncoordinated recovery", run: uncoordinated },
  { name: "flow 6, collapsed roles", run: racedToAll },
];

for (const flow of FLOWS) {
  for (const n of [3, 4, 5]) {
    Deno.test(`${flow.name}, n=${n}`, async (t) => {
      for (const trouble of TROUBLES) {
        await t.step(trouble.name, () =>
          withCluster(n, async (cluster) => {
            const { ids, network } = cluster;
            const { down, twice = false, late } = trouble;
            const dead = down?.(ids) ?? null;
            if (dead !== null) cluster.kill(dead);
            if (twice) network.duplicate(() => true);
            network.delay((parcel) => late?.(parcel) ? LATE_MS : 1);
            const up = ids.filter((id) => id !== dead);
            const quorums = new QuorumSystem(ids);
            await flow.run({ cluster, up, quorums, prompt: late === undefined, twice });
          }));
      }
    });
  }
}
