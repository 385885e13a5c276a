/**
 * One grant asked for, from the first request until it is there, refused, or given up: waited for in a queue, through
 * whichever nodes are there, under one Idempotency-Key as long as that may still have a place.
 */
import { below } from "../http/named.ts";
import { WAIT_MAX_MS } from "../limits.ts";
import { type Call, type CallLimits, type Calls, type Command, errorOf, type Reply, saidIn } from "./calls.ts";
import { problemError, QuorateError } from "./error.ts";
import { eventsOf, watchNode } from "./events.ts";
import { type Bound, boundOf, endWhatIsOver, firstToEnd, leftOf, type Moment } from "./lease.ts";
import type { Session } from "./sessions.ts";
import { paused } from "./world.ts";

/** What any grant may be asked for with. */
export interface TakeOptions {
  /** Its abort gives up: the promise rejects with its reason, and the place in the queue is left at once. */
  readonly signal?: AbortSignal;
  /**
   * How long the grant outlives its last renewal, in ms: 1,000 to 3,600,000. Default: 30,000. Not with `session`. Granted out of
   * the queue it lasts 10 s at most until it has renewed itself, a few seconds later.
   */
  readonly ttl?: number;
  /** How long to wait in the queue, in ms. Default: for ever. */
  readonly wait?: number;
  /** A label for people. Default: made up. The same holder never gets a lock twice at a time. */
  readonly holder?: string;
  /** More for people, up to 256 bytes. */
  readonly metadata?: string;
  /**
   * The grant lives as long as this session: it has no ttl of its own, and does not renew itself. If an admin ends this
   * grant alone, only `renew` tells.
   */
  readonly session?: Session;
  /** Called with the position in the queue, from 1, whenever that changes. Not for several locks. */
  readonly onPosition?: (position: number) => void;
}

/** As nodes tell it, whatever its noun. */
export type Told = {
  readonly name: string;
  readonly fence?: string;
  readonly term?: string;
  readonly waitedMs: number;
  readonly guaranteedForMs: number;
};

