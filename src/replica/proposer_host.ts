/**
 * The proposer's host: sends what the proposer says, feeds back what comes, keeps its timers. One call drives one
 * instance of one key until it is over or the caller gives up.
 */
import type { SentReply } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { AcceptorMessage, Certificate, Decide, Snapshot, Value } from "../paxos/message.ts";
import { stepProposer } from "../paxos/proposer.ts";
import {
  initialProposer,
  type ProposerContext,
  type ProposerInput,
  type ProposerOutput,
  type ProposerState,
} from "../paxos/proposer_state.ts";
import { canStillBeOpen } from "../paxos/split.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { CoordinatorHost } from "./coordinator_host.ts";
import { receiptOf } from "../engine/receipt.ts";
import type { Learning } from "./learning.ts";
import { freshOwn, freshReplyIn, freshSent } from "./fresh.ts";
import { acceptorReplyIn } from "./peer_reply.ts";
import {
  type Clock,
  type Meter,
  NO_METER,
  type PeerError,
  type Randomness,
  type Report,
  type Transport,
  type WireReply,
} from "../ports.ts";
import type { Timing } from "./timing.ts";

/** An own write that takes longer may never end, as on a shared store whose server is gone. */
const OWN_WRITE_MAX_MS = 5_000;

/** Others are given so many times what the newest own write took, but no more than the most: their disks may be as slow. */
const OWN_WRITES = 3;
const OWN_WRITES_MAX_MS = 3_000;

export type Ending =
  | {
    readonly type: "decided";
    readonly value: Value;
    readonly certificate: Certificate;
    /** Proposers that were seen to lose: they wait for word of it. */
    readonly losers: readonly NodeId[];
  }
  /** Somebody else ended the instance; the own record has moved on, or `snapshot` says where to. */
  | { readonly type: "over"; readonly snapshot: Snapshot }
  /** Nothing was under way and there was nothing to propose. */
  | { readonly type: "idle" }
  /** Only a ballot of its own could go on, and a node that does not vote owns none. */
  | { readonly type: "stuck" }
  /** The key is fresh: its standing ballot came to nothing that this node knows of, and an import ends it. */
  | { readonly type: "unimported" }
  | { readonly type: "given-up" };

export type Drive = {
  readonly acceptor: AcceptorHost;
  readonly coordinator: CoordinatorHost;
  readonly learning: Learning;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly timing: Timing;
  /** One line for the operator. */
  readonly report: Report;
  /** Default: nothing is counted. */
  readonly meter?: Meter;
};

/**
 * Rejects where a step of the proposer fails, which is reported: votes it cannot make sense of, as of a corrupt store.
 * @param giveUp aborted when nobody waits for the outcome any more
 * @param isFresh the key has no record of this epoch anywhere that this node knows of; only the standing ballot is tried
 */
export function driveInstance(
  drive: Drive,
  context: ProposerContext,
  giveUp: AbortSignal,
  isFresh = false,
): Promise<Ending> {
  return new InstanceDrive(drive, context, giveUp, isFresh).ending;
}

class InstanceDrive {
  readonly ending: Promise<Ending>;
  readonly #drive: Drive;
  readonly #context: ProposerContext;
  #state: ProposerState = initialProposer;
  #attempt = 0;
  #cancelTimer: () => void = () => {};
  #finish!: (ending: Ending) => void;
  #fail!: (error: Error) => void;
  #over = false;
  /** Since when the newest own write is under way; null: none is. */
  #ownSinceMs: number | null = null;
  #ownDoneMs = -Infinity;
  /** When the others were sent something last. */
  #leftMs = -Infinity;
  #ownTookMs = 0;
  /** R2, while it waits for the last votes. */
  #held: { readonly message: Decide; readonly cancel: () => void } | null = null;
  /** Whether its write began, after such a wait. */
  #waitedInVain = false;
  readonly #meter: Meter;
  #hasCollided = false;
  readonly #isFresh: boolean;

