/**
 * Learn reaches every node, unless whoever decided died before it was sent (PROTOCOL.md §5). Where somebody watches,
 * that must not go unseen: what is watched is read from a quorum now and then, and the own record brought up to it.
 */
import type { AcceptorHost } from "../replica/acceptor_host.ts";
import type { Learning } from "../replica/learning.ts";
import type { Reader } from "../replica/reader.ts";
import type { Names } from "../replica/names.ts";
import type { Which } from "../ports.ts";
import { type KeysOf, Poller, type PollerParts, type Target } from "../replica/poller.ts";

const ROUND_MS = 5_000;
const READ_WITHIN_MS = 2_000;
/** For a round for names that may have been deleted: there may be very many, and they must not keep the others waiting. */
const ROUND_MAX_KEYS = 64;

export type CatchUpParts = PollerParts & {
  readonly acceptor: AcceptorHost;
  readonly reader: Reader;
  readonly learning: Learning;
  readonly names: Names;
  /** Sees to it that leases of the key end when they run out. */
  readonly expire: (key: string) => void;
};

/**
 * Names of a prefix are those that a quorum knows: of one whose decider died this node may not have heard at all.
 *
 * @param watched asked at the start of each turn; each target once
 */
export function catchUp(parts: CatchUpParts, watched: () => readonly Target[]): Pick<Poller, "start" | "stop"> {
  const keysOf = (which: Which): KeysOf => (prefix, after, limit) =>
    parts.names.page({ prefix, after, limit, which }, READ_WITHIN_MS);
  const lookAt = (key: string) => look(parts, key);
  const prefixes = () => watched().filter((target) => "prefix" in target);
  const all = [
    new Poller(parts, ROUND_MS, watched, lookAt, keysOf("live")),
    // What came and went unheard was deleted by somebody, and that is news too.
    new Poller(parts, ROUND_MS, prefixes, lookAt, keysOf("all"), { maxKeys: ROUND_MAX_KEYS }),
  ];
  return {
    start: () => all.forEach((rounds) => rounds.start()),
    stop: () => all.forEach((rounds) => rounds.stop()),
  };
}

async function look({ acceptor, reader, learning, expire }: CatchUpParts, key: string): Promise<void> {
  try {
    const newest = await reader.read(key, READ_WITHIN_MS);
    // Where the own record has stopped nothing else tells those who watch.
    if (acceptor.stopped.has(key)) return acceptor.follow(key, newest);
    const { snapshot } = await acceptor.shown(key);
    if (newest.instance > snapshot.instance) await learning.install(key, newest);
    expire(key);
  } catch {
    // No quorum now; a later round gets it.
  }
}
