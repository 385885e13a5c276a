/**
 * Requests that can come to nothing are refused before anything of them is proposed: below a quorum, where every member that
 * is missing cannot be reached, as it was found a moment ago and is again for this request. Then the caller hears it at
 * once, and knows that this request was sent to nobody (PROTOCOL.md §6).
 */
import { QuorateError } from "../errors.ts";
import type { Mode } from "../paxos/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { Clock } from "../ports.ts";
import type { AcceptorHost } from "../replica/acceptor_host.ts";
import { ownState } from "../replica/own_state.ts";
import type { Peers } from "../replica/peers.ts";
import { KEY_PREFIXES, type WatchedNoun } from "../nouns.ts";

export type QuorumView = {
  /** Why this node can make nothing of what the others decide, or null. */
  cannot(): string | null;
  readonly me: NodeId;
  readonly quorums: QuorumSystem;
  /** Members that failed when they were last asked, a moment ago. */
  suspected(): ReadonlySet<NodeId>;
  /** Those of them that were asked again since, and failed again: it was no stall of this process. */
  down(): ReadonlySet<NodeId>;
  /** Asks the suspected again; resolves when it is known, or after a moment. */
  askSuspected(): Promise<void>;
  /** How the key's standing ballot is used, as far as this node knows; null if it cannot say. */
  modeOf(key: string): Promise<Mode | null>;
};

/** A disk that hangs must not keep a request from being refused. */
const LOOK_MS = 1_000;

export function quorumViewOf({ acceptor, clock, peers }: {
  readonly acceptor: AcceptorHost;
  readonly clock: Clock;
  readonly peers: Peers;
}): QuorumView {
  return {
    cannot: () => acceptor.raised.reason(),
    me: acceptor.rules.me,
    quorums: acceptor.rules.quorums,
    down: () => peers.down(),
    suspected: () => peers.suspected(),
    askSuspected: () => peers.askSuspected(),
    modeOf: async (key) => (await ownState({ acceptor, clock }, key, LOOK_MS))?.mode ?? null,
  };
}

/** Answered from the own record alone. */
const ASKS_NOBODY: ReadonlySet<string | symbol> = new Set(["owns"]);

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/**
 * `service`, whose every method refuses with `no-quorum` what no quorum could be reached for, and with `not-ready` all that needs
 * a newer version of this node.
 */
export function refusingBelowQuorum<S extends object>(noun: WatchedNoun, service: S, view: QuorumView): S {
  const made = new Map<string | symbol, Call>();
  const refusing = (target: S, what: string | symbol): Call => {
    const call = (Reflect.get(target, what) as Call).bind(target);
    if (ASKS_NOBODY.has(what)) return call;
    return (...args) => {
      const reason = view.cannot();
      if (reason !== null) return Promise.reject(new QuorateError("not-ready", reason, { outcome: "none" }));
      // Nearly always; who is not refused pays no turn of the event loop.
      if (!isBelow(view, view.suspected())) return call(...args);
      return refusedOr(() => call(...args), args, noun, view);
    };
  };
  return new Proxy(service, {
    get(target, what) {
      let call = made.get(what);
      if (call === undefined) made.set(what, call = refusing(target, what));
      return call;
    },
  });
}

async function refusedOr(
  call: () => Promise<unknown>,
  args: readonly unknown[],
  noun: WatchedNoun,
  view: QuorumView,
): Promise<unknown> {
  const [first] = args;
  const { stale } = (args.at(-1) ?? {}) as { readonly stale?: boolean };
  if (stale === true) return await call();
  const names = Array.isArray(first) ? first : [typeof first === "string" ? first : ""];
  for (const name of names) if (await isDoneElsewhere(view, KEY_PREFIXES[noun] + name)) return await call();
  // One that has just come back serves this request already.
  await view.askSuspected();
  if (!isBelow(view, view.down())) return await call();
  throw belowQuorum(view);
}

function belowQuorum({ quorums, down }: QuorumView): QuorateError {
  const left = quorums.members.length - down().size;
  const what = `only ${left} of ${quorums.members.length} members answer, ${quorums.sizes.classic} are needed`;
  return new QuorateError("no-quorum", `nothing was sent: ${what}`, { outcome: "none" });
}

/** Whether too few members are left, without those, for a ballot or a read of this node's own. */
function isBelow({ me, quorums }: QuorumView, missing: ReadonlySet<NodeId>): boolean {
  if (missing.size === 0) return false;
  const left = new Set(quorums.members.filter((member) => !missing.has(member)));
  // A node that does not vote has others propose for it, and one of them is enough.
  return quorums.isMember(me) ? !quorums.isClassic(left) : left.size === 0;
}

/** A coordinator that answers may reach those that this node does not. */
async function isDoneElsewhere({ me, down, modeOf }: QuorumView, key: string): Promise<boolean> {
  const mode = await modeOf(key);
  return mode?.kind === "classic" && mode.coordinator !== me && !down().has(mode.coordinator);
}
