/**
 * When commands were made that this process sent of a key, and at which instances they were decided: what a hand-over that is answered
 * before its confirmation counts from (PROTOCOL.md §7).
 */
import type { Value } from "../paxos/message.ts";
import type { Clock } from "../ports.ts";
import type { AcceptorHost } from "../replica/acceptor_host.ts";

type OwnSendsParts = { readonly clock: Pick<Clock, "now">; readonly acceptor: Pick<AcceptorHost, "onMove"> };

/**
 * What tells a command from all others: its id, if that is random, or a random mark that it bears besides. An earlier command
 * of the same id, or another process's, has another one.
 */
export type Made = { readonly id: string; readonly ask?: string; readonly atMs: number };

/** A command of this process in the value decided at `instance`, which nobody had sent before `sentMs`. */
export type DecidedSend = { readonly instance: number; readonly sentMs: number };

/** So many are kept for each key, the newest: older ones would leave too little of a short lease. */
const KEPT_MAX = 64;

type KeySends = {
  users: number;
  readonly stop: () => void;
  /** Sent and not known to be decided: when each was made, by `markOf`. */
  readonly open: Map<string, number>;
  decided: DecidedSend[];
};

export class OwnSends {
  readonly #parts: OwnSendsParts;
  readonly #keys = new Map<string, KeySends>();

  constructor(parts: OwnSendsParts) {
    this.#parts = parts;
  }

  /** Nothing is noted of a key that nobody follows. Until the returned function is called. */
  follow(key: string): () => void {
    const sends = this.#keys.get(key) ?? this.#begin(key);
    sends.users++;
    return () => {
      sends.users--;
      if (sends.users > 0) return;
      sends.stop();
      this.#keys.delete(key);
    };
  }

  #begin(key: string): KeySends {
    const stop = this.#parts.acceptor.onMove(key, (_key, { instance }, value) => {
      if (value !== null) note(sends, instance - 1, value);
    });
    const sends: KeySends = { users: 0, stop, open: new Map(), decided: [] };
    this.#keys.set(key, sends);
    return sends;
  }

  /**
   * To be called before the command is sent. Sent again it counts from the same time, whatever is remembered of it.
   * @param made when its mark was made, before which nobody can have sent it
   */
  sending(key: string, made: Made): void {
    const open = this.#keys.get(key)?.open;
    if (open === undefined) return;
    open.set(markOf(made.id, made), made.atMs);
    const [oldest] = open.keys();
    if (open.size > 2 * KEPT_MAX) open.delete(oldest!);
  }

  of(key: string): readonly DecidedSend[] {
    return this.#keys.get(key)?.decided ?? [];
  }
}

/** The value was decided at `instance`. */
function note(sends: KeySends, instance: number, { commands }: Pick<Value, "commands">): void {
  for (const { id, op } of commands) {
    const mark = markOf(id, op);
    const sentMs = sends.open.get(mark);
    if (sentMs === undefined) continue;
    sends.open.delete(mark);
    sends.decided.push({ instance, sentMs });
  }
  if (sends.decided.length > KEPT_MAX) sends.decided = sends.decided.slice(-KEPT_MAX);
}

/** A take says itself which asking it is, as its id may be its caller's; every other command that is followed has a random id. */
function markOf(id: string, op: unknown): string {
  const { ask } = op as { readonly ask?: unknown };
  return typeof ask === "string" ? `${ask} ${id}` : id;
}
