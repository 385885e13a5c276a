/** What an acceptor's host is made of. */
import type { AcceptorRules } from "../paxos/record.ts";
import type { LeaseClock } from "./lease_clock.ts";
import type { MemberRecords } from "./member_records.ts";
import type { RaisedMachine } from "./raised_machine.ts";
import type { StoreHealth } from "./store_health.ts";
import type { Mode, State } from "../paxos/message.ts";
import type { BallotStore, Clock, Meter, Report, Trace } from "../ports.ts";

export type AcceptorHostParts = {
  readonly rules: AcceptorRules;
  readonly store: BallotStore;
  readonly leases: LeaseClock;
  readonly clock: Clock;
  /** How a key's standing ballot is used at first. */
  readonly modeOf: (key: string) => Mode;
  /** Why nothing may be said of the store, or null. */
  readonly whyNot: () => string | null;
  readonly digest: (text: string) => string;
  /** Called when the own record is known to be as new as a member's. */
  readonly heard: (key: string) => void;
  /** One line for the operator. */
  readonly report: Report;
  /** Whether a state has anything that a list shows. */
  readonly isListed: (state: State) => boolean;
  readonly health: StoreHealth;
  readonly raised: RaisedMachine;
  /** Where keys go from one epoch into the next. Default: they do not. */
  readonly members?: MemberRecords;
  readonly trace?: Trace;
  readonly meter?: Meter;
};
