/** How long the proposer's host waits for what; all in ms, from measured round trips. */
import { BACKOFF_MAX_MS, LOSER_WAIT_MIN_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { Randomness, Transport } from "../ports.ts";
import { LastVotes } from "./last_votes.ts";

/** Below this a round trip is all scheduling and disk. */
const RTT_FLOOR_MS = 5;
/**
 * For a peer that has not answered yet, as those take it to be that serve a shared store: a process that was started for the
 * request it serves has heard from nobody, and with too little patience it would give up a ballot that is only far away.
 */
export const COLD_RTT_MS = 50;
/** Prepare and Accept, and as much again for disks and for round trips above the median. */
const BALLOT_RTTS = 4;

export class Timing {
  readonly lastVotes = new LastVotes();
  readonly #others: readonly NodeId[];
  /** Others that make a classic quorum together with this node, or without it if it does not vote. */
  readonly #needed: number;
  readonly #transport: Transport;
  readonly #random: Randomness;
  readonly #unknownMs: number;

  /** @param unknownMs what the round trip to a peer counts as that has not answered yet */
  constructor(me: NodeId, quorums: QuorumSystem, transport: Transport, random: Randomness, unknownMs = RTT_FLOOR_MS) {
    this.#others = quorums.members.filter((member) => member !== me);
    this.#needed = quorums.sizes.classic - (quorums.isMember(me) ? 1 : 0);
    this.#transport = transport;
    this.#random = random;
    this.#unknownMs = unknownMs;
  }

  /** Round trip to the farthest member of the nearest classic quorum. */
  rttMs(): number {
    const known = this.#others.map((peer) => this.#transport.rttMs(peer) || this.#unknownMs).sort((a, b) => a - b);
    return Math.max(RTT_FLOOR_MS, known[this.#needed - 1] ?? 0);
  }

  /** For the winner's Learn. */
  loserMs(): number {
    return Math.max(2 * this.rttMs(), LOSER_WAIT_MIN_MS);
  }

  /** For a ballot in which nothing was refused: the disk and the network may only be slow. */
  patienceMs(attempt: number): number {
    const rttMs = this.rttMs();
    // A bound below the two round trips of a ballot would give up each one just before it ends, for ever.
    const boundMs = Math.max(BACKOFF_MAX_MS, BALLOT_RTTS * rttMs);
    return Math.min(boundMs, Math.max(10 * rttMs, 100) * 2 ** attempt);
  }

  /** Random and growing, so that of two proposers that duel one gets through (Fast Paxos §3.3; PROTOCOL.md §1, flow 1). */
  backOffMs(attempt: number): number {
    return this.#random.next() * Math.min(BACKOFF_MAX_MS, this.rttMs() * 2 ** attempt);
  }
}
