/**
 * What keeps a key from being taken, and how long at most: the leases in its newest decided state, each timed by every
 * node from when it has it (PROTOCOL.md §7). No fixed minute is allowed for everything.
 */
import { HANDOVER_TTL_MS, PLACE_TTL_MS } from "../../src/limits.ts";
import type { KeyState } from "../../src/machine/state.ts";

type Lease = { readonly ttlMs: number; readonly holder: string; readonly decidedMs: number };
type Newest = { readonly instance: number; readonly leases: ReadonlyMap<string, Lease> };

/** Drift bound of lease clocks. */
const DRIFT = 1.01;

export class Leftovers {
  readonly #newest = new Map<string, Newest>();
  /** Since when each node has each lease, by `key lease`, then by node. */
  readonly #since = new Map<string, Map<string, number>>();
  readonly #lateMs: (node: string) => number;

  /** @param lateMs how much later than it could a node may call a lease lapsed, for other reasons than its clock's rate */
  constructor(lateMs: (node: string) => number = () => 0) {
    this.#lateMs = lateMs;
  }

  /** `node` has committed the state that opens `instance`. */
  seen(node: string, key: string, instance: number, state: KeyState, nowMs: number): void {
    const leases = leasesOf(state);
    for (const [name] of leases) {
      const since = this.#since.get(`${key} ${name}`) ?? new Map<string, number>();
      this.#since.set(`${key} ${name}`, since);
      if (!since.has(node)) since.set(node, nowMs);
    }
    const known = this.#newest.get(key);
    if (known !== undefined && known.instance >= instance) return;
    const terms = leases.map(([name, holder, ttlMs]) => {
      const decidedMs = known?.leases.get(name)?.decidedMs ?? nowMs;
      return [name, { ttlMs, holder, decidedMs }] as const;
    });
    this.#newest.set(key, { instance, leases: new Map(terms) });
  }

  /** A node times every lease anew after a restart, and in a new epoch, each from when it first looks at it. */
  restarted(node: string): void {
    for (const since of this.#since.values()) since.delete(node);
  }

  /**
   * When the last of the leases that are not `except`'s has run out on the slowest clock of `nodes`; 0 if there is none.
   * A node that has not looked at one yet does so `learnMs` after `fromMs` at the latest, or after it was decided.
   */
  freeMs(
    key: string,
    { nodes, slowest, fromMs, learnMs, except }: {
      readonly nodes: readonly string[];
      readonly slowest: number;
      readonly fromMs: number;
      readonly learnMs: number;
      readonly except: readonly string[];
    },
  ): number {
    const ends = [...this.#newest.get(key)?.leases ?? []].filter(([, { holder }]) => !except.includes(holder))
      .map(([name, { ttlMs, decidedMs }]) => {
        const since = this.#since.get(`${key} ${name}`);
        const latestMs = Math.max(fromMs, decidedMs) + learnMs;
        const begins = nodes.map((node) => (since?.get(node) ?? latestMs) + this.#lateMs(node));
        return Math.max(...begins) + ttlMs * DRIFT / slowest;
      });
    return Math.max(0, ...ends);
  }

  isWaiting(key: string, holder: string): boolean {
    const leases = [...this.#newest.get(key)?.leases ?? []];
    return leases.some(([name, lease]) => name.startsWith("p:") && lease.holder === holder);
  }
}

/** A place keeps its name through renewals: a node that is up renews it only as long as its waiter waits. */
function leasesOf(
  { holders, queue, cooling, session, register }: KeyState,
): [name: string, holder: string, ttlMs: number][] {
  return [
    ...holders.map(({ fence, by, holder, ttlMs, unconfirmed }): [string, string, number] => {
      return [`f:${fence}@${by}`, holder, unconfirmed ? Math.min(ttlMs, HANDOVER_TTL_MS) : ttlMs];
    }),
    ...queue.map(([id, holder]): [string, string, number] => [`p:${id}`, holder, PLACE_TTL_MS]),
    ...(session === undefined || session.ended !== null
      ? []
      : [[`s@${session.by}`, session.holder, session.ttlMs] as [string, string, number]]),
    ...(register?.value?.lease === undefined
      ? []
      : [[`v@${register.value.lease.by}`, "", register.value.lease.ttlMs] as [string, string, number]]),
    ...(cooling === null ? [] : [[`c@${cooling.by}`, "", cooling.ttlMs] as [string, string, number]]),
  ];
}
