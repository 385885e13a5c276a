/** The machine under the log: applies decided values to the state of one key. Pure, and equal on every node. */
import { unreachable } from "../assert.ts";
import type { Command, Machine, Mode, State, Value } from "../paxos/message.ts";
import { Remembered } from "../remembered.ts";
import {
  addEntry,
  bodyOf,
  commandKey,
  type Digest,
  type Entry,
  findEntry,
  type Floor,
  floorOf,
  isRepeatable,
  NO_TAG,
  REPEATABLE_TAG,
  subjectTag,
} from "./dedup.ts";
import { contentHashOf, hashOf, link } from "./chain.ts";
import { campaign, proclaim } from "./election.ts";
import { forget } from "./forget.ts";
import { force, keepPlaces, leave, release, renew } from "./grants.ts";
import { endLapsed, leasesOf } from "./lease.ts";
import { acquire } from "./lock.ts";
import type { Hold, KeepPlaces, Op, Place, Result } from "./op.ts";
import { orderCommands } from "./order.ts";
import { indexInState, indexOfPlace, unpackPlace } from "./place.ts";
import { readOp } from "./read_op.ts";
import { put, remove } from "./register.ts";
import type { Kept } from "./result_code.ts";
import { take } from "./semaphore.ts";
import { bind, close, endSession, keep, open, unbind } from "./session.ts";
import {
  closeDraft,
  type Draft,
  emptyState,
  entriesOf,
  type KeyState,
  keyState,
  type Kind,
  openDraft,
  type Session,
} from "./state.ts";

/** Names of subjects and commands whose digests are remembered: those of the commands under way, and some more. */
const NAMES_MAX = 512;

export type Applied = {
  readonly state: KeyState;
  /** One for each command of the value, in its order. */
  readonly results: readonly Result[];
};

export interface LockMachine extends Machine {
  init(mode: Mode): KeyState;
  apply(state: State, instance: number, value: Value): KeyState;
  /** `apply` that also says what each command came to, those included that leave no trace in the window. */
  applyWithResults(state: State, instance: number, value: Value): Applied;
  /**
   * What this command came to, read from a state at or after the one it was applied in: the first result;
   * `idempotency-mismatch` if that id asked for something else; `expired-command` if it may have been applied too long
   * ago to tell; null if it was not applied. `keep-places` is always null: send a new one.
   */
  resultOf(state: State, command: Command): Result | null;
  /** The first result of (subject, id) while the window has it, whatever it asked for. */
  lookup(state: State, subject: string, id: string): Result | null;
  /** The instance that (subject, id) was applied in, while the window has it. */
  appliedAt(state: State, subject: string, id: string): number | null;
  /** The version of the rules that a state is applied by. */
  versionOf(state: State): number;
  /** The lowest version whose rules this op relies on. */
  versionFor(op: Command["op"]): number;
  /** Whether a command of this op may be applied anew whenever it is repeated. */
  isRepeatable(op: Command["op"]): boolean;
  /** Id of the place in which this command waits or waited, 16 hex digits. */
  placeId(subject: string, commandId: string): string;
  /** What this acquire holds now, or null. */
  holdOfCommand(state: State, subject: string, commandId: string): Hold | null;
  /** Where this acquire waits now, position from 1, or null. */
  placeOfCommand(
    state: State,
    subject: string,
    commandId: string,
  ): { readonly place: Place; readonly position: number } | null;
}

/** The hash of all that a state says. Throws for one of a version that this code does not know. */
export function wholeHashOf(machine: Pick<Machine, "hash" | "contentHash">, state: State): string {
  keyState(state);
  return machine.contentHash(state) ?? machine.hash(state);
}

