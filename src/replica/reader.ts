/** Linearizable reads: a read quorum's views, no write (PROTOCOL.md §5). */
import { QuorateError } from "../errors.ts";
import { judgeRead, type ReadJudgement, type View } from "../paxos/learner.ts";
import type { Snapshot } from "../paxos/message.ts";
import type { KeyLogParts } from "./key_log.ts";
import type { KeyLogs } from "./key_logs.ts";
import { driveInstance } from "./proposer_host.ts";

export class Reader {
  readonly #parts: KeyLogParts;
  readonly #logs: KeyLogs;

  constructor(parts: KeyLogParts, logs: KeyLogs) {
    this.#parts = parts;
    this.#logs = logs;
  }

  /** The newest decided state; every write that was answered before the call is in it. Rejects with `no-quorum`. */
  async read(key: string, timeoutMs: number): Promise<Snapshot> {
    const { clock, acceptor, learning } = this.#parts;
    const untilMs = clock.now() + timeoutMs;
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort());
    try {
      while (!late.signal.aborted) {
        const judgement = await this.#ask(key, late.signal);
        if (judgement === null) {
          // Too few answered, or the time is up; what was lost this time may get through the next.
          await this.#pause(late.signal);
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
      if (judgement === null) return open === 0 ? resolve(null) : undefined;
      if (judgement.type !== "unsettled" || open === 0) return resolve(judgement);
      cancelPatience();
      cancelPatience = clock.after(timing.loserMs(), () => resolve(judgement));
    };
    const message = { type: "read", key, epoch, instance: 1 } as const;
    for (const to of quorums.members) {
      const asked = to === me
        ? acceptor.view(key).then(({ snapshot, vote }) => ({ from: me, snapshot, vote }))
        : transport.send(to, message).then((reply) =>
          reply.type === "view" ? { from: to, snapshot: reply.snapshot, vote: reply.vote } : null
        );
      asked.then(heard, () => heard(null));
    }
    giveUp.addEventListener("abort", () => resolve(null), { once: true });
    return promise.finally(() => cancelPatience());
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
    judgement: ReadJudgement,
    giveUp: AbortSignal,
    untilMs: number,
  ): Promise<Snapshot | null> {
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
          await this.#logs.submit(key, { subject: me, id: random.id(), op, timeoutMs }).catch(() => {});
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
