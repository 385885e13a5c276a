/**
 * The commands of this node for one key, until each is decided once (PROTOCOL.md §6): what waits goes together in one
 * value; what lost an instance goes again in the next, under the same command id.
 */
import { QuorateError } from "../errors.ts";
import type { LockMachine } from "../machine/machine.ts";
import type { Result } from "../machine/op.ts";
import type { Kept } from "../machine/result_code.ts";
import { waitingNodes } from "../machine/view.ts";
import { importLearn } from "../members/importer.ts";
import { fitting } from "../paxos/batch.ts";
import type { Snapshot, Value } from "../paxos/message.ts";
import { ballotOwner, type NodeId } from "../paxos/ballot.ts";
import type { Contention } from "../engine/contention.ts";
import type { Modes } from "../engine/modes.ts";
import {
  afterFailure,
  asGiven,
  atDeadline,
  forwardedMs,
  holdsAll,
  isOfEarlierTry,
  keptElsewhere,
  nameOf,
  originsOf,
  type Outcome,
  type Pending,
  roomFor,
  stamped,
  type Submission,
  tooMany,
  unknownOutcome,
} from "./pending.ts";
import { MemberChoice } from "./learner_node.ts";
import { HeldBack } from "./held_back.ts";
import { nextValue } from "./next_value.ts";
import { receiptOf } from "../engine/receipt.ts";
import type { Opening } from "./own_record.ts";
import { type Drive, driveInstance, type Ending } from "./proposer_host.ts";

type Opened = Omit<Snapshot, "stateHash">;
type Decided = Extract<Ending, { readonly type: "decided" }>;
export type SubmitterParts = Drive & {
  readonly machine: LockMachine;
  readonly epoch: number;
  readonly modes: Modes;
  readonly contention: Contention;
  /** When this node came back, if that was only a moment ago; else null. */
  readonly cameBackMs: () => number | null;
  /** SHA-256 in hex. */
  readonly digest: (text: string) => string;
};

export class Submitter {
  readonly #parts: SubmitterParts;
  readonly #key: string;
  /** Called when no command is left. */
  readonly #onIdle: () => void;
  /** In the order in which they came. */
  readonly #pending = new Set<Pending>();
  #running = false;
  #wake: () => void = () => {};
  /** The return of this node after which a quorum was asked. */
  #caughtUpMs: number | null = null;
  /** States that the key has passed through and the commands that wait have not been shown yet. */
  #passed: Snapshot[] = [];
  #isDriving = false;
  /** The instance of the last attempt of this node's own. */
  #triedAt = 0;
  /** The last instance in which a coordinator was given time to propose what had lost. */
  #takenUpAt = 0;
  /** The instance after a coordinator did not take what it was forwarded; null: which one that is shows next. */
  #silentAt: number | null = 0;
  /** Aborted when nobody waits any more for the instance that is driven. */
  #giveUp: AbortController | null = null;
  readonly #choice: MemberChoice;
  readonly #heldBack: HeldBack;
  /** Where open proposing came to nothing, at a node that does not vote. */
  #stuckAt = 0;

  constructor(parts: SubmitterParts, key: string, onIdle: () => void) {
    this.#parts = parts;
    this.#key = key;
    this.#onIdle = onIdle;
    this.#choice = new MemberChoice(parts.acceptor.rules.quorums, parts.transport);
    this.#heldBack = new HeldBack(parts);
  }

