/** S of one key: plain JSON, built in one order of fields, so that its text is the same on every node. */
import { assert, unreachable } from "../assert.ts";
import { ENDED_SESSIONS_PER_KEY, ENDED_SESSIONS_PER_KEY_V1, HISTORY_ITEMS } from "../limits.ts";
import type { Mode, State, Value } from "../paxos/message.ts";
import { type Floor, openWindow, type Window } from "./dedup.ts";
import { trimWindow } from "./window.ts";
import { itemsOf, textOf } from "./window_text.ts";
import { trimWindowV1 } from "./window_v1.ts";
import { numberOf } from "./fence.ts";
import type { Ended, Hold } from "./op.ts";
import type { PlaceRow } from "./place.ts";
import { trimToRow } from "./size.ts";
import { MACHINE_VERSION } from "../version.ts";

const ENDED_SESSION_CHARS = 16;

/** What a key is used for; its name begins with the noun, so one key never serves two. */
export type Kind = "unused" | "lock" | "election" | "semaphore" | "register" | "session";

export type RegisterValue = {
  /** Base64. */
  readonly bytes: string;
  readonly contentType: string;
  /** Only where a value ends unless it is put again: the value id that put it last, and for how long that counts. */
  readonly lease?: { readonly by: string; readonly ttlMs: number };
  /** The session that the value ends with. */
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
  /** The mark of the request that opened it; gone once it is kept. */
  readonly ask?: string;
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
  /** Says by which rules it is applied; raised by a decided value only (PROTOCOL.md §3). */
  readonly version: MachineVersion;
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
  /** Entries of the dedup window, see dedup.ts; before version 3 as one text, see window_text.ts. */
  readonly window: string | readonly string[];
  /** The newest instance of an entry that left the window and whose subject has no floor of its own. */
  readonly evicted: number;
  /** Floors of subjects, by their tags; the one that was raised last comes last. From version 2 on. */
  readonly floors?: readonly Floor[];
  /** Semaphores only: permits there are, as of its last use. */
  readonly limit?: number;
  readonly register?: Register;
  readonly session?: Session;
  /**
   * Sessions that something here was bound to and that have ended, the latest last; at most ENDED_SESSIONS_PER_KEY. From
   * version 2 on the first half of their ids.
   */
  readonly endedSessions?: readonly string[];
  /** From version 3 on: what led to this state, see chain.ts. */
  readonly chain?: string;
};

/**
 * 2: the window keeps whole instances and is fair to subjects; renewals and the like push nothing out of it; a grant that
 * nobody took up leaves no trace; a place is left only as it was; sets are held provisionally until they are answered.
 * 3: states are chained; the window is a list.
 * 4: what nobody uses can be forgotten.
 */
export type MachineVersion = 1 | 2 | 3 | 4;

/** The working copy that one value changes; it never leaves `apply`. */
export type Draft = {
  readonly version: MachineVersion;
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
  history: readonly Ended[];
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
  const parts = {
    mode: canonicalMode(mode),
    // The same on every node, also where one has a record of before a newer version came and another has none.
    version: 1,
    kind: "unused",
    revision: "0",
    lastFence: "0",
    cooling: null,
    limit: null,
    register: null,
    session: null,
    endedSessions: [],
  } as const;
  // A hedged command of a name nobody has used is born at 0, and nothing has left the window yet.
  return build({ ...parts, holders: [], queue: [] }, { history: [], window: "", evicted: -1, floors: [] });
}

/** The roles hand states around as `State`; a version this code does not know must not be applied. */
export function keyState(state: State): KeyState {
  const { version } = state as KeyState;
  assert(version >= 1 && version <= MACHINE_VERSION, "the state is of a version this node knows");
  return state as KeyState;
}

/** The window's entries, whatever the state's version has them as. */
export function entriesOf({ window }: Pick<KeyState, "window">): readonly string[] {
  return typeof window === "string" ? itemsOf(window) : window;
}

