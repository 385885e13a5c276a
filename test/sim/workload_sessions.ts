/**
 * Owners of sessions, who bind a lock and a value to each, keep it for a while, and then stop or end it; and a rival
 * without a session who wants the same lock. What is bound lasts as long as its session, and no longer.
 */
import { QuorateError } from "../../src/errors.ts";
import type { ReplicaNode } from "../../src/compose/node.ts";
import type { AcquireRequest, Caller } from "../../src/service/service.ts";
import { type Asker, type Call, outputOf, type Told } from "./asker.ts";
import { guaranteedUntilMs, type Sent } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import { type Granted, type Hold, Holder, REFUSALS } from "./holder.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";

const STREAM = 700;
const OWNERS = 3;
const PAUSE_MS = 300;
const TTL_MS = 5_000;
const WAIT_MS = 60_000;
/** A node that has heard of a session as alive does not ask again for so long whether it has ended. */
const ALIVE_MS = 3_000;
const CONTENT_TYPE = "text/plain";
/** Where a session was not opened, as far as anybody knows, there is nothing to be found. */
const FINAL: ReadonlySet<string> = new Set([...REFUSALS, "not-found"]);

type Answered<T> = Sent & { readonly body: T };

export class SessionWorkload extends NounWorkload {
  readonly #name: string;
  readonly #holds: Hold[] = [];
  /** All that were asked for; some may never have been opened. */
  readonly #ids: string[] = [];

  constructor(parts: WorkloadParts) {
    super(parts);
    // Beside the run's own locks.
    this.#name = `${nameOf(parts.world.plan.seed, 0)}/bound`;
  }

