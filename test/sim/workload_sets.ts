/**
 * Users of a few locks: some take several together, some one, an operator forces them free at times, and callers go away
 * while they wait: those with a key of their own, who might come back, and those without, who cannot. Whoever goes away had
 * asked for an hour, so that what is kept for it is seen.
 */
import { QuorateError } from "../../src/errors.ts";
import type { Grant } from "../../src/api.ts";
import { DRIFT, HANDOVER_TTL_MS } from "../../src/limits.ts";
import type { Caller } from "../../src/service/service.ts";
import { type Asker, type Call, TIMEOUT_MS } from "./asker.ts";
import { type Gone, leftBehind, notTogether, type Together } from "./check/left_behind.ts";
import { guaranteedUntilMs } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import { type Hold, REFUSALS } from "./holder.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";
import { SUBJECT } from "./world.ts";

const STREAM = 1_400;
const USERS = 6;
const NAMES = 4;
const PAUSE_MS = 300;
const HELD_MS = 300;
const LEAVES = 0.3;
const HOUR_MS = 3_600_000;
const FORCE_PAUSE_MS = 500;
const WAIT_MS = 60_000;
/** Callers who go away once all works again, and how long they stay. */
const GHOSTS = 6;
const GHOSTS_MS = 1_000;
const UNKNOWN: ReadonlySet<string> = new Set(["outcome-unknown"]);

type Kind = "set" | "lock";
type Leaving = {
  readonly waitMs: number;
  readonly isAnonymous: boolean;
  readonly leaves: Promise<unknown>;
  /** The process that was asked has died: nobody undoes what it had begun. */
  readonly onDeath?: () => void;
};
/** `isRepeated`: another try of it was sent before. */
type Refusal = { readonly error: QuorateError; readonly node: string; readonly isRepeated: boolean };
type Fence = readonly [name: string, fence: string];

export class SetWorkload extends NounWorkload {
  readonly #names: readonly string[];
  readonly #holds: Hold[] = [];
  readonly #together: Together[] = [];
  /** Requests nobody has a use for any more, and which node was to undo them. */
  readonly #gone: (Omit<Gone, "stayMs"> & { readonly node: { isDead: boolean }; readonly isRepeated: boolean })[] = [];
  /** Held for an hour by somebody who knows it. */
  readonly #open = new Map<string, Fence>();
  /** When each name was forced, as far as anybody knows. */
  readonly #forced: { readonly name: string; readonly fromMs: number; untilMs: number }[] = [];
  #healedMs = Infinity;
  /** What lapses later nobody wants: it may stay until a sweep comes to it. */
  #wantedUntilMs = Infinity;
  #allowedMs = 0;
  #shutDown = () => {};

  constructor(parts: WorkloadParts) {
    super(parts);
    const { seed } = parts.world.plan;
    this.#names = Array.from({ length: NAMES }, (_, i) => `${nameOf(seed, i)}/set`);
    parts.over.then(() => this.#shutDown());
  }

  override faults(): readonly string[] {
    const { decided } = this.clients.world;
    const { slowest } = this.clients.world;
    const lapseMs = HANDOVER_TTL_MS * (1 + DRIFT) / slowest;
    const gone = this.#gone.map(({ node, isRepeated, ...one }) => {
      // One lock is told at once: where the only node that knows that its caller has gone dies, it stays for its ttl.
      const ttlMs = node.isDead && one.keys.length === 1 ? HOUR_MS : 0;
      const stayMs = this.#allowedMs + ttlMs + (one.mayComeBack || node.isDead ? lapseMs : 0);
      // Likewise a set that it had begun to confirm: what came to be confirmed nobody is left to give back.
      // A try that was given up may be granted one of the set after another was refused: nobody confirms that, and it lapses.
      const lateMs = isRepeated && one.keys.length > 1 ? lapseMs : 0;
      return { ...one, stayMs, lateMs, ...(node.isDead ? { mayComeBack: true as const } : {}) };
    });
    const holds = this.#holds.map((hold) => ({ ...hold, releasedMs: this.#endOf(hold) }));
    return [
      ...this.clients.faults,
      ...leftBehind(decided, SUBJECT, gone, this.#healedMs, this.#wantedUntilMs),
      ...notTogether(decided, this.#together),
      ...this.clients.exclusiveFaults(holds),
    ];
  }

  /** A guarantee is over as soon as somebody may have forced the name. */
  #endOf({ lock, calledMs, releasedMs }: Hold): number {
    const forces = this.#forced.filter(({ name, untilMs }) => `lock/${name}` === lock && untilMs >= calledMs);
    return Math.min(releasedMs, ...forces.map(({ fromMs }) => Math.max(fromMs, calledMs)));
  }