/** A state as the rules of a newer version take it over; nothing but a decided value may cause that. */
function raised(state: KeyState, version: MachineVersion): KeyState {
  const { endedSessions } = state;
  return {
    ...state,
    version,
    ...(endedSessions === undefined ? {} : { endedSessions: endedSessions.map((id) => endedName(version, id)) }),
  };
}

export function openDraft(before: KeyState, instance: number, value: Value): Draft {
  const to = value.machine ?? before.version;
  assert(to <= MACHINE_VERSION, "the value is of a version this node knows");
  const state = to > before.version ? raised(before, to as MachineVersion) : before;
  return {
    version: state.version,
    instance,
    by: value.id,
    mode: value.nextMode === undefined ? state.mode : canonicalMode(value.nextMode),
    kind: state.kind,
    revision: state.revision,
    lastFence: state.lastFence,
    holders: [...state.holders],
    queue: [...state.queue],
    cooling: state.cooling,
    history: state.history,
    window: openWindow(entriesOf(state), state.evicted, state.floors),
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

/** @return without its place in the chain */
export function closeDraft(draft: Draft): KeyState {
  const { version, instance } = draft;
  const trimmed = version === 1 ? trimWindowV1(draft.window) : trimWindow(draft.window, instance, version);
  const { items, evicted, floors } = trimmed;
  const window = version < 3 ? textOf(items) : items;
  // History is for people, so it is what yields when holders and waiters need the room.
  const latest = draft.history.length > HISTORY_ITEMS ? draft.history.slice(-HISTORY_ITEMS) : draft.history;
  const history = trimToRow(draft, latest, window, floors);
  return build(draft, { history, window, evicted, floors });
}

/** Counts one change that a reader can see. */
export function change(draft: Draft): void {
  draft.changes++;
  draft.revision = numberOf(draft.instance, draft.changes);
}

type Kept = "mode" | "version" | "kind" | "revision" | "lastFence" | "holders" | "queue" | "cooling";
type Optional = "limit" | "register" | "session" | "endedSessions";
type Trimmed = Pick<KeyState, "history" | "window" | "evicted"> & { readonly floors: readonly Floor[] };

function build(parts: Pick<Draft, Kept | Optional>, { history, window, evicted, floors }: Trimmed): KeyState {
  return {
    mode: parts.mode,
    version: parts.version,
    kind: parts.kind,
    revision: parts.revision,
    lastFence: parts.lastFence,
    holders: parts.holders,
    queue: parts.queue,
    cooling: parts.cooling,
    history,
    window,
    evicted,
    ...(floors.length === 0 ? {} : { floors }),
    ...(parts.limit === null ? {} : { limit: parts.limit }),
    ...(parts.register === null ? {} : { register: parts.register }),
    ...(parts.session === null ? {} : { session: parts.session }),
    ...(parts.endedSessions.length === 0 ? {} : { endedSessions: parts.endedSessions }),
  };
}

/** Whether this session is one whose end the key has been told of: nothing may be bound to it any more. */
export function isOfEndedSession(
  { version, endedSessions }: Pick<Draft, "version" | "endedSessions">,
  session: string | undefined,
): boolean {
  return session !== undefined && endedSessions.includes(endedName(version, session));
}

/** Notes the end of a session, so that nothing is bound to it late. */
export function noteEnded(draft: Draft, session: string): void {
  const name = endedName(draft.version, session);
  const most = draft.version === 1 ? ENDED_SESSIONS_PER_KEY_V1 : ENDED_SESSIONS_PER_KEY;
  draft.endedSessions = [...draft.endedSessions.filter((id) => id !== name), name].slice(-most);
}

/** Half of an id that was made at random is enough to know it by. */
function endedName(version: MachineVersion, session: string): string {
  return version === 1 ? session : session.slice(0, ENDED_SESSION_CHARS);
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
