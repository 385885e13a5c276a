/** S of one key: plain JSON, built in one order of fields, so that its text is the same on every node. */
import { assert, unreachable } from "../assert.ts";
import { HISTORY_ITEMS } from "../limits.ts";
import type { Mode, State, Value } from "../paxos/message.ts";
import { openWindow, trimWindow, type Window } from "./dedup.ts";
import { numberOf } from "./fence.ts";
import type { Ended, Hold } from "./op.ts";
import type { PlaceRow } from "./place.ts";
import { trimToRow } from "./size.ts";

/** What a key is used for; its name begins with the noun, so one key never serves two. */
export type Kind = "unused" | "lock" | "election" | "semaphore" | "register" | "session";

export type RegisterValue = {
  /** Base64. */
  readonly bytes: string;
  readonly contentType: string;
  /** Of a value that ends unless it is put again: the value id that put it last, and for how long that counts. */
  readonly lease?: { readonly by: string; readonly ttlMs: number };
  /** Of a value that ends with this session. */
  readonly session?: string;
};
export type Register = {
  /** Null: there is none. Fence and revision outlive it. */
  readonly value: RegisterValue | null;
  /** The highest that any write brought; "0" if none did. */
  readonly fence: string;
};

export type Session = {
  /** Whose it is: nobody else may keep it, end it or bind to it. */
  readonly subject: string;
  readonly holder: string;
  readonly ttlMs: number;
  /** Key of the command that opened it. */
  readonly command: string;
  /** Id of the value that opened or last renewed it: names its lease. */
  readonly by: string;
  /** Keys in whose logs something may be bound to it, each with the instance that last bound it; the oldest first. */
  readonly names: readonly (readonly [key: string, at: number])[];
  /** Final. */
  readonly ended: { readonly how: "closed" | "lapsed"; readonly instance: number } | null;
};

/** A lease of nobody: nothing is granted until a claim names it and ends it (PROTOCOL.md §7). */
export type Cooling = { readonly by: string; readonly ttlMs: number };

export type KeyState = State & {
  readonly mode: Mode;
  /** Of these rules; raised by a decided command only (PROTOCOL.md §3). */
  readonly version: 1;
  /** The noun that uses the key, from its first grant or write on. */
  readonly kind: Kind;
  /** Number of the last change that a reader can see; "0" if none. */
  readonly revision: string;
  /** "0" if never granted. */
  readonly lastFence: string;
  /** In the order of their grants. */
  readonly holders: readonly Hold[];
  /** First come, first. */
  readonly queue: readonly PlaceRow[];
  readonly cooling: Cooling | null;
  /** Latest last, at most HISTORY_ITEMS, fewer where the record has no room for more. */
  readonly history: readonly Ended[];
  /** Entries of the dedup window, see dedup.ts. */
  readonly window: string;
  /** The highest instance of an entry that left the window. */
  readonly evicted: number;
  /** Of a semaphore: permits there are, as of its last use. */
  readonly limit?: number;
  readonly register?: Register;
  readonly session?: Session;
  /** Sessions that something here was bound to and that have ended, the latest last; at most ENDED_SESSIONS_PER_KEY. */
  readonly endedSessions?: readonly string[];
};

/** The working copy that one value changes; it never leaves `apply`. */
export type Draft = {
  readonly instance: number;
  /** The value's id: names every lease it grants or renews. */
  readonly by: string;
  mode: Mode;
  kind: Kind;
  revision: string;
  lastFence: string;
  holders: Hold[];
  queue: PlaceRow[];
  cooling: Cooling | null;
  history: Ended[];
  readonly window: Window;
  /** Null but for a semaphore. */
  limit: number | null;
  register: Register | null;
  session: Session | null;
  endedSessions: readonly string[];
  grants: number;
  changes: number;
  /** The label for what happens now; 0 if nobody gave one. */
  atMs: number;
  /** Bytes that are certainly free for holders and places; see size.ts. */
  room: number;
};

export function emptyState(mode: Mode): KeyState {
  return build({
    mode: canonicalMode(mode),
    kind: "unused",
    revision: "0",
    lastFence: "0",
    holders: [],
    queue: [],
    cooling: null,
    history: [],
    window: "",
    // A hedged command of a name nobody has used is born at 0 (api.md), and nothing has left the window yet.
    evicted: -1,
    limit: null,
    register: null,
    session: null,
    endedSessions: [],
  });
}

/** The roles hand states around as `State`; a version this code does not know must not be applied. */
export function keyState(state: State): KeyState {
  assert((state as KeyState).version === 1, "the state is of a version this node knows");
  return state as KeyState;
}

export function openDraft(state: KeyState, instance: number, value: Value): Draft {
  return {
    instance,
    by: value.id,
    mode: value.nextMode === undefined ? state.mode : canonicalMode(value.nextMode),
    kind: state.kind,
    revision: state.revision,
    lastFence: state.lastFence,
    holders: [...state.holders],
    queue: [...state.queue],
    cooling: state.cooling,
    history: [...state.history],
    window: openWindow(state.window, state.evicted),
    limit: state.limit ?? null,
    register: state.register ?? null,
    session: state.session ?? null,
    endedSessions: state.endedSessions ?? [],
    grants: 0,
    changes: 0,
    atMs: 0,
    room: 0,
  };
}

export function closeDraft(draft: Draft): KeyState {
  const { text: window, evicted } = trimWindow(draft.window);
  // History is for people, so it is what yields when holders and waiters need the room.
  const history = trimToRow({ ...draft, history: draft.history.slice(-HISTORY_ITEMS), window });
  return build({ ...draft, history, window, evicted });
}

/** Counts one change that a reader can see. */
export function change(draft: Draft): void {
  draft.changes++;
  draft.revision = numberOf(draft.instance, draft.changes);
}

type Optional = "limit" | "register" | "session" | "endedSessions";
type Parts = Omit<KeyState, "version" | Optional> & Pick<Draft, Optional>;

function build(parts: Parts): KeyState {
  return {
    mode: parts.mode,
    version: 1,
    kind: parts.kind,
    revision: parts.revision,
    lastFence: parts.lastFence,
    holders: parts.holders,
    queue: parts.queue,
    cooling: parts.cooling,
    history: parts.history,
    window: parts.window,
    evicted: parts.evicted,
    ...(parts.limit === null ? {} : { limit: parts.limit }),
    ...(parts.register === null ? {} : { register: parts.register }),
    ...(parts.session === null ? {} : { session: parts.session }),
    ...(parts.endedSessions.length === 0 ? {} : { endedSessions: parts.endedSessions }),
  };
}

/** Whether this session is one whose end the key has been told of: nothing may be bound to it any more. */
export function isOfEndedSession(draft: Pick<Draft, "endedSessions">, session: string | undefined): boolean {
  return session !== undefined && draft.endedSessions.includes(session);
}

/** `nextMode` comes off the wire, where its fields may stand in any order. */
function canonicalMode(mode: Mode): Mode {
  switch (mode.kind) {
    case "fast":
      return { kind: "fast", recovery: mode.recovery, coordinator: mode.coordinator };
    case "classic":
      return { kind: "classic", coordinator: mode.coordinator };
    case "prepare":
      return { kind: "prepare" };
    default:
      return unreachable(mode);
  }
}
