import { assertEquals, assertStringIncludes } from "@std/assert";
import type { NodeStatus, PeerCause } from "../../src/api.ts";
import { diagnose, type Examined, isHealthy } from "../../src/operate/diagnose.ts";

const url = (id: string) => `http://${id}.example`;
const IDS = ["a", "b", "c"];

function statusOf(id: string, more: Partial<NodeStatus> = {}): NodeStatus {
  return {
    id,
    cluster: "q-1",
    members: IDS.map((member) => ({ id: member, url: url(member), reachable: true, rttMs: 1, heardAgoMs: 1 })),
    epoch: 0,
    voting: true,
    seq: 1,
    boot: 1,
    clock: "",
    store: { slow: false },
    version: "1.0.0",
    ...more,
  };
}

function well(id: string, status: Partial<NodeStatus> = {}, more: Partial<Examined> = {}): Examined {
  const clock = { aheadMs: 0, withinMs: 5 };
  return {
    url: url(id),
    status: statusOf(id, status),
    error: null,
    isRefused: false,
    failing: {},
    clock,
    rateLimited: 0,
    ...more,
  };
}

const silent = (id: string, more: Partial<Examined> = {}): Examined => ({
  ...well(id),
  status: null,
  error: "does not answer",
  clock: null,
  rateLimited: null,
  ...more,
});

function faulted(id: string, peer: string, cause: PeerCause): Partial<NodeStatus> {
  const fault = { cause, detail: "why", since: "now" };
  return { members: statusOf(id).members.map((one) => one.id === peer ? { ...one, fault } : one) };
}

/** `severity check nodes` of each. */
const brief = (all: readonly Examined[]) =>
  diagnose(all).map(({ severity, check, nodes }) => `${severity} ${check} ${nodes.join(",")}`);

Deno.test("diagnose: three nodes that are well are healthy, and nothing is said of them", () => {
  const all = IDS.map((id) => well(id));
  assertEquals(diagnose(all), []);
  assertEquals(isHealthy([]), true);
});

Deno.test("diagnose: a member that is down is told by its id, with what is left, and by what others say of it once", () => {
  const all = [well("a", faulted("a", "c", "refused")), well("b", faulted("b", "c", "refused")), silent("c")];
  assertEquals(brief(all), ["warning answers c", "warning spare c", "warning peer c"]);
  const found = diagnose(all);
  assertStringIncludes(found[1]!.what, "1 of 3 members lost (c), 0 to spare");
  assertStringIncludes(found[2]!.what, "a, b say of c: refused, why");
  assertEquals(isHealthy(found), false);
});

Deno.test("diagnose: no quorum is critical, and comes first", () => {
  const failing = { quorum: "only 1 of 3 members answer, 2 are needed" };
  const all = [well("a", faulted("a", "b", "timed-out"), { failing }), silent("b"), silent("c")];
  assertEquals(brief(all).slice(0, 2), ["critical quorum a", "warning answers b"]);
  assertEquals(brief(IDS.map((id) => silent(id))).filter((line) => line.startsWith("critical")).length, 3);
  // Also where nobody says so: two of three that do not vote are no quorum.
  const idle = { voting: false, reason: "waiting for a quorum" };
  assertEquals(brief([well("a"), well("b", idle), well("c", idle)])[0], "critical spare b,c");
});

Deno.test("diagnose: causes that differ are told apart, each with what to do", () => {
  const all = [well("a", faulted("a", "c", "other-secret")), well("b", faulted("b", "c", "certificate")), well("c")];
  const found = diagnose(all).filter(({ check }) => check === "peer");
  assertEquals(found.map(({ advice }) => advice), [
    "give both the same QUORATE_PEER_SECRET",
    "give the node the CA to trust: --tls-ca ca.pem, or QUORATE_TLS_CA",
  ]);
  // It votes, whatever the two think of it.
  assertEquals(brief(all), ["warning peer c", "warning peer c"]);
});

Deno.test("diagnose: votes, stores, stopped names, versions, clusters, clocks, strangers, rates", () => {
  const quarantined = { voting: false, reason: "quarantined: b knows another life" };
  assertEquals(brief([well("a", quarantined), well("b"), well("c")]), ["warning spare a", "warning voting a"]);
  assertEquals(brief([...IDS.map((id) => well(id)), well("v", { voting: false, reason: "learner" })]), [
    "info voting v",
  ]);
  const full = { failing: { store: "the disk is full" } };
  const failing = { voting: false, reason: "the disk is full" };
  assertEquals(brief([well("a", failing, full), well("b"), well("c")]), ["critical store a", "warning spare a"]);
  assertEquals(brief([well("a", { store: { slow: true } }), well("b"), well("c")]), ["warning store a"]);
  const stopped = { count: 7, names: [{ noun: "lock", name: "x", reason: "r" }] };
  assertEquals(brief([well("a", { stopped }), well("b"), well("c")]), ["critical stopped a"]);
  assertStringIncludes(diagnose([well("a", { stopped }), well("b"), well("c")])[0]!.what, "7 names, as lock x");
  assertEquals(brief([well("a"), well("b", { version: "2.0.0" }), well("c")]), ["warning version a,b,c"]);
  assertEquals(brief([well("a"), well("b", { cluster: "q-2" }), well("c")]), ["critical cluster a,b,c"]);
  assertEquals(brief([well("a"), well("b", { epoch: 1 }), well("c")]), ["critical cluster a,b,c"]);
  const others = [{ id: "z", cause: "no-member" as const, detail: "d", since: "s" }];
  assertEquals(brief([well("a", { others }), well("b"), well("c")]), ["warning peer z"]);
  assertEquals(brief([well("a", {}, { rateLimited: 9 }), well("b"), well("c")]), ["info rate a"]);
  assertEquals(brief([well("a", {}, { rateLimited: null }), well("b"), well("c")]), ["info metrics a"]);
});

