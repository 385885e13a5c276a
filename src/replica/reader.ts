/** Linearizable reads: a read quorum's views, no write (PROTOCOL.md §5). */
import { QuorateError } from "../errors.ts";
import { judgeRead, type ReadJudgement, type View } from "../paxos/learner.ts";
import type { Snapshot } from "../paxos/message.ts";
import type { KeyLogParts } from "./key_log.ts";
import { driveInstance } from "./proposer_host.ts";

export class Reader {
  readonly #parts: KeyLogParts;

  constructor(parts: KeyLogParts) {
    this.#parts = parts;
  }

  /** The newest decided state; every write that was answered before the call is in it. Rejects with `no-quorum`. */
  async read(key: string, timeoutMs: number): Promise<Snapshot> {
    const { clock } = this.#parts;
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort());
    try {
      while (!late.signal.aborted) {
        const judgement = await this.#ask(key, late.signal);
        if (judgement === null) break;
        const snapshot = await this.#conclude(key, judgement, late.signal);
        if (snapshot !== null) return snapshot;
      }
    } finally {
      cancel();
    }
    throw new QuorateError("no-quorum", "no read quorum answered in time", { outcome: "none" });
  }

  /** Asks everybody; a read quorum is enough unless what it saw is unsettled, then more views may settle it. */
  #ask(key: string, giveUp: AbortSignal): Promise<ReadJudgement | null> {
    const { acceptor, transport, clock, epoch, timing } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const views: View[] = [];
    const { promise, resolve } = Promise.withResolvers<ReadJudgement | null>();
    let cancelPatience = () => {};
    let open = quorums.members.length;
    const heard = (view: View | null) => {
      open--;
      if (view !== null) views.push(view);
      const judgement = judgeRead(quorums, views);
      if (judgement === null) return;
      if (judgement.type !== "unsettled" || open === 0) return resolve(judgement);
      cancelPatience();
      cancelPatience = clock.after(timing.loserMs(), () => resolve(judgement));
    };
    const message = { type: "read", key, epoch, instance: 1 } as const;
    for (const to of quorums.members) {
      const asked = to === me
        ? acceptor.view(key).then(({ snapshot, vote }) => ({ from: me, snapshot, vote }))
        : transport.send(to, "acceptor", message).then((reply) =>
          reply.type === "view" ? { from: to, snapshot: reply.snapshot, vote: reply.vote } : null
        );
      asked.then(heard, () => heard(null));
    }
    giveUp.addEventListener("abort", () => resolve(null), { once: true });
    return promise.finally(() => cancelPatience());
  }

  async #conclude(key: string, judgement: ReadJudgement, giveUp: AbortSignal): Promise<Snapshot | null> {
    const { acceptor, machine, epoch } = this.#parts;
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
        const context = { me, key, epoch, quorums, machine, opening: snapshot, value: null };
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
