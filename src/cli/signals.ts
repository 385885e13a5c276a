/** Signals that a command passes on to its child, or that end its wait while it has none. */
import process from "node:process";

const PASSED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGCONT"] as const;
export type Passed = typeof PASSED[number];
/** Those that a child group is sent. */
export type SignalName = Passed | "SIGKILL" | "SIGSTOP";
/** These end a wait; a shell tells them by 128 and their number. */
const NUMBERS: Readonly<Partial<Record<Passed, number>>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 };
/** Ctrl-C reaches a whole group, and those above pass it on besides: so much later it is a second one. */
const SAME_WITHIN_MS = 100;

export class Signals {
  readonly #waiting = new AbortController();
  readonly #listeners = new Map<Passed, () => void>();
  readonly #heardMs = new Map<Passed, number>();
  #code: number | null = null;
  /** The one that ended the wait. */
  #ended: Passed | null = null;
  #child: ((signal: Passed) => void) | null = null;
  readonly #stop: () => void;
  #isStarting = false;
  /** It was to stop while its child was being started. */
  #isToStop = false;

  /** @param stop stops this process until it hears CONT */
  constructor(stop: () => void = () => process.kill(process.pid, "SIGSTOP")) {
    this.#stop = stop;
    for (const signal of PASSED) {
      const listener = () => this.#hear(signal);
      this.#listeners.set(signal, listener);
      process.on(signal, listener);
    }
  }

  /** Aborts at the first signal that ends a wait. */
  get waiting(): AbortSignal {
    return this.#waiting.signal;
  }

  /** The exit code that tells of it; null: there was none. */
  get code(): number | null {
    return this.#code;
  }

  /** A child is being started, and may run already: until there is word of it this process does not stop. */
  starts(): void {
    this.#isStarting = true;
  }

  /** From now on they are the child's; null: no more. One that came while it was being started is its first. */
  passTo(child: ((signal: Passed) => void) | null): void {
    this.#child = child;
    this.#isStarting = false;
    if (this.#ended !== null) child?.(this.#ended);
    if (!this.#isToStop) return;
    this.#isToStop = false;
    child?.("SIGTSTP");
    this.#stop();
  }

  #hear(signal: Passed): void {
    const nowMs = performance.now();
    const isSame = nowMs - (this.#heardMs.get(signal) ?? -Infinity) < SAME_WITHIN_MS;
    this.#heardMs.set(signal, nowMs);
    if (isSame) return;
    if (this.#child !== null) this.#child(signal);
    else if (NUMBERS[signal] !== undefined && this.#code === null) {
      this.#code = 128 + NUMBERS[signal];
      this.#ended = signal;
      this.#waiting.abort();
    }
    if (signal === "SIGCONT") this.#isToStop = false;
    // It stops after its child: who does not renew must have nothing that runs.
    if (signal !== "SIGTSTP") return;
    if (this.#isStarting) this.#isToStop = true;
    else this.#stop();
  }

  /** Hears no more of them. */
  close(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }
}
