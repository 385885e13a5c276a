/**
 * Watches every acceptor: each record as it is committed, each reply as it leaves. It keeps its own tally of votes and
 * its own idea of quorums, and knows nothing of the code it checks but the shape of what it is shown.
 */
import type {
  AcceptorRecord,
  AcceptorReply,
  Ballot,
  Certificate,
  Report,
  Snapshot,
  Vote,
} from "../../../src/paxos/mod.ts";
import type { ImportVote, SealedReport } from "../../../src/members/message.ts";
import type { StoredRecord, WireMessage, WireReply } from "../../../src/ports.ts";
import { type QuorumRow, quorumRow } from "./quorum_table.ts";

/** What one acceptor has committed of one key. */
type Seen = {
  last: StoredRecord | null;
  /** Promise and vote together, as they stood in some committed record. */
  readonly ballotParts: Set<string>;
  /** `instance stateHash` of some committed record. */
  readonly stateParts: Set<string>;
  readonly instances: Set<number>;
  /** The value of its last vote, by instance. */
  readonly voted: Map<number, string>;
  /** `instance ballot` of each explicit ballot that some committed record has open. */
  readonly opened: Set<string>;
  /** What it had promised and voted in the import into an epoch, as it stood in some committed record. */
  readonly importParts: Set<string>;
  /** Its last record of each epoch, which is the sealed one of those before. */
  readonly ofEpoch: Map<number, StoredRecord>;
};

/** The members of an epoch. */
type Epoch = { readonly members: ReadonlySet<string>; readonly quorums: QuorumRow };

type Importing = NonNullable<StoredRecord["importing"]>;

/** Everybody's votes for one value in one ballot. */
type Tally = { readonly voters: Set<string>; readonly vote: Vote };

export type Decisions = {
  /** By the kind of quorum that the first record to move on names. */
  inclusive: number;
  open: number;
  classic: number;
  /** Ended in another ballot than the standing one of their instance. */
  recovered: number;
  /** Instances whose standing ballot had votes for two values. */
  collided: number;
};

export class AcceptorMonitor {
  readonly decisions: Decisions = { inclusive: 0, open: 0, classic: 0, recovered: 0, collided: 0 };
  readonly #epochs = new Map<number, Epoch>();
  readonly #seen = new Map<string, Seen>();
  /** Value by acceptor, key, instance and ballot: one for ever. */
  readonly #votes = new Map<string, string>();
  /** Value by node, key, epoch and instance: sent in the standing ballot before the own vote was durable. */
  readonly #left = new Map<string, string>();
  readonly #tallies = new Map<string, Tally>();
  /** Value by key and instance, however it came to be chosen or called so. */
  readonly #chosen = new Map<string, string>();
  readonly #hashes = new Map<string, string>();
  readonly #voteGate = new Map<string, string>();
  readonly #collided = new Set<string>();
  readonly #decided = new Set<string>();
  readonly #faults = new Set<string>();
  readonly #lost = new Set<string>();
  /** Epochs that are decided to be retired, and where names without a record of the next begin. */
  readonly #retired = new Map<number, number>();
  /** Votes for names that are new after a change of members. */
  fresh = 0;
  /** The newest epoch that was in force at a node, durably. */
  readonly #entered = new Map<string, number>();

  readonly #onChosen: (key: string, instance: number, valueId: string) => void;
  readonly #epochOf: (node: string) => number;
  readonly #isShared: (node: string) => boolean;

  /**
   * @param onChosen told once for each instance that a value is chosen in
   * @param epochOf the epoch that is in force at a node, durably; those before it are sealed
   * @param isShared whether many processes serve the member's store: no value leaves before the own vote is durable
   */
  constructor(
    members: readonly string[],
    onChosen: (key: string, instance: number, valueId: string) => void = () => {},
    epochOf: (node: string) => number = () => 0,
    isShared: (node: string) => boolean = () => false,
  ) {
    this.#isShared = isShared;
    this.#onChosen = onChosen;
    this.#epochOf = epochOf;
    this.entered(0, members);
  }

  /** There is an epoch with these members. */
  entered(epoch: number, members: readonly string[]): void {
    this.#epochs.set(epoch, { members: new Set(members), quorums: quorumRow(members.length) });
  }

