/** Which node to ask first: by how long each took to say that it is there. Asked about only while requests come. */

export type Clock = {
  /** Monotonic, in ms. */
  now(): number;
  /** Calls back once after `ms`; returns what cancels it. */
  after(ms: number, run: () => void): () => void;
};

/** Says that a node is there: resolves as soon as it has answered. */
export type Probe = (node: string, signal: AbortSignal) => Promise<unknown>;

const ANSWER_WITHIN_MS = 1_000;
const MEASURE_EVERY_MS = 10_000;
/** A node that failed is asked again this soon: it may be the nearest. */
const FAILED_EVERY_MS = 1_000;
/** How much of an estimate the newest round trip is. */
const NEWEST_SHARE = 0.25;

export class Nearest {
  #nodes: readonly string[];
  readonly #probe: Probe;
  readonly #clock: Clock;
  /** Round trips in ms; Infinity: it failed when last asked. */
  readonly #estimates = new Map<string, number>();
  #measuring: Promise<void> | null = null;
  #measuredAtMs = -Infinity;

  constructor(nodes: readonly string[], probe: Probe, clock: Clock) {
    this.#nodes = nodes;
    this.#probe = probe;
    this.#clock = clock;
  }

  /** In no order. */
  get nodes(): readonly string[] {
    return this.#nodes;
  }

  /** From now on it is these; what was measured of one that is among them still counts. */
  become(nodes: readonly string[]): void {
    this.#nodes = nodes;
    for (const node of this.#estimates.keys()) if (!nodes.includes(node)) this.#estimates.delete(node);
    this.#measuredAtMs = -Infinity;
  }

  /** Nearest first, failed ones last. Only the first caller waits for a measurement, until one node has answered. */
  async order(): Promise<readonly string[]> {
    if (this.#nodes.length > 1) {
      const isFirst = this.#estimates.size === 0;
      if (this.#isDue()) this.#measuring = this.#measure();
      if (isFirst) await this.#measuring;
    }
    return [...this.#nodes].sort((a, b) => {
      const [left, right] = [this.#estimate(a), this.#estimate(b)];
      return left === right ? 0 : left < right ? -1 : 1;
    });
  }

  /** In ms; 0: not known. */
  rttMs(node: string): number {
    const known = this.#estimates.get(node) ?? Infinity;
    return known === Infinity ? 0 : known;
  }

  /** Whether it gave no answer when it was last asked. */
  hasFailed(node: string): boolean {
    return this.#estimates.get(node) === Infinity;
  }

  /** It is asked last, until it has been heard of again. */
  noteFailed(node: string): void {
    if (this.#nodes.includes(node)) this.#estimates.set(node, Infinity);
  }

  #isDue(): boolean {
    const everyMs = [...this.#estimates.values()].includes(Infinity) ? FAILED_EVERY_MS : MEASURE_EVERY_MS;
    return this.#clock.now() - this.#measuredAtMs >= everyMs;
  }

  /** One that was never heard of comes after those that were, and before those that failed. */
  #estimate(node: string): number {
    return this.#estimates.get(node) ?? Number.MAX_VALUE;
  }

  /** Resolves when the first has answered, or none has in time. */
  #measure(): Promise<void> {
    this.#measuredAtMs = this.#clock.now();
    const asked = this.#nodes.map(async (node) => {
      const startedMs = this.#clock.now();
      const late = new AbortController();
      const cancel = this.#clock.after(ANSWER_WITHIN_MS, () => late.abort());
      try {
        await this.#probe(node, late.signal);
        this.#note(node, this.#clock.now() - startedMs);
      } catch (error) {
        this.noteFailed(node);
        throw error;
      } finally {
        cancel();
      }
    });
    return Promise.any(asked).catch(() => {});
  }

  #note(node: string, rttMs: number): void {
    if (!this.#nodes.includes(node)) return;
    const known = this.#estimates.get(node) ?? Infinity;
    this.#estimates.set(node, known === Infinity ? rttMs : known + (rttMs - known) * NEWEST_SHARE);
  }
}