/** `digest` is SHA-256 in hex. */
export function createMachine({ digest }: { readonly digest: Digest }): LockMachine {
  const digests = { digest, named: remembering(digest) };
  const keyOf = (subject: string, id: string) => commandKey(digests.named, subject, id);

  /** A node that proposed a value applies it for its record and for its callers: the same objects both times. */
  const latest = new WeakMap<State, { readonly instance: number; readonly value: Value; readonly applied: Applied }>();

  function applyWithResults(state: State, instance: number, value: Value): Applied {
    const last = latest.get(state);
    if (last?.value === value && last.instance === instance) return last.applied;
    const applied = applyAnew(state, instance, value);
    latest.set(state, { instance, value, applied });
    return applied;
  }

  function applyAnew(state: State, instance: number, value: Value): Applied {
    const before = keyState(state);
    const draft = openDraft(before, instance, value);
    if (value.claims !== undefined) {
      draft.atMs = labelOf(value);
      endLapsed(draft, value.claims);
    }
    const results = value.commands.map((command) => applyOnce(draft, command, digests));
    return { state: link(digest, closeDraft(draft), { before, instance, value, results }), results };
  }

  return {
    init: emptyState,
    applyWithResults,
    apply: (state, instance, value) => applyWithResults(state, instance, value).state,
    leases: (state) => leasesOf(keyState(state)),
    hash: (state) => hashOf(digest, state as KeyState),
    contentHash: (state) => contentHashOf(digest, state as KeyState),
    order: orderCommands,
    resultOf(state, command) {
      const op = readOp(command.op);
      if (op === null || !fitsKind(op, keyState(state).kind)) return { outcome: "unknown-op" };
      if (op.type === "keep-places") return null;
      const known = keyState(state);
      const { version, holders, queue, session = null, evicted, floors = [] } = known;
      const entries = entriesOf(known);
      return firstResult(
        { version, holders, queue, session, entries, evicted, floors },
        identify(command, op, digests),
      );
    },
    lookup: (state, subject, id) => findEntry(entriesOf(keyState(state)), keyOf(subject, id))?.result ?? null,
    appliedAt: (state, subject, id) => findEntry(entriesOf(keyState(state)), keyOf(subject, id))?.instance ?? null,
    versionOf: (state) => keyState(state).version,
    versionFor(op) {
      const read = readOp(op);
      if (read?.type === "keep-places" && read.forget !== undefined) return 4;
      // By the rules of version 1 a lock of a set is never provisional.
      return read?.type === "acquire" && read.set !== undefined ? 2 : 1;
    },
    isRepeatable(op) {
      const read = readOp(op);
      return read !== null && isRepeatable(read);
    },
    placeId: keyOf,
    holdOfCommand(state, subject, commandId) {
      const key = keyOf(subject, commandId);
      return keyState(state).holders.find((hold) => hold.command === key) ?? null;
    },
    placeOfCommand(state, subject, commandId) {
      const { queue } = keyState(state);
      const index = indexInState(queue, keyOf(subject, commandId));
      const row = queue[index];
      return row === undefined ? null : { place: unpackPlace(row), position: index + 1 };
    },
  };
}

/** A claim has no label of its own; the commands that came with it have. */
function labelOf(value: Value): number {
  return Math.max(0, ...value.commands.map(({ op }) => labelOfOp(readOp(op))));
}

function labelOfOp(op: Op | null): number {
  return op !== null && "atMs" in op ? op.atMs ?? 0 : 0;
}

/** PROTOCOL.md §6: the first result again, or this command's own. */
function applyOnce(draft: Draft, command: Command, digests: Digests): Result {
  const op = readOp(command.op);
  if (op === null || !fitsKind(op, draft.kind)) return { outcome: "unknown-op" };
  // Repeated late it only keeps a place for another 10 s; in the window it would crowd out what must be found there.
  if (op.type === "keep-places") {
    if (op.forget !== undefined) forget(draft, op.forget);
    return keepPlaces(draft, command.subject, op);
  }
  const asked = identify(command, op, digests);
  const { version, holders, queue, session, window: { items, evicted, floors } } = draft;
  const first = firstResult({ version, holders, queue, session, entries: items, evicted, floors }, asked);
  if (first !== null) return first;
  draft.atMs = labelOfOp(op) || draft.atMs;
  const result = execute(draft, command.subject, asked.key, op);
  addEntry(draft.window, draft.version === 1 ? NO_TAG : asked.tag, asked.key, asked.body, draft.instance, result);
  return result;
}

/** A key's name begins with its noun, so an op of another one is some sender's mistake. */
function fitsKind(op: Op, kind: Kind): boolean {
  switch (op.type) {
    case "acquire":
      return kind === "unused" || kind === "lock";
    case "take":
      return kind === "unused" || kind === "semaphore";
    case "campaign":
    case "proclaim":
      return kind === "unused" || kind === "election";
    case "put":
    case "delete":
      return kind === "unused" || kind === "register";
    case "renew":
    case "release":
    case "force":
    case "leave":
      return kind !== "register" && kind !== "session";
    case "open":
    case "keep":
    case "bind":
    case "unbind":
    case "close":
      return kind === "unused" || kind === "session";
    case "end-session":
      return kind !== "session";
    case "keep-places":
      // Without places it changes nothing, and so is what a value says that only claims a lapse.
      return true;
    default:
      return unreachable(op);
  }
}

type OnceOp = Exclude<Op, KeepPlaces>;