  override async run(): Promise<void> {
    const users = Array.from({ length: USERS }, (_, i) => this.#user(`user-${i}`, STREAM + i));
    await Promise.all([...users, this.#operator(STREAM + USERS)]);
  }

  /** All can be had again, once what nobody took up has lapsed: they are wanted from the beginning on. */
  override async healed(heal: Heal): Promise<void> {
    const { world } = this.clients;
    const { clock, slowest } = world;
    this.#allowedMs = heal.allowedMs;
    this.#healedMs = clock.now();
    await Promise.all([...this.#open].map(([id, [name, fence]]) =>
      heal.inTime(
        () => this.#healedMs,
        (node, caller) => node.locks.release(name, fence, { ...caller, idempotencyKey: `${id}-z` }),
        `lock/${name} is not given back`,
      )
    ));
    let isFree = false;
    const wanting = this.#names.map((name) =>
      heal.inTime(
        () => isFree ? this.#healedMs : clock.now(),
        (node, caller) =>
          node.locks.acquire(
            name,
            { holder: "last", ttlMs: 1_000, waitMs: WAIT_MS, mode: "exclusive", lockDelayMs: 0 },
            caller,
          ),
        `lock/${name} is not to be had`,
      )
    );
    // Twice: a place may be granted just before it would lapse.
    await clock.sleep(2 * HANDOVER_TTL_MS * (1 + DRIFT) / slowest + 2 * heal.allowedMs);
    await Promise.all(this.#names.map((name) =>
      heal.inTime(
        () => clock.now(),
        (node, caller) => node.locks.force(name, "the end", caller),
        `lock/${name} cannot be forced`,
      )
    ));
    isFree = true;
    await Promise.all(wanting);
    await this.#ghosts(heal);
    this.#wantedUntilMs = clock.now();
  }

  /** Some wait for what another holds, and go; when it is given back the next gets it as if they had not been there. */
  async #ghosts(heal: Heal): Promise<void> {
    const { clock, slowest } = this.clients.world;
    const asker = this.clients.asker(STREAM + USERS + 1, REFUSALS);
    const [name, beside] = this.#names;
    const request = { holder: "owner", ttlMs: HOUR_MS, waitMs: WAIT_MS, mode: "exclusive", lockDelayMs: 0 } as const;
    const kept = await heal.inTime(
      () => clock.now(),
      (node, caller) => node.locks.acquire(name!, request, caller),
      `lock/${name} is not to be had`,
    );
    const isAnonymous = asker.random.chance(0.6);
    const leaves = clock.sleep(GHOSTS_MS);
    let mayStay = !isAnonymous;
    const onDeath = () => mayStay = true;
    await Promise.all(Array.from({ length: GHOSTS }, (_, i) => {
      const names = i % 2 === 0 ? [name!] : [name!, beside!];
      const leaving = { waitMs: WAIT_MS, isAnonymous, leaves, onDeath };
      return this.#askAndGo(asker, i % 2 === 0 ? "lock" : "set", names, `ghost-${i}`, leaving);
    }));
    // A process that another workload has stopped takes nobody out of a queue before it goes on.
    const { stalls, ids } = this.clients.world;
    mayStay ||= ids.some((id) => stalls.isStalled(id));
    const releasedMs = clock.now();
    await heal.inTime(
      () => releasedMs,
      (node, caller) => node.locks.release(name!, kept.body.fence, caller),
      `lock/${name} is not given back`,
    );
    const returnedMs = clock.now();
    const freeMs = () => returnedMs + (mayStay ? 2 * HANDOVER_TTL_MS * (1 + DRIFT) / slowest : 0);
    await Promise.all([name!, beside!].map((one) =>
      heal.inTime(
        freeMs,
        (node, caller) => node.locks.acquire(one, { ...request, holder: "next" }, caller),
        `lock/${one} is not to be had by who did not go away`,
      )
    ));
  }

