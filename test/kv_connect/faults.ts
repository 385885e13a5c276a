/** What goes wrong with the requests of one database: for the next few, or by chance. */
import { seeded } from "../replica/clocks.ts";

/** `read` is snapshot_read, `write` atomic_write. */
export type Call = "read" | "write";

/** What comes before a request takes effect, in the order in which a request meets it. */
const BEFORE = [
  /** Waits `delayMs` first. */
  "delay-before",
  /** Without effect and without an answer, until `clear` or the end of the server. */
  "hang-before",
  /** 503 without effect; the client tries again for ever. */
  "error-before",
  /** Answered without effect that the database serves no such calls now; the client throws. */
  "disabled",
] as const;

/** What comes after it. */
const AFTER = [
  "delay-after",
  /** Takes effect, and is not answered until `clear` or the end of the server. */
  "hang-after",
  /** Takes effect and is answered 503; the client tries again for ever. */
  "error-after",
  /** Takes effect, then the connection ends without an answer, and with it all else on it; the client tries again. */
  "cut-after",
  /** Takes effect and is answered with a message that ends too early; the client throws. */
  "garbled-after",
] as const;

export type FaultBefore = typeof BEFORE[number];
export type FaultAfter = typeof AFTER[number];
export type Fault = FaultBefore | FaultAfter;

const DELAY_MS = 50;

type Setting = { next: number; chance: number };

export class Faults {
  /** How long delays last. */
  delayMs: number = DELAY_MS;
  readonly #settings = new Map<string, Setting>();
  readonly #met = new Map<string, number>();
  readonly #random: () => number;
  #release = Promise.withResolvers<void>();

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  /** The next `count` calls meet it. A client that tries again makes a call each time. */
  next(call: Call, fault: Fault, count = 1): void {
    this.#setting(call, fault).next = count;
  }

  /** Each call meets it with this chance, 0 to 1, drawn by itself. */
  chance(call: Call, fault: Fault, chance: number): void {
    this.#setting(call, fault).chance = chance;
  }

  /** From now on nothing goes wrong. What hangs is answered 503, so that its client tries again. */
  clear(): void {
    this.#settings.clear();
    this.#release.resolve();
    this.#release = Promise.withResolvers<void>();
  }

  /** Resolves at the next `clear`. */
  released(): Promise<void> {
    return this.#release.promise;
  }

  /** Resolves after `delayMs`, or at the next `clear`. */
  async delay(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.delayMs);
    await Promise.race([promise, this.released()]);
    clearTimeout(timer);
  }

  /** How often a call has met it. */
  met(call: Call, fault: Fault): number {
    return this.#met.get(`${call} ${fault}`) ?? 0;
  }

  /** What this call meets before it takes effect. */
  before(call: Call): FaultBefore[] {
    return BEFORE.filter((fault) => this.#meets(call, fault));
  }

  /** What it meets after that. */
  after(call: Call): FaultAfter[] {
    return AFTER.filter((fault) => this.#meets(call, fault));
  }

  #setting(call: Call, fault: Fault): Setting {
    const name = `${call} ${fault}`;
    const setting = this.#settings.get(name) ?? { next: 0, chance: 0 };
    this.#settings.set(name, setting);
    return setting;
  }

  #meets(call: Call, fault: Fault): boolean {
    const setting = this.#settings.get(`${call} ${fault}`);
    if (setting === undefined) return false;
    const isNext = setting.next > 0;
    if (isNext) setting.next--;
    // Drawn only where a chance is set: what others are set to does not shift its draws.
    const meets = isNext || (setting.chance > 0 && this.#random() < setting.chance);
    if (meets) this.#met.set(`${call} ${fault}`, this.met(call, fault) + 1);
    return meets;
  }
}
