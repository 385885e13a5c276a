/** Who is told that the own record of a key has moved on, by this process or, in a store that others serve too, by a twin. */
import { STOOD_MAX_KEYS } from "../limits.ts";
import type { AcceptorRecord, Snapshot, Value } from "../paxos/message.ts";
import { snapshotOf } from "../paxos/record.ts";
import { Remembered } from "../remembered.ts";
import type { RaisedMachine } from "./raised_machine.ts";
import type { AnyMoveListener, MoveListener } from "./own_record.ts";

export class Moves {
  readonly #isShared: boolean;
  readonly #raised: Pick<RaisedMachine, "noteState">;
  readonly #listeners = new Map<string, Set<MoveListener>>();
  #anyMoveListener: AnyMoveListener = () => {};
  #listening: () => void = () => {};
  /** Shared stores only: where this process has seen records stand. What stands further by now a twin has moved. */
  readonly #stood = new Remembered<number>(STOOD_MAX_KEYS);

  /** @param raised what is decided of the machine is noted there */
  constructor(isShared: boolean, raised: Pick<RaisedMachine, "noteState">) {
    this.#isShared = isShared;
    this.#raised = raised;
  }

  /** Until the returned function is called. */
  on(key: string, listener: MoveListener): () => void {
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    this.#listening();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  get listened(): readonly string[] {
    return [...this.#listeners.keys()];
  }

  onListen(listening: () => void): void {
    this.#listening = listening;
  }

  onAny(listener: AnyMoveListener): void {
    this.#anyMoveListener = listener;
  }

  /** The record stands where this process has seen it stand, or a twin has moved it meanwhile. */
  met(key: string, record: AcceptorRecord, isNews: boolean): void {
    if (!this.#isShared) return;
    const stood = this.#stood.get(key);
    if (stood === undefined ? isNews : stood < record.instance) this.moved(key, snapshotOf(record), stood ?? 1);
    // Also where it stands as before: what somebody looks at again and again must not be what is forgotten for the rest.
    else if (stood === undefined || stood === record.instance) this.#stood.set(key, record.instance);
  }

  moved(key: string, snapshot: Snapshot, from: number, value: Value | null = null): void {
    if (!this.#isShared) return this.tell(key, snapshot, from, value);
    const stood = this.#stood.get(key) ?? from;
    // Where two updates are answered out of order, the later one has told everything.
    if (stood >= snapshot.instance) return;
    this.#stood.set(key, snapshot.instance);
    this.tell(key, snapshot, Math.min(stood, from), value);
  }

  tell(key: string, snapshot: Snapshot, from: number, value: Value | null = null): void {
    this.#raised.noteState(key, snapshot.state);
    for (const listener of [...this.#listeners.get(key) ?? []]) listener(key, snapshot, value);
    this.#anyMoveListener(key, snapshot, from);
  }
}
