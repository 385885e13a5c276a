/** What is wrong with a cluster, from what its nodes say of themselves and of each other, and what to do about it. */
import type { NodeStatus, PeerCause } from "../api.ts";
import { MEMBERS_MAX } from "../limits.ts";
import { quorumSizes } from "../paxos/quorum.ts";

export const SEVERITIES = ["critical", "warning", "info"] as const;
export type Finding = {
  /** `critical`: something is not served; `warning`: the next fault would be felt; `info`: good to know. */
  readonly severity: (typeof SEVERITIES)[number];
  /** What was looked at; the same in every version. */
  readonly check: string;
  /** Ids of nodes, or the URLs of those that did not say theirs. */
  readonly nodes: readonly string[];
  readonly what: string;
  /** What a person may do about it. */
  readonly advice: string;
};

/** What one URL answered. */
export type Examined = {
  readonly url: string;
  /** Null: no node answered there; `error` says why, in one line. */
  readonly status: NodeStatus | null;
  readonly error: string | null;
  /** The answer was a refusal of the token. */
  readonly isRefused: boolean;
  /** The checks of /readyz that failed, by name. */
  readonly failing: Readonly<Record<string, string>>;
  /** How far its wall clock is ahead of the asker's, to so many ms; null: it did not say. */
  readonly clock: { readonly aheadMs: number; readonly withinMs: number } | null;
  /** Requests that its rate limit refused since it started; null: its metrics may not be read. */
  readonly rateLimited: number | null;
};
type Answered = Examined & { readonly status: NodeStatus };

/** Wall clocks that differ more are told of: no lease rests on them, but `once`, labels and shared stores do. */
const CLOCKS_MS = 1_000;

const PEER_ADVICE: Readonly<Record<PeerCause, string>> = {
  "refused": "start it, or correct its port in --cluster",
  "timed-out": "look at its host and at the network between the two",
  "unreachable": "look at its host, its name and the network between the two",
  "certificate": "give the node the CA to trust: --tls-ca ca.pem, or QUORATE_TLS_CA",
  "other-secret": "give both the same QUORATE_PEER_SECRET",
  "no-member": "give both the same --cluster and --learners",
  "other-members": "give both the same --cluster, as it was at init",
  "other-wire": "run the same version on both",
  "wrong-node": "correct the URL of that node in --cluster",
  "other-life": "its store was lost or exchanged: it never votes again under this id",
  "not-ready": "wait until it has started; else look at its own log",
  "no-vote": "look at its reason, above or in its own /v1/status",
  "failed": "look at its own log",
};

/** The worst first. None at all: every node that was asked is well. */
export function diagnose(examined: readonly Examined[]): readonly Finding[] {
  const answered = distinct(examined);
  const found = [
    ...silent(examined, answered),
    ...oneCluster(answered),
    ...quorum(examined, answered),
    ...moving(answered),
    ...answered.flatMap(ownFaults),
    ...peers(answered),
    ...versions(answered),
    ...unraised(answered),
    ...clocks(answered),
    ...extras(examined, answered),
  ];
  return found.toSorted((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
}

export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ severity }) => severity === "info");
}

/** As Map.groupBy, which not every runtime of the command line has. */
function grouped<T>(all: readonly T[], keyOf: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(keyOf(one), [...groups.get(keyOf(one)) ?? [], one]);
  return groups;
}

/** One answer of each node: several URLs may lead to it. */
function distinct(examined: readonly Examined[]): readonly Answered[] {
  const byId = new Map<string, Answered>();
  for (const one of examined) {
    if (one.status !== null && !byId.has(one.status.id)) byId.set(one.status.id, one as Answered);
  }
  return [...byId.values()];
}

/** By the URL that the others know a silent node under, its id. */
function nameOf({ url }: Examined, answered: readonly Answered[]): string {
  const members = answered.flatMap(({ status }) => status.members);
  return members.find((member) => member.url === url)?.id ?? url;
}

function silent(examined: readonly Examined[], answered: readonly Answered[]): readonly Finding[] {
  return examined.filter(({ status }) => status === null).map((one): Finding => {
    const nodes = [nameOf(one, answered)];
    const what = `${one.url} ${one.error}`;
    if (one.isRefused) {
      return { severity: "warning", check: "token", nodes, what, advice: "give a token it knows: --token-file" };
    }
    const severity = answered.length === 0 ? "critical" : "warning";
    return { severity, check: "answers", nodes, what, advice: "start it, or correct the URL; then look at its log" };
  });
}

