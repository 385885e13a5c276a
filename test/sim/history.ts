/** What clients and disks saw in one run, and what is wrong with it. Knows nothing of the code it checks but its records' shape. */
import { fenceFaults, type GrantEvent } from "./check/fences.ts";
import type { MemoryCluster } from "../replica/memory_cluster.ts";

export type Held = GrantEvent & {
  /** Nobody else may have it before, says the answer. */
  guaranteedUntilMs: number;
  /** When its holder began to give it back, or was told that it is lost. */
  releasedMs: number;
};

export class History {
  readonly #held: Held[] = [];
  readonly #hashes = new Map<string, string>();
  readonly #faults: string[] = [];

  get grants(): number {
    return this.#held.length;
  }

  granted(lock: string, calledMs: number, returnedMs: number, fence: bigint, guaranteedUntilMs: number): Held {
    const held = { lock, calledMs, returnedMs, fence, guaranteedUntilMs, releasedMs: Infinity };
    this.#held.push(held);
    return held;
  }

  /** Its holder was told, at `atMs`, that it is lost: that must not come before the guarantee ends. */
  lost(held: Held, atMs: number): void {
    if (atMs < held.guaranteedUntilMs) {
      this.#faults.push(
        `${held.lock}: fence ${held.fence} was lost at ${atMs}, guaranteed until ${held.guaranteedUntilMs}`,
      );
    }
    held.releasedMs = Math.min(held.releasedMs, atMs);
  }

  /** Looks at every disk: at equal instance all states are equal, and no record has stopped. */
  see(cluster: MemoryCluster): void {
    for (const id of cluster.ids) {
      for (const [key, text] of cluster.disk(id).records) {
        const record = JSON.parse(text) as { instance: number; stateHash: string; stopped?: string };
        if (record.stopped !== undefined) this.#faults.push(`${id} ${key} has stopped: ${record.stopped}`);
        const at = `${key} at ${record.instance}`;
        const known = this.#hashes.get(at) ?? record.stateHash;
        this.#hashes.set(at, known);
        if (known !== record.stateHash) {
          this.#faults.push(`${at}: ${id} has state ${record.stateHash}, others ${known}`);
        }
      }
    }
  }

  faults(): string[] {
    return [...new Set([...this.#faults, ...fenceFaults(this.#held), ...this.#overlaps()])];
  }

  /** Of two grants of a lock the later was not answered while the earlier was guaranteed and not given back. */
  #overlaps(): string[] {
    return this.#held.flatMap((later) =>
      this.#held.filter((earlier) =>
        earlier.lock === later.lock && earlier.fence < later.fence &&
        later.returnedMs < Math.min(earlier.guaranteedUntilMs, earlier.releasedMs) &&
        earlier.returnedMs <= later.returnedMs
      ).map((earlier) =>
        `${later.lock}: fence ${later.fence} was answered at ${later.returnedMs.toFixed(0)}, while ${earlier.fence} ` +
        `was guaranteed until ${earlier.guaranteedUntilMs.toFixed(0)}`
      )
    );
  }
}
