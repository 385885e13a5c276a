/**
 * Commands that only take a place in a queue wait a moment for the next one that has to be decided: on a busy name that is the
 * release of its holder, so that a hand-over costs two values and not three (PROTOCOL.md §7).
 */
import { COMMANDS_PER_VALUE, PLACES_WAIT_MS } from "../limits.ts";
import type { LockMachine } from "../machine/machine.ts";
import { readOp } from "../machine/read_op.ts";
import type { Snapshot, State } from "../paxos/message.ts";
import type { Clock } from "../ports.ts";
import { type Pending, stamped } from "./pending.ts";

type Parts = { readonly clock: Pick<Clock, "now">; readonly machine: LockMachine };

export class HeldBack {
  readonly #parts: Parts;
  /** Since when all that waits here only takes places; null: not all of it does. */
  #sinceMs: number | null = null;
  /** Those that are known to come to places at `opening`, and the state with these: who comes next is looked at alone. */
  #placed: { readonly opening: State; readonly waiting: readonly Pending[]; readonly state: State } | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** How long `waiting` may still wait for company; 0: it has to be proposed now. */
  leftMs(opening: Snapshot, waiting: readonly Pending[]): number {
    // With a full value nothing could go together.
    const isFull = waiting.length >= COMMANDS_PER_VALUE;
    const leftMs = isFull || !this.#onlyTakesPlaces(opening, waiting) ? 0 : this.#untilDueMs();
    if (leftMs > 0) return leftMs;
    this.#sinceMs = null;
    this.#placed = null;
    return 0;
  }

  #untilDueMs(): number {
    const nowMs = this.#parts.clock.now();
    this.#sinceMs ??= nowMs;
    return this.#sinceMs + PLACES_WAIT_MS - nowMs;
  }

  /** Whether each of them, decided now, would come to a place behind who holds it. Their callers are told nothing by that. */
  #onlyTakesPlaces({ instance, state }: Snapshot, waiting: readonly Pending[]): boolean {
    if (waiting.length === 0 || !waiting.every(mayQueue)) return false;
    const isSame = this.#placed?.opening === state && this.#placed.waiting.every((one, i) => one === waiting[i]);
    const placed = isSame ? this.#placed! : { waiting: [], state };
    const commands = waiting.slice(placed.waiting.length).map(stamped);
    if (commands.length === 0) return true;
    const value = { id: "", proposer: "", commands };
    const { state: next, results } = this.#parts.machine.applyWithResults(placed.state, instance, value);
    this.#placed = { opening: state, waiting, state: next };
    return results.every(({ outcome }) => outcome === "queued");
  }
}

/** Not if it was sent before, or is decided alone: others may have voted for it. */
function mayQueue({ command, submission: { op, claims, hedge } }: Pending): boolean {
  if (command !== null || claims !== undefined || hedge !== undefined) return false;
  const asked = readOp(op);
  return asked !== null && "wait" in asked && asked.wait !== undefined;
}
