/**
 * Everything works again: whatever was left behind, every key must become writable as soon as the leases that are left
 * allow, and a waiter must be woken by a release.
 */
import { QuorateError } from "../../src/errors.ts";
import type { Answer, Grant } from "../../src/api.ts";
import type { ReplicaNode } from "../../src/compose/node.ts";
import type { Caller } from "../../src/service/service.ts";
import type { Faults } from "./faults.ts";
import { guaranteedUntilMs } from "./guarantee.ts";
import type { Held, History } from "./history.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";
import { SUBJECT, type World } from "./world.ts";

const STREAM = 50;
/** Beyond the leases that are left, on the slowest clock. */
const ALLOWED_MS = 2_000;
/** A call to a database that hung when everything was healed keeps its key from others at that process for so long. */
const HUNG_MS = 2_000;
/** Where processes go on coming and going what they were asked is asked again, and each begins to look from nothing. */
const EVICTED_MS = 6_000;
/** The first use of a name in an epoch is an import, in which members may meet once more before its value is proposed. */
const IMPORT_MS = 1_000;
const LOOK_MS = 100;
const TTL_MS = 5_000;
const WAIT_MS = 60_000;
/** What a client may be told while others still wait and hold. */
const AGAIN: ReadonlySet<string> = new Set(["held", "outcome-unknown", "no-quorum", "not-ready"]);
const MINE = ["last", "next"];

export type HealFigures = {
  /** From the healing to the last key being writable. */
  healedMs: number;
  /** The longest that a key took beyond the leases that were left of it. */
  recoveryMs: number;
  quarantined: number;
};

export class Heal {
  readonly figures: HealFigures = { healedMs: 0, recoveryMs: 0, quarantined: 0 };
  readonly #world: World;
  readonly #history: History;
  readonly #random: Seeded;
  readonly #startMs: number;
  /** What nothing but messages and disks has to be waited for comes within so long. */
  readonly allowedMs: number;
  #calls = 0;

  constructor(world: World, history: History) {
    this.#world = world;
    this.#history = history;
    this.#random = seededRandomness(world.plan.seed, STREAM);
    this.#startMs = world.clock.now();
    const { isolates, lifeMs, changes } = world.plan;
    const hungMs = isolates > 0 ? HUNG_MS : 0;
    const importMs = changes.length > 0 ? IMPORT_MS : 0;
    this.allowedMs = (ALLOWED_MS + hungMs + importMs + (lifeMs === null ? 0 : EVICTED_MS)) / world.slowest;
  }

  /** Rejects with what did not come in time. */
  async run({ rolledBack }: Faults): Promise<void> {
    const { plan } = this.#world;
    await Promise.all(
      [...rolledBack].map((id) =>
        this.comes(() => this.#world.isQuarantined(id), `${id} lost what it had voted and was not found out`)
      ),
    );
    this.figures.quarantined = rolledBack.size;
    await this.#world.changes.settled(this.allowedMs);
    await Promise.all(plan.keys.map((key) => this.#key(key)));
  }

  /**
   * When the last lease that is not of the healing itself is over.
   * @param fromMs when somebody began to want it: a node that was restarted times it from no earlier
   */
  freeMs(key: string, fromMs = this.#startMs): number {
    const { leftovers, ids, slowest } = this.#world;
    return leftovers.freeMs(key, {
      nodes: ids.filter((id) => !this.#world.isQuarantined(id)),
      slowest,
      fromMs,
      learnMs: this.allowedMs,
      except: MINE,
    });
  }

  async #key(key: string): Promise<void> {
    const { clock } = this.#world;
    const calledMs = clock.now();
    const { body, sentMs } = await this.inTime(
      () => Math.max(this.#startMs, this.freeMs(`lock/${key}`)),
      (node, caller) => this.#acquire(node, key, "last", caller),
      `${key} is not writable`,
    );
    this.figures.healedMs = Math.max(this.figures.healedMs, clock.now() - this.#startMs);
    await this.#wakeUp(key, body.fence, this.#granted(key, calledMs, sentMs, body));
  }

  /** Somebody waits, the lock is given back, and that is all it takes. */
  async #wakeUp(key: string, fence: string, held: Held): Promise<void> {
    const { clock, leftovers } = this.#world;
    const calledMs = clock.now();
    let isReleased = false;
    const waiting = this.inTime(
      // Others may still be before it, who left before the healing.
      () => isReleased ? this.freeMs(`lock/${key}`) : clock.now(),
      (node, caller) => this.#acquire(node, key, "next", caller),
      `${key}: the next in its queue was not woken by the release`,
    );
    waiting.catch(() => {});
    await this.comes(() => leftovers.isWaiting(`lock/${key}`, "next"), `${key}: no place in its queue`);
    held.releasedMs = clock.now();
    await this.inTime(
      () => held.releasedMs,
      (node, caller) => node.locks.release(key, fence, caller),
      `${key} is not given back`,
    );
    isReleased = true;
    const { body, sentMs } = await waiting;
    this.#granted(key, calledMs, sentMs, body);
  }

  #acquire(node: ReplicaNode, name: string, holder: string, caller: Caller) {
    const request = { holder, ttlMs: TTL_MS, waitMs: WAIT_MS, mode: "exclusive", lockDelayMs: 0 } as const;
    return node.locks.acquire(name, request, caller);
  }

  #granted(key: string, calledMs: number, sentMs: number, body: Grant): Held {
    return this.#history.granted({
      lock: key,
      mode: "exclusive",
      calledMs,
      returnedMs: this.#world.clock.now(),
      fence: BigInt(body.fence),
      guaranteedUntilMs: guaranteedUntilMs({ sentMs, rate: 1 }, body),
    });
  }

