/** What the clients of one run were told, for the checkers of locks and for a file. */
import type { FenceRead } from "./check/fences.ts";
import type { HistoryEvent } from "./check/history_lines.ts";
import { type HoldEvent, lockFaults } from "./check/locks.ts";

/** What the users of locks were told. */
export type LockHistory = {
  /** Whether clocks are such that guarantees are given. */
  readonly leases: boolean;
  readonly holds: readonly HoldEvent[];
  readonly reads: readonly FenceRead[];
};

/** A hold as its holder knows it, who writes down what becomes of it. */
export type Held = Omit<HoldEvent, "guaranteedUntilMs" | "releasedMs"> & {
  guaranteedUntilMs: number;
  releasedMs: number;
};

export class History {
  readonly events: HistoryEvent[] = [];
  readonly #held: Held[] = [];
  readonly #reads: FenceRead[] = [];
  readonly #answers = new Map<string, string>();
  readonly #faults: string[] = [];
  readonly #leases: boolean;

  /** @param leases whether clocks are such that guarantees are given */
  constructor(leases: boolean) {
    this.#leases = leases;
  }

  get grants(): number {
    return this.#held.length;
  }

  get locks(): LockHistory {
    return { leases: this.#leases, holds: this.#held, reads: this.#reads };
  }

  granted(grant: Omit<HoldEvent, "releasedMs">): Held {
    const held = { ...grant, releasedMs: Infinity };
    this.#held.push(held);
    return held;
  }

  /** Its holder was told, at `atMs`, that it is lost: that must not come before the guarantee ends. */
  lost(held: Held, atMs: number): void {
    if (this.#leases && atMs < held.guaranteedUntilMs) {
      this.fault(`${held.lock}: fence ${held.fence} was lost at ${atMs}, guaranteed until ${held.guaranteedUntilMs}`);
    }
    held.releasedMs = Math.min(held.releasedMs, atMs);
  }

  read(read: FenceRead): void {
    this.#reads.push(read);
  }

  /** Every answer to one command is the same, a fence or a refusal, whoever gives it and how often. */
  answered(command: string, what: string): void {
    const first = this.#answers.get(command) ?? what;
    this.#answers.set(command, first);
    if (first !== what) this.fault(`${command} was answered ${first}, then ${what}`);
  }

  fault(what: string): void {
    this.#faults.push(what);
  }

  faults(): string[] {
    return [...this.#faults, ...lockFaults(this.#held, this.#leases, this.#reads)];
  }
}
