/**
 * Whether this node's store works: a store that fails as a whole, as on a full disk, is told to the operator once, to peers
 * and callers without its name, and is tried again and again until it takes a write.
 */
import { QuorateError } from "../errors.ts";
import { Remembered } from "../remembered.ts";
import { type BallotStore, type Clock, StoreError } from "./ports.ts";

const PROBE_MS = 500;
/** Of failures that are not the store's as a whole, each text is told once. */
const TOLD_MAX = 100;

export class StoreHealth {
  readonly #store: Pick<BallotStore, "probe">;
  readonly #clock: Clock | null;
  readonly #report: (line: string) => void;
  readonly #told = new Remembered<true>(TOLD_MAX);
  #fault: string | null = null;
  #cancel: (() => void) | null = null;
  #probing: Promise<void> | null = null;
  #isClosed = false;

  /** @param clock null: a store that failed is not tried again by itself */
  constructor(store: Pick<BallotStore, "probe">, clock: Clock | null, report: (line: string) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#report = report;
  }

  /** What is wrong with it, in words for anybody, or null. */
  get fault(): string | null {
    return this.#fault;
  }

  /** A write is durable. */
  wrote(): void {
    if (this.#fault === null) return;
    this.#fault = null;
    this.#cancel?.();
    this.#cancel = null;
    this.#report("the store works again");
  }

  /** What callers and peers are told of a failure: nothing of where the store is. Any other error is as it was. */
  told(error: unknown): unknown {
    if (!(error instanceof StoreError)) return error;
    const { fault, message } = error;
    if (fault === null) this.#reportOnce(message);
    else this.#failed(fault, message);
    return new QuorateError("not-ready", fault ?? "the store of this node failed at this name; its log has the reason");
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.#cancel = null;
  }

  #reportOnce(message: string): void {
    if (this.#isClosed || this.#told.get(message) !== undefined) return;
    this.#told.set(message, true);
    this.#report(`the store failed: ${message}`);
  }

  #failed(fault: string, message: string): void {
    if (this.#isClosed) return;
    if (this.#fault === null) {
      this.#report(`the store fails, and this node casts no vote until it works again: ${message}`);
    }
    this.#fault = fault;
    this.#arm();
  }

  #arm(): void {
    if (this.#isClosed) return;
    this.#cancel ??= this.#clock?.after(PROBE_MS, () => {
      this.#cancel = null;
      void this.#probe().then(() => this.#fault !== null && this.#arm());
    }) ?? null;
  }

  /** One at a time: on a disk that hangs they would pile up. */
  #probe(): Promise<void> {
    this.#probing ??= this.#store.probe().then(() => this.wrote(), (error) => void this.told(error))
      .finally(() => this.#probing = null);
    return this.#probing;
  }
}
