/**
 * Requests of the client: each to one node after another, again and again, until one has said what becomes of it or the
 * caller's time is over. A write bears one Idempotency-Key, and where it may the instance last seen of its name, through all
 * of that.
 */
import { below, namedOf, targetOf } from "../http/named.ts";
import { TIMEOUT_DEFAULT_MS, TIMEOUT_MIN_MS } from "../limits.ts";
import { problemError, QuorateError } from "./error.ts";
import { askInTurn, type FailoverParts, type Fetch, isStream } from "./failover.ts";
import { askForInstance, bornAnew, instanceIn, Instances } from "./instances.ts";
import { endWhatIsOver, type Moment, momentOf } from "./lease.ts";
import { LearnedNodes } from "./members.ts";
import { Nearest } from "./nearest.ts";
import { wasNeverSent } from "./never_sent.ts";
import type { Outgoing } from "./outgoing.ts";
import { type ClientClock, paused, unlessAborted, type World } from "./world.ts";

/** One write, however often it is sent. */
export type Command = {
  key: string;
  /** As `Quorate-Born` says it. */
  born: number | undefined;
  /** How many times it was sent where it may have arrived. */
  sent: number;
  /** Some node may have done it, or do it yet. */
  isUnknown: boolean;
};

export type Call = {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Path and query, percent-encoded. */
  readonly target: string;
  readonly body?: object | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The write that this sends; none for a read. */
  readonly command?: Command;
  /** How long a node may rightly say nothing, beyond what its work takes. */
  readonly waitMs?: number;
  /** It may wait in a queue, where a second node would take its place over: it is not hedged. */
  readonly isQueued?: boolean;
  /** It takes no `timeoutMs`. */
  readonly isUntimed?: true;
};

export type CallLimits = {
  readonly signal?: AbortSignal | undefined;
  /** No try begins after this moment. Default: the client's timeout from now. */
  readonly untilMs?: number;
  /** Default: all of them, the nearest first. */
  readonly nodes?: readonly string[];
  /** Each node once, and no more. */
  readonly isOnce?: true;
  /** A node that says nothing for so long may be gone: the next is asked besides. Default: as long as a gateway waits. */
  readonly silenceMs?: number;
  /** Told which node is asked, each time. */
  readonly onNode?: (node: string) => void;
};

export type Reply = {
  readonly status: number;
  readonly headers: Headers;
  /** When the request was sent that this answers; what its answer says of times counts from then. */
  readonly sent: Moment;
  /** Whose answer it is, which need not be the node that was asked last; empty: none says what becomes of the request. */
  readonly node: string;
  /** A stream of events; null: `bytes` is all there is. */
  readonly events: ReadableStream<Uint8Array> | null;
  readonly bytes: Uint8Array<ArrayBuffer>;
};

const AGAIN_MIN_MS = 50;
const AGAIN_MAX_MS = 1_000;
/** So many nodes are asked, one after the other, what a name has come to. */
const ASKED_MAX = 3;
const ALIVE_WITHIN_MS = 1_000;
const ALIVE_FOR_MS = 2_000;

export type CallsOptions = {
  readonly nodes: readonly string[];
  readonly token: string | undefined;
  readonly timeoutMs: number;
  /** Nodes that become members are asked too. */
  readonly learnMembers: boolean;
  /** A second node is asked after so long. Default: none before the first is taken for gone. */
  readonly hedgeMs?: number | undefined;
};

export class Calls {
  readonly clock: ClientClock;
  readonly timeoutMs: number;
  readonly #world: World;
  readonly #token: string | undefined;
  readonly #hedgeMs: number | undefined;
  readonly #nearest: Nearest;
  readonly #learned: LearnedNodes | null;
  readonly #instances = new Instances();
  readonly #alive = new Map<string, { readonly atMs: number; readonly isAlive: Promise<boolean> }>();

  constructor(world: World, { nodes, token, timeoutMs, learnMembers, hedgeMs }: CallsOptions) {
    this.#world = world;
    this.clock = world.clock;
    this.timeoutMs = timeoutMs;
    this.#token = token;
    this.#hedgeMs = hedgeMs;
    this.#nearest = new Nearest(nodes, (node, signal) => this.#probe(node, signal), world.clock);
    this.#learned = learnMembers ? new LearnedNodes(world, nodes, (all) => this.#nearest.become(all)) : null;
  }

  /** Nearest first. */
  nodes(): Promise<readonly string[]> {
    return this.#nearest.order();
  }

  rttMs(node: string): number {
    return this.#nearest.rttMs(node);
  }