function oneCluster(answered: readonly Answered[]): readonly Finding[] {
  const advice = "ask nodes of one cluster; if they are to be one, give all the same --cluster, as it was at init";
  const said = answered.map(({ status: { id, cluster, members, epoch } }) => {
    const list = members.map((member) => member.id).join(",");
    return { id, what: `cluster ${cluster} of ${list}, epoch ${epoch}` };
  });
  const groups = grouped(said, ({ what }) => what);
  if (groups.size < 2) return [];
  const what = [...groups].map(([what, some]) => `${some.map(({ id }) => id).join(", ")}: ${what}`).join("; ");
  return [{ severity: "critical", check: "cluster", nodes: said.map(({ id }) => id), what, advice }];
}

function quorum(examined: readonly Examined[], answered: readonly Answered[]): readonly Finding[] {
  const without = answered.filter(({ failing }) => failing["quorum"] !== undefined);
  const found = without.map(({ status: { id }, failing }): Finding => ({
    severity: "critical",
    check: "quorum",
    nodes: [id],
    what: `${id} reaches no quorum: ${failing["quorum"]}`,
    advice: "mend what is said of the other members, those that are down first; nothing is lost meanwhile",
  }));
  const [first] = answered;
  if (first === undefined || without.length > 0) return found;
  const members = first.status.members.map(({ id }) => id);
  const lost = members.filter((id) => isLost(id, examined, answered));
  if (lost.length === 0 || members.length === 2 || members.length > MEMBERS_MAX) return found;
  const spare = members.length - lost.length - quorumSizes(members.length).classic;
  const what = `${lost.length} of ${members.length} members lost (${lost.join(", ")}), ${Math.max(0, spare)} to spare`;
  const severity = spare < 0 ? "critical" : "warning";
  return [...found, {
    severity,
    check: "spare",
    nodes: lost,
    what,
    advice: "bring them back before the next one fails; if a disk is lost: quorate member replace",
  }];
}

/** Names that have to move to members that changed, as whoever moves them counts. */
function moving(answered: readonly Answered[]): readonly Finding[] {
  const all = answered.flatMap(({ status: { id, changing } }) => changing === undefined ? [] : [{ id, ...changing }]);
  const [furthest] = all.toSorted((a, b) => b.moved - a.moved);
  if (furthest === undefined) return [];
  const { from, to, moved, total, spare } = furthest;
  const names = `${moved} of ${total ?? "all"} names have moved from epoch ${from} to ${to}`;
  return [{
    severity: spare === 0 ? "warning" : "info",
    check: "members",
    nodes: all.map(({ id }) => id),
    what: `${names}; until all have, ${spare} of the members before may fail`,
    advice: "end and change none of the members before until then",
  }];
}

/** It says so, it is silent, or somebody says that it cannot be reached. */
function isLost(id: string, examined: readonly Examined[], answered: readonly Answered[]): boolean {
  const own = answered.find(({ status }) => status.id === id);
  if (own !== undefined) return !own.status.voting;
  if (examined.some((one) => one.status === null && !one.isRefused && nameOf(one, answered) === id)) return true;
  return answered.some(({ status }) => status.members.find((member) => member.id === id)?.fault !== undefined);
}

function ownFaults({ status, failing }: Answered): readonly Finding[] {
  const { id, voting, reason, stopped, store } = status;
  const found: Finding[] = [];
  const say = (severity: Finding["severity"], check: string, what: string, advice: string) =>
    found.push({ severity, check, nodes: [id], what: `${id} ${what}`, advice });
  const fault = failing["store"];
  if (fault !== undefined) {
    say("critical", "store", `has a store that fails: ${fault}`, "make room, or mend the disk; it goes on by itself");
  } else if (reason === "learner") {
    say("info", "voting", "is a learner: it does not vote, and is not to", "nothing");
  } else if (reason?.startsWith("no member since") === true) {
    say("info", "voting", `is ${reason}`, "end it, once all names have moved");
  } else if (!voting) {
    const isOver = reason?.startsWith("quarantined") === true;
    say(
      "warning",
      "voting",
      `does not vote: ${reason ?? "it does not say why"}`,
      isOver
        ? "its store was rolled back or exchanged: it never votes again; quorate member replace puts another in its place"
        : "do what its reason says; --init only if it never was a member",
    );
  }
  if (store?.slow === true) {
    say("warning", "store", "has a slow store: commits take above 250 ms", "look at what else writes to its disk");
  }
  if (stopped !== undefined) {
    const shown = stopped.names.slice(0, 5).map(({ noun, name }) => `${noun} ${name}`).join(", ");
    say(
      "critical",
      "stopped",
      `answers nothing of ${stopped.count} names${shown === "" ? "" : `, as ${shown}`}`,
      "quorate repair NAME --noun NOUN says what can be done; other nodes answer meanwhile",
    );
  }
  return found;
}

