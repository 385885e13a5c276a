/** What grants of every noun are made of: what a noun says of itself, what is asked for, and what comes of it. */
import type { Receipt } from "../api.ts";
import type { QuorateError } from "../errors.ts";
import type { Hold, Op } from "../machine/op.ts";
import type { Wanted } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { Bindings, Bound } from "./bindings.ts";
import type { QueueParts, Queues } from "../leases/queue.ts";
import type { ReadParts } from "./reads.ts";
import type { SessionEnds } from "../leases/session_ends.ts";

export type GrantParts = QueueParts & ReadParts & {
  /** Whether this process is about to end: who is cut off by that has not gone away. */
  readonly isDraining: () => boolean;
  readonly queues: Queues;
  readonly bindings: Bindings;
  readonly ends: SessionEnds;
};

/** Why nothing was granted, and to whom not; `yours` is what the same subject and holder has. */
export type Refused = {
  readonly name: string;
  readonly key: string;
  readonly why: "held" | "cooling" | "limit-mismatch";
  readonly state: State;
  readonly yours: Hold | null;
  readonly receipt: Receipt;
};

export type Noun = {
  /** What its keys begin with, slash included. */
  readonly prefix: string;
  /** When to ask again. */
  retryAfterMs(key: string, state: State): number;
  refusal(refused: Refused): QuorateError;
};

export type Asking = Wanted & {
  readonly holder: string;
  readonly waitMs: number;
  /** What the grant is to be bound to. */
  readonly session?: string;
  /** It is granted provisionally: who asks confirms it, once all of a set are there. */
  readonly isOfSet?: boolean;
  /** Who asks renews what it is granted, and so may be told of it before it is confirmed. */
  readonly renews?: boolean;
  op(how: How, atMs: number): Op;
};

/** `wait`: the node that answers, or nothing: do not wait. */
type How = { readonly wait?: { readonly node: string }; readonly ask?: string } & Partial<Bound>;

export type Granted = {
  /** Id of the command that it was granted to. */
  readonly id?: string;
  readonly hold: Hold;
  readonly state: State;
  readonly receipt: Receipt;
  /** How long after the request came the ttl began to count. */
  readonly waitedMs: number;
  /** How long it lasts until it is renewed, where that is less than its ttl. */
  readonly leaseMs?: number;
  /** It was granted before, and renewed for this request. */
  readonly isReplayed?: boolean;
};

/** What to do about a refusal for the grant that the asking holder has itself. */
export function oneGrantEach(field: "holder" | "candidate"): string {
  return `a ${field} has one grant of a name at a time, so each worker needs a ${field} of its own, or gives that one ` +
    `back first, or repeats the request under its Idempotency-Key`;
}