/** What is asked for: one name of any noun, or several locks. */
export type Asked = {
  /** `/v1/locks/NAME`; of several `/v1/locks`. */
  readonly target: string;
  /** One for each name, where several locks are asked for. Default: `target` alone. */
  readonly targets?: readonly string[];
  /** The names of `targets`, in their order, where several locks are asked for. */
  readonly names?: readonly string[] | null;
  readonly body: object;
  /** Infinity: for ever. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onPosition?: ((position: number) => void) | undefined;
};

type Streamed = Reply & { readonly events: ReadableStream<Uint8Array> };

export type Part = { readonly target: string; readonly told: Told };
export type Taken = { readonly parts: readonly Part[]; readonly bound: Bound };

/** A longer wait goes on in its place at some node before this one's time is over. */
const GO_ON_BEFORE_MS = 20_000;
/** What was refused, or broke off, is asked for again. */
const AGAIN_MS = 100;
/** So many grants in turn may be over when their answers come, and be given back. */
const LATE_MAX = 3;
/** Whoever gave up is told at once; what may yet be granted is looked for this long. */
const GIVE_UP_MS = 5_000;

/** `again`: with the same key, as its place may stand. `anew`: as a new request, as nothing can be left of this one. */
type Step =
  | { readonly type: "taken"; readonly taken: Taken }
  | { readonly type: "refused"; readonly error: QuorateError }
  | { readonly type: "again" }
  | { readonly type: "anew" };

/** The options that every noun's request has, as nodes name them. */
export function bodyOf({ ttl, metadata, session }: TakeOptions): object {
  return {
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(metadata !== undefined && { metadata }),
    ...(session !== undefined && { session: session.id }),
  };
}

/** Rejects with `held` if it is held at the end of the wait, with the signal's reason, and as `Calls.ask` does. */
export async function take(calls: Calls, asked: Asked): Promise<Taken> {
  const end = await takenOrRefused(calls, asked);
  if ("parts" in end) return end;
  // One code for the end of a wait, whatever was in the way.
  throw new QuorateError("held", end.message, { retryable: true, outcome: "none", problem: end.problem });
}

/** As `take`; null if it is held. */
export async function tryTake(calls: Calls, asked: Asked): Promise<Taken | null> {
  const end = await takenOrRefused(calls, asked);
  return "parts" in end ? end : null;
}

/** Resolves with the refusal if it is held at the end of the wait. */
async function takenOrRefused(calls: Calls, asked: Asked): Promise<Taken | QuorateError> {
  const { signal } = asked;
  signal?.throwIfAborted();
  const run = new TakeRun(calls, asked);
  if (signal === undefined) return await run.end;
  return await new Promise((resolve, reject) => {
    const giveUp = () => {
      endWhatIsOver();
      reject(signal.reason);
      run.giveUp();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    run.end.then(async (end) => {
      if (!signal.aborted || !("parts" in end)) return resolve(end);
      // Granted in the moment of the abort: whoever asked was told that it is not.
      await giveBackAll(calls, end.parts, calls.clock.now() + GIVE_UP_MS);
    }, reject).finally(() => signal.removeEventListener("abort", giveUp));
  });
}

class TakeRun {
  readonly end: Promise<Taken | QuorateError>;
  readonly #calls: Calls;
  readonly #asked: Asked;
  readonly #targets: readonly string[];
  /** Null: one name is asked for. */
  readonly #names: readonly string[] | null;
  readonly #untilMs: number;
  /** Aborts what is under way once nobody waits for it. */
  readonly #stop = new AbortController();
  #isGivenUp = false;
  #isQueued = false;
  /**
   * Whether it is said that what is granted renews itself; what has a session is kept by that, and of several locks none is told
   * before all are there. Said as long as it is not refused: nodes of 0.2.0 do not know it.
   */
  #renews: boolean;
  #node = "";
  #command: Command;
  /** The instances of several locks by name, fixed before the first send, as that of one is. */
  #born: Readonly<Record<string, number>> = {};

  constructor(calls: Calls, asked: Asked) {
    this.#calls = calls;
    this.#asked = asked;
    this.#targets = asked.targets ?? [asked.target];
    this.#names = asked.names ?? null;
    this.#renews = this.#names === null && !("session" in asked.body);
    this.#untilMs = calls.clock.now() + asked.waitMs;
    this.#command = calls.command();
    this.end = this.#run();
    // Nobody hears of it once it is given up.
    this.end.catch(() => {});
  }

  /** Nobody waits for it any more: its place is left, and what is granted all the same is given back. */
  giveUp(): void {
    this.#isGivenUp = true;
    // What is under way and not decided yet is awaited: else it could be granted behind this.
    if (this.#isQueued || this.#names !== null) this.#stop.abort();
    else {
      const cancel = this.#calls.clock.after(GIVE_UP_MS, () => this.#stop.abort());
      this.end.finally(cancel).catch(() => {});
    }
  }

  async #run(): Promise<Taken | QuorateError> {
    const { clock } = this.#calls;
    let late = 0;
    await this.#begin();
    for (;;) {
      if (this.#isGivenUp) {
        if (this.#command.sent > 0) await this.#leave();
        throw this.#asked.signal?.reason;
      }
      const step = await this.#ask().catch((error) => {
        if (this.#isGivenUp) return { type: "again" } as const;
        // It may be granted yet, or wait, and nobody would hear of it.
        if (this.#isQueued || this.#command.isUnknown) void this.#leave();
        throw error;
      });
      if (step.type === "taken") {
        // A process that slept since it was granted has nothing that it could be sure of.
        if (leftOf(step.taken.bound, clock) > 0) return step.taken;
        await giveBackAll(this.#calls, step.taken.parts, clock.now() + GIVE_UP_MS);
        // One that slept through its wait may ask once more; where each answer comes too late there is no end to it.
        if (this.#leftMs() === 0 && ++late >= LATE_MAX) throw tooLate();
      }
      // Nothing is left of it but where it may be done yet.
      if (this.#isGivenUp && step.type !== "again") throw this.#asked.signal?.reason;
      if (step.type === "refused" && this.#leftMs() === 0) return step.error;
      if (step.type !== "again") await this.#begin(step.type !== "anew");
      if (step.type !== "taken") await paused(clock, AGAIN_MS, this.#asked.signal);
    }
  }

  /**
   * A new command: what is not yet known of its names is asked for first.
   * @param lately what is known is new enough
   */
  async #begin(lately = true): Promise<void> {
    const { target, signal } = this.#asked;
    const [names, targets] = [this.#names, this.#targets];
    this.#isQueued = false;
    this.#command = names === null ? await this.#calls.bornCommand(target, signal) : this.#calls.command();
    if (names === null) return;
    // What several locks are answered with says nothing of their instances.
    const known = await Promise.all(targets.map((one) => this.#calls.instanceOf(one, signal, lately)));
    this.#born = Object.fromEntries(names.flatMap((name, i) => known[i] === undefined ? [] : [[name, known[i]]]));
  }

  /** Whole ms. */
  #leftMs(): number {
    const left = Math.max(0, this.#untilMs - this.#calls.clock.now());
    return left < 1 ? 0 : Math.floor(left);
  }

  async #ask(): Promise<Step> {
    const { target, body } = this.#asked;
    const names = this.#names;
    const leftMs = this.#leftMs();
    const waitMs = Math.min(WAIT_MAX_MS, leftMs);
    const isStream = waitMs > 0 && names === null;
    const born = names === null ? {} : { names, born: this.#born };
    const call = {
      method: "POST",
      target,
      body: { ...body, ...born, ...(this.#renews ? { renews: true } : {}), waitMs },
      command: this.#command,
      isQueued: waitMs > 0,
      ...(isStream ? { headers: { accept: "text/event-stream" } } : { waitMs }),
    } as const;
    const cut = new AbortController();
    // A set waits without a word; of one name the stream is watched once it is there.
    const stopWatching = waitMs > 0 && !isStream ? watchNode(this.#calls, () => this.#node, () => cut.abort()) : null;
    const signal = AbortSignal.any([this.#stop.signal, cut.signal]);
    let reply: Reply;
    try {
      const untilMs = this.#calls.clock.now() + this.#calls.timeoutMs + (isStream ? 0 : waitMs);
      reply = await this.#calls.ask(call, { signal, untilMs, onNode: (node) => this.#node = node });
    } catch (error) {
      if (cut.signal.aborted && !this.#stop.signal.aborted) return { type: "again" };
      throw error;
    } finally {
      stopWatching?.();
    }
    if (reply.events !== null) return await this.#follow(call, { ...reply, events: reply.events }, leftMs > waitMs);
    if (reply.status === 200) return this.#granted(saidIn(call, reply), reply.sent);
    return await this.#refused(errorOf(call, reply));
  }

  /** @param goesOn the wait is longer than a node takes at a time */
  async #follow(call: Call, { events, sent, node }: Streamed, goesOn: boolean): Promise<Step> {
    const cut = new AbortController();
    const stopWatching = watchNode(this.#calls, () => node, () => cut.abort());
    const cancel = this.#calls.clock.after(
      goesOn ? WAIT_MAX_MS - GO_ON_BEFORE_MS : WAIT_MAX_MS + GO_ON_BEFORE_MS,
      () => cut.abort(),
    );
    try {
      for await (const { event, data } of eventsOf(events, AbortSignal.any([cut.signal, this.#stop.signal]))) {
        if (event === "granted") return this.#granted(data, sent);
        if (event === "error") {
          const { status } = data as { status: number };
          return await this.#refused(problemError(status, data, call.command?.key));
        }
        if (event !== "queued") continue;
        this.#isQueued = true;
        if (this.#isGivenUp) return { type: "again" };
        this.#asked.onPosition?.((data as { position: number }).position);
      }
      // It broke off: whoever asks next had better ask another node.
      if (!cut.signal.aborted && !this.#isGivenUp) this.#calls.noteFailed(node);
      return { type: "again" };
    } finally {
      cancel();
      stopWatching();
    }
  }

  #granted(told: unknown, sent: Moment): Step {
    const { grants = [told] } = told as { grants?: readonly unknown[] };
    const parts = (grants as readonly Told[]).map((one, i) => ({ target: this.#targets[i]!, told: one }));
    return {
      type: "taken",
      taken: { parts, bound: firstToEnd(parts.map(({ told }) => boundOf(sent, told)), this.#calls.clock) },
    };
  }

  async #refused(error: QuorateError): Promise<Step> {
    await this.#release(error.problem?.["stillHeld"]);
    switch (error.code) {
      case "held":
      case "led":
      case "cooling":
        return { type: "refused", error };
      // An earlier try was granted, and that is over; or it is too old to be done any more, and nothing stands of it.
      case "lost":
        if (error.problem?.["session"] !== undefined) throw error;
        return { type: "anew" };
      case "expired-command":
        return { type: "anew" };
      case "outcome-unknown":
      case "no-quorum":
      case "not-ready":
      case "overloaded":
        return { type: "again" };
      case "invalid-request":
        if (!this.#renews || error.problem?.["field"] !== "renews") throw error;
        this.#renews = false;
        return { type: "again" };
      default:
        throw error;
    }
  }

  /** Gives back what an earlier try of a set that is refused now was answered with, and nobody heard. */
  async #release(stillHeld: unknown): Promise<void> {
    if (!Array.isArray(stillHeld)) return;
    const parts = (stillHeld as readonly { name: string; fence: string }[]).flatMap(({ name, fence }) => {
      const target = this.#targets[this.#names?.indexOf(name) ?? 0];
      return target === undefined ? [] : [{ target, told: { name, fence, waitedMs: 0, guaranteedForMs: 0 } }];
    });
    await giveBackAll(this.#calls, parts, this.#calls.clock.now() + GIVE_UP_MS);
  }

  async #leave(): Promise<void> {
    const untilMs = this.#calls.clock.now() + GIVE_UP_MS;
    await Promise.allSettled(this.#targets.map(async (target) => {
      const call = {
        method: "DELETE",
        target: below(target, `/queue/${encodeURIComponent(this.#command.key)}`),
        command: this.#calls.command(),
      } as const;
      const { body } = await this.#calls.json<{ outcome: string; fence?: string }>(call, { untilMs });
      if (body.outcome !== "granted" || body.fence === undefined) return;
      const told = { name: "", fence: body.fence, waitedMs: 0, guaranteedForMs: 0 };
      await giveBackAll(this.#calls, [{ target, told }], untilMs);
    }));
  }
}

function tooLate(): QuorateError {
  const facts = { retryable: true, outcome: "none" } as const;
  return new QuorateError(
    "not-ready",
    "each grant was over by the time its answer came; a longer ttl leaves more",
    facts,
  );
}

export function fenceIn({ fence, term }: Pick<Told, "fence" | "term">): string {
  return fence ?? term ?? "0";
}

/** Resolves once a node confirmed it; rejects as `Calls.json` does. */
export async function giveBack(calls: Calls, { target, told }: Part, limits: CallLimits): Promise<void> {
  const path = below(target, `/${fenceIn(told)}`);
  await calls.json({ method: "DELETE", target: path, command: calls.command() }, limits);
}

/** Whatever comes of it: what cannot be given back lapses by itself. */
async function giveBackAll(calls: Calls, parts: readonly Part[], untilMs: number): Promise<void> {
  await Promise.allSettled(parts.map((part) => giveBack(calls, part, { untilMs })));
}
