/** The key logs of one node: made when a command comes, dropped when nothing is under way. */
import { TIMEOUT_DEFAULT_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Forward, Value } from "../paxos/message.ts";
import { KeyLog, type KeyLogParts } from "./key_log.ts";
import { haveLapsed } from "./lapse.ts";
import type { Outcome, Submission } from "./pending.ts";

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

  /** What lost a recovery of this node's goes on in the next instance, and its proposers learn of it at once (§4). */
  takeUp(key: string, losers: readonly Value[]): void {
    for (const { proposer, commands } of losers) {
      for (const { subject, id, op } of commands) {
        const submission = { subject, id, op, timeoutMs: TIMEOUT_DEFAULT_MS };
        // If it is not decided in time, its own proposer has gone on long since.
        this.submit(key, proposer === "" ? submission : { ...submission, origin: proposer }).catch(() => {});
      }
    }
  }

  /** Commands of a node that may not propose here: decided once, like its own, and learned by it at once. */
  async forwarded(from: NodeId, { key, commands, claims }: Forward): Promise<void> {
    // A claim is proposed by a member that has asked about it itself; else the sender hears nothing, and tries another.
    if (claims !== undefined && !await haveLapsed(this.#parts, key, claims).catch(() => false)) return;
    for (const { subject, id, op } of commands) {
      const submission = { subject, id, op, timeoutMs: TIMEOUT_DEFAULT_MS, origin: from };
      // Only their decision answers them; if it does not come in time the sender takes the key over.
      this.submit(key, claims === undefined ? submission : { ...submission, claims }).catch(() => {});
    }
  }
}
