/**
 * Telling everybody what was decided (PROTOCOL.md §5): at once those that wait for it, the others within LEARN_DELAY_MS,
 * off the critical path, and again to those that were away, until they have it.
 */
import { LEARN_DELAY_MS } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Certificate, Learn, Value } from "../paxos/message.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import { type Clock, NO_TRACE, type Trace, type Transport } from "./ports.ts";

/** How often members that were away are tried again. */
const AGAIN_MS = 500;
/** Keys remembered per member that is away; beyond that it catches up when the key is next used. */
const LAGGING_MAX_KEYS = 10_000;
/** Keys sent to a returning member in one go. */
const AGAIN_MAX_KEYS = 256;

type Pending = { readonly learn: Learn; readonly to: readonly NodeId[]; readonly cancel: () => void };

export class Learning {
  readonly #acceptor: AcceptorHost;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #epoch: number;
  readonly #trace: Trace;
  readonly #pending = new Map<string, Pending>();
  readonly #lagging = new Map<NodeId, Set<string>>();
  #again: (() => void) | null = null;
  #closed = false;

  constructor(acceptor: AcceptorHost, transport: Transport, clock: Clock, epoch: number, trace: Trace = NO_TRACE) {
    this.#acceptor = acceptor;
    this.#transport = transport;
    this.#clock = clock;
    this.#epoch = epoch;
    this.#trace = trace;
  }

  /** Moves the own record on and tells the others; `atOnce` are those who wait. Resolves when the own record has it. */
  decided(key: string, certificate: Certificate, value: Value, atOnce: readonly NodeId[]): Promise<void> {
    const { me, quorums } = this.#acceptor.rules;
    if (this.#trace.on) this.#trace.record({ type: "decided", key, certificate, how: "drove" });
    const learn: Learn = { type: "learn", key, epoch: this.#epoch, instance: certificate.instance, certificate, value };
    const others = quorums.members.filter((member) => member !== me);
    this.#flush(key);
    for (const to of others) if (atOnce.includes(to)) this.#send(to, learn);
    const rest = others.filter((to) => !atOnce.includes(to));
    if (rest.length > 0 && !this.#closed) {
      this.#pending.set(key, { learn, to: rest, cancel: this.#clock.after(LEARN_DELAY_MS, () => this.#flush(key)) });
    }
    return this.#own(learn);
  }

  /** Moves only the own record on: the others learn it the same way. */
  learn(key: string, certificate: Certificate, value: Value): Promise<void> {
    const { instance } = certificate;
    if (this.#trace.on) this.#trace.record({ type: "decided", key, certificate, how: "counted" });
    return this.#own({ type: "learn", key, epoch: this.#epoch, instance, certificate, value });
  }

  /** The next message for the key is about to say it to the same members: no Learn is needed. */
  superseded(key: string): void {
    this.#pending.get(key)?.cancel();
    this.#pending.delete(key);
  }

  close(): void {
    this.#closed = true;
    for (const key of [...this.#pending.keys()]) this.superseded(key);
    this.#again?.();
    this.#lagging.clear();
  }

  #own(learn: Learn): Promise<void> {
    return this.#acceptor.handle(learn, this.#acceptor.rules.me).then(() => {}, () => {});
  }

  #flush(key: string): void {
    const pending = this.#pending.get(key);
    this.superseded(key);
    for (const to of pending?.to ?? []) this.#send(to, pending!.learn);
  }

  async #send(to: NodeId, learn: Learn): Promise<void> {
    const { key, instance } = learn;
    try {
      const reply = await this.#transport.send(to, "acceptor", learn);
      if (reply.type === "unavailable") this.#remember(to, key);
      if (reply.type !== "learned" || reply.instance > instance) return;
      // It missed more than this one decision: only the whole state helps.
      const { snapshot } = await this.#acceptor.view(key);
      await this.#transport.send(to, "acceptor", {
        ...learn,
        instance: snapshot.instance,
        certificate: null,
        snapshot,
      });
    } catch {
      // Leases are timed by every acceptor from when it learns of them, so nobody may be left out for long (§7).
      this.#remember(to, key);
    }
  }

  #remember(to: NodeId, key: string): void {
    const keys = this.#lagging.get(to) ?? new Set();
    if (keys.size < LAGGING_MAX_KEYS) keys.add(key);
    this.#lagging.set(to, keys);
    if (!this.#closed) this.#again ??= this.#clock.after(AGAIN_MS, () => this.#tryAgain());
  }

  async #tryAgain(): Promise<void> {
    await Promise.all([...this.#lagging].map(([to, keys]) => this.#catchUp(to, keys)));
    this.#again = null;
    if (!this.#closed && this.#lagging.size > 0) this.#again = this.#clock.after(AGAIN_MS, () => this.#tryAgain());
  }

  async #catchUp(to: NodeId, keys: Set<string>): Promise<void> {
    const some = [...keys].slice(0, AGAIN_MAX_KEYS);
    const [first, ...more] = some;
    // One key shows whether the member is back; only then the rest goes out.
    if (first === undefined || !await this.#sendState(to, first)) return;
    const delivered = await Promise.all(more.map((key) => this.#sendState(to, key)));
    keys.delete(first);
    more.forEach((key, i) => delivered[i] && keys.delete(key));
    if (keys.size === 0) this.#lagging.delete(to);
  }

  async #sendState(to: NodeId, key: string): Promise<boolean> {
    try {
      const { snapshot } = await this.#acceptor.view(key);
      const { instance } = snapshot;
      const learn: Learn = { type: "learn", key, epoch: this.#epoch, instance, certificate: null, snapshot };
      const reply = await this.#transport.send(to, "acceptor", learn);
      return reply.type !== "unavailable";
    } catch {
      return false;
    }
  }
}
