/**
 * Ballots: Lamport's rounds, ordered n, then owner, then step (PROTOCOL.md §3).
 * A ballot belongs to one instance of one key.
 */

/** Id of a member of the cluster. */
export type NodeId = string;

/**
 * `owner` is `""` for the standing ballot and its recovery, else `node/nonce`, the nonce new for
 * each attempt, so no two attempts share a ballot. `step` 1 is the recovery of the fast ballot at step 0.
 */
export type Ballot = readonly [n: number, owner: string, step: 0 | 1];

export const STANDING: Ballot = [0, "", 0];
export const STANDING_RECOVERY: Ballot = [0, "", 1];

/** The recovery of a fast ballot: its immediate successor. */
export function recoveryOf([n, owner]: Ballot): Ballot {
  return [n, owner, 1];
}

/** Negative, 0 or positive, as `a` is below, equal to or above `b`. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a[0] !== b[0]) return a[0] - b[0];
  // Code units, not locale: every node must order owners alike.
  if (a[1] !== b[1]) return a[1] < b[1] ? -1 : 1;
  return a[2] - b[2];
}

export function sameBallot(a: Ballot, b: Ballot): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}

/** An explicit ballot of `node`, for its attempt `nonce`, above every `n` it has seen. */
export function explicitBallot(n: number, node: NodeId, nonce: string): Ballot {
  return [n, `${node}/${nonce}`, 0];
}

/** The node that owns an explicit ballot; `""` for the standing ones, which the mode gives away. */
export function ballotOwner(ballot: Ballot): NodeId {
  const slash = ballot[1].indexOf("/");
  return slash < 0 ? "" : ballot[1].slice(0, slash);
}

/** As receipts and traces print it. */
export function showBallot(ballot: Ballot): string {
  return `${ballot[0]}.${ballot[1]}.${ballot[2]}`;
}