  constructor(drive: Drive, context: ProposerContext, giveUp: AbortSignal, isFresh: boolean) {
    this.#isFresh = isFresh;
    this.#drive = drive;
    this.#context = context;
    this.#meter = drive.meter ?? NO_METER;
    const beganMs = drive.clock.now();
    const { promise, resolve, reject } = Promise.withResolvers<Ending>();
    this.ending = promise;
    const stopListening = drive.acceptor.onMove(context.key, (_key, snapshot) => {
      if (snapshot.instance > context.opening.instance && this.#state.guard !== "asked") {
        this.#finish({ type: "over", snapshot });
      }
    });
    const onAbort = () => this.#finish({ type: "given-up" });
    giveUp.addEventListener("abort", onAbort);
    const stop = () => {
      this.#over = true;
      this.#cancelTimer();
      this.#held?.cancel();
      stopListening();
      giveUp.removeEventListener("abort", onAbort);
    };
    this.#finish = (ending) => {
      stop();
      const decidedBy = certificateOf(ending, context.opening.instance);
      if (decidedBy !== null) this.#meter.drove(receiptOf(decidedBy).path, drive.clock.now() - beganMs);
      resolve(ending);
    };
    this.#fail = (error) => {
      stop();
      reject(error);
    };
    if (giveUp.aborted) onAbort();
    else {
      this.#patiently(() => this.#suspect());
      this.#feed({ type: "start" });
    }
  }

  #feed(input: ProposerInput): void {
    if (this.#over) return;
    try {
      const { state, out } = stepProposer(this.#context, this.#state, input);
      this.#state = state;
      for (const output of out) this.#perform(output);
    } catch (error) {
      // What peers or disks say must not end this process: only this key goes no further.
      const { key } = this.#context;
      const about = { event: "name-stuck", level: "error", names: [key] } as const;
      this.#drive.report(`${key} cannot go on here: ${(error as Error).message}`, about);
      this.#fail(error as Error);
    }
  }

  #perform(output: ProposerOutput): void {
    const { timing } = this.#drive;
    switch (output.type) {
      case "send":
        if (output.message.type === "decide") return this.#decide(output.message);
        return this.#send(output.to, output.message);
      case "collision":
        this.#collided();
        // A coordinator has no record that the ballot could be recovered on.
        return this.#isFresh ? undefined : this.#drive.coordinator.tell(output.to, output.message);
      case "decided": {
        const { value, certificate } = output;
        if (this.#state.guard === "asked") timing.lastVotes.note(certificate.kind === "open" && !this.#waitedInVain);
        return this.#finish({ type: "decided", value, certificate, losers: this.#losers(value) });
      }
      case "ahead":
        return this.#finish({ type: "over", snapshot: output.snapshot });
      case "idle":
        return this.#finish({ type: "idle" });
      case "lost":
        this.#collided();
        // The winner tells us; only if it does not, its node may be gone.
        return this.#wait(timing.loserMs(), () => this.#suspect());
      case "stuck":
        if (this.#isFresh) return this.#finish({ type: "unimported" });
        return this.#wait(timing.loserMs() + timing.backOffMs(this.#attempt), () => this.#prepare());
      case "retry":
        // The first explicit ballot competes with nobody yet; only those after a refusal have somebody to let pass.
        if (this.#attempt === 0) return this.#prepare();
        return this.#wait(timing.backOffMs(this.#attempt), () => this.#prepare());
    }
  }

  #collided(): void {
    if (!this.#hasCollided) this.#meter.collided();
    this.#hasCollided = true;
  }

  #suspect(): void {
    this.#wait(this.#drive.timing.loserMs(), () => this.#prepare());
    this.#feed({ type: "suspect" });
  }

  #prepare(): void {
    // Explicit ballots of a fresh key are imports.
    if (this.#isFresh) return this.#finish({ type: "unimported" });
    if (!this.#drive.acceptor.votes) return this.#finish({ type: "stuck" });
    this.#attempt++;
    // Where every write takes one there is nothing to recover.
    if (this.#context.opening.state.mode.kind !== "prepare") this.#meter.recovering("prepare");
    this.#patiently(() => this.#prepare());
    this.#feed({ type: "prepare", nonce: this.#drive.random.id() });
  }

  /**
   * For those that nothing was refused by. What came meanwhile may say that they are slow: what is asked then is answered no
   * sooner than what they have been asked already, and is more work for them.
   */
  #patiently(next: () => void): void {
    const { clock, timing } = this.#drive;
    const armedMs = clock.now();
    const look = () => {
      const asOwnMs = Math.min(OWN_WRITES * this.#ownTookMs, OWN_WRITES_MAX_MS);
      const patienceMs = Math.max(timing.patienceMs(this.#attempt), asOwnMs);
      const ownMs = this.#ownSinceMs === null ? 0 : clock.now() - this.#ownSinceMs;
      // Until the own vote is durable only an open quorum of the others could decide the value; R2 needs nothing but its own write.
      const isOwn = this.#ownSinceMs !== null && ownMs < OWN_WRITE_MAX_MS;
      const leftMs = isOwn ? patienceMs : Math.max(armedMs, this.#ownDoneMs) + patienceMs - clock.now();
      if (leftMs >= 1) this.#wait(leftMs, look);
      else next();
    };
    this.#wait(timing.patienceMs(this.#attempt), look);
  }

  /** One timer at a time: the newest says what comes next. */
  #wait(ms: number, next: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#drive.clock.after(ms, () => this.#over || next());
  }

  /** R2. Its write is needless once an open quorum has voted: where the rest of that is close, it waits for it. */
  #decide(message: Decide): void {
    const { clock, timing } = this.#drive;
    const waitMs = this.#canBeOpen() ? timing.lastVotes.waitMs(clock.now() - this.#leftMs) : 0;
    if (waitMs === 0) return this.#send(this.#context.me, message);
    this.#held = { message, cancel: clock.after(waitMs, () => this.#decideNow()) };
  }

  #decideNow(): void {
    if (this.#held === null || this.#over) return;
    const { message, cancel } = this.#held;
    this.#held = null;
    cancel();
    this.#waitedInVain = true;
    this.#send(this.#context.me, message);
  }

  #canBeOpen(): boolean {
    const { quorums, value } = this.#context;
    const { fastVotes, withheld } = this.#state;
    return value !== null && canStillBeOpen(quorums, fastVotes, new Set(withheld), value);
  }

  #send(to: NodeId, message: AcceptorMessage): void {
    const { acceptor, transport } = this.#drive;
    const { me } = this.#context;
    if (to === me) {
      const { clock } = this.#drive;
      const sinceMs = this.#ownSinceMs = clock.now();
      const done = () => {
        // Another one may have begun since.
        if (this.#ownSinceMs === sinceMs) this.#ownSinceMs = null;
        this.#ownDoneMs = clock.now();
        this.#ownTookMs = this.#ownDoneMs - sinceMs;
      };
      const { reply, isCasting } = message.type === "accept" && this.#state.phase === "self-vote" && !this.#isFresh
        ? acceptor.cast(message)
        : { reply: acceptor.handle(this.#isFresh ? freshOwn(message) : message, me), isCasting: false };
      reply.then(
        (reply) => {
          done();
          this.#heard(me, reply);
        },
        // An own write of unknown outcome is neither a vote nor none; the timer goes on from there.
        done,
      );
      if (isCasting) this.#feed({ type: "casting" });
      return;
    }
    if (message.type === "decide" || message.type === "recover" || message.type === "pick") return;
    this.#leftMs = this.#drive.clock.now();
    this.#drive.learning.superseded(message.key, message.instance);
    this.#drive.learning.along(to);
    const sent = this.#isFresh && message.type === "accept" ? freshSent(message) : message;
    transport.send(to, sent).then(
      (reply) => this.#heard(to, reply),
      // Silence is neither a vote nor "did not vote"; what is late is what it would have been.
      (error: PeerError) => void error.late?.then((reply) => this.#heard(to, reply)),
    );
  }

  #heard(from: NodeId, said: WireReply | SentReply): void {
    const reply = this.#isFresh ? freshReplyIn(said, this.#context.opening.instance) : acceptorReplyIn(said);
    if (reply === null) return;
    this.#feed({ type: "reply", from, reply });
    if (this.#held !== null && !this.#canBeOpen()) this.#decideNow();
  }

  #losers(winner: Value): readonly NodeId[] {
    const values = this.#state.fastVotes.flatMap(({ vote }) => vote === null ? [] : [vote.value]);
    const proposers = values.filter(({ id }) => id !== winner.id).map(({ proposer }) => proposer);
    return [...new Set(proposers)].filter((node) => node !== "" && node !== this.#context.me);
  }
}

/** What ended that instance; null: it is not over, or nobody said what did. */
function certificateOf(ending: Ending, instance: number): Certificate | null {
  if (ending.type === "decided") return ending.certificate;
  const decidedBy = ending.type === "over" ? ending.snapshot.decidedBy : null;
  return decidedBy?.instance === instance ? decidedBy : null;
}
