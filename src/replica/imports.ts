/**
 * The importer's host: brings keys into this node's epoch, one import at a time for each (PROTOCOL.md §9). Whoever needs a record
 * of the epoch waits for it here.
 */
import { QuorateError } from "../errors.ts";
import { IMPORT_TRY_MS } from "../limits.ts";
import type { Epochs } from "../members/epoch.ts";
import {
  type ImportContext,
  type ImportInput,
  type ImportOutput,
  type ImportState,
  initialImport,
  stepImport,
} from "../members/importer.ts";
import type { ImportAccept, ImportLearn, ImportPrepare, ImportValue } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Learn, Machine, Read, Snapshot, Value } from "../paxos/message.ts";
import type { Clock, Randomness, Transport } from "../ports.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Learning } from "./learning.ts";
import { lookAtAll } from "./poller.ts";
import { acceptorReplyIn } from "./peer_reply.ts";
import type { Timing } from "./timing.ts";

export type ImportParts = {
  readonly acceptor: AcceptorHost;
  readonly learning: Learning;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly timing: Timing;
  readonly machine: Machine;
  readonly epochsOf: (key: string) => Epochs;
};

/** What moves names into an epoch, at a node that is in it. */
export type Bringing = {
  /**
   * Those of the keys that all members which answer have a record of, and these are a quorum: nobody needs the epoch before for
   * them. Where some member that answers lacks one, it is to be brought there.
   */
  broughtOf(keys: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * Whether the key has a record of this epoch at a quorum of members, so that nobody needs the epoch before for it. Brings it
   * there first, as far as that can be done now.
   */
  bring(key: string): Promise<boolean>;
};

export class Imports implements Bringing {
  readonly #parts: ImportParts;
  readonly #running = new Map<string, Promise<void>>();
  readonly #closed = new AbortController();

  constructor(parts: ImportParts) {
    this.#parts = parts;
  }

  /** Resolves when the own record of the key is of this epoch. Rejects with `no-quorum` if that takes too long. */
  ensure(key: string): Promise<void> {
    const running = this.#running.get(key) ?? this.#import(key).finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return running;
  }

  /** Those of the keys whose own record is of this epoch, durably. One of which nothing may be said is not among them. */
  async recorded(keys: readonly string[]): Promise<readonly string[]> {
    const found = new Set<string>();
    await lookAtAll(keys, async (key) => {
      const own = await this.#parts.acceptor.shown(key).catch(() => null);
      if (own?.isImported === true) found.add(key);
    });
    return keys.filter((key) => found.has(key));
  }

  async broughtOf(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const { acceptor: { rules: { me, quorums }, votes }, transport } = this.#parts;
    if (!votes) return new Set();
    const said = new Map<NodeId, ReadonlySet<string>>();
    await Promise.all(quorums.members.map(async (to) => {
      if (to === me) return said.set(me, new Set(await this.recorded(keys)));
      const reply = await transport.send(to, { type: "records", keys }).catch(() => null);
      if (reply?.type === "records") said.set(to, new Set(reply.keys));
    }));
    if (!quorums.isPhase1(new Set(said.keys()))) return new Set();
    return new Set(keys.filter((key) => [...said.values()].every((has) => has.has(key))));
  }

  async bring(key: string): Promise<boolean> {
    const { acceptor, learning, transport, epochsOf } = this.#parts;
    const { me, quorums } = acceptor.rules;
    if (!acceptor.votes) return false;
    try {
      // Also where the own record has stopped or cannot be read: then it is none.
      await acceptor.view(key);
    } catch {
      return false;
    }
    const epoch = epochsOf(key).next.number;
    const others = quorums.members.filter((member) => member !== me);
    const have = await Promise.all(others.map(async (to) => {
      const ask = () => transport.send(to, { type: "read", key, epoch, instance: 1 }).catch(() => null);
      const reply = await ask();
      if (reply?.type !== "unimported") return reply?.type === "view";
      return await learning.sendState(to, key) && (await ask())?.type === "view";
    }));
    return quorums.isPhase1(new Set([me, ...others.filter((_, i) => have[i])]));
  }

  close(): void {
    this.#closed.abort("without a reason it would make an exception");
  }

  #import(key: string): Promise<void> {
    const { acceptor, random, machine, epochsOf } = this.#parts;
    const { me } = acceptor.rules;
    if (!acceptor.votes) return this.#asLearner(key);
    const value: Value = { id: `${me}/${random.id()}/m`, proposer: me, commands: [] };
    const context: ImportContext = { ...epochsOf(key), machine, me, key, value };
    return new ImportDrive(this.#parts, context, this.#closed.signal).done;
  }

  /** A node that does not vote owns no ballot: a member imports what it is asked to change, though it be by nothing. */
  async #asLearner(key: string): Promise<void> {
    const { acceptor, learning, transport, clock, random, timing, epochsOf } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const { next, old } = epochsOf(key);
    if (old.quorums.isMember(me)) throw new QuorateError("not-ready", "this node is no member any more");
    const untilMs = clock.now() + IMPORT_TRY_MS;
    for (let tries = 0; clock.now() < untilMs && !this.#closed.signal.aborted; tries++) {
      await learning.refresh(key);
      if (acceptor.viewNow(key) !== null) return;
      const command = { subject: me, id: random.id(), born: 0, op: { type: "keep-places", places: [] } };
      const forward = { type: "forward", key, epoch: next.number, instance: 1, commands: [command] } as const;
      await transport.send(quorums.members[tries % quorums.members.length]!, forward).catch(() => {});
      await new Promise<void>((resolve) => clock.after(timing.loserMs(), resolve));
    }
    throw new QuorateError("no-quorum", "it could not be imported", { outcome: "none" });
  }
}