  /** A write that is applied each time it is sent, or at most once as long as it is remembered. */
  command(): Command {
    return { key: this.#world.newId(), born: undefined, sent: 0, isUnknown: false };
  }

  /** A write that is applied at most once for ever, if it can be known in time what its name has come to. */
  async bornCommand(target: string, signal?: AbortSignal): Promise<Command> {
    return { ...this.command(), born: await this.instanceOf(target, signal) };
  }

  /** The instance last seen of the name in `target`; of one not seen yet, or not `lately`, nodes are asked. */
  async instanceOf(
    target: string,
    signal: AbortSignal = new AbortController().signal,
    lately = true,
  ): Promise<number | undefined> {
    const named = namedOf(target);
    if (named === null) return undefined;
    const known = this.#instances.get(named);
    if (known !== undefined && lately) return known;
    const question = { method: "GET", target } as const;
    for (const node of (await unlessAborted(this.#nearest.order(), signal)).slice(0, ASKED_MAX)) {
      signal.throwIfAborted();
      const outgoing = this.#outgoing(question, TIMEOUT_DEFAULT_MS);
      await askForInstance(this.#parts(question), node, outgoing, below(target, "", "consistency=stale"), signal);
      const told = this.#instances.get(named);
      if (told !== undefined && told !== known) return told;
    }
    return known;
  }

  /**
   * Resolves with what a node says, also if it refuses. Rejects with the signal's reason; once the time is over with the last
   * problem, or with `outcome-unknown` if a write may have been done.
   */
  async ask(call: Call, limits: CallLimits = {}): Promise<Reply> {
    const { signal = new AbortController().signal, untilMs = this.clock.now() + this.timeoutMs } = limits;
    const { command } = call;
    let expiries = 0;
    for (let round = 0;; round++) {
      signal.throwIfAborted();
      const nodes = limits.nodes ?? await unlessAborted(this.#nearest.order(), signal);
      const sentBefore = command?.sent ?? 0;
      const sent = momentOf(this.clock);
      const leftMs = Math.max(TIMEOUT_MIN_MS, Math.floor(Math.min(TIMEOUT_DEFAULT_MS, untilMs - sent.nowMs)));
      const outgoing = this.#outgoing(call, leftMs);
      const hedgeMs = call.isQueued === true ? undefined : this.#hedgeMs;
      const start = { nodes, known: undefined, startedMs: sent.nowMs, silenceMs: limits.silenceMs, hedgeMs };
      const { response, node, isUnknown, born, isGone, isUndone } = await askInTurn(
        this.#parts(call, limits.onNode),
        outgoing,
        start,
        signal,
      );
      endWhatIsOver();
      // Where a node told it, it may be the only one that has it: with that the write is applied at most once.
      if (command !== undefined) command.born = born;
      if (isGone) {
        if (command !== undefined) command.isUnknown = true;
        await response?.body?.cancel();
        throw signal.reason;
      }
      const reply = response === null ? null : await replyOf(response, sent, node);
      if (command !== undefined) noteOutcome(command, isUnknown, sentBefore, reply);
      if (reply !== null && !isUnknown && !isPassing(reply)) {
        // Also where it was hedged, or another node declined it: then all tries of this round have expired, or did nothing.
        const isFirst = command?.born !== undefined && !command.isUnknown && isUndone === true && sentBefore === 0;
        if (!isFirst || !isExpired(reply)) return reply;
        // Nothing was done by any try: it is born anew.
        const born = bornAnew(command.born ?? 0, instanceIn(reply.headers), ++expiries);
        Object.assign(command, { key: this.#world.newId(), born, sent: 0 });
        continue;
      }
      const error = failureOf(call, reply);
      const againMs = error.problem?.["retryAfterMs"];
      const backOffMs = Math.min(AGAIN_MAX_MS, AGAIN_MIN_MS * 2 ** round) * (0.5 + Math.random() / 2);
      const pauseMs = Math.max(backOffMs, typeof againMs === "number" ? againMs : 0);
      if (limits.isOnce === true || this.clock.now() + pauseMs >= untilMs) throw error;
      await paused(this.clock, pauseMs, signal);
    }
  }

  /** Resolves with an answer of status 200 as JSON; rejects with what anything else says. */
  async json<T>(call: Call, limits?: CallLimits): Promise<{ readonly body: T; readonly sent: Moment }> {
    const reply = await this.ask(call, limits);
    return { body: saidIn<T>(call, reply), sent: reply.sent };
  }

  /** Whether the node has answered a moment ago, or does so now. */
  isAlive(node: string): Promise<boolean> {
    const known = this.#alive.get(node);
    if (known !== undefined && this.clock.now() - known.atMs < ALIVE_FOR_MS) return known.isAlive;
    const late = new AbortController();
    const cancel = this.clock.after(ALIVE_WITHIN_MS, () => late.abort());
    const isAlive = this.#probe(node, late.signal).then(() => true, () => false).finally(cancel);
    this.#alive.set(node, { atMs: this.clock.now(), isAlive });
    return isAlive;
  }

  /** It is asked last until it has been heard of again. */
  noteFailed(node: string): void {
    this.#nearest.noteFailed(node);
  }

  async #probe(node: string, signal: AbortSignal): Promise<void> {
    const response = await this.#world.fetch(`${node}/healthz`, { redirect: "manual", signal });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`${node} answers ${response.status}`);
  }

  /** Notes what every answer says of the name, and where a write may have arrived. */
  #parts({ target, command }: Pick<Call, "method" | "target" | "command">, onNode?: (node: string) => void) {
    const { fetch, clock } = this.#world;
    const named = namedOf(target);
    const noting: Fetch = async (url, init) => {
      const node = url.slice(0, url.indexOf(target));
      onNode?.(node);
      if (command !== undefined) command.sent++;
      try {
        const response = await fetch(url, init);
        if (named !== null) this.#instances.note(named, response.headers);
        this.#learned?.note(node, response.headers, this.#token === undefined ? null : `Bearer ${this.#token}`);
        return response;
      } catch (error) {
        if (command !== undefined && wasNeverSent(error)) command.sent--;
        throw error;
      }
    };
    return { nearest: this.#nearest, clock, fetch: noting } satisfies FailoverParts;
  }

  #outgoing(
    { method, target, body, headers: more = {}, command, waitMs = 0, isUntimed }: Call,
    timeoutMs: number,
  ): Outgoing {
    const headers = new Headers(more);
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    if (command !== undefined) headers.set("idempotency-key", command.key);
    if (command?.born !== undefined) headers.set("quorate-born", `${command.born}`);
    const isBytes = body === undefined || body instanceof Uint8Array;
    if (!isBytes) headers.set("content-type", "application/json");
    return {
      method,
      target: isUntimed ? target : `${target}${target.includes("?") ? "&" : "?"}timeoutMs=${timeoutMs}`,
      headers,
      body: isBytes ? body ?? null : new TextEncoder().encode(JSON.stringify(body)),
      said: undefined,
      isWrite: command !== undefined,
      idempotencyKey: command?.key,
      named: null,
      lacksBorn: command !== undefined && command.born === undefined && command.sent === 0 && !command.isUnknown,
      born: command?.born,
      mayRepeat: true,
      waitMs,
      timeoutMs,
    };
  }
}

/** How a request writes this name. Throws `invalid-request` for one that no URL can hold as it is. */
export function checkedTarget(noun: Parameters<typeof targetOf>[0], name: string): string {
  // Whatever makes a URL of it would fold it, and it would be another name.
  if (/^\.{0,2}$/.test(name) || !name.isWellFormed()) {
    throw new QuorateError("invalid-request", "a name is neither empty nor . nor .. nor half a surrogate pair", {
      retryable: false,
    });
  }
  return targetOf(noun, name);
}

/** What a refusal says. */
export function errorOf({ command }: Call, { status, bytes }: Pick<Reply, "status" | "bytes">): QuorateError {
  return problemError(status, jsonOf({ bytes }), command?.key);
}

/** What a node says in an answer of status 200. Throws what any other says, also one that is no node's, as a proxy's page. */
export function saidIn<T>(call: Call, reply: Pick<Reply, "status" | "bytes">): T {
  const said = reply.status === 200 ? jsonOf(reply) : undefined;
  if (typeof said !== "object" || said === null) throw errorOf(call, reply);
  return said as T;
}

/** Undefined: it is none. */
export function jsonOf({ bytes }: Pick<Reply, "bytes">): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

async function replyOf(response: Response, sent: Moment, node = ""): Promise<Reply> {
  const { status, headers } = response;
  if (isStream(response)) return { status, headers, sent, node, events: response.body, bytes: new Uint8Array() };
  return { status, headers, sent, node, events: null, bytes: new Uint8Array(await response.arrayBuffer()) };
}

/** The node cannot do it now, or the proxy reaches none: another time, or another node, may. */
function isPassing({ status }: Reply): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504;
}

function isExpired(reply: Reply): boolean {
  return reply.status === 409 && (jsonOf(reply) as { code?: unknown } | undefined)?.code === "expired-command";
}

function noteOutcome(command: Command, isUnknown: boolean, sentBefore: number, reply: Reply | null): void {
  command.isUnknown ||= isUnknown;
  // All who heard of it say that they did nothing.
  if (!isUnknown && reply !== null && isPassing(reply)) command.sent = sentBefore;
}

function failureOf(call: Call, reply: Reply | null): QuorateError {
  const { command } = call;
  const last = reply === null ? undefined : errorOf(call, reply);
  if (command?.isUnknown === true) {
    const facts = { retryable: true, outcome: "unknown", idempotencyKey: command.key } as const;
    const detail = "no node said in time what became of it";
    return new QuorateError("outcome-unknown", detail, { ...facts, problem: last?.problem });
  }
  if (last !== undefined) return last;
  const outcome = command === undefined ? undefined : "none" as const;
  return new QuorateError("not-ready", "no node answers", { retryable: true, outcome, idempotencyKey: command?.key });
}