Deno.test("diagnose: while names move it says how many members are needed; who is none any more is no fault", () => {
  const changing = { from: 0, to: 1, sealed: 2, of: 3, moved: 0, total: null, spare: 0 };
  const on = { epoch: 1, changing };
  const counting = { epoch: 1, changing: { ...changing, moved: 7, total: 9 } };
  const left = well("d", { epoch: 1, changing, voting: false, reason: "no member since epoch 1" });
  const all = [well("a", on), well("b", counting), well("c", on), left];
  assertEquals(brief(all), ["warning members a,b,c,d", "info voting d"]);
  assertStringIncludes(diagnose(all)[0]!.what, "7 of 9 names have moved from epoch 0 to 1; until all have, 0 of");
  const spare = { epoch: 1, changing: { ...changing, spare: 1 } };
  assertEquals(brief([well("a", spare), well("b", spare), well("c", spare)]), ["info members a,b,c"]);
});

Deno.test("diagnose: clocks count as apart only beyond what the time of the answers leaves open", () => {
  const at = (id: string, aheadMs: number, withinMs: number) => well(id, {}, { clock: { aheadMs, withinMs } });
  assertEquals(brief([at("a", 0, 100), at("b", 1_199, 100), well("c")]), []);
  assertEquals(brief([at("a", 0, 100), at("b", 1_200, 100), at("c", 500, 1)]), ["warning clock a,b"]);
  assertEquals(brief([well("a"), well("b", {}, { clock: null }), well("c")]), []);
});

Deno.test("diagnose: who was not asked is named with its URL, a URL that leads to the same node counts once", () => {
  assertEquals(brief([well("a"), well("a", {}, { url: "http://gateway.example" })]), ["info asked b", "info asked c"]);
  assertStringIncludes(diagnose([well("a"), well("b")])[0]!.what, "c was not asked; the others know it at http://c.ex");
  assertEquals(isHealthy(diagnose([well("a")])), true);
});

Deno.test("diagnose: a token that is refused is no node that is down", () => {
  const all = [well("a"), well("b"), silent("c", { isRefused: true, error: "refuses this token" })];
  assertEquals(brief(all), ["warning token c"]);
});

Deno.test("diagnose: of statuses that make no sense it says something, and never throws", () => {
  const none = well("a", { members: [] });
  assertEquals(diagnose([none]), []);
  const many = Array.from({ length: 40 }, (_, i) => ({ ...statusOf("a").members[0]!, id: `m${i}` }));
  diagnose([well("a", { members: many, voting: false })]);
  const two = statusOf("a").members.slice(0, 2);
  diagnose([well("a", { members: two, voting: false })]);
  // A cause of a version to come.
  const cause = "sulks" as unknown as PeerCause;
  assertEquals(diagnose([well("a", faulted("a", "c", cause)), well("b"), well("c")])[0]!.advice, "look at both logs");
  // An older one says nothing of its store.
  const { store: _, ...old } = statusOf("a");
  diagnose([{ ...well("a"), status: old as NodeStatus }]);
});

Deno.test("diagnose: an upgrade that all nodes have been through and nobody has ended is told, with what ends it", () => {
  const machine = (version: number, knows: number) => ({ machine: { version, knows } });
  const all = (...machines: readonly Partial<NodeStatus>[]) => IDS.map((id, i) => well(id, machines[i]));
  assertEquals(brief(all(machine(3, 4), machine(3, 4), machine(3, 4))), ["info raise a,b,c"]);
  assertEquals(isHealthy(diagnose(all(machine(3, 4), machine(3, 4), machine(3, 4)))), true);
  assertEquals(brief(all(machine(4, 4), machine(4, 4), machine(4, 5))), []);
  assertEquals(brief(all(machine(3, 4), machine(3, 3), machine(3, 4))), []);
  // One of a release that does not say knows no more than that.
  assertEquals(brief(all(machine(3, 4), {}, machine(3, 4))), []);
});
