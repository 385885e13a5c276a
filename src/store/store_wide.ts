/** What an owner store says of itself as a whole; the records are its subclass's. */
import { assert } from "../assert.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { BallotStore, EpochsRow, Identity, KeptEpochs, Mark } from "../ports.ts";
import type { Ledger } from "./ledger.ts";

type Wide =
  | ("identity" | "init" | "lifeConfirmed" | "confirmLife" | "config" | "epochs" | "seal" | "seq" | "spokenSeq")
  | ("confirm" | "note" | "marks" | "recall" | "flush" | "probe" | "quarantine" | "quarantined");

export abstract class StoreWide implements Pick<BallotStore, Wide> {
  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Throws StoreError. */
  protected abstract assertUsable(): void;

  /** Resolves when all that the ledger was asked for is durable. */
  protected abstract settled(): Promise<void>;

  identity(): Identity | null {
    return this.#ledger.identity;
  }

  async init(
    identity: { readonly cluster: string; readonly id: NodeId; readonly incarnation: string; readonly config: string },
    epochs?: EpochsRow,
  ): Promise<Identity> {
    this.assertUsable();
    await this.#ledger.settle();
    const { cluster, id, incarnation, config } = identity;
    this.#ledger.setIdentity({ cluster, id, incarnation, config, confirmed: false }, epochs ?? null);
    try {
      await this.settled();
    } catch (error) {
      this.#ledger.dropPendingIdentity();
      throw error;
    }
    const written = this.#ledger.identity;
    assert(written !== null, "a committed init leaves an identity");
    return written;
  }

  lifeConfirmed(): boolean | null {
    return this.#ledger.lifeConfirmed;
  }

  async confirmLife(): Promise<void> {
    this.assertUsable();
    this.#ledger.confirmLife();
    await this.settled();
  }

  config(): string | null {
    return this.#ledger.config;
  }

  epochs(): KeptEpochs | null {
    return this.#ledger.epochs;
  }

  async seal(row: KeptEpochs): Promise<void> {
    this.assertUsable();
    await this.#ledger.settle();
    this.#ledger.seal(row);
    await this.settled();
  }

  seq(): number {
    return this.#ledger.seq;
  }

  spokenSeq(): number {
    return this.#ledger.spoken;
  }

  async confirm(): Promise<void> {
    this.assertUsable();
    this.#ledger.confirm();
    await this.settled();
  }

  note(peer: NodeId, mark: Mark): void {
    this.#ledger.note(peer, mark);
  }

  marks(): Readonly<Record<NodeId, Mark>> {
    return this.#ledger.marks();
  }

  recall(peer: NodeId): Promise<Mark | null> {
    return Promise.resolve(this.marks()[peer] ?? null);
  }

  async flush(): Promise<void> {
    this.assertUsable();
    await this.settled();
  }

  async probe(): Promise<boolean> {
    this.assertUsable();
    this.#ledger.touch();
    await this.settled();
    return true;
  }

  async quarantine(reason: string): Promise<void> {
    this.assertUsable();
    // Known at once, before it is durable: a store under suspicion stops being trusted now.
    this.#ledger.quarantine(reason.slice(0, 1_000));
    await this.settled();
  }

  quarantined(): string | null {
    return this.#ledger.quarantined;
  }
}
