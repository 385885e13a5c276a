/**
 * What a recorded run of each flow has to show (PROTOCOL.md §1, last column), wherever it ran: in memory or in real
 * processes, whose messages take what time they like.
 */
import { assert, assertEquals } from "@std/assert";
import type { TraceEvent } from "../../src/observe/trace.ts";
import { decidedCommands, ofKind, paths, shown, type Wave, waves, whileAsked } from "./recorded.ts";

type Events = readonly TraceEvent[];

/** Telling others comes after the answer, or beside it. */
function asking(events: Events, id: string): readonly Wave[] {
  return waves(whileAsked(events, id)).filter(({ type }) => type !== "learn" && type !== "outcomes");
}

/** Flow 1: one Prepare wave, then one Accept! wave in the same ballot, begun on a quorum of promises. */
export function checkBasic(events: Events, id: string, node: string, classic: number): void {
  const asked = asking(events, id);
  assertEquals(asked.map(shown), [`${node} prepare 1.${node}.0`, `${node} accept 1.${node}.0`]);
  assertEquals(asked[0]!.ballot, asked[1]!.ballot);
  assertEquals(asked[0]!.to, asked[1]!.to);
  const own = whileAsked(events, id).filter((event) => event.node === node);
  const accept = own.find((event) => event.kind === "sent" && event.message.type === "accept")!;
  const promised = own.filter((event) =>
    event.seq < accept.seq && event.kind !== "sent" && "reply" in event && event.reply?.type === "promise"
  );
  assert(promised.length >= classic, `${promised.length} promises before Accept!`);
}

/** Flow 2: `ids` are a first request and a second through `node`, and a third through `other`. */
export function checkMulti(events: Events, ids: readonly string[], node: string, other: string): void {
  assertEquals(ids.map((id) => asking(events, id).map(shown)), [
    [`${node} prepare 1.${node}.0`, `${node} accept 1.${node}.0`],
    [`${node} accept 0..0`],
    [`${other} forward`, `${node} accept 0..0`],
  ]);
  assertEquals(waves(events).filter(({ type }) => type === "forward").map(({ to }) => to), [[node]]);
  const later = waves(events).filter(({ instance, type }) => instance! > 1 && ["accept", "prepare"].includes(type));
  assertEquals(later.map((wave) => [shown(wave), wave.instance]), [
    [`${node} accept 0..0`, 2],
    [`${node} accept 0..0`, 3],
  ]);
  assertEquals(paths(events), [`recovered 1 1.${node}.0`, "classic 2 0..0", "classic 3 0..0"]);
}

/** Flow 3: from Accept! to the answer nobody but the proposer asks anything of anybody. */
export function checkFast(events: Events, id: string, node: string): void {
  const asked = whileAsked(events, id);
  assertEquals(asking(events, id).map(shown), [`${node} accept 0..0`]);
  assertNoCoordinator(asked);
  // R1: its own vote is durable before anybody hears of the value.
  const own = ofKind(asked, "handled").find((event) => event.node === node && event.message.type === "accept")!;
  assertEquals([own.from, own.reply.type], [node, "accepted"]);
  assert(ofKind(asked, "sent").every(({ seq }) => seq > own.seq), "self-vote first");
  const [decided] = ofKind(asked, "decided").filter((event) => event.node === node);
  assertEquals([decided!.ballot, decided!.instance], ["0..0", 1]);
  if (decided!.by === "inclusive") {
    // R2: the guarded decision is durable before the answer.
    const guard = ofKind(asked, "handled").find(({ message }) => message.type === "decide");
    assert(guard?.reply.type === "decided" && guard.seq < decided!.seq, "a guarded decision first");
  }
}

