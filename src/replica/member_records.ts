/** Records while keys go from one epoch into the next: what a store keeps of them, and what the roles of members do with it. */
import { stepMember } from "../members/acceptor.ts";
import { openFresh } from "../members/decree.ts";
import {
  type Epochs,
  freshIn,
  isUnimported,
  type KeyRecord,
  type MemberRules,
  type Unimported,
} from "../members/epoch.ts";
import type { SentMessage, SentReply } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { AcceptorRecord, Envelope, LeaseName, Machine, Mode, Value } from "../paxos/message.ts";
import { STANDING } from "../paxos/ballot.ts";
import { leasesNamed } from "../engine/acceptor_messages.ts";
import type { StoredRecord } from "../ports.ts";
import type { EpochPair } from "./epoch_pair.ts";

export type MemberStep = {
  /** What to write; null: nothing. */
  readonly record: StoredRecord | null;
  /** The record of the epoch in force that the key has from this step on; null: it has none, or had one. */
  readonly entered: AcceptorRecord | null;
  /** Where the key stood before, as `shown`, or as the import has it that brought its record; and what that decided, else null. */
  readonly found: AcceptorRecord;
  readonly value: Value | null;
  readonly reply: SentReply;
};

export class MemberRecords {
  readonly #me: NodeId;
  readonly #machine: Machine;
  readonly #pair: EpochPair;
  readonly #modeOf: (key: string) => Mode;

  constructor(me: NodeId, machine: Machine, pair: EpochPair, modeOf: (key: string) => Mode) {
    this.#me = me;
    this.#machine = machine;
    this.#pair = pair;
    this.#modeOf = modeOf;
  }

  /** A member of the epoch before, which gives reports of it though it votes no more. */
  get isLeaver(): boolean {
    const { old, next } = this.#pair;
    return old.quorums.isMember(this.#me) && !next.quorums.isMember(this.#me);
  }

  /** Whether the key has a record of the epoch in force. */
  isImported(stored: StoredRecord | null): stored is StoredRecord {
    return stored !== null && stored.epoch === this.#pair.next.number;
  }

  epochsOf(key: string): Epochs {
    const { old: { modes, ...old }, next, first } = this.#pair;
    return {
      machine: this.#machine,
      old: { ...old, mode: modes.initial(key) },
      next: { ...next, mode: this.#modeOf(key), first: first() },
    };
  }

  /** What is shown of a key that is not imported: where it stood in the epoch before, as far as this node knows. */
  shown(key: string, stored: StoredRecord | null): AcceptorRecord {
    return this.#unimported(key, stored).old ?? freshIn(this.#machine, this.epochsOf(key).old);
  }

  /** As `openFresh`; null also of a key that has a record. */
  fresh(key: string, stored: StoredRecord | null): AcceptorRecord | null {
    if (this.isImported(stored) || !this.#pair.next.quorums.isMember(this.#me)) return null;
    return openFresh(this.epochsOf(key), this.#unimported(key, stored));
  }

  step(key: string, stored: StoredRecord | null, message: SentMessage, envelope: Envelope): MemberStep {
    // There is such a node only once the seal is durable.
    const rules: MemberRules = { ...this.epochsOf(key), me: this.#me, sealed: true };
    const before: KeyRecord = this.isImported(stored) ? stored : this.#unimported(key, stored);
    const { record, reply: said } = stepMember(rules, before, message, envelope);
    const isOther = said.type === "moved" || said.type === "unsealed";
    const reply: SentReply = isOther ? { type: "rejected", reason: "another epoch" } : said;
    const shown = this.shown(key, stored);
    const kept = { found: shown, value: null, reply };
    if (isUnimported(record)) {
      return { record: record === before ? null : this.#stored(key, stored, record), entered: null, ...kept };
    }
    if (!isUnimported(before)) return { record: record === before ? null : record, entered: null, ...kept };
    const { vote } = before;
    const isOwn = vote !== null && record.decidedBy?.valueId === vote.value.id &&
      record.instance === vote.base.instance + 1;
    const by = isOwn ? { found: { ...shown, ...vote.base }, value: vote.value } : {};
    return { record, entered: record, ...kept, ...by };
  }

  #unimported(key: string, stored: StoredRecord | null): Unimported {
    const { old, next } = this.#pair;
    const importing = stored?.importing;
    const isOld = stored?.epoch === old.number;
    const isHere = importing?.epoch === next.number;
    // An import into the epoch before that this member has not heard the end of.
    const oldVote = importing?.epoch === old.number ? importing.vote : isHere ? importing.before ?? null : null;
    return {
      // One that was only laid under a promise or a vote is none: beside a record, votes in the import into e count for nothing.
      old: isOld && oldVote === null && !this.#isLaid(key, stored) ? stored : null,
      promised: isHere ? importing.promised : STANDING,
      vote: isHere ? importing.vote : null,
      ...(oldVote === null ? {} : { oldVote }),
    };
  }

  /** Whether it says no more than no record would. */
  #isLaid(key: string, { instance, stateHash, decidedBy, vote, stopped }: StoredRecord): boolean {
    const fresh = freshIn(this.#machine, this.epochsOf(key).old);
    return vote === null && decidedBy === null && stopped === undefined && instance === fresh.instance &&
      stateHash === fresh.stateHash;
  }

  #stored(key: string, stored: StoredRecord | null, { promised, vote, oldVote }: Unimported): StoredRecord {
    const { old, next } = this.#pair;
    const under = stored?.epoch === old.number ? stored : freshIn(this.#machine, this.epochsOf(key).old);
    const before = oldVote === undefined ? {} : { before: oldVote };
    return { ...under, importing: { epoch: next.number, promised, vote, ...before } };
  }
}

export function leasesOf(message: SentMessage): readonly LeaseName[] {
  switch (message.type) {
    case "import-accept":
      return message.value.claims ?? [];
    case "import-prepare":
    case "import-learn":
      return [];
    case "fresh":
      return leasesNamed(message.message);
    default:
      return leasesNamed(message);
  }
}
