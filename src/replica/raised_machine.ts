/**
 * The version of the machine that names may be raised to (PROTOCOL.md §3). What every node of the oldest wire knows needs no word;
 * each version above that is decided once for the whole cluster, as a register of its own that no user can name.
 */
import { MACHINE_OF_ALL, type NodeVersion } from "../version.ts";
import type { State } from "../paxos/message.ts";
import { neededByReply } from "../engine/acceptor_messages.ts";
import { RESERVED_PREFIX } from "../nouns.ts";
import type { BallotStore, Report, WireReply } from "../ports.ts";
import { textIn } from "./written_once.ts";

const PREFIX = `${RESERVED_PREFIX}machine/`;

export class RaisedMachine {
  readonly #own: NodeVersion;
  readonly #report: Report;
  readonly #isNew: () => boolean;
  #decided = MACHINE_OF_ALL;

  /** @param isNew whether this is the first life of its store: a new cluster raises by itself what it knows, which is no news */
  constructor(own: NodeVersion, report: Report, isNew: () => boolean = () => false) {
    this.#own = own;
    this.#report = report;
    this.#isNew = isNew;
  }

  static keyOf(version: number): string {
    return PREFIX + version;
  }

  /** What was decided, as far as this node has heard. */
  get decided(): number {
    return this.#decided;
  }

  /** What values of this node may raise a name to. */
  get most(): number {
    return Math.min(this.#decided, this.#own.machine);
  }

  /** The newest that this node can apply. */
  get knows(): number {
    return this.#own.machine;
  }

  /** Why this node must not vote, or null. */
  reason(): string | null {
    const { version, machine } = this.#own;
    return this.#decided <= machine
      ? null
      : `the cluster's machine was raised to version ${this.#decided}, and this node (${version}) knows up to ${machine}: ` +
        "start a newer version";
  }

  /**
   * Whoever proposed a value of this version knew that it was decided.
   * @param isRecalled the own store has it from before
   */
  note(version: number, isRecalled = false): void {
    if (version <= this.#decided) return;
    this.#decided = version;
    const reason = this.reason();
    this.#report(reason ?? `the machine is raised to version ${version}: nodes that know less do not vote any more`, {
      event: "machine",
      level: reason !== null ? "error" : isRecalled || this.#isNew() ? "debug" : "info",
      facts: { machine: version, knows: this.#own.machine },
    });
  }

  /** The reply; one that bears a value or a state which this node could make nothing of is as one that never came. */
  understood(reply: WireReply): WireReply {
    const needed = neededByReply(reply);
    if (needed <= this.#own.machine) return reply;
    this.note(needed);
    return { type: "unavailable", reason: `this needs version ${needed} of the machine` };
  }

  /** A name is in this state, decided. */
  noteState(key: string, state: State, isRecalled = false): void {
    if (!key.startsWith(PREFIX) || textIn(state) === null) return;
    const version = Number(key.slice(PREFIX.length));
    if (Number.isSafeInteger(version)) this.note(version, isRecalled);
  }
}

/** Versions of the machine that a cluster has been through. */
const RAISED_MAX = 1_000;

/** Notes what a store knows to be decided, before anything is said of the store. Rejects with StoreError as that does. */
export async function recallRaised(store: Pick<BallotStore, "keys" | "update">, raised: RaisedMachine): Promise<void> {
  for (const key of await store.keys(PREFIX, "", RAISED_MAX)) {
    const record = await store.update(key, (record) => ({ record: null, reply: record }));
    if (record !== null) raised.noteState(key, record.state, true);
  }
}