/** Flow 4: `ids` collided; the coordinator's Accept! at 0..1 ended it, and each command was decided once. */
export function checkCoordinated(events: Events, ids: readonly string[], coordinator: string): void {
  const recovery = waves(events).filter(({ type, ballot, instance }) =>
    type === "accept" && ballot === "0..1" && instance === 1
  );
  assertEquals(recovery.map(({ node }) => node), [coordinator]);
  const pick = ofKind(events, "handled").find(({ node, message, reply }) =>
    node === coordinator && message.type === "recover" && reply.type === "picked"
  );
  assert(pick !== undefined, "the coordinator picks and votes in one write");
  const seen = new Set(ofKind(events, "remark").map(({ by }) => by));
  for (const by of ["acceptor", "proposer", "coordinator"] as const) assert(seen.has(by), `no ${by} saw a collision`);
  const decided = ofKind(events, "decided").filter(({ instance }) => instance === 1);
  for (const { ballot, by, value } of decided) assertEquals([ballot, by, value], ["0..1", "classic", pick.reply.value]);
  assertDecidedOnce(events, ids);
  assertEquals(paths(events, "ok"), ["recovered 1 0..1"]);
  // Nobody asked again: each client waited.
  assertEquals(ofKind(events, "request").length, ids.length);
}

/** Flow 5: acceptors tell each other and vote at 0..1 themselves; from the collision to that nobody else speaks. */
export function checkUncoordinated(events: Events, ids: readonly string[]): void {
  const first = events.findIndex(({ kind }) => kind === "remark");
  const decision = events.findIndex((event) => event.kind === "decided" && event.ballot === "0..1");
  assert(0 <= first && first < decision, "a collision, then a decision at 0..1");
  const between = events.slice(first, decision);
  assertNoCoordinator(between);
  const votes = waves(between).filter(({ ballot }) => ballot === "0..1");
  assertEquals(new Set(votes.map(({ type }) => type)), new Set(["accepted"]));
  // No client value: nobody proposes in that ballot, and each votes for a value of the one before.
  assertEquals(waves(events).filter(({ type, ballot }) => type === "accept" && ballot === "0..1"), []);
  const standing = waves(events).filter(({ type, instance }) => type === "accept" && instance === 1);
  for (const { value } of votes) assert(standing.some((proposal) => proposal.value === value), `${value} is new`);
  for (const { ballot, by, instance } of ofKind(events, "decided")) {
    if (instance === 1) assertEquals([ballot, by], ["0..1", "open"]);
  }
  assertDecidedOnce(events, ids);
  assertEquals(paths(events, "ok"), ["recovered 1 0..1"]);
}

/** Flow 6: one request, hedged to several servers, is one value; whoever answers knew of its decision by itself. */
export function checkCollapsed(events: Events, id: string): void {
  assertNoCoordinator(events);
  assertEquals(new Set(waves(events).filter(({ type }) => type === "accept").map(({ value }) => value)).size, 1);
  assertEquals(ofKind(events, "remark"), []);
  for (const { node, seq } of ofKind(events, "response")) {
    const learned = ofKind(events, "decided").find((event) => event.node === node && event.seq < seq);
    assertEquals(learned?.by, "open", `${node} answered before it learned`);
  }
  assertDecidedOnce(events, [id]);
}

/** No Prepare, no report to a coordinator, no pick of one, no Accept! but of the standing ballot. */
function assertNoCoordinator(events: Events): void {
  for (const event of events) {
    if (event.kind !== "sent" && event.kind !== "handled") continue;
    const { type, ballot } = event.message;
    assert(!["prepare", "collision", "recover", "forward"].includes(type), `${event.node}: ${type}`);
    assert(type !== "accept" || ballot === "0..0", `${event.node}: accept ${ballot}`);
  }
}

function assertDecidedOnce(events: Events, ids: readonly string[]): void {
  assertEquals([...decidedCommands(events).values()].flat().sort(), [...ids].sort());
  const values = new Map<number, string>();
  for (const { instance, value } of ofKind(events, "decided")) {
    assertEquals(values.get(instance) ?? value, value, `one value at instance ${instance}`);
    values.set(instance, value);
  }
}