  faults(): readonly string[] {
    return [...this.#faults];
  }

  /** `node`'s record of `key` is durable. */
  committed(node: string, key: string, record: StoredRecord): void {
    const { epoch } = record;
    this.#stays(node);
    const seen = this.#of(node, key);
    const where = `${node} ${key}/${record.instance}`;
    if (this.#lost.has(node)) this.#fault(`${where}: its store was lost, and it votes again`);
    if (record.stopped !== undefined) this.#fault(`${where} has stopped: ${record.stopped}`);
    if (seen.last !== null) this.#compare(where, seen.last, record);
    if (epoch < this.#epochOf(node) && !isFrozen(seen.last, record)) {
      this.#fault(`${where}: changed in epoch ${epoch}, which is sealed`);
    }
    if (record.importing !== undefined) this.#importing(node, key, seen, record.importing, where);
    if (record.vote !== null) this.#vote(node, key, epoch, record.instance, record.vote, where);
    if (record.decidedBy !== null) this.#decision(key, epoch, record.decidedBy, where);
    this.#state(key, epoch, record, where);
    seen.last = record;
    seen.ofEpoch.set(epoch, record);
    seen.ballotParts.add(ballotPart(record.instance, record.promised, record.vote));
    seen.stateParts.add(`${record.instance} ${record.stateHash}`);
    seen.instances.add(record.instance);
    if (record.vote !== null) seen.voted.set(record.instance, record.vote.value.id);
    if (record.any !== undefined) seen.opened.add(`${record.instance} ${record.any.ballot}`);
  }

  /**
   * `node` says this of `key` to somebody: it must be so in a record that is durable, or in what that comes to by the value
   * chosen in its instance, if its vote is for it: a Learn of it needs not be durable.
   */
  replied(node: string, key: string, reply: WireReply, epoch = 0): void {
    this.#stays(node);
    const { ballotParts, stateParts, instances, voted, opened, importParts, ofEpoch } = this.#of(node, key);
    const learned = (instance: number) => {
      const value = voted.get(instance - 1);
      return value !== undefined && this.#chosen.get(`${key}/${instance - 1}`) === value;
    };
    const rests = (holds: boolean) => {
      if (!holds) this.#fault(`${node} ${key}: its ${reply.type} rests on nothing committed: ${JSON.stringify(reply)}`);
    };
    const knows = (snapshot: Snapshot) => {
      this.#state(key, epoch, snapshot, `a ${reply.type} of ${node}`);
      const { instance, stateHash } = snapshot;
      return instance === 1 || stateParts.has(`${instance} ${stateHash}`) || learned(instance);
    };
    const stands = (instance: number, promised: Ballot, vote: Vote | null) => {
      const part = ballotPart(instance, promised, vote);
      return ballotParts.has(part) || (part === ballotPart(instance, [0, "", 0], null) && learned(instance));
    };
    switch (reply.type) {
      case "promise":
        return rests(ballotParts.has(ballotPart(reply.instance, reply.ballot, reply.vote)));
      case "accepted":
        return rests(this.#votes.get(`${node} ${key} ${epoch} ${reply.instance} ${reply.ballot}`) === reply.valueId);
      case "import-promise":
        rests(importParts.has(importPart(epoch, reply.ballot, reply.vote)));
        return rests(isReported(ofEpoch.get(epoch - 1) ?? null, reply.report));
      case "fresh":
        return this.#repliedFresh(node, key, reply.reply, epoch, rests);
      case "import-accepted":
        return rests(importParts.has(`${epoch} ${reply.ballot} ${reply.valueId}`));
      case "import-refused":
        return rests(importParts.has(importPart(epoch, reply.promised, reply.vote)));
      case "unimported":
        rests(
          importParts.has(importPart(epoch, reply.promised, reply.vote)) ||
            importPart(epoch, reply.promised, reply.vote) === importPart(epoch, [0, "", 0], null),
        );
        return rests(isReported(ofEpoch.get(epoch - 1) ?? null, reply.report));
      case "opened":
        return rests(opened.has(`${reply.instance} ${reply.ballot}`));
      case "refused":
        return rests(ballotParts.has(ballotPart(reply.instance, reply.promised, reply.vote)));
      case "view":
        return rests(knows(reply.snapshot) && stands(reply.snapshot.instance, reply.promised, reply.vote));
      case "ahead":
        return rests(knows(reply.snapshot));
      case "learned":
        // Its hearer forgets what it told where the answer does not say that it may be lost.
        return rests(
          instances.has(reply.instance) ||
            (learned(reply.instance) && (reply.unsaved !== undefined || Math.max(...instances) > reply.instance)),
        );
      case "behind":
        return rests(instances.has(reply.instance) || learned(reply.instance));
      case "picked":
      case "decided":
        return this.#fault(`${node} ${key}: a ${reply.type} is nobody else's to hear`);
      case "stopped":
        return this.#fault(`${node} ${key} has stopped: ${reply.reason}`);
      case "not-lapsed":
      case "lapsed":
      case "undecided":
      case "rejected":
      case "noted":
      case "unavailable":
      case "marks":
      case "keys":
      case "records":
        return;
    }
  }

  /** `node` sends this to a peer: what it claims there must have happened as well. */
  sent(node: string, message: WireMessage): void {
    this.#stays(node);
    switch (message.type) {
      case "accept": {
        const { key, epoch, instance, ballot, value, decided } = message;
        if (decided !== undefined) this.#decision(key, epoch, decided, `an Accept! of ${node}`);
        // R1, and that no process sends two values in a ballot it owns: its own vote came first. An open value is nobody's.
        if (value.proposer === "" && ballot[0] === 0) return;
        const voted = this.#votes.get(`${node} ${key} ${epoch} ${instance} ${ballot}`);
        if (voted === value.id) return;
        const where = `${node} ${key}/${instance}`;
        if (this.#isShared(node) || `${ballot}` !== "0,,0" || value.proposer !== node) {
          return this.#fault(`${where}: sends ${value.id} in ${ballot} without its own vote for it`);
        }
        // It may be on its way to the disk. It is the only one that the node may ever cast there.
        const left = `${node} ${key} ${epoch} ${instance}`;
        const before = voted ?? this.#left.get(left) ?? value.id;
        if (before !== value.id) this.#fault(`${where}: sends ${value.id} in ${ballot}, and before it ${before}`);
        this.#left.set(left, value.id);
        return;
      }
      case "any": {
        // It opens a ballot for others only once its own record bars a value of its own there.
        const { key, instance, ballot } = message;
        if (this.#of(node, key).opened.has(`${instance} ${ballot}`)) return;
        return this.#fault(`${node} ${key}/${instance}: opens ${ballot}, which is not open on its own record`);
      }
      case "learn":
        if (message.certificate === null) return;
        return this.#decision(message.key, message.epoch, message.certificate, `a Learn of ${node}`);
      case "import-learn":
        return this.#decision(message.key, message.epoch, message.certificate, `a Learn of ${node}`);
      case "import-accept": {
        const { key, epoch, ballot, base, value } = message;
        if (this.#votes.get(`${node} ${key} ${epoch} ${base.instance} ${ballot}`) === value.id) return;
        return this.#fault(
          `${node} ${key}/${base.instance}: sends ${value.id} in import ${ballot} without its own vote`,
        );
      }
      case "fresh": {
        const { key, epoch, instance, ballot, value } = message.message;
        if (!this.#retired.has(epoch - 1)) {
          this.#fault(`${node} ${key}: proposes as fresh in epoch ${epoch}, too early`);
        }
        if (this.#votes.get(`${node} ${key} ${epoch} ${instance} ${ballot}`) === value.id) return;
        return this.#fault(`${node} ${key}/${instance}: sends ${value.id} as fresh without its own vote for it`);
      }
      case "accepted":
        return this.#claims(node, message, [{ from: node, vote: message.vote }]);
      case "collision":
        return this.#claims(node, message, message.reports);
      default:
        return;
    }
  }

  /** Once an epoch is decided to be retired; where names without a record begin is told. */
  retired(epoch: number, first: number): void {
    this.#retired.set(epoch, first);
  }

  /** What answers an Accept! of a fresh key rests on promise and vote of its import. */
  #repliedFresh(
    node: string,
    key: string,
    reply: AcceptorReply,
    epoch: number,
    rests: (holds: boolean) => void,
  ): void {
    const { importParts } = this.#of(node, key);
    switch (reply.type) {
      case "accepted":
        return rests(this.#votes.get(`${node} ${key} ${epoch} ${reply.instance} ${reply.ballot}`) === reply.valueId);
      case "refused": {
        const { vote } = reply;
        const part = vote === null
          ? `${epoch} ${reply.promised} -`
          : `${epoch} ${reply.promised} ${vote.ballot} ${vote.value.id} `;
        return rests([...importParts].some((known) => vote === null ? known === part : known.startsWith(part)));
      }
      case "stopped":
        return this.#fault(`${node} ${key} has stopped: ${reply.reason}`);
      case "not-lapsed":
      case "rejected":
        return;
      default:
        return this.#fault(`${node} ${key}: a ${reply.type} answers no Accept! of a fresh key`);
    }
  }

  /** The simulator put an older image of `node`'s disk in place: its records may sink, its votes stay cast. */
  rolledBack(node: string): void {
    this.#entered.delete(node);
    for (const [name, seen] of this.#seen) if (name.startsWith(`${node} `)) seen.last = null;
  }

  /** The simulator put an empty store in place of `node`'s, which was made a member's anew: it never votes again. */
  lost(node: string): void {
    this.rolledBack(node);
    this.#lost.add(node);
  }

  hasLost(node: string): boolean {
    return this.#lost.has(node);
  }

  /** A seal is for good. */
  #stays(node: string): void {
    const [was, now] = [this.#entered.get(node) ?? 0, this.#epochOf(node)];
    if (now < was) this.#fault(`${node}: it was in epoch ${was}, and its store has that no more`);
    else if (now > was) this.#entered.set(node, now);
  }

  #claims(
    node: string,
    { key, epoch, instance }: { key: string; epoch: number; instance: number },
    reports: readonly Report[],
  ): void {
    for (const { from, vote } of reports) {
      if (vote === null || this.#votes.get(`${from} ${key} ${epoch} ${instance} ${vote.ballot}`) === vote.value.id) {
        continue;
      }
      this.#fault(`${node} ${key}/${instance}: tells of a vote of ${from} in ${vote.ballot} that was never cast`);
    }
  }

  #of(node: string, key: string): Seen {
    const name = `${node} ${key}`;
    // A key without a record is at instance 1, with nothing promised and nothing voted.
    const seen = this.#seen.get(name) ?? {
      last: null,
      ballotParts: new Set([ballotPart(1, [0, "", 0], null)]),
      stateParts: new Set<string>(),
      instances: new Set([1]),
      voted: new Map<number, string>(),
      opened: new Set<string>(),
      importParts: new Set<string>(),
      ofEpoch: new Map<number, StoredRecord>(),
    };
    this.#seen.set(name, seen);
    return seen;
  }

  /** The import of the key into an epoch: a promise and a vote, like those of an instance. */
  #importing(node: string, key: string, seen: Seen, now: Importing, where: string): void {
    const { epoch, promised, vote } = now;
    const before = seen.last?.importing;
    if (before?.epoch === epoch) {
      if (isBelow(promised, before.promised)) this.#fault(`${where}: its promise in the import sank to ${promised}`);
      if (before.vote !== null && (vote === null || isBelow(vote.ballot, before.vote.ballot))) {
        this.#fault(`${where}: its vote in the import sank, or is gone`);
      }
      if (vote !== null && isBelow(vote.ballot, before.promised) && !isSameVote(before.vote, vote)) {
        this.#fault(`${where}: voted in import ${vote.ballot} after it had promised ${before.promised}`);
      }
    }
    seen.importParts.add(importPart(epoch, promised, vote));
    if (vote === null) return;
    seen.importParts.add(`${epoch} ${vote.ballot} ${vote.value.id}`);
    if (vote.ballot[0] === 0) {
      this.fresh++;
      const first = this.#retired.get(epoch - 1);
      if (first !== vote.base.instance) {
        this.#fault(
          `${where}: votes as fresh at ${vote.base.instance} in epoch ${epoch}, where names begin at ${
            first ?? "no instance yet"
          }`,
        );
      }
      const old = seen.ofEpoch.get(epoch - 1);
      if (old !== undefined && old.decidedBy !== null) {
        this.#fault(`${where}: votes as fresh for what it holds in ${old.epoch}`);
      }
    }
    this.#vote(node, key, epoch, vote.base.instance, vote, where);
  }

  #compare(where: string, before: AcceptorRecord, after: AcceptorRecord): void {
    if (after.epoch < before.epoch) return this.#fault(`${where} was in epoch ${before.epoch}`);
    if (after.epoch > before.epoch) return;
    if (after.instance < before.instance) return this.#fault(`${where} was at instance ${before.instance}`);
    if (after.instance > before.instance) return;
    if (isBelow(after.promised, before.promised)) {
      this.#fault(`${where}: its promise sank from ${before.promised} to ${after.promised}`);
    }
    if (before.vote !== null && after.vote === null) this.#fault(`${where}: its vote is gone`);
    if (before.vote !== null && after.vote !== null && isBelow(after.vote.ballot, before.vote.ballot)) {
      this.#fault(`${where}: its vote sank from ${before.vote.ballot} to ${after.vote.ballot}`);
    }
    if (after.vote !== null && isBelow(after.vote.ballot, before.promised) && !isSameVote(before.vote, after.vote)) {
      this.#fault(`${where}: voted in ${after.vote.ballot} after it had promised ${before.promised}`);
    }
  }

