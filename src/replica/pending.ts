/** A command of this node between its submission and its result (key_log.ts), and what can be told of it (PROTOCOL.md §6). */
import type { Receipt } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { LockMachine } from "../machine/machine.ts";
import type { Result } from "../machine/op.ts";
import { readOp } from "../machine/read_op.ts";
import { placesOfNode } from "../machine/view.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { type Command, leaseKey, type LeaseName, type Snapshot, type State } from "../paxos/message.ts";

export type Outcome = {
  readonly result: Result;
  /** The state the result is read from. */
  readonly state: State;
  readonly receipt: Receipt;
};

export type Submission = {
  readonly subject: string;
  readonly id: string;
  readonly op: Command["op"];
  readonly timeoutMs: number;
  /** Leases this command needs ended because they ran out; it then travels in a value of its own (§7). */
  readonly claims?: readonly LeaseName[];
  /** Hedged: the command's `born` as the caller said it, so that every node proposes the same bytes. */
  readonly hedge?: number;
  /** The node that forwarded it and waits to learn what it came to. */
  readonly origin?: NodeId;
  /** What the caller calls its command, told when the outcome is unknown. */
  readonly idempotencyKey?: string;
};

export type Pending = {
  readonly submission: Submission;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
  readonly cancelDeadline: () => void;
  /** As last sent; null while no vote was cast for it. */
  command: Command | null;
  /** The member it went to: once is enough, it decides it or is taken over. */
  forwarded: { readonly to: NodeId; readonly atMs: number } | null;
  /** What opened the instance it was first sent for. */
  sentIn: Snapshot | null;
};

/** What its caller can be told when this node cannot go on with it. */
export function afterFailure({ command, submission }: Pending, error: Error): Error {
  if (command === null) return error;
  const { idempotencyKey } = submission;
  const facts = idempotencyKey === undefined ? {} : { idempotencyKey };
  return new QuorateError("outcome-unknown", error.message, { outcome: "unknown", ...facts });
}

/** A renewal of places leaves no result behind: where others decided it, the leases of this node's places are new ones. */
export function keptElsewhere(machine: LockMachine, pending: Pending, { instance, state }: Snapshot): Result | null {
  const { sentIn, submission: { subject, op, claims } } = pending;
  const asked = readOp(op);
  if (asked?.type !== "keep-places" || sentIn === null || sentIn.instance >= instance || claims !== undefined) {
    return null;
  }
  const before = new Set(machine.leases(sentIn.state).map(leaseKey));
  const left = machine.leases(state).filter(({ id }) => asked.places.some((place) => id === `p:${place}`));
  const own = new Set(placesOfNode(state, subject).map(({ id }) => `p:${id}`));
  // A place that another node has taken over since is that one's to renew.
  const isDone = (lease: LeaseName) => own.has(lease.id) ? !before.has(leaseKey(lease)) : asked.adopt !== true;
  return left.every(isDone) ? { outcome: "kept" } : null;
}

export function stamped({ subject, id, op, hedge }: Submission, born: number): Command {
  return { subject, id, born: hedge ?? born, op };
}

export function holdsAll(leases: readonly LeaseName[], claims: readonly LeaseName[]): boolean {
  return claims.every((claim) => leases.some(({ id, by }) => id === claim.id && by === claim.by));
}
