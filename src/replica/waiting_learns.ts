/**
 * Learns that nobody waits for, by the peer they are for: they leave with the next message to it, at the latest after
 * LEARN_DELAY_MS, off the critical path.
 */
import { LEARN_DELAY_MS } from "../limits.ts";
import type { ImportLearn } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Learn as PlainLearn } from "../paxos/message.ts";
import type { Clock } from "../ports.ts";

type Learn = PlainLearn | ImportLearn;
type Waiting = { readonly learn: Learn; readonly dueMs: number };

export class WaitingLearns {
  readonly #clock: Clock;
  readonly #send: (to: NodeId, learn: Learn) => void;
  /** By peer and key, what is due first in front. */
  readonly #waiting = new Map<NodeId, Map<string, Waiting>>();
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, send: (to: NodeId, learn: Learn) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  add(to: NodeId, learn: Learn): void {
    const waiting = this.#waiting.get(to) ?? new Map<string, Waiting>();
    this.#waiting.set(to, waiting.set(learn.key, { learn, dueMs: this.#clock.now() + LEARN_DELAY_MS }));
    this.#cancel ??= this.#clock.after(LEARN_DELAY_MS, () => this.#sendDue());
  }

  /** What waits of the key need not be sent where somebody else tells of it. */
  drop(key: string, isTold: (to: NodeId, learn: Learn) => boolean): void {
    for (const [to, waiting] of this.#waiting) {
      const found = waiting.get(key);
      if (found !== undefined && isTold(to, found.learn)) waiting.delete(key);
    }
  }

  sendOf(key: string): void {
    for (const [to, waiting] of this.#waiting) this.#take(to, waiting, key);
  }

  /** A message is about to leave for the peer. */
  sendTo(to: NodeId): void {
    const waiting = this.#waiting.get(to);
    if (waiting === undefined) return;
    for (const key of [...waiting.keys()]) this.#take(to, waiting, key);
  }

  close(): void {
    this.#cancel?.();
    this.#waiting.clear();
  }

  #take(to: NodeId, waiting: Map<string, Waiting>, key: string): void {
    const found = waiting.get(key);
    if (found === undefined) return;
    waiting.delete(key);
    this.#send(to, found.learn);
  }

  #sendDue(): void {
    this.#cancel = null;
    const now = this.#clock.now();
    let nextMs = Infinity;
    for (const [to, waiting] of this.#waiting) {
      for (const [key, { dueMs }] of waiting) {
        if (dueMs > now) {
          nextMs = Math.min(nextMs, dueMs);
          break;
        }
        this.#take(to, waiting, key);
      }
    }
    if (nextMs < Infinity) this.#cancel = this.#clock.after(nextMs - now, () => this.#sendDue());
  }
}