  #vote(node: string, key: string, epoch: number, instance: number, vote: Vote, where: string): void {
    const { members, quorums } = this.#epochs.get(epoch)!;
    if (!members.has(node)) this.#fault(`${where}: ${node} has no vote`);
    const ballot = `${node} ${key} ${epoch} ${instance} ${vote.ballot}`;
    const known = this.#votes.get(ballot);
    if (known === vote.value.id) return;
    if (known !== undefined) {
      return this.#fault(`${where}: two votes in ballot ${vote.ballot}: ${known} and ${vote.value.id}`);
    }
    this.#votes.set(ballot, vote.value.id);
    const left = `${vote.ballot}` === "0,,0" ? this.#left.get(`${node} ${key} ${epoch} ${instance}`) : undefined;
    if (left !== undefined && left !== vote.value.id) {
      this.#fault(`${where}: votes for ${vote.value.id} in ${vote.ballot}, where it has sent ${left}`);
    }
    if (vote.ballot[0] === 0 && vote.ballot[2] === 0) this.#noteStanding(`${key} ${instance}`, vote.value.id);
    const name = `${key} ${epoch} ${instance} ${vote.ballot} ${vote.value.id}`;
    const tally = this.#tallies.get(name) ?? { voters: new Set<string>(), vote };
    this.#tallies.set(name, tally);
    if (tally.vote.kind !== vote.kind) this.#fault(`${where}: a ${vote.kind} vote where others are ${tally.vote.kind}`);
    tally.voters.add(node);
    const needed = vote.kind === "classic" ? quorums.classic : quorums.open;
    if (tally.voters.size >= needed) this.#choose(key, instance, vote.value.id, `votes of ${[...tally.voters]}`);
  }

  #noteStanding(instance: string, value: string): void {
    const first = this.#voteGate.get(instance) ?? value;
    this.#voteGate.set(instance, first);
    if (first === value || this.#collided.has(instance)) return;
    this.#collided.add(instance);
    this.decisions.collided++;
  }

  #choose(key: string, instance: number, value: string, by: string): void {
    const name = `${key}/${instance}`;
    const known = this.#chosen.get(name) ?? value;
    if (!this.#chosen.has(name)) this.#onChosen(key, instance, value);
    this.#chosen.set(name, known);
    if (known !== value) this.#fault(`${name}: both ${known} and ${value} are chosen, the latter by ${by}`);
  }

  /** A decision that a record names must rest on votes that were cast, enough of them, by the rule it names. */
  #decision(
    key: string,
    epoch: number,
    { instance, ballot, kind, valueId, acceptors }: Certificate,
    where: string,
  ): void {
    const { members, quorums } = this.#epochs.get(epoch)!;
    this.#choose(key, instance, valueId, `the word of ${where}`);
    const name = `${key} ${epoch} ${instance} ${ballot} ${valueId}`;
    const claim = `${name} ${kind} ${acceptors}`;
    if (this.#decided.has(claim)) return;
    const isFirst = !this.#decided.has(`${key} ${instance}`);
    this.#decided.add(claim).add(`${key} ${instance}`);
    const tally = this.#tallies.get(name);
    const cast = acceptors.filter((acceptor) => tally?.voters.has(acceptor));
    const told = `${where} calls ${valueId} decided (${kind}) by ${acceptors}`;
    if (cast.length < acceptors.length) this.#fault(`${told}, of whom only ${cast.join() || "nobody"} voted for it`);
    if (new Set(acceptors).size < quorums[kind]) this.#fault(`${told}: too few of ${members.size}`);
    if (tally !== undefined && (kind === "classic") !== (tally.vote.kind === "classic")) {
      this.#fault(`${told}, whose votes are ${tally.vote.kind}`);
    }
    if (kind === "inclusive" && (tally?.vote.kind !== "fast" || !acceptors.includes(tally.vote.value.proposer))) {
      this.#fault(`${told}, without its proposer's own vote`);
    }
    if (!isFirst) return;
    this.decisions[kind]++;
    const isFast = kind !== "classic" && ballot[2] === 0;
    if (!isFast && (ballot[0] > 0 || ballot[2] > 0)) this.decisions.recovered++;
  }

  /** In each epoch by itself: the next one may go on from a state in another mode. */
  #state(
    key: string,
    epoch: number,
    { instance, stateHash }: Pick<Snapshot, "instance" | "stateHash">,
    where: string,
  ): void {
    const name = epoch === 0 ? `${key}/${instance}` : `${key}/${epoch}.${instance}`;
    const known = this.#hashes.get(name) ?? stateHash;
    this.#hashes.set(name, known);
    if (known !== stateHash) this.#fault(`${name}: ${where} has state ${stateHash}, others ${known}`);
  }

  #fault(what: string): void {
    this.#faults.add(what);
  }
}

