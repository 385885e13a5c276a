/** Whether members may be changed as somebody asks: pure. What is refused here is refused before anything is proposed. */
import { QuorateError } from "../errors.ts";
import { MEMBERS_MAX } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { QuorumSystem } from "../paxos/quorum.ts";
import type { EpochConfig } from "../ports.ts";
import { type NodeVersion, type Wires, wireWords } from "../version.ts";
import { clusterConfigIn } from "./epoch_config.ts";

export type Members = EpochConfig["members"];

/** `expect`: the epoch that whoever asks takes for the current one. */
export type ChangeRequest = { readonly expect: number; readonly members: Members };

/** What a node of the old list or the new one says of itself. */
export type Standing = {
  readonly cluster: string;
  readonly id: NodeId;
  /** Null: its store is nobody's. */
  readonly incarnation: string | null;
  readonly isJoining: boolean;
  readonly isShared: boolean;
  readonly version: NodeVersion;
  /** The version of the machine that it has heard to be decided for the whole cluster. */
  readonly raised: number;
};

export type ChangeFacts = {
  readonly current: EpochConfig;
  /** Names of the epoch before may still have to move. */
  readonly isMoving: boolean;
  /** Nodes that do not vote. */
  readonly learners: readonly NodeId[];
  /** By id, all of the old list and the new one; null: no usable answer came, and why. */
  readonly standings: ReadonlyMap<NodeId, Standing | string>;
  /** Ids whose stores this node has met, or a member that answers. */
  readonly met: ReadonlySet<NodeId>;
};

/** What is wrong with the request by itself, or against the members there are; null: nothing, so others may be asked. */
export function refusalOf(
  { expect, members }: ChangeRequest,
  { current, isMoving, learners }: Omit<ChangeFacts, "standings" | "met">,
): QuorateError | null {
  const ids = members.map(({ id }) => id);
  if (expect !== current.epoch) {
    return new QuorateError(
      "precondition-failed",
      `the members are those of epoch ${current.epoch}, not of ${expect}`,
      {
        more: { epoch: current.epoch },
      },
    );
  }
  if (new Set(ids).size < ids.length) return invalid("lists a member twice");
  if (new Set(members.map(({ url }) => url)).size < ids.length) return invalid("gives two members the same URL");
  if (ids.length === 2) return invalid("lists 2 members, which stop when either does; take 1 or 3 to 9");
  if (ids.length === 0 || ids.length > MEMBERS_MAX) return invalid(`lists ${ids.length} members; take 1 or 3 to 9`);
  for (const { id, url } of members) {
    const known = current.members.find((member) => member.id === id);
    if (known !== undefined && known.url !== url) {
      return invalid(`gives ${id} another URL than ${known.url}; a URL changes by --cluster, on all nodes`);
    }
    if (learners.includes(id)) return invalid(`lists ${id}, which is a learner`);
  }
  if (isMoving) {
    return new QuorateError(
      "not-ready",
      `names of epoch ${current.epoch - 1} still have to move: the members can change again once they have`,
    );
  }
  return null;
}

/** What speaks against it of what the nodes say of themselves; null: it may be proposed. */
export function objection({ members }: ChangeRequest, { current, standings, met }: ChangeFacts): QuorateError | null {
  const isOld = ({ id }: { readonly id: NodeId }) => current.members.some((member) => member.id === id);
  const answered = new Set<NodeId>();
  for (const [id, standing] of standings) {
    if (typeof standing === "string") continue;
    if (standing.isShared) {
      return refused(
        `${id} keeps its votes in a shared database; only members with a file of their own can be changed`,
      );
    }
    answered.add(id);
  }
  for (const newcomer of members.filter((member) => !isOld(member))) {
    const { id } = newcomer;
    if (met.has(id)) return invalid(`lists ${id}, which was a member before: take an id that was never used`);
    const standing = standings.get(id) ?? "it was not asked";
    if (typeof standing === "string") return refused(`${id} does not answer at ${newcomer.url}: ${standing}`);
    if (standing.id !== id) return refused(`${standing.id} answers at ${newcomer.url}, not ${id}`);
    if (standing.cluster !== current.cluster) {
      return refused(`${id} waits to join cluster ${standing.cluster}, not ${current.cluster}`);
    }
    if (standing.incarnation !== null || !standing.isJoining) {
      return refused(`${id} does not wait to join: start it on an empty store with --join ${current.cluster}`);
    }
    const lack = lackOf(standing, members, standings);
    if (lack !== null) {
      const detail = `${id} (${standing.version.version}) ${lack}: start it with the version of the others`;
      return new QuorateError("not-upgraded", detail, { outcome: "none", more: { behind: [id] } });
    }
  }
  return tooFew(members.map(({ id }) => id), current.members.map(({ id }) => id), answered);
}

/** What the software of a newcomer has not got that it needs to vote, and to talk with the members there are to be; null: it has all. */
function lackOf({ id, version }: Standing, members: Members, standings: ChangeFacts["standings"]): string | null {
  const others = [...standings.values()].filter((one) => typeof one !== "string").filter((one) => one.id !== id);
  const raised = Math.max(...others.map((one) => one.raised));
  if (raised > version.machine) {
    return `knows up to version ${version.machine} of the machine, and the cluster's was raised to ${raised}`;
  }
  const deaf = others.find((one) =>
    members.some((member) => member.id === one.id) && !share(one.version.wires, version.wires)
  );
  return deaf === undefined
    ? null
    : `speaks ${wireWords(version.wires)}, and ${deaf.id} speaks ${wireWords(deaf.version.wires)}`;
}

function share(a: Wires, b: Wires): boolean {
  return Math.max(a.least, b.least) <= Math.min(a.most, b.most);
}

/** With too few that answer the new members could decide nothing, and the old ones not go back. */
function tooFew(next: readonly NodeId[], old: readonly NodeId[], answered: ReadonlySet<NodeId>): QuorateError | null {
  const [then, now] = [new QuorumSystem(next), new QuorumSystem(old)];
  const silent = [...new Set([...next, ...old])].filter((id) => !answered.has(id)).sort().join(", ");
  if (!now.isPhase1(answered)) {
    return refused(
      `${now.sizes.classic} of ${old.join(", ")} have to answer, to say what they hold; silent: ${silent}`,
    );
  }
  if (!then.isPhase1(answered)) {
    return refused(`${then.sizes.classic} of ${next.join(", ")} have to answer; silent: ${silent}`);
  }
  for (const id of next.filter((id) => !old.includes(id))) {
    if (then.areWitnesses(answered, id)) continue;
    return refused(
      `${id} needs ${then.sizes.witnesses} other new members that answer before it votes; silent: ${silent}`,
    );
  }
  return null;
}

/** Whether these are the members already: it was done before, or nothing would change. */
export function isDone({ expect, members }: ChangeRequest, current: EpochConfig): boolean {
  const wanted = clusterConfigIn({ ...current, members });
  return (expect === current.epoch || expect + 1 === current.epoch) && wanted.text === clusterConfigIn(current).text;
}

function invalid(what: string): QuorateError {
  return new QuorateError("invalid-request", `members ${what}`, { field: "members" });
}

function refused(what: string): QuorateError {
  return new QuorateError("not-ready", what);
}
