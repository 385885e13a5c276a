/**
 * Learn reaches every node, unless whoever decided died before it was sent (PROTOCOL.md §5). Where somebody watches,
 * that must not go unseen: what is watched is read from a quorum now and then, and the own record brought up to it.
 */
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Learning } from "./learning.ts";
import type { Reader } from "./reader.ts";
import { type RoundParts, Rounds, type Target } from "./rounds.ts";

const ROUND_MS = 5_000;
const READ_WITHIN_MS = 2_000;

export type CatchUpParts = RoundParts & {
  readonly acceptor: AcceptorHost;
  readonly reader: Reader;
  readonly learning: Learning;
  /** Sees to it that leases of the key end when they run out. */
  readonly expire: (key: string) => void;
};

/** @param watched asked at the start of each turn; each target once */
export function catchUp(parts: CatchUpParts, watched: () => readonly Target[]): Rounds {
  return new Rounds(parts, ROUND_MS, watched, (key) => look(parts, key));
}

async function look({ acceptor, reader, learning, expire }: CatchUpParts, key: string): Promise<void> {
  try {
    const newest = await reader.read(key, READ_WITHIN_MS);
    // Where the own record has stopped nothing else tells those who watch.
    if (acceptor.stopped.has(key)) return acceptor.follow(key, newest);
    const { snapshot } = await acceptor.view(key);
    if (newest.instance > snapshot.instance) await learning.install(key, newest);
    expire(key);
  } catch {
    // No quorum now; a later round gets it.
  }
}
