/** Linearizable reads: a read quorum's views, no write (PROTOCOL.md §5). */
import { QuorateError } from "../errors.ts";
import { CONTRADICTED_MAX_KEYS } from "../limits.ts";
import { agreedState, judgeRead, newestStates, type ReadJudgement, type View } from "../paxos/learner.ts";
import type { Read } from "../paxos/message.ts";
import { sentSnapshot } from "../paxos/record.ts";
import type { Epochs } from "../members/epoch.ts";
import { judgeMemberRead, type MemberView } from "../members/read.ts";
import { type NodeId, STANDING } from "../paxos/ballot.ts";
import type { WireReply } from "../ports.ts";
import { Remembered } from "../remembered.ts";
import type { Newest } from "./learning.ts";
import type { SubmitterParts } from "./submitter.ts";
import type { Submitters } from "./submitters.ts";
import { driveInstance } from "./proposer_host.ts";

type Settled = Exclude<ReadJudgement, { readonly type: "contradicted" }>;
type Judgement = ReturnType<typeof judgeMemberRead>;

/** What reads have to know where a key may have no record of this epoch. */
export type Entering = {
  readonly epochsOf: (key: string) => Epochs;
  /** Brings the key into this epoch, or rejects. */
  readonly ensure: (key: string) => Promise<void>;
};

export class Reader {
  readonly #parts: SubmitterParts;
  readonly #submitters: Submitters;
  readonly #entering: Entering | null;
  /** By key, at which instance its members were last found to hold different states. */
  readonly #contradicted = new Remembered<number>(CONTRADICTED_MAX_KEYS);

  /** @param entering null: there is no epoch before this one */
  constructor(parts: SubmitterParts, submitters: Submitters, entering: Entering | null = null) {
    this.#entering = entering;
    this.#parts = parts;
    this.#submitters = submitters;
  }

  /** The newest decided state; every write that was answered before the call is in it. Rejects with `no-quorum`. */
  async read(key: string, timeoutMs: number): Promise<Newest> {
    const { clock, acceptor, learning } = this.#parts;
    const untilMs = clock.now() + timeoutMs;
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort());
    let detail = "no read quorum answered in time";
    try {
      while (!late.signal.aborted) {
        const judgement = await this.#ask(key, late.signal);
        if (judgement === null || judgement.type === "contradicted") {
          if (judgement !== null) detail = "the members that answer hold different states of it";
          // Too few answered, or the time is up; what was lost this time may get through the next.
          await this.#pause(late.signal);
          continue;
        }
        if (judgement.type === "import") {
          await Promise.race([this.#entering!.ensure(key), aborted(late.signal)]).catch(() => this.#pause(late.signal));
          continue;
        }
        const snapshot = await this.#conclude(key, judgement, late.signal, untilMs);
        if (snapshot === null) continue;
        // What a learner missed while it was away it has now.
        if (!acceptor.votes) await learning.install(key, snapshot);
        return snapshot;
      }
    } finally {
      cancel();
    }
    throw new QuorateError("no-quorum", detail, { outcome: "none" });
  }

  /** Asks everybody; a read quorum is enough unless what it saw settles nothing, then more views may. */
  #ask(key: string, giveUp: AbortSignal): Promise<Judgement> {
    const { acceptor, transport, clock, epoch, timing } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const views: View[] = [];
    /** What those say that have no record of this epoch. */
    const words: MemberView[] = [];
    const epochs = this.#entering?.epochsOf(key) ?? null;
    const asks = epochs === null ? quorums.members : membersOf(epochs);
    const { promise, resolve } = Promise.withResolvers<Judgement>();
    let cancelPatience = () => {};
    let open = asks.length;
    const heard = (from: NodeId, reply: WireReply | null) => {
      open--;
      if (reply?.type === "view") views.push({ from, snapshot: reply.snapshot, vote: reply.vote });
      if (reply?.type === "unimported") words.push({ from, ...reply });
      const judgement = epochs === null ? judgeRead(quorums, views) : judgeEntering(epochs, views, words);
      if (judgement === null) return open === 0 ? resolve(null) : undefined;
      if (views.length > 0) this.#expose(key, views);
      const isOpen = judgement.type === "unsettled" || judgement.type === "contradicted";
      if (!isOpen || open === 0) return resolve(judgement);
      cancelPatience();
      cancelPatience = clock.after(timing.loserMs(), () => resolve(judgement));
    };
    const message = { type: "read", key, epoch, instance: 1 } as const;
    for (const to of asks) {
      const asked = to === me ? this.#own(key, message) : transport.send(to, message);
      asked.then((reply) => heard(to, reply), () => heard(to, null));
    }
    giveUp.addEventListener("abort", () => resolve(null), { once: true });
    return promise.finally(() => cancelPatience());
  }

