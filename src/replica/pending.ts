/** A command of this node between its submission and its result (submitter.ts), and what can be told of it (PROTOCOL.md §6). */
import type { Receipt } from "../api.ts";
import { assert } from "../assert.ts";
import { QuorateError } from "../errors.ts";
import { PENDING_PER_KEY } from "../limits.ts";
import { type LockMachine, REFUSED } from "../machine/machine.ts";
import type { Result } from "../machine/op.ts";
import { readOp } from "../machine/read_op.ts";
import type { Kept } from "../machine/result_code.ts";
import { placesOfNode } from "../machine/view.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { type Command, leaseKey, type LeaseName, type Snapshot, type State, type Value } from "../paxos/message.ts";

export type Outcome = {
  readonly result: Result;
  /** The state the result is read from, which opens `instance`. */
  readonly state: State;
  readonly instance: number;
  readonly receipt: Receipt;
  /** It was decided with this very submission in the value: after that came, and not by another try of the same command. */
  readonly isOwn?: true;
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
  /** It was applied in no instance below this one: as its caller knows, or the node that sent it first (§6). */
  readonly born?: number;
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
  /** The instance below which some state has shown that it was not applied; null while no state was asked. */
  born: number | null;
  /** What it came to, as the member says that decided it; `state` of that instance or a later one goes with it. */
  told: { readonly instance: number; readonly result: Kept } | null;
  /** The member it went to: once is enough, it decides it or is taken over. */
  forwarded: { readonly to: NodeId; readonly atMs: number } | null;
  /** What opened the instance it was first sent for. */
  sentIn: Snapshot | null;
};

/** After which a name that is full of commands may have room again. */
const FULL_RETRY_MS = 1_000;

/** A command as its caller names it. */
export function nameOf({ subject, id }: Pick<Submission, "subject" | "id">): string {
  return `${subject.length} ${subject}${id}`;
}

/**
 * How many commands may wait for a name before this one is turned away. What keeps or frees something, and what another node answers
 * for, is not turned away with the rest.
 */
export function roomFor(machine: Pick<LockMachine, "isRepeatable">, { op, origin }: Submission): number {
  return origin !== undefined || machine.isRepeatable(op) ? 2 * PENDING_PER_KEY : PENDING_PER_KEY;
}

export function tooMany(waiting: number): QuorateError {
  const facts = { outcome: "none", retryAfterMs: FULL_RETRY_MS } as const;
  return new QuorateError("not-ready", `${waiting} commands of this name wait here already`, facts);
}

/** What its caller can be told when this node cannot go on with it. */
export function afterFailure(pending: Pending, error: Error): Error {
  return pending.command === null ? error : unknownOutcome(pending, error.message);
}

/** As `Quorate-Born` says it: the instance before. */
function lastSeen(born: number): number {
  return Math.max(0, born - 1);
}

/** It may be applied, or may yet be. With `born` a repetition of it is told apart from a new command for ever. */
export function unknownOutcome({ command, submission }: Pending, detail: string): QuorateError {
  const { idempotencyKey, id } = submission;
  const key = idempotencyKey === undefined ? {} : { idempotencyKey };
  // What was sent under an id made from the caller's says nothing of the caller's own.
  const born = command === null || id !== idempotencyKey ? {} : { more: { born: lastSeen(command.born) } };
  return new QuorateError("outcome-unknown", detail, { outcome: "unknown", ...key, ...born });
}

/** Whether the state has that refusal as one of an earlier try, which this command was asked anew after. */
export function isOfEarlierTry(machine: LockMachine, { told, command, submission }: Pending, { state }: Snapshot) {
  if (told === null || command === null || !REFUSED.has(told.result.outcome)) return false;
  const appliedAt = machine.appliedAt(state, submission.subject, submission.id);
  return appliedAt !== null && appliedAt < command.born;
}

/** What its caller is told when its time is over. */
export function atDeadline(pending: Pending): QuorateError {
  return pending.command === null
    ? new QuorateError("no-quorum", "no vote was cast for it in time", { outcome: "none" })
    : unknownOutcome(pending, "not decided in time; repeat it with the same Idempotency-Key");
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

/** As it is looked for before anything of it was sent here; `instance` is where this node stands. */
export function asGiven({ subject, id, op, hedge, born }: Submission, instance: number): Command {
  return { subject, id, born: hedge ?? born ?? instance, op };
}

/** As it is sent. Never under another `born` than a state has shown: it would say too much, and be applied again. */
export function stamped({ submission: { subject, id, op, hedge }, born }: Pending): Command {
  assert(born !== null, "a state was asked before it is sent");
  return { subject, id, born: hedge ?? born, op };
}

export function holdsAll(leases: readonly LeaseName[], claims: readonly LeaseName[]): boolean {
  return claims.every((claim) => leases.some(({ id, by }) => id === claim.id && by === claim.by));
}

/** When the first of them that was forwarded was; Infinity: none was. */
export function forwardedMs(pending: Iterable<Pending>): number {
  return Math.min(...[...pending].map(({ forwarded }) => forwarded?.atMs ?? Infinity));
}

/** Who asked this node for the commands of a value; undefined for its own callers. */
export function originsOf(pending: Iterable<Pending>, { commands }: Value): readonly (NodeId | undefined)[] {
  const ids = new Set(commands.map(({ id }) => id));
  const own = [...pending].map(({ submission }) => submission);
  return own.filter(({ id }) => ids.has(id)).map(({ origin }) => origin);
}