/** What nodes say of a third, together where it is the same. */
function peers(answered: readonly Answered[]): readonly Finding[] {
  const said = answered.flatMap(({ status: { id: from, members, others = [] } }) => [
    ...members.flatMap(({ id, fault }) => fault === undefined ? [] : [{ from, id, ...fault }]),
    ...others.map((other) => ({ from, ...other })),
  ]);
  return [...grouped(said, ({ id, cause }) => `${id} ${cause}`).values()].map((some): Finding => {
    const { id, cause, detail, since } = some[0]!;
    const from = some.map((one) => one.from);
    const what = `${from.join(", ")} ${
      from.length === 1 ? "says" : "say"
    } of ${id}: ${cause}, ${detail} (since ${since})`;
    return { severity: "warning", check: "peer", nodes: [id], what, advice: PEER_ADVICE[cause] ?? "look at both logs" };
  });
}

function versions(answered: readonly Answered[]): readonly Finding[] {
  const groups = grouped(answered, ({ status }) => status.version);
  if (groups.size < 2) return [];
  const what = [...groups].map(([version, some]) => `${version} at ${some.map(({ status }) => status.id).join(", ")}`);
  const nodes = answered.map(({ status }) => status.id);
  return [{
    severity: "warning",
    check: "version",
    nodes,
    what: `nodes run different versions: ${what.join("; ")}`,
    advice: "upgrade all of them: nodes of different wires refuse each other",
  }];
}

/** All know a newer machine than names are raised to; while some do not, their versions differ, which is told. */
function unraised(answered: readonly Answered[]): readonly Finding[] {
  const machines = answered.flatMap(({ status: { id, machine } }) => machine === undefined ? [] : [{ id, ...machine }]);
  const knows = Math.min(...machines.map((one) => one.knows));
  const below = machines.filter(({ version }) => version < knows);
  if (below.length === 0 || machines.length < answered.length) return [];
  return [{
    severity: "info",
    check: "raise",
    nodes: below.map(({ id }) => id),
    what: `all know version ${knows} of the machine, and names are at version ${below[0]!.version}`,
    advice: "when nobody wants to go back to the version before: quorate raise",
  }];
}

function clocks(answered: readonly Answered[]): readonly Finding[] {
  const said = answered.flatMap(({ status: { id }, clock }) => clock === null ? [] : [{ id, ...clock }])
    .toSorted((a, b) => a.aheadMs - b.aheadMs);
  const [slowest, fastest] = [said[0], said.at(-1)];
  if (slowest === undefined || fastest === undefined) return [];
  const apartMs = fastest.aheadMs - slowest.aheadMs - fastest.withinMs - slowest.withinMs;
  if (apartMs < CLOCKS_MS) return [];
  return [{
    severity: "warning",
    check: "clock",
    nodes: [slowest.id, fastest.id],
    what: `the wall clock of ${fastest.id} is at least ${Math.floor(apartMs)} ms ahead of that of ${slowest.id}`,
    advice: "run a time daemon on both; leases do not rest on it, times in histories, `once` and shared stores do",
  }];
}

function extras(examined: readonly Examined[], answered: readonly Answered[]): readonly Finding[] {
  const found: Finding[] = [];
  for (const { status: { id }, rateLimited } of answered) {
    if ((rateLimited ?? 0) === 0) continue;
    const what = `${id} refused ${rateLimited} requests by its rate limit since it started`;
    const advice = "its log names the subject; QUORATE_RATE, or that client";
    found.push({ severity: "info", check: "rate", nodes: [id], what, advice });
  }
  const unread = answered.filter(({ rateLimited }) => rateLimited === null).map(({ status }) => status.id);
  if (unread.length > 0) {
    const what = `the metrics of ${unread.join(", ")} may not be read: nothing is known of rate limits`;
    found.push({ severity: "info", check: "metrics", nodes: unread, what, advice: "a token with metrics:read:*" });
  }
  const asked = new Set([...answered.map(({ status }) => status.id), ...examined.map((one) => nameOf(one, answered))]);
  const others = answered.flatMap(({ status }) => status.members).filter(({ id }) => !asked.has(id));
  for (const [id, url] of new Map(others.map((member) => [member.id, member.url]))) {
    const what = `${id} was not asked${url === "" ? "" : `; the others know it at ${url}`}`;
    found.push({ severity: "info", check: "asked", nodes: [id], what, advice: "name its URL too" });
  }
  return found;
}
