/** The key logs of one node: made when a command comes, dropped when nothing is under way. */
import { KeyLog, type KeyLogParts, type Outcome, type Submission } from "./key_log.ts";

export class KeyLogs {
  readonly #parts: KeyLogParts;
  readonly #logs = new Map<string, KeyLog>();

  constructor(parts: KeyLogParts) {
    this.#parts = parts;
  }

  of(key: string): KeyLog {
    const known = this.#logs.get(key);
    if (known !== undefined) return known;
    const log = new KeyLog(this.#parts, key, () => {
      if (this.#logs.get(key) === log) this.#logs.delete(key);
    });
    this.#logs.set(key, log);
    return log;
  }

  submit(key: string, submission: Submission): Promise<Outcome> {
    return this.of(key).submit(submission);
  }
}
