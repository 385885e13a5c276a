/**
 * Commands that only take a place in a queue wait a moment for the next one that has to be decided: on a busy name that is the
 * release of its holder, so that a hand-over costs two values and not three (PROTOCOL.md §7).
 */
import { PLACES_WAIT_MS } from "../limits.ts";
import type { LockMachine } from "../machine/machine.ts";
import { readOp } from "../machine/read_op.ts";
import type { Snapshot } from "../paxos/message.ts";
import { fitting } from "../paxos/batch.ts";
import type { Clock } from "../ports.ts";
import { type Pending, stamped } from "./pending.ts";

type Parts = { readonly clock: Pick<Clock, "now">; readonly machine: LockMachine };

export class HeldBack {
  readonly #parts: Parts;
  /** Since when all that waits here only takes places; null: not all of it does. */
  #sinceMs: number | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** How long `waiting` may still wait for company; 0: it has to be proposed now. */
  leftMs(opening: Snapshot, waiting: readonly Pending[]): number {
    if (!onlyTakesPlaces(this.#parts.machine, opening, waiting)) {
      this.#sinceMs = null;
      return 0;
    }
    const nowMs = this.#parts.clock.now();
    this.#sinceMs ??= nowMs;
    const leftMs = this.#sinceMs + PLACES_WAIT_MS - nowMs;
    if (leftMs <= 0) this.#sinceMs = null;
    return leftMs;
  }
}

/** Whether each of them, decided now, would come to a place behind who holds it. Their callers are told nothing by that. */
function onlyTakesPlaces(machine: LockMachine, { instance, state }: Snapshot, waiting: readonly Pending[]): boolean {
  if (waiting.length === 0 || !waiting.every(mayQueue)) return false;
  const commands = fitting(waiting.map(stamped));
  const { results } = machine.applyWithResults(state, instance, { id: "", proposer: "", commands });
  return results.every(({ outcome }) => outcome === "queued");
}

/** Not if it was sent before, or is decided alone: others may have voted for it. */
function mayQueue({ command, submission: { op, claims, hedge } }: Pending): boolean {
  if (command !== null || claims !== undefined || hedge !== undefined) return false;
  const asked = readOp(op);
  return asked !== null && "wait" in asked && asked.wait !== undefined;
}