  /** As a peer would answer, from memory where that can be. */
  async #own(key: string, message: Read): Promise<WireReply> {
    const { acceptor, machine } = this.#parts;
    if (this.#entering !== null) return await acceptor.handle(message, acceptor.rules.me);
    const { snapshot, vote } = await acceptor.view(key);
    return { type: "view", snapshot: sentSnapshot(machine, snapshot), promised: STANDING, vote };
  }

  /**
   * Tells of members that hold different states of one instance: somebody's record is wrong. Where a read quorum agrees, it is
   * that of the others, and their records stop (PROTOCOL.md §3).
   */
  #expose(key: string, views: readonly View[]): void {
    const states = newestStates(views);
    if (states.length === 1) return;
    const { acceptor, transport, epoch, report } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const { instance } = states[0]![0]!.snapshot;
    if (this.#contradicted.get(key) !== instance) {
      this.#contradicted.set(key, instance);
      const held = states.map((some) =>
        `${some[0]!.snapshot.contentHash ?? some[0]!.snapshot.stateHash} at ${some.map(({ from }) => from).join(", ")}`
      );
      report(`members hold different states of ${JSON.stringify(key)} at instance ${instance}: ${held.join("; ")}`, {
        event: "contradiction",
        level: "error",
        names: [key],
      });
    }
    const agreed = agreedState(quorums, states);
    if (agreed === null) return;
    const { snapshot } = agreed[0]!;
    const learn = { type: "learn", key, epoch, instance, certificate: null, snapshot } as const;
    for (const { from } of states.filter((some) => some !== agreed).flat()) {
      // Unheard, it is told by the next read.
      if (from === me) acceptor.handle(learn, me).catch(() => {});
      else transport.send(from, learn).catch(() => {});
    }
  }

  #pause(giveUp: AbortSignal): Promise<void> {
    const { clock, timing } = this.#parts;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(timing.loserMs(), resolve);
    if (giveUp.aborted) resolve();
    giveUp.addEventListener("abort", () => resolve(), { once: true });
    return promise.finally(cancel);
  }

  async #conclude(
    key: string,
    judgement: Settled,
    giveUp: AbortSignal,
    untilMs: number,
  ): Promise<Newest | null> {
    const { acceptor, machine, epoch, random, clock } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const { snapshot } = judgement;
    const { instance } = snapshot;
    switch (judgement.type) {
      case "state":
        return snapshot;
      case "chosen": {
        const { value, certificate } = judgement.chosen;
        const state = machine.apply(snapshot.state, instance, value);
        return { instance: instance + 1, state, stateHash: machine.hash(state), decidedBy: certificate };
      }
      case "unsettled": {
        // Something may be decided there: it is settled by a ballot of our own, then read again.
        await acceptor.handle({ type: "learn", key, epoch, instance, certificate: null, snapshot }, me);
        if (!acceptor.votes) {
          // A node that owns no ballot has a command decided that changes nothing: the instance ends by it, or before it.
          const timeoutMs = Math.max(1, untilMs - clock.now());
          const op = { type: "keep-places", places: [] } as const;
          await this.#submitters.submit(key, { subject: me, id: random.id(), op, timeoutMs }).catch(() => {});
          return null;
        }
        const own = await acceptor.view(key);
        const fast = own.snapshot.instance === instance ? own.fast : null;
        const context = { me, key, epoch, quorums, machine, opening: snapshot, fast, value: null };
        const ending = await driveInstance(this.#parts, context, giveUp);
        if (ending.type === "idle") return snapshot;
        if (ending.type === "decided") {
          await this.#parts.learning.decided(key, ending.certificate, ending.value, quorums.members);
        }
        return null;
      }
    }
  }
}

function membersOf({ old, next }: Epochs): readonly NodeId[] {
  return [...new Set([...next.quorums.members, ...old.quorums.members])];
}

function judgeEntering(epochs: Epochs, views: readonly View[], words: readonly MemberView[]): Judgement {
  const judgement = judgeMemberRead(epochs, [...views, ...words]);
  if (judgement?.type !== "state" || views.length > 0) return judgement;
  return { type: "state", snapshot: { ...judgement.snapshot, isOfBefore: true } as Newest };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
