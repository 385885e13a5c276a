/** Ends of leases that ran out where nobody waits for the thing: by who reads or watches it, and by the node that wrote it. */
import { TIMEOUT_DEFAULT_MS, WATCHED_MAX_KEYS } from "../limits.ts";
import type { LeaseName, State } from "../paxos/message.ts";
import type { Newest } from "../replica/learning.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import { haveLapsed, lapsedOf, orNullIfHeld } from "../replica/lapse.ts";
import type { LeaseClock } from "../replica/lease_clock.ts";
import type { QueueParts } from "./queue.ts";
import { holdBackMs, rankOf } from "./rank.ts";

/** After a quorum did not agree yet that a lease ran out, or could not be asked. */
const ASK_AGAIN_MS = 1_000;

/** Decides the end of leases that a quorum saw run out; false if it did not, or they were renewed after all. */
export async function endLapsed(parts: QueueParts, key: string, claims: readonly LeaseName[]): Promise<boolean> {
  const { acceptor, clock, submitters, random } = parts;
  if (!await haveLapsed(parts, key, claims)) return false;
  // A value needs a command to carry its label for the history; this one changes nothing itself.
  const op = { type: "keep-places", places: [], atMs: clock.wall() } as const;
  const { me } = acceptor.rules;
  const submission = { subject: me, id: random.id(), op, timeoutMs: TIMEOUT_DEFAULT_MS, claims };
  return await submitters.submit(key, submission).catch(orNullIfHeld) !== null;
}

/** Ends what ran out by this node's clock, if a quorum sees it so. */
export async function endWhatLapsed(parts: QueueParts, key: string): Promise<void> {
  const { acceptor, leases, machine } = parts;
  const { snapshot } = await acceptor.view(key);
  const lapsed = lapsedOf(leases, key, machine.leases(snapshot.state));
  if (lapsed.length > 0) await endLapsed(parts, key, lapsed);
}

/** Before something is handed over: ends places that nobody has kept, so that none of them gets it. */
export async function endLapsedPlaces(parts: QueueParts, key: string, state: State): Promise<void> {
  const places = parts.machine.leases(state).filter(({ id }) => id.startsWith("p:"));
  const lapsed = lapsedOf(parts.leases, key, places);
  // What cannot be decided now does not keep back what its caller asked for.
  if (lapsed.length > 0) await endLapsed(parts, key, lapsed).catch(() => false);
}

/**
 * Clocks time a lease from when they first see it. Where word of it was lost with its writer, and nobody writes, the only
 * ones to see it are its readers: so they pass it on.
 */
export async function spread(parts: SubmitterParts & { readonly leases: LeaseClock }, key: string, found: Newest) {
  const { acceptor, learning, leases, machine } = parts;
  if (acceptor.stopped.has(key)) return;
  if (machine.leases(found.state).every((lease) => leases.seenMs(key, lease) > 0)) return;
  await learning.install(key, found);
  for (const node of learning.others) learning.missed(node, key);
}

export class Expiry {
  readonly #parts: QueueParts;
  /** By key, what ends its watch. */
  readonly #watches = new Map<string, () => void>();
  #isClosed = false;

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  /** Ends whatever lease of the key is not renewed, from `afterMs` on, until it has none. */
  watch(key: string, afterMs: number): void {
    if (this.#isClosed || this.#watches.has(key) || this.#watches.size >= WATCHED_MAX_KEYS) return;
    this.#watches.set(key, this.#parts.clock.after(afterMs, () => this.#look(key, 0)));
  }

  /** Nothing of the node that has not begun is ended any more. */
  close(): void {
    this.#isClosed = true;
    this.#parts.turns.close();
    for (const cancel of this.#watches.values()) cancel();
    this.#watches.clear();
  }

  /** Sets the timer for the first lease that runs out. */
  async #look(key: string, atLeastMs: number): Promise<void> {
    const { acceptor, clock, leases, machine, random } = this.#parts;
    const view = await acceptor.view(key).catch(() => null);
    if (!this.#watches.has(key)) return;
    const state = view?.snapshot.state ?? null;
    const terms = state === null ? null : machine.leases(state);
    // This node ends nothing any more of a record that has stopped.
    if (terms?.length === 0 || acceptor.stopped.has(key)) return void this.#watches.delete(key);
    if (state === null || terms === null) {
      return void this.#watches.set(key, clock.after(ASK_AGAIN_MS, () => this.#look(key, 0)));
    }
    const dueMs = Math.min(...terms.map((lease) => leases.dueInMs(key, lease)));
    const rank = rankOf(state, acceptor.rules);
    // Held back from when it ran out: one that is there already has been left to the others for as long.
    const ms = Math.max(dueMs + holdBackMs(rank, random), atLeastMs);
    this.#watches.set(key, clock.after(ms, () => this.#end(key, rank)));
  }

  async #end(key: string, rank: number): Promise<void> {
    const { acceptor, leases, machine, turns } = this.#parts;
    const view = await acceptor.view(key).catch(() => null);
    const terms = view === null ? [] : machine.leases(view.snapshot.state);
    // What was renewed, or ended by another node, asks for no turn.
    if (lapsedOf(leases, key, terms).length === 0) return await this.#look(key, 0);
    await turns.take(rank === 0 ? "first" : "other", async () => {
      if (this.#watches.has(key)) await endWhatLapsed(this.#parts, key);
    }).catch(() => {
      // Not decided in time: the next look says what is left to do.
    });
    await this.#look(key, ASK_AGAIN_MS);
  }
}
