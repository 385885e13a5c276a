/** A record with the part that only its store and its host know: whether there is something to list, when leases were seen. */
import type { Machine, State } from "../paxos/message.ts";
import type { StoredRecord } from "../ports.ts";
import type { LeaseClock } from "./lease_clock.ts";

export class KeptRecords {
  readonly #machine: Machine;
  readonly #leases: LeaseClock;
  readonly #isListed: (state: State) => boolean;
  readonly #isShared: boolean;

  constructor(machine: Machine, leases: LeaseClock, isListed: (state: State) => boolean, isShared: boolean) {
    this.#machine = machine;
    this.#leases = leases;
    this.#isListed = isListed;
    this.#isShared = isShared;
  }

  /** As it is to be kept: where others serve the same store, with when its leases were first seen. */
  kept(record: StoredRecord, before: StoredRecord | null): StoredRecord {
    const kept = { ...record, live: this.#isLive(record) };
    return this.#isShared ? { ...kept, firstSeen: this.#leases.firstSeen(record.state, before?.firstSeen) } : kept;
  }

  /** Whether the index of live records has it for nothing, as it may have what was written before there was one. */
  isDead(stored: StoredRecord | null): boolean {
    return stored !== null && stored.live !== false && !this.#isLive(stored);
  }

  /** A state that is not the one that was written would spread with the next snapshot. */
  isWhole({ state, stateHash }: StoredRecord): boolean {
    return this.#machine.hash(state) === stateHash;
  }

  /** Whether there is something to list, or a vote that may bring it: what votes decide is not in the state yet. */
  #isLive({ vote, state, importing }: StoredRecord): boolean {
    return vote !== null || (importing !== undefined && importing.vote !== null) || this.#isListed(state);
  }
}
