/** Members of {a, b, c} and of {a, b, d}, as the tests of membership need them. */
import { stepMember } from "../../src/members/acceptor.ts";
import { type Epochs, isUnimported, type KeyRecord, unimported } from "../../src/members/epoch.ts";
import type { ImportMessage, MemberMessage, MemberReply, SealedReport } from "../../src/members/message.ts";
import type { NodeId } from "../../src/paxos/ballot.ts";
import type { AcceptorRecord, Snapshot } from "../../src/paxos/message.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import {
  ballotOf,
  fast,
  frozen,
  KEY,
  machine,
  openingOf,
  recordAt,
  snapshotAfter,
  valueOf,
  voteFor,
} from "../paxos/samples.ts";

export function epochsOf(first: number | null = null, next = "abd", old = "abc"): Epochs {
  return {
    machine,
    old: { number: 0, quorums: new QuorumSystem(old.split("")), mode: fast("c"), first: 1 },
    next: { number: 1, quorums: new QuorumSystem(next.split("")), mode: fast("d"), first },
  };
}

/** One member with one key. */
export class Member {
  constructor(
    readonly me: NodeId,
    public record: KeyRecord = unimported(null),
    readonly epochs: Epochs = epochsOf(),
    public sealed = true,
  ) {}

  get(message: MemberMessage, from: NodeId | "" = "", seenMs: Readonly<Record<string, number>> = {}): MemberReply {
    const rules = { ...this.epochs, me: this.me, sealed: this.sealed };
    const { record, reply } = stepMember(rules, frozen(this.record), frozen(message), { from, seenMs });
    this.record = record;
    return reply;
  }
}

/** Its record of e+1; throws if it has none. */
export function importedOf({ record }: Member): AcceptorRecord {
  if (isUnimported(record)) throw new Error("not imported");
  return record;
}

/** With V of a voted for at instance 1 of e. */
export function voted(): AcceptorRecord {
  return { ...recordAt(openingOf(fast("c"))), vote: voteFor(valueOf("a")) };
}

export const EMPTY: Snapshot = openingOf(fast("c"));
/** After a's first value was decided in e, by a and b. */
export const AFTER_A: Snapshot = snapshotAfter(fast("c"), [valueOf("a")], {
  instance: 1,
  ballot: [0, "", 0],
  kind: "inclusive",
  valueId: valueOf("a").id,
  acceptors: ["a", "b"],
});

export function reportOf(from: NodeId, snapshot: Snapshot | null, vote: SealedReport["vote"] = null) {
  return { from, snapshot, vote };
}

export function prepare(owner: NodeId, n = 1): ImportMessage {
  return { type: "import-prepare", key: KEY, epoch: 1, ballot: ballotOf(n, owner) };
}

export function accept(owner: NodeId, n = 1, base = EMPTY, value = valueOf(owner)): ImportMessage {
  return { type: "import-accept", key: KEY, epoch: 1, ballot: ballotOf(n, owner), base, value };
}

export function learnImport(
  acceptors: string,
  owner: NodeId,
  n = 1,
  base = EMPTY,
  value = valueOf(owner),
): ImportMessage {
  const certificate = {
    instance: base.instance,
    ballot: ballotOf(n, owner),
    kind: "classic",
    valueId: value.id,
    acceptors: acceptors.split(""),
  } as const;
  return { type: "import-learn", key: KEY, epoch: 1, certificate, baseHash: base.stateHash };
}
