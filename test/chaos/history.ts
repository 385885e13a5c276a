/** What the clients of one run asked for and were told, operation by operation, on one clock. */

export type ReadState = {
  readonly revision: string;
  /** Fences of the holders. */
  readonly holders: readonly string[];
  readonly lastFence: string;
};

/** One operation, all its tries together. Times in ms since the run began. */
export type Operation = {
  /** The client: one inside the test, or a process of its own. */
  readonly process: string;
  /** Name of the lock. */
  readonly key: string;
  readonly op: "acquire" | "renew" | "release" | "read";
  /** Before the first try was sent. */
  readonly callMs: number;
  /** After the last answer was read, or the client gave up. */
  readonly returnMs: number;
  /**
   * `granted`, `renewed`, `read`, what a release was answered, the code of a refusal as in `held`, or `unknown`:
   * nobody told the client, and it may have happened; so it may after `expired-command`.
   */
  readonly outcome: string;
  readonly fence: string | null;
  /** Who answered last; "" if nobody did. */
  readonly node: string;
  readonly tries: number;
  /** Only a grant or renewal has it: nobody else gets the lock before, counted from the first send. */
  readonly guaranteedUntilMs?: number;
  readonly state?: ReadState;
};

export class History {
  readonly #startMs = performance.now();
  readonly operations: Operation[] = [];

  /** Now, in ms since the run began. */
  now(): number {
    return performance.now() - this.#startMs;
  }

  add(operation: Operation): void {
    this.operations.push(operation);
  }

  /** JSON lines, in order of return; `mix` in front of each. */
  lines(mix: string): string {
    return this.operations.map((operation) => `${JSON.stringify({ mix, ...operation })}\n`).join("");
  }
}