function ballotPart(instance: number, promised: Ballot, vote: Vote | null): string {
  return `${instance} ${promised} ${vote === null ? "-" : `${vote.ballot} ${vote.value.id}`}`;
}

function importPart(epoch: number, promised: Ballot, vote: ImportVote | null): string {
  const voted = vote === null ? "-" : `${vote.ballot} ${vote.value.id} ${vote.base.instance} ${vote.base.stateHash}`;
  return `${epoch} ${promised} ${voted}`;
}

/** Whether what a sealed member reports is the record that it has; null: it reports nothing. */
function isReported(record: StoredRecord | null, report: SealedReport | null): boolean {
  if (report === null) return true;
  // One that no vote was cast in and nothing was decided for says what no record says.
  if (report.snapshot === null) return record === null || (record.vote === null && record.decidedBy === null);
  return record !== null && record.instance === report.snapshot.instance &&
    record.stateHash === report.snapshot.stateHash && record.vote?.value.id === report.vote?.value.id;
}

/** Whether a record of a sealed epoch is as it was; one that is laid under an import votes for nothing. */
function isFrozen(before: StoredRecord | null, after: StoredRecord): boolean {
  if (before === null || before.epoch !== after.epoch) return after.vote === null && `${after.promised}` === "0,,0";
  return before.instance === after.instance && before.stateHash === after.stateHash &&
    ballotPart(0, before.promised, before.vote) === ballotPart(0, after.promised, after.vote);
}

function isSameVote(a: Vote | null, b: Vote): boolean {
  return a !== null && `${a.ballot}` === `${b.ballot}` && a.value.id === b.value.id;
}

/** Lamport's order of ballots: number, owner, step. */
function isBelow([n, owner, step]: Ballot, [otherN, otherOwner, otherStep]: Ballot): boolean {
  if (n !== otherN) return n < otherN;
  return owner !== otherOwner ? owner < otherOwner : step < otherStep;
}
