/**
 * Which names there are, as a quorum has them (PROTOCOL.md §5). One node alone may never have heard of a name: whoever
 * decided it may have died before it told others. Of every decided value one member of each read quorum has voted for it or
 * stands past it, and lists the name either way.
 */
import { QuorateError } from "../errors.ts";
import { compareKeys } from "../key_order.ts";
import { KEYS_PER_REPLY } from "../limits.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { AcceptorRules } from "../paxos/record.ts";
import type { AskKeys, BallotStore, Clock, KeysReply, NodeId, Transport, Which } from "../ports.ts";
import type { Timing } from "./timing.ts";

export type NamesParts = {
  readonly rules: AcceptorRules;
  /** The epoch before, as long as names of it may not be known in this one. Default: none. */
  readonly before?: () => QuorumSystem | null;
  readonly store: Pick<BallotStore, "keys">;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly timing: Timing;
  /** Why this node may not speak of its store, or null. */
  readonly whyNot: () => string | null;
};

/** Keys that begin with `prefix`, after `after`, at most `limit`. */
export type KeyRange = {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly which: Which;
};
/** `more`: there may be further ones after the last. */
export type KeysPage = { readonly keys: readonly string[]; readonly more: boolean };

export class Names {
  readonly #parts: NamesParts;

  constructor(parts: NamesParts) {
    this.#parts = parts;
  }

  get #before(): QuorumSystem | null {
    return this.#parts.before?.() ?? null;
  }

  /** What this member answers; rejects with `not-ready` where it may not speak of its store. */
  async own({ prefix, after, limit, which }: Omit<AskKeys, "type">): Promise<KeysReply> {
    const { rules, store, whyNot } = this.#parts;
    const isAsked = rules.quorums.isMember(rules.me) || this.#before?.isMember(rules.me) === true;
    const reason = isAsked ? whyNot() : "this node does not vote";
    if (reason !== null) throw new QuorateError("not-ready", reason);
    return { type: "keys", keys: await store.keys(prefix, after, limit, which) };
  }

  /**
   * In byte order, short only at the end. Every name that was written before the call is among them, unless it was deleted
   * since; of those that are live some may have nothing to show. Rejects with `no-quorum` after `timeoutMs`.
   */
  async page({ limit, ...range }: KeyRange, timeoutMs: number): Promise<KeysPage> {
    const untilMs = this.#parts.clock.now() + timeoutMs;
    const found: string[] = [];
    for (let { after } = range;;) {
      const { keys, more } = await this.#part({ ...range, after, limit: Math.min(limit, KEYS_PER_REPLY) }, untilMs);
      found.push(...keys);
      if (found.length >= limit) return { keys: found.slice(0, limit), more: more || found.length > limit };
      const last = keys.at(-1);
      if (!more || last === undefined) return { keys: found, more: false };
      after = last;
    }
  }

  async #part(range: KeyRange, untilMs: number): Promise<KeysPage> {
    const { clock, timing, rules: { quorums } } = this.#parts;
    for (;;) {
      const leftMs = untilMs - clock.now();
      if (leftMs <= 0) throw new QuorateError("no-quorum", "no read quorum answered in time", { outcome: "none" });
      const { pages, failure } = await this.#ask({ type: "keys", ...range }, leftMs);
      if (pages !== null) return merged(pages, range.limit);
      // There is nobody else to ask.
      if (failure !== null && quorums.members.length === 1 && this.#before === null) throw failure;
      await new Promise<void>((resolve) => clock.after(Math.min(leftMs, timing.loserMs()), resolve));
    }
  }

  /** Those of a read quorum; null: none answered. `failure`: why this member did not, if it is one. */
  async #ask(
    message: AskKeys,
    withinMs: number,
  ): Promise<{ readonly pages: readonly KeysReply[] | null; readonly failure: unknown }> {
    const { rules: { me, quorums }, transport, clock } = this.#parts;
    const before = this.#before;
    const heard = new Map<NodeId, KeysReply>();
    const asks = [...new Set([...quorums.members, ...before?.members ?? []])];
    let open = asks.length;
    let failure: unknown = null;
    const { promise, resolve } = Promise.withResolvers<readonly KeysReply[] | null>();
    const cancel = clock.after(withinMs, () => resolve(null));
    for (const to of asks) {
      const asked = to === me ? this.own(message) : transport.send(to, message);
      asked.catch((error) => {
        if (to === me) failure = error;
        return null;
      }).then((reply) => {
        open--;
        if (reply?.type === "keys") heard.set(to, reply);
        const said = new Set(heard.keys());
        if (quorums.isPhase1(said) && (before === null || before.isPhase1(said))) resolve([...heard.values()]);
        else if (open === 0) resolve(null);
      });
    }
    return { pages: await promise.finally(cancel), failure };
  }
}

function merged(pages: readonly KeysReply[], limit: number): KeysPage {
  // Beyond the end of an answer that goes on, its member may have names that it has not said yet.
  const [end] = pages.filter(({ keys }) => keys.length >= limit).map(({ keys }) => keys.at(-1)!).sort(compareKeys);
  const all = [...new Set(pages.flatMap(({ keys }) => keys))].sort(compareKeys);
  return end === undefined
    ? { keys: all, more: false }
    : { keys: all.filter((key) => compareKeys(key, end) <= 0), more: true };
}
