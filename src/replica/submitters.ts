/** The submitters of one node, one for each name: made when a command comes, dropped when nothing is under way. */
import { COMMANDS_PER_VALUE, TIMEOUT_DEFAULT_MS } from "../limits.ts";
import { isKept, type Kept, readResult, writeResult } from "../machine/result_code.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Command, Forward, LeaseName, Outcomes, Value } from "../paxos/message.ts";
import { Submitter, type SubmitterParts } from "./submitter.ts";
import { haveLapsed } from "./lapse.ts";
import type { Outcome, Submission } from "./pending.ts";

export class Submitters {
  readonly #parts: SubmitterParts;
  readonly #submitters = new Map<string, Submitter>();
  /** What is about to be told, by node, key and instance. */
  readonly #told = new Map<string, Outcomes["results"]>();

  constructor(parts: SubmitterParts) {
    this.#parts = parts;
  }

  of(key: string): Submitter {
    const known = this.#submitters.get(key);
    if (known !== undefined) return known;
    const log = new Submitter(this.#parts, key, () => {
      if (this.#submitters.get(key) === log) this.#submitters.delete(key);
    });
    this.#submitters.set(key, log);
    return log;
  }

  submit(key: string, submission: Submission): Promise<Outcome> {
    return this.of(key).submit(submission);
  }

  /** What lost a recovery of this node's goes on in the next instance, and its proposers learn of it at once (§4). */
  takeUp(key: string, losers: readonly Value[]): void {
    for (const { proposer, commands } of losers) {
      for (const command of commands) this.#goOn(key, command, proposer === "" ? null : proposer);
    }
  }

  /** Commands of a node that may not propose here: decided once, like its own, and learned by it at once. */
  async forwarded(from: NodeId, { key, commands, claims }: Forward): Promise<void> {
    // A claim is proposed by a member that has asked about it itself; else the sender hears nothing, and tries another.
    if (claims !== undefined && !await haveLapsed(this.#parts, key, claims).catch(() => false)) return;
    for (const command of commands) this.#goOn(key, command, from, claims);
  }

  /** A member says what commands of this node came to that it was sent. */
  outcomes(from: NodeId, { key, instance, results }: Outcomes): void {
    const log = this.#submitters.get(key);
    if (log === undefined || !this.#parts.acceptor.rules.quorums.isMember(from)) return;
    const known = results.flatMap(({ subject, id, result: text }) => {
      const pending = log.sent(subject, id);
      const result = readResult(text, this.#parts.machine.placeId(subject, id));
      return pending === undefined || result === null ? [] : [{ pending, result }];
    });
    log.told(instance, known);
  }

  /** Under the `born` it came with: that of another send would say too much of where it was not applied (§6). */
  #goOn(key: string, { subject, id, born, op }: Command, origin: NodeId | null, claims?: readonly LeaseName[]): void {
    const submission = {
      subject,
      id,
      op,
      born,
      timeoutMs: TIMEOUT_DEFAULT_MS,
      ...(origin === null ? {} : { origin }),
      ...(claims === undefined ? {} : { claims }),
    };
    this.submit(key, submission).then(
      ({ result, instance }) =>
        origin !== null && isKept(result) && this.#tell(origin, key, instance, submission, result),
      // If it is not decided in time, its own node has gone on long since.
      () => {},
    );
  }

  /** What is decided together is told together. */
  #tell(to: NodeId, key: string, instance: number, { subject, id }: Pick<Submission, "subject" | "id">, result: Kept) {
    const name = JSON.stringify([to, key, instance]);
    const told = this.#told.get(name) ?? [];
    if (told.length === 0) queueMicrotask(() => this.#flush(name, to, key, instance));
    this.#told.set(name, [...told, { subject, id, result: writeResult(result) }]);
  }

  #flush(name: string, to: NodeId, key: string, instance: number): void {
    const { transport, epoch } = this.#parts;
    const told = this.#told.get(name) ?? [];
    this.#told.delete(name);
    for (let at = 0; at < told.length; at += COMMANDS_PER_VALUE) {
      const results = told.slice(at, at + COMMANDS_PER_VALUE);
      // Lost, its node finds out from the state, as long as that remembers.
      transport.send(to, { type: "outcomes", key, epoch, instance, results }).catch(() => {});
    }
  }
}