/** The one dispatcher; each noun adds its cases. */
function execute(draft: Draft, subject: string, key: string, op: OnceOp): Kept {
  switch (op.type) {
    case "acquire":
      return acquire(draft, subject, key, op);
    case "take":
      return take(draft, subject, key, op);
    case "campaign":
      return campaign(draft, subject, key, op);
    case "renew":
      return renew(draft, subject, op);
    case "proclaim":
      return proclaim(draft, subject, op);
    case "release":
      return release(draft, subject, op);
    case "force":
      return force(draft, op);
    case "leave":
      return leave(draft, subject, op);
    case "put":
      return put(draft, op);
    case "delete":
      return remove(draft, op);
    case "open":
      return open(draft, subject, key, op);
    case "keep":
      return keep(draft, subject);
    case "bind":
      return bind(draft, subject, op);
    case "unbind":
      return unbind(draft, op);
    case "close":
      return close(draft, subject);
    case "end-session":
      return endSession(draft, op);
    default:
      return unreachable(op);
  }
}

type Asked = {
  readonly key: string;
  readonly body: string;
  readonly tag: string;
  readonly born: number;
  readonly op: OnceOp;
};

/** `named` remembers what it made of the names of subjects and commands, which are asked for again and again. */
type Digests = { readonly digest: Digest; readonly named: Digest };

function remembering(digest: Digest): Digest {
  const known = new Remembered<string>(NAMES_MAX);
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const made = digest(text);
    known.set(text, made);
    return made;
  };
}

function identify({ subject, id, born, op: given }: Command, op: OnceOp, { digest, named }: Digests): Asked {
  const known = identified.get(given);
  if (known !== undefined && known.subject === subject && known.id === id) return { ...known.asked, born, op };
  const key = commandKey(named, subject, id);
  const tag = isRepeatable(op) ? REPEATABLE_TAG : subjectTag(named, subject);
  const asked = { key, body: bodyOf(digest, op), tag };
  identified.set(given, { subject, id, asked });
  return { ...asked, born, op };
}

/** A command that waits is looked for in every state that its name passes through: what it is called is worked out once. */
const identified = new WeakMap<
  Command["op"],
  { readonly subject: string; readonly id: string; readonly asked: Pick<Asked, "key" | "body" | "tag"> }
>();

type Known = Pick<KeyState, "version" | "holders" | "queue" | "evicted"> & {
  /** Those of the window. */
  readonly entries: readonly string[];
  readonly floors: readonly Floor[];
  readonly session: Session | null;
};

/** What is known of a command already; null if it was certainly never applied. */
function firstResult(known: Known, asked: Asked): Result | null {
  const entry = findEntry(known.entries, asked.key);
  if (entry !== null && !isAskedAnew(known, entry, asked)) {
    return entry.body === asked.body ? entry.result : { outcome: "idempotency-mismatch" };
  }
  // A hold may outlive its window by hours, and a waiter that comes back for it must not be told "expired".
  const living = livingResult(known, asked);
  if (living !== null) return living;
  const { version, evicted, floors } = known;
  const floor = version === 1 ? evicted : floorOf({ evicted, floors }, asked.tag);
  return asked.born <= floor ? { outcome: "expired-command" } : null;
}

/** Outcomes that are refusals for now. */
export const REFUSED: ReadonlySet<Result["outcome"]> = new Set(["held", "cooling", "queue-full", "limit-mismatch"]);

/** A refusal for now stands for all copies of what was refused, and not for what is asked after it. */
function isAskedAnew({ version }: Known, { instance, result }: Entry, { born }: Asked): boolean {
  return version > 1 && REFUSED.has(result.outcome) && born > instance;
}

/** What a command comes to that holds or waits still; null if it does neither. */
function livingResult({ holders, queue, session }: Known, { key, op }: Asked): Result | null {
  if (session?.command === key) {
    const isSame = op.type === "open" && op.holder === session.holder && op.ttlMs === session.ttlMs;
    return isSame ? { outcome: "opened", ttlMs: session.ttlMs } : { outcome: "idempotency-mismatch" };
  }
  const hold = holders.find(({ command }) => command === key);
  const index = hold === undefined ? indexOfPlace(queue, key) : -1;
  const row = queue[index];
  const living = hold ?? (row === undefined ? undefined : unpackPlace(row));
  if (living === undefined) return null;
  if (!asksFor(op, living)) return { outcome: "idempotency-mismatch" };
  if (hold !== undefined) return { outcome: "granted", fence: hold.fence, ttlMs: hold.ttlMs };
  return { outcome: "queued", place: key, position: index + 1 };
}

/** Renewals may have changed ttl and, of a leader, value, so they are not compared. */
function asksFor(op: OnceOp, living: Hold | Place): boolean {
  switch (op.type) {
    case "campaign":
      return op.candidate === living.holder && op.session === living.session;
    case "acquire":
      return op.holder === living.holder && op.mode === living.mode && op.lockDelayMs === living.lockDelayMs &&
        op.metadata === living.metadata && op.session === living.session;
    case "take":
      return op.holder === living.holder && op.permits === living.permits && op.lockDelayMs === living.lockDelayMs &&
        op.metadata === living.metadata && op.session === living.session;
    default:
      return false;
  }
}