  override faults(): readonly string[] {
    return [...this.clients.faults, ...this.clients.exclusiveFaults(this.#holds)];
  }

  override async run(): Promise<void> {
    const owners = Array.from({ length: OWNERS }, (_, i) => this.#owner(`owner-${i}`, STREAM + i));
    await Promise.all([...owners, this.#rival("rival", STREAM + OWNERS)]);
  }

  /** Nobody keeps a session any more: its values vanish, and the lock can be had, when they and all leases are over. */
  override async healed(heal: Heal): Promise<void> {
    const { slowest } = this.clients.world;
    const calledMs = this.clients.now();
    const freeMs = (id: string, fromMs: number) => heal.freeMs(`session/${id}`, fromMs);
    const lastMs = () => Math.max(heal.freeMs(this.#key, calledMs), ...this.#ids.map((id) => freeMs(id, calledMs)));
    const { body, sentMs } = await heal.inTime(
      () => Math.max(calledMs, lastMs()) + ALIVE_MS / slowest,
      (node, caller) => node.locks.acquire(this.#name, this.#request("last", TTL_MS, WAIT_MS), caller),
      `${this.#key}: not to be had, though its sessions are kept no more`,
    );
    this.#granted(calledMs, { sentMs, rate: 1, body });
    const readMs = this.clients.now();
    await Promise.all(this.#ids.map((id) =>
      heal.inTime(
        () => Math.max(readMs, freeMs(id, readMs) + ALIVE_MS / slowest),
        (node, caller) => this.#isGone(node, id, caller),
        `kv/${this.#valueOf(id)}: there, though its session is kept no more`,
      )
    ));
  }

  /** An answer if there is no value; held, which is to be asked again, if there is one. */
  async #isGone(node: ReplicaNode, id: string, { timeoutMs }: Caller) {
    try {
      await node.registers.get(this.#valueOf(id), { stale: false, timeoutMs });
    } catch (error) {
      if (error instanceof QuorateError && error.code === "not-found") {
        return { body: null, receipt: { path: "read", instance: 0, ballot: "" } as const };
      }
      throw error;
    }
    throw new QuorateError("held", `session ${id} still has its value`);
  }

  get #key(): string {
    return `lock/${this.#name}`;
  }

  #valueOf(id: string): string {
    return `${this.#name}/${id}`;
  }

  #request(holder: string, ttlMs: number, waitMs: number): AcquireRequest {
    return { holder, ttlMs, waitMs, mode: "exclusive", lockDelayMs: 0 };
  }

  #granted(calledMs: number, { body, ...sent }: Answered<Granted>): Hold {
    const hold = {
      lock: this.#key,
      calledMs,
      returnedMs: this.clients.now(),
      fence: BigInt(body.fence),
      guaranteedUntilMs: guaranteedUntilMs(sent, body),
      releasedMs: Infinity,
    };
    this.#holds.push(hold);
    return hold;
  }

  async #rival(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, REFUSALS);
    const { random } = asker;
    const holder = new Holder(name, this.clients, asker);
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * PAUSE_MS);
      const ttlMs = 1_000;
      const waitMs = random.pick([0, 4_000]);
      const request = this.#request(name, ttlMs, waitMs);
      if (asker.isOver) return;
      await holder.use(`${name}-${i}`, {
        key: this.#key,
        ttlMs,
        input: request,
        waits: waitMs > 0,
        ask: (node, caller) => node.locks.acquire(this.#name, request, caller),
        renew: (node, fence, caller) => node.locks.renew(this.#name, fence, {}, caller),
        release: (node, fence, caller) => node.locks.release(this.#name, fence, caller),
        granted: (hold) => this.#holds.push(hold),
      });
    }
  }

  async #owner(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, FINAL);
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(asker.random.next() * PAUSE_MS);
      if (!asker.isOver) await this.#live(asker, name, `${name}-${i}`);
    }
  }

  /** One session, from its opening until its owner stops keeping it or ends it. */
  async #live(asker: Asker, holder: string, own: string): Promise<void> {
    const { random } = asker;
    const ttlMs = random.pick([1_500, 3_000]);
    const [keeps, ends, waitMs] = [random.below(5), random.chance(0.3), random.pick([0, 1_000])];
    const calledMs = this.clients.now();
    const opened = await this.#ask(
      asker,
      holder,
      "open",
      own,
      (node, caller) => node.sessions.open({ holder, ttlMs }, caller),
    );
    if (opened === null) return;
    const { id } = opened.body;
    this.#ids.push(id);
    const bytes = btoa(id);
    const put = { bytes, contentType: CONTENT_TYPE, session: id };
    await this.#ask(
      asker,
      holder,
      "put",
      `${own}-v`,
      (node, caller) => node.registers.put(this.#valueOf(id), put, caller),
    );
    const askedMs = this.clients.now();
    const request = { ...this.#request(holder, ttlMs, waitMs), session: id };
    const grant = await this.#ask(
      asker,
      holder,
      "acquire",
      `${own}-l`,
      (node, caller) => node.locks.acquire(this.#name, request, caller),
    );
    const session = { lock: `session/${id}`, calledMs, returnedMs: askedMs, fence: 0n, releasedMs: Infinity };
    const lasting: Hold[] = [{ ...session, guaranteedUntilMs: guaranteedUntilMs(opened, opened.body) }];
    if (grant !== null) lasting.push(this.#granted(askedMs, grant));
    for (let i = 0; i < keeps && !asker.isOver; i++) {
      await asker.sleep(ttlMs * random.next() / 2);
      if (!asker.isOver) await this.#keep(asker, holder, id, `${own}-k${i}`, lasting);
    }
    if (!ends || asker.isOver) return;
    for (const one of lasting) one.releasedMs = Math.min(one.releasedMs, this.clients.now());
    await this.#ask(asker, holder, "end", `${own}-x`, (node, caller) => node.sessions.end(id, caller));
  }

  /** All that is bound lasts as long as the session: neither may be lost before. */
  async #keep(asker: Asker, holder: string, id: string, own: string, lasting: readonly Hold[]): Promise<void> {
    const calledMs = this.clients.now();
    const told = await asker.ask(own, (node, caller) => node.sessions.keep(id, caller));
    this.#note(holder, "keep", told, calledMs);
    if (told === null) return;
    for (const one of lasting) {
      if ("answer" in told) {
        const untilMs = guaranteedUntilMs({ ...told, rate: asker.rate }, told.answer.body);
        one.guaranteedUntilMs = Math.max(one.guaranteedUntilMs, untilMs);
      } else if (told.code === "lost") this.clients.lost(one);
    }
  }

  /** Null: refused, or nobody knows. */
  async #ask<T>(asker: Asker, process: string, op: string, own: string, call: Call<T>): Promise<Answered<T> | null> {
    const calledMs = this.clients.now();
    const told = await asker.ask(own, call);
    this.#note(process, op, told, calledMs);
    if (told === null || "code" in told) return null;
    return { body: told.answer.body, sentMs: told.sentMs, rate: asker.rate };
  }

  #note<T>(process: string, op: string, told: Told<T> | null, callMs: number): void {
    this.clients.count(told);
    const key = op === "acquire" ? this.#key : "session";
    this.clients.note({ process, key, op, input: {}, output: outputOf(told), callMs });
  }
}