  /** The same request through node after node, as long as it is allowed to take; that may grow while it is under way. */
  async inTime<T>(
    fromMs: () => number,
    call: (node: ReplicaNode, caller: Caller) => Promise<Answer<T>>,
    what: string,
  ): Promise<Answer<T> & { readonly sentMs: number }> {
    const { clock } = this.#world;
    const caller = { subject: SUBJECT, idempotencyKey: `heal-${this.#calls++}`, timeoutMs: 1_500 };
    let isDone = false;
    // A lease that was there counts to its end, though it may have ended sooner.
    let dueMs = fromMs();
    let asked: string | undefined;
    const asking = async () => {
      for (;;) {
        // One that another workload has stopped for a while answers nobody in time.
        const up = this.#world.up.filter((id) => !this.#world.stalls.isStalled(id));
        const id = asked = up.length === 0 ? undefined : this.#random.pick(up);
        try {
          if (id === undefined) throw new QuorateError("not-ready", "nobody is there");
          const sentMs = clock.now();
          const answer = await this.#world.ask(id, (node) => call(node, caller), WAIT_MS + caller.timeoutMs);
          return { ...answer, sentMs };
        } catch (error) {
          if (!(error instanceof QuorateError) || !AGAIN.has(error.code)) throw error;
          if (isDone) throw error;
        }
        await clock.sleep(LOOK_MS);
      }
    };
    const watching = async () => {
      while (!isDone) {
        await clock.sleep(LOOK_MS);
        dueMs = Math.max(dueMs, fromMs());
        // Another workload may stop it while it is asked, or while its caller waits there.
        if (asked !== undefined && this.#world.stalls.isStalled(asked)) dueMs = Math.max(dueMs, clock.now());
        const late = clock.now() - dueMs;
        if (late > this.allowedMs && !isDone) throw new Error(`${what} ${late.toFixed(0)} ms after it could be`);
      }
      return await new Promise<never>(() => {});
    };
    try {
      const answer = await Promise.race([asking(), watching()]);
      this.figures.recoveryMs = Math.max(this.figures.recoveryMs, clock.now() - dueMs);
      return answer;
    } finally {
      isDone = true;
    }
  }

  async comes(test: () => boolean, what: string): Promise<void> {
    const endMs = this.#world.clock.now() + this.allowedMs;
    while (!test()) {
      if (this.#world.clock.now() > endMs) throw new Error(`${what} within ${this.allowedMs.toFixed(0)} ms`);
      await this.#world.clock.sleep(LOOK_MS);
    }
  }
}
