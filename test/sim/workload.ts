/** What every workload of a noun is made of, and what a run asks of it. */
import { type AskCounts, Asker, type Call, type Told } from "./asker.ts";
import type { FenceRead } from "./check/fences.ts";
import type { HistoryEvent } from "./check/history_lines.ts";
import { lockFaults } from "./check/locks.ts";
import { callerRate } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import type { Hold } from "./holder.ts";
import { keepsTime } from "./plan.ts";
import { MODE_NAMES } from "../../src/engine/modes.ts";
import { seededRandomness } from "./virtual_time.ts";
import type { World } from "./world.ts";

export type WorkloadParts = {
  readonly world: World;
  /** When its clients stop where they are. */
  readonly over: Promise<unknown>;
};

export type NounCounts = AskCounts & {
  /** What was done and told; a noun of which nothing was ever done has not been simulated. */
  done: number;
  refused: number;
  hedged: number;
  /** Answered before their confirmation. */
  early?: number;
};

export interface Workload {
  readonly counts: NounCounts;
  /** What its clients saw. */
  readonly events: readonly HistoryEvent[];
  /** Until everything is over. */
  run(): Promise<void>;
  /** Everything works again: rejects with what does not come in time. */
  healed(heal: Heal): Promise<void>;
  /** Once the run has ended: one line for each thing that must not be. */
  faults(): readonly string[];
}

/** The clients of one noun: retries, counts and a history of their own. */
export class Clients {
  readonly counts: NounCounts = { operations: 0, unknown: 0, paths: {}, done: 0, refused: 0, hedged: 0 };
  readonly events: HistoryEvent[] = [];
  readonly faults: string[] = [];
  readonly leases: boolean;
  readonly world: World;
  readonly #over: Promise<unknown>;
  readonly #answers = new Map<string, string>();

  constructor({ world, over }: WorkloadParts) {
    this.world = world;
    this.#over = over;
    this.leases = keepsTime(world.plan);
  }

  /** @param stream of randomness, its own for each client of every noun */
  asker(stream: number, final: ReadonlySet<string>): Asker {
    const { seed } = this.world.plan;
    return new Asker(this.world, {
      random: seededRandomness(seed, stream),
      rate: callerRate(seed, stream),
      counts: this.counts,
      over: this.#over,
      final,
      fault: (what) => this.faults.push(what),
    });
  }

  /** Holds of which two never overlap while the first is guaranteed, and whose fences only grow. */
  exclusiveFaults(holds: readonly Hold[], reads: readonly FenceRead[] = []): readonly string[] {
    return lockFaults(holds.map((hold) => ({ ...hold, mode: "exclusive" })), this.leases, reads);
  }

  now(): number {
    return this.world.clock.now();
  }

  count<T>(told: Told<T> | null): void {
    if (told === null) return;
    if ("code" in told) this.counts.refused++;
    else this.counts.done++;
  }

  /**
   * Sends one request to two nodes at once, as one value: whoever answers first counts, and the other must say the same.
   * @param born the instance last seen of the name
   * @param what an answer comes to; null: it says nothing for good
   * @param key whose command it is
   */
  async hedge<T>(
    asker: Asker,
    id: string,
    born: number,
    call: Call<T>,
    what: (told: Told<T>) => string | null,
    key: string,
  ): Promise<Told<T> | null> {
    this.counts.hedged++;
    const ask = async () => {
      const told = await asker.ask(id, call, { hedge: born, key });
      const said = told === null ? null : what(told);
      if (said !== null) this.#answered(id, said);
      return told;
    };
    // Both go on to the end.
    const [one, other] = [ask(), ask()];
    const [first, second] = await Promise.race([
      one.then((told) => [told, other] as const),
      other.then((told) => [told, one] as const),
    ]);
    return first ?? await second;
  }

  #answered(command: string, what: string): void {
    const first = this.#answers.get(command) ?? what;
    this.#answers.set(command, first);
    if (first !== what) this.faults.push(`${command} was answered ${first}, then ${what}`);
  }

  /** Its holder was told just now that it is lost: that must not come before the guarantee ends. */
  lost(hold: Hold): void {
    const atMs = this.now();
    if (this.leases && atMs < hold.guaranteedUntilMs) {
      this.faults.push(
        `${hold.lock}: fence ${hold.fence} was lost at ${atMs}, guaranteed until ${hold.guaranteedUntilMs}`,
      );
    }
    hold.releasedMs = Math.min(hold.releasedMs, atMs);
  }

  note(event: Omit<HistoryEvent, "returnMs">): void {
    const { process, key, op, output } = event;
    this.events.push({ ...event, returnMs: output === "unknown" ? null : this.now() });
    this.world.digest.add(this.now(), `${process} ${op} ${key} ${JSON.stringify(output)}`);
  }
}

/** A workload whose counts and history are those of its clients. */
export abstract class NounWorkload implements Workload {
  protected readonly clients: Clients;

  constructor(parts: WorkloadParts) {
    this.clients = new Clients(parts);
  }

  get counts(): NounCounts {
    return this.clients.counts;
  }

  get events(): readonly HistoryEvent[] {
    return this.clients.events;
  }

  abstract run(): Promise<void>;
  abstract healed(heal: Heal): Promise<void>;
  abstract faults(): readonly string[];
}

/** A name whose key runs in a mode that the seed decides. */
export function nameOf(seed: number, index: number): string {
  return `${MODE_NAMES[(seed + index) % MODE_NAMES.length]}/${index}`;
}