/** One import, until the own record is of this epoch. */
class ImportDrive {
  readonly done: Promise<void>;
  readonly #parts: ImportParts;
  readonly #context: ImportContext;
  #state: ImportState = initialImport;
  #attempt = 0;
  #isOver = false;
  #cancelTimer: () => void = () => {};
  readonly #finish: (error: Error | null) => void;

  constructor(parts: ImportParts, context: ImportContext, closed: AbortSignal) {
    this.#parts = parts;
    this.#context = context;
    const { acceptor, clock } = parts;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    // However it came here: also by another's import, or by a state that somebody sent.
    const stopListening = acceptor.onMove(context.key, () => this.#finish(null));
    const late = () => this.#finish(new QuorateError("no-quorum", "it could not be imported", { outcome: "none" }));
    const cancelDeadline = clock.after(IMPORT_TRY_MS, late);
    closed.addEventListener("abort", late);
    this.#finish = (error) => {
      if (this.#isOver) return;
      this.#isOver = true;
      stopListening();
      cancelDeadline();
      this.#cancelTimer();
      closed.removeEventListener("abort", late);
      if (error === null) resolve();
      else reject(error);
    };
    if (closed.aborted) late();
    else this.#prepare();
  }

  #prepare(): void {
    const { timing, random } = this.#parts;
    this.#wait(timing.patienceMs(this.#attempt), () => this.#prepare());
    this.#attempt++;
    // It was decided or found imported, and then the own store failed.
    if (this.#state.phase === "done") this.#state = { ...initialImport, highestN: this.#state.highestN };
    this.#feed({ type: "prepare", nonce: random.id() });
  }

  /** One timer at a time: the newest says what comes next. */
  #wait(ms: number, next: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#parts.clock.after(ms, () => this.#isOver || next());
  }

  #feed(input: ImportInput): void {
    if (this.#isOver) return;
    try {
      const context = { ...this.#context, ...this.#parts.epochsOf(this.#context.key) };
      const { state, out } = stepImport(context, this.#state, input);
      this.#state = state;
      for (const output of out) this.#perform(output);
    } catch (error) {
      // What peers or disks say must not end this process: only this key goes no further.
      this.#finish(error as Error);
    }
  }

  #perform(output: ImportOutput): void {
    switch (output.type) {
      case "send":
        return this.#send(output.to, output.message);
      case "decided":
        return this.#decided(output.proposal, output.learn);
      case "ahead":
        return void this.#install(output.snapshot);
      case "retry":
        return this.#wait(this.#parts.timing.backOffMs(this.#attempt), () => this.#prepare());
      case "unsealed":
      case "idle":
        // Nobody says the first: who has not heard of this epoch refuses what is of it. The second takes no value to propose.
        return;
    }
  }

  #send(to: NodeId, message: ImportPrepare | ImportAccept | Read): void {
    const { acceptor, transport } = this.#parts;
    const sent = to === acceptor.rules.me ? acceptor.handle(message, to) : transport.send(to, message);
    sent.then((reply) => {
      switch (reply.type) {
        case "import-promise":
        case "import-accepted":
        case "import-refused":
        case "unimported":
          return this.#feed({ type: "reply", from: to, reply });
        default: {
          const plain = acceptorReplyIn(reply);
          return plain === null ? undefined : this.#feed({ type: "reply", from: to, reply: plain });
        }
      }
      // Silence is neither a vote nor a promise; an own write of unknown outcome neither.
    }, () => {});
  }

  #decided(proposal: ImportValue, learn: ImportLearn): void {
    const { learning } = this.#parts;
    // If its own record is of this epoch by it, the listener has heard that.
    learning.imported(learn, proposal, learning.others).catch(() => {});
  }

  async #install(snapshot: Snapshot): Promise<void> {
    const { key, next } = this.#context;
    const learn: Learn = {
      type: "learn",
      key,
      epoch: next.number,
      instance: snapshot.instance,
      certificate: null,
      snapshot,
    };
    await this.#own(learn);
  }

  /** Whether the own record is of this epoch by it; the listener has heard it then. */
  async #own(learn: ImportLearn | Learn): Promise<boolean> {
    const { acceptor } = this.#parts;
    const reply = await acceptor.handle(learn, acceptor.rules.me).catch(() => null);
    const isHere = reply?.type === "learned" || reply?.type === "ahead";
    if (isHere) this.#finish(null);
    return isHere;
  }
}