  async #user(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, REFUSALS);
    const { random } = asker;
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * PAUSE_MS);
      const kind = random.pick(["set", "set", "lock"] as const);
      const names = this.#some(random, kind);
      const leaves = random.chance(LEAVES);
      if (asker.isOver) return;
      if (leaves) await this.#leave(asker, kind, names, `${name}-${i}`);
      else await this.#use(asker, kind, names, `${name}-${i}`);
    }
  }

  #some(random: Asker["random"], kind: Kind): readonly string[] {
    const left = [...this.#names];
    const count = kind === "lock" ? 1 : 2 + random.below(NAMES - 1);
    return Array.from({ length: count }, () => left.splice(random.below(left.length), 1)[0]!);
  }

  #call(kind: Kind, names: readonly string[], holder: string, ttlMs: number, waitMs: number): Call<readonly Grant[]> {
    const request = { holder, ttlMs, waitMs, mode: "exclusive", lockDelayMs: 0 } as const;
    return async (node, caller) => {
      if (kind === "lock") {
        const { body, receipt } = await node.locks.acquire(names[0]!, request, caller);
        return { body: [body], receipt };
      }
      const { body, receipt } = await node.locks.acquireAll(names, request, caller);
      return { body: body.grants, receipt };
    };
  }

  /** Takes them, keeps them for a while, and gives them back. */
  async #use(asker: Asker, kind: Kind, names: readonly string[], id: string): Promise<void> {
    const { random } = asker;
    const ttlMs = random.pick([1_000, 2_000, HOUR_MS]);
    const [waitMs, heldMs] = [random.pick([0, 500, 3_000]), random.next() * HELD_MS];
    const calledMs = this.clients.now();
    const keys = names.map((name) => `lock/${name}`);
    const told = await asker.ask(id, this.#call(kind, names, id, ttlMs, waitMs), { keys });
    this.clients.count(told);
    if (told === null) return;
    if ("code" in told) return await this.#refusedAll(asker, told, names, id);
    const { rate } = asker;
    const holds = this.#granted(id, calledMs, told.answer.body, (body) => guaranteedUntilMs({ ...told, rate }, body));
    for (const { name, fence } of told.answer.body) {
      if (ttlMs === HOUR_MS) this.#open.set(`${id}-${name}`, [name, fence]);
    }
    await asker.sleep(heldMs);
    if (asker.isOver) return;
    for (const hold of holds) hold.releasedMs = this.clients.now();
    await Promise.all(told.answer.body.map(({ name, fence }) => this.#release(asker, id, name, fence)));
  }

  async #release(asker: Asker, id: string, name: string, fence: string): Promise<void> {
    const released = await asker.ask(`${id}-${name}-x`, (node, caller) => node.locks.release(name, fence, caller));
    if (released !== null) this.#open.delete(`${id}-${name}`);
  }

  #granted(id: string, calledMs: number, grants: readonly Grant[], untilMs: (grant: Grant) => number): readonly Hold[] {
    this.#together.push({ id, fences: grants.map(({ name, fence }) => [`lock/${name}`, fence]) });
    const holds = grants.map((grant): Hold => ({
      lock: `lock/${grant.name}`,
      calledMs,
      returnedMs: this.clients.now(),
      fence: BigInt(grant.fence),
      guaranteedUntilMs: untilMs(grant),
      releasedMs: Infinity,
    }));
    this.#holds.push(...holds);
    return holds;
  }

  /** What it is told that it still has, it gives back. */
  async #refusedAll(
    asker: Asker,
    told: Refusal,
    names: readonly string[],
    id: string,
  ): Promise<void> {
    const { error } = told;
    this.#refused(told, names, id);
    for (const { name, fence } of stillHeldIn(error)) this.#open.set(`${id}-${name}`, [name, fence]);
    await Promise.all(stillHeldIn(error).map(({ name, fence }) => this.#release(asker, id, name, fence)));
  }

  #refused({ error, node, isRepeated }: Refusal, names: readonly string[], id: string): void {
    if (UNKNOWN.has(error.code)) return;
    const told = stillHeldIn(error).map(({ name, fence }) => `lock/${name} ${fence}`);
    this.#goes(`was told ${error.code}`, node, names, id, { told, isRepeated });
  }

  /** @param mayComeBack then what is not confirmed may stay for as long as what nobody takes up */
  #goes(
    what: string,
    process: string,
    names: readonly string[],
    id: string,
    { isRepeated = false, ...how }: Pick<Gone, "mayComeBack" | "told"> & { readonly isRepeated?: boolean },
  ): void {
    const node = { isDead: false };
    this.clients.world.deathOf(process).then(() => node.isDead = true);
    const keys = names.map((name) => `lock/${name}`);
    this.#gone.push({ what, keys, id, atMs: this.clients.now(), node, isRepeated, ...how });
  }

  /** Asks for an hour and goes away before it is answered, unless the answer comes first. */
  async #leave(asker: Asker, kind: Kind, names: readonly string[], id: string): Promise<void> {
    const { random } = asker;
    const [patienceMs, isAnonymous] = [random.next() * 1_500, random.chance(0.5)];
    const waitMs = random.pick([0, 3_000, 3_000]);
    const leaves = Promise.race([asker.sleep(patienceMs), new Promise<void>((resolve) => this.#onShutDown(resolve))]);
    const granted = await this.#askAndGo(asker, kind, names, id, { waitMs, isAnonymous, leaves });
    for (const { name, fence } of granted) await this.#release(asker, id, name, fence);
  }

  /** What it was granted before it went. */
  async #askAndGo(
    asker: Asker,
    kind: Kind,
    names: readonly string[],
    id: string,
    { waitMs, isAnonymous, leaves, onDeath }: Leaving,
  ): Promise<readonly Grant[]> {
    const { world } = this.clients;
    const node = asker.pickNode();
    if (node === undefined) return [];
    const left = new AbortController();
    const caller: Caller = {
      subject: SUBJECT,
      idempotencyKey: id,
      timeoutMs: TIMEOUT_MS,
      signal: left.signal,
      ...(isAnonymous ? { anonymous: true } : {}),
    };
    this.counts.operations++;
    let isUp = true;
    // A process that another workload has stopped gives nothing back before it goes on.
    let wasStalled = false;
    leaves.then(() => wasStalled = world.stalls.isStalled(node));
    world.deathOf(node).then(() => {
      isUp = false;
      onDeath?.();
    });
    const whose = isAnonymous ? "without a key of its own" : "with a key of its own";
    const what = `asked for ${kind === "set" ? "a set" : "a lock"} and went away ${whose}`;
    const call = this.#call(kind, names, id, HOUR_MS, waitMs);
    const calledMs = this.clients.now();
    for (const name of names) world.answers.tried(`lock/${name}`, id, calledMs, false);
    const asked = world.ask(node, (one) => call(one, caller)).then(
      ({ body }) => {
        // It held that in time, or nobody could have known better.
        for (const { name, fence } of body) this.#open.set(`${id}-${name}`, [name, fence]);
        if (!left.signal.aborted) this.#granted(id, calledMs, body, () => this.clients.now());
        return body;
      },
      (error) => {
        if (!(error instanceof QuorateError)) throw error;
        // Where it died nobody knows what it had confirmed.
        if (!isUp) return null;
        if (left.signal.aborted) {
          this.#goes(what, node, names, id, isAnonymous && !wasStalled ? {} : { mayComeBack: true });
        } else this.#refused({ error, node, isRepeated: false }, names, id);
        for (const { name, fence } of stillHeldIn(error)) this.#open.set(`${id}-${name}`, [name, fence]);
        return null;
      },
    );
    const first = await Promise.race([asked, leaves.then(() => "gone" as const)]);
    if (first === "gone") left.abort();
    else if (first === null) this.counts.refused++;
    else this.counts.done++;
    return first === "gone" || first === null ? [] : first;
  }

  #onShutDown(run: () => void): void {
    const before = this.#shutDown;
    this.#shutDown = () => {
      before();
      run();
    };
  }

  async #operator(stream: number): Promise<void> {
    const asker = this.clients.asker(stream, REFUSALS);
    const { random } = asker;
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * FORCE_PAUSE_MS);
      const name = random.pick(this.#names);
      if (asker.isOver) return;
      const force = { name, fromMs: this.clients.now(), untilMs: Infinity };
      this.#forced.push(force);
      const told = await asker.ask(`force-${i}`, (node, caller) => node.locks.force(name, "sim", caller));
      if (told !== null) force.untilMs = this.clients.now();
    }
  }
}

function stillHeldIn({ facts }: QuorateError): readonly { readonly name: string; readonly fence: string }[] {
  return (facts.more?.["stillHeld"] ?? []) as readonly { readonly name: string; readonly fence: string }[];
}