  /** Rejects with `no-quorum` or `outcome-unknown` at the deadline, at once with `not-ready` where too many wait already. */
  submit(submission: Submission): Promise<Outcome> {
    if (this.#pending.size >= roomFor(this.#parts.machine, submission)) {
      return Promise.reject(tooMany(this.#pending.size));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const pending: Pending = {
      submission,
      resolve,
      reject,
      cancelDeadline: this.#parts.clock.after(submission.timeoutMs, () => this.#fail(pending, atDeadline(pending))),
      command: null,
      born: null,
      told: null,
      forwarded: null,
      sentIn: null,
    };
    this.#pending.add(pending);
    this.#wake();
    this.#run();
    return promise;
  }

  /** What forwarded commands, or such as lost a recovery, came to: from the member that decided them. */
  told(instance: number, results: readonly { readonly pending: Pending; readonly result: Kept }[]): void {
    for (const { pending, result } of results) pending.told = { instance, result };
    this.#wake();
  }

  /** The command of that subject and id that was sent and waits here. */
  sent(subject: string, id: string): Pending | undefined {
    return [...this.#pending].find((one) =>
      one.command !== null && one.submission.subject === subject && one.submission.id === id
    );
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const stopListening = this.#parts.acceptor.onMove(this.#key, (_key, snapshot) => this.#pass(snapshot));
    try {
      while (this.#pending.size > 0) await this.#round();
    } catch (error) {
      // The store failed: what was sent may be decided by others, and nothing more can be done here.
      for (const pending of [...this.#pending]) this.#fail(pending, afterFailure(pending, error as Error));
    } finally {
      stopListening();
      this.#passed = [];
      this.#running = false;
      this.#onIdle();
    }
  }

  /**
   * A later state may have forgotten what an earlier one tells of a command, so each is shown to all that wait. Not while
   * this node drives an instance: a drive whose last command was answered would be given up before it has told others.
   */
  #pass(snapshot: Snapshot): void {
    this.#passed.push(snapshot);
    if (!this.#isDriving) this.#showPassed();
  }

  #showPassed(): void {
    const passed = this.#passed.sort((a, b) => a.instance - b.instance);
    this.#passed = [];
    for (const snapshot of passed) {
      for (const pending of [...this.#pending]) this.#settleFrom(pending, snapshot);
    }
  }

  async #round(): Promise<void> {
    // A node that has just come back may have missed more commands of this name than the window keeps: proposed from its
    // old state a new command would look too old to tell whether it was applied (§6).
    const cameBackMs = this.#parts.cameBackMs();
    if (cameBackMs !== null && cameBackMs !== this.#caughtUpMs) await this.#parts.learning.refresh(this.#key);
    this.#caughtUpMs = cameBackMs;
    const opened = await this.#parts.acceptor.opening(this.#key);
    const { snapshot: opening } = opened;
    this.#showPassed();
    for (const pending of [...this.#pending]) this.#settleFrom(pending, opening);
    if (this.#pending.size === 0) return;
    // All that wait are decided, in a state this node does not have yet.
    if ([...this.#pending].every(({ told }) => told !== null)) {
      await this.#parts.learning.refresh(this.#key);
      return void await this.#moved(this.#parts.timing.rttMs());
    }
    // An instance that was tried and neither ended nor waited for anything must not be tried again in the same breath:
    // this loop would keep the whole node from its other work.
    if (opening.instance === this.#triedAt) await this.#moved(this.#parts.timing.rttMs());
    this.#triedAt = 0;
    if (this.#isTakenUp(opening)) return void await this.#moved(this.#parts.timing.rttMs());
    if (await (this.#parts.acceptor.votes ? this.#forwarded(opening) : this.#handedOver(opening))) return;
    const heldBackMs = this.#heldBack.leftMs(opening, this.#waiting());
    if (heldBackMs > 0) return void await this.#moved(heldBackMs);
    this.#triedAt = opening.instance;
    const value = nextValue(this.#parts, this.#key, opening, this.#waiting());
    if (value === null) return;
    this.#giveUp = new AbortController();
    this.#isDriving = true;
    const ending = await this.#drive(opened, value, this.#giveUp.signal).finally(() => this.#isDriving = false);
    if (ending.type === "decided") await this.#decided(opened, ending);
    else if (ending.type === "over") await this.#follow(ending.snapshot);
    // What was voted for there is what the import brings, or is proposed again.
    else if (ending.type === "unimported") await this.#parts.acceptor.view(this.#key);
    else if (ending.type === "stuck") this.#stuckAt = opening.instance;
  }

  /**
   * Whether another node's recovery has just left out what this one proposed: its coordinator has the bytes and proposes
   * them at once (§4). It gets one round trip, once; then this node does so itself.
   */
  #isTakenUp({ instance, decidedBy, state: { mode } }: Snapshot): boolean {
    if (decidedBy === null || decidedBy.kind !== "classic" || decidedBy.ballot[2] !== 1) return false;
    const coordinator = decidedBy.ballot[0] > 0
      ? ballotOwner(decidedBy.ballot)
      : mode.kind === "fast"
      ? mode.coordinator
      : "";
    if (coordinator === this.#parts.acceptor.rules.me || this.#takenUpAt === instance) return false;
    const lost = [...this.#pending].filter(({ command, sentIn, submission: { claims } }) =>
      command !== null && claims === undefined && sentIn !== null && sentIn.instance < instance
    );
    if (lost.length === 0) return false;
    this.#takenUpAt = instance;
    return true;
  }

  /**
   * Multi-Paxos away from the coordinator: the commands go to it, once each, and what they came to is learned. False if
   * this node has to propose: it may, or the coordinator is silent and is taken over by a Prepare.
   */
  async #forwarded(opening: Snapshot): Promise<boolean> {
    const { acceptor, clock, timing } = this.#parts;
    const { mode } = opening.state;
    if (mode.kind !== "classic" || mode.coordinator === acceptor.rules.me) return false;
    // What its clock saw belongs to a claim; it is proposed here.
    if ([...this.#pending].some(({ submission }) => submission.claims !== undefined)) return false;
    // What came while it was waited for in vain does not wait as long again.
    if ((this.#silentAt ??= opening.instance) === opening.instance) return false;
    const fresh = this.#waiting().filter(({ forwarded }) => forwarded?.to !== mode.coordinator);
    if (fresh.length > 0 && !await this.#forward(opening, mode.coordinator, fresh)) {
      this.#silentAt = null;
      return false;
    }
    const leftMs = forwardedMs(this.#pending) + timing.patienceMs(0) - clock.now();
    // Infinity: all that was forwarded is answered. What came meanwhile goes in the next round.
    return leftMs === Infinity || (leftMs > 0 && await this.#moved(leftMs));
  }

  /**
   * A node that does not vote owns no ballot. Openly it may propose while the standing ballot is fast, without claims, which
   * only members vouch for; all else goes to one member after another. True unless it may propose now.
   */
  async #handedOver(opening: Snapshot): Promise<boolean> {
    const { clock, timing, learning, machine } = this.#parts;
    const { mode } = opening.state;
    // What a member has been given it would collide with. Only a member's value raises the machine of a key (§3).
    const version = machine.versionOf(opening.state);
    const isOpen = [...this.#pending].every(({ submission: { claims, op }, forwarded }) =>
      claims === undefined && !forwarded && machine.versionFor(op) <= version
    );
    if (mode.kind === "fast" && isOpen && this.#stuckAt < opening.instance) return false;
    const to = this.#choice.member(mode);
    const fresh = this.#waiting().filter(({ forwarded }) => forwarded?.to !== to);
    const plain = fresh.filter(({ submission }) => submission.claims === undefined);
    const messages = [...fresh.filter((pending) => !plain.includes(pending)).map((pending) => [pending]), plain];
    const sent = messages.filter(({ length }) => length > 0).map((some) => this.#forward(opening, to, some));
    const arrived = (await Promise.all(sent)).every((ok) => ok);
    if (this.#pending.size === 0) return true;
    const leftMs = forwardedMs(this.#pending) + timing.patienceMs(1) - clock.now();
    if (arrived && leftMs > 0) return leftMs === Infinity || await this.#moved(leftMs);
    this.#choice.giveUp();
    // It may have been decided and only the word of it lost. The pause is for when nobody can be reached.
    learning.refresh(this.#key);
    return await this.#moved(timing.loserMs());
  }

  async #forward(opening: Snapshot, to: NodeId, fresh: readonly Pending[]): Promise<boolean> {
    const { transport, clock, epoch } = this.#parts;
    const { instance } = opening;
    const commands = fitting(fresh.map(stamped));
    commands.forEach((command, i) => {
      fresh[i]!.command = command;
      fresh[i]!.forwarded = { to, atMs: clock.now() };
      fresh[i]!.sentIn ??= opening;
    });
    const claims = fresh[0]?.submission.claims;
    const message = { type: "forward", key: this.#key, epoch, instance, commands, ...(claims && { claims }) } as const;
    return await transport.send(to, message).then(({ type }) => type === "noted", () => false);
  }

  /** Resolves, with true, when the key moves on or a command comes, or has come since this round looked; also after `ms`. */
  #moved(ms: number): Promise<true> {
    const { promise, resolve } = Promise.withResolvers<true>();
    const stopListening = this.#parts.acceptor.onMove(this.#key, () => resolve(true));
    const cancel = this.#parts.clock.after(ms, () => resolve(true));
    this.#wake = () => resolve(true);
    if ([...this.#pending].some(({ born }) => born === null)) resolve(true);
    return promise.finally(() => {
      stopListening();
      cancel();
    });
  }

  #drive({ snapshot: opening, fast, isFresh }: Opening, value: Value, giveUp: AbortSignal): Promise<Ending> {
    const { machine, epoch, acceptor } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const context = { me, key: this.#key, epoch, quorums, machine, opening, fast, value };
    return driveInstance(this.#parts, context, giveUp, isFresh);
  }

  /** Those no state was asked about yet came just now; what is known to be decided must not be proposed again. */
  #waiting(): readonly Pending[] {
    return [...this.#pending].filter(({ born, told }) => born !== null && told === null);
  }

  #settleFrom(pending: Pending, opening: Snapshot): void {
    const { machine } = this.#parts;
    if (isOfEarlierTry(machine, pending, opening)) pending.told = null;
    const { submission, command, told } = pending;
    const known = machine.resultOf(opening.state, command ?? asGiven(submission, opening.instance)) ??
      keptElsewhere(machine, pending, opening);
    const isTold = told !== null && opening.instance >= told.instance;
    if (isTold && (known === null || known.outcome === "expired-command")) {
      return this.#settle(pending, told.result, opening);
    }
    if (known?.outcome === "expired-command") return this.#expired(pending, opening);
    if (known !== null) return this.#settle(pending, known, opening);
    // Not applied so far, so it was applied in no instance below this one (§6); what is decided while it waits must not
    // make it look older than the window.
    pending.born = Math.max(opening.instance, submission.born ?? 0, pending.born ?? 0);
    if (command !== null) pending.command = stamped(pending);
    // The lease it claims was renewed or ended at this instance; it never ran out any more.
    if (submission.claims !== undefined && !holdsAll(machine.leases(opening.state), submission.claims)) {
      this.#fail(pending, new QuorateError("held", "the lease was renewed"));
    }
  }

  /** The window has forgotten what was decided since it was sent, or since its caller says that it may have been. */
  #expired(pending: Pending, opening: Snapshot): void {
    const { submission, command, told } = pending;
    // Its result is on its way with the state.
    if (told !== null) return;
    // Nothing of it was sent here: what is known of it is its caller's, or its sender's, to judge.
    if (command === null) return this.#settle(pending, { outcome: "expired-command" }, opening);
    const { hedge, origin, op } = submission;
    if (this.#parts.machine.isRepeatable(op) && hedge === undefined && origin === undefined) {
      pending.born = opening.instance;
      pending.command = stamped(pending);
      return;
    }
    this.#fail(pending, unknownOutcome(pending, "too much was decided meanwhile to tell what became of it"));
  }

  async #decided({ snapshot: opening, isFresh }: Opening, { value, certificate, losers }: Decided): Promise<void> {
    const { machine, learning, epoch } = this.#parts;
    const origins = originsOf(this.#pending, value);
    this.#parts.contention.decided(this.#key, new Set(origins).size);
    // Losers propose again as soon as they know, and waiters' nodes take up what this may have granted.
    // The own record may be a write behind; the answer does not wait for it, the next instance does (§5).
    const atOnce = [...losers, ...origins.filter((origin) => origin !== undefined), ...waitingNodes(opening.state)];
    const moved = isFresh
      ? learning.imported(importLearn(this.#key, epoch, opening, certificate), { base: opening, value }, atOnce)
      : learning.decided(this.#key, certificate, value, atOnce);
    const { state, results } = machine.applyWithResults(opening.state, opening.instance, value);
    const sent = Map.groupBy(
      [...this.#pending].filter(({ command }) => command !== null),
      ({ submission }) => nameOf(submission),
    );
    value.commands.forEach((command, i) => {
      for (const pending of sent.get(nameOf(command)) ?? []) {
        // Only one of two tries of one command that asked for different things was applied.
        const isApplied = pending.command!.op === command.op;
        const result = isApplied ? results[i]! : machine.resultOf(state, pending.command!);
        const made = { instance: opening.instance + 1, state, decidedBy: certificate };
        if (result !== null) this.#settle(pending, result, made, isApplied);
      }
    });
    await moved;
  }

  async #follow(snapshot: Snapshot): Promise<void> {
    const { acceptor, epoch } = this.#parts;
    const at = { key: this.#key, epoch, instance: snapshot.instance };
    const reply = await acceptor.handle({ type: "learn", ...at, certificate: null, snapshot }, acceptor.rules.me);
    if (reply.type === "stopped") {
      throw new QuorateError("not-ready", `this node's record of it has stopped: ${reply.reason}`);
    }
  }

  #settle(pending: Pending, result: Result, { instance, state, decidedBy }: Opened, isOwn = false): void {
    this.#forget(pending);
    pending.resolve({ result, state, instance, receipt: receiptOf(decidedBy), ...(isOwn ? { isOwn } : {}) });
  }

  #fail(pending: Pending, error: Error): void {
    this.#forget(pending);
    pending.reject(error);
  }

  #forget(pending: Pending): void {
    pending.cancelDeadline();
    this.#pending.delete(pending);
    if (this.#pending.size === 0) this.#giveUp?.abort("without a reason it would make an exception");
  }
}
