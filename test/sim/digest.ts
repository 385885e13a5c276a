/** One number for everything that happened in a run, in its order, to tell two runs apart (FNV-1a, 32 bits, twice). */
import type { StoredRecord } from "../../src/ports.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";

export class Digest {
  readonly #isOn: boolean;
  #low = 0x811c9dc5;
  #high = 0x01000193;
  events = 0;

  constructor(isOn: boolean) {
    this.#isOn = isOn;
  }

  add(atMs: number, what: string): void {
    if (!this.#isOn) return;
    this.events++;
    const text = `${atMs} ${what}`;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      this.#low = Math.imul(this.#low ^ code, 0x01000193);
      this.#high = Math.imul(this.#high ^ code, 0x85ebca6b);
    }
  }

  record(atMs: number, process: string, key: string, record: StoredRecord): void {
    if (this.#isOn) this.add(atMs, `${process} ${key} ${JSON.stringify(record)}`);
  }

  parcel(atMs: number, { kind, from, to, content }: Parcel, isLost: boolean): void {
    if (this.#isOn) this.add(atMs, `${kind} ${from}>${to}${isLost ? " lost" : ""} ${JSON.stringify(content)}`);
  }

  toString(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
