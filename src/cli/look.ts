/** Lists, and what one name is, does and did, of any noun; and to end by force what is held of one. */
import type { ElectionState, History, LockState, SemaphoreState, SessionState } from "../api.ts";
import { checkedTarget } from "../client/calls.ts";
import { endlessEvents } from "../client/events.ts";
import { itemsOf } from "../client/pages.ts";
import { below } from "../http/named.ts";
import { asked, cells, show } from "./ask.ts";
import type { Common } from "./cluster.ts";
import { durationMs } from "./duration.ts";
import { print } from "./output.ts";
import { UsageError } from "./report.ts";
import { jsonLine, jsonLines } from "./tell.ts";

export const NOUNS = { lock: "locks", election: "elections", semaphore: "semaphores", kv: "kv" } as const;
export type OfNoun = Common & { readonly noun: string };

type State = LockState | ElectionState | SemaphoreState | SessionState;
export const LISTS = ["locks", "elections", "semaphores", "sessions"] as const;

/** `heldFor`: a duration, of lists of what is held. */
export type ListFlags = Common & { readonly heldFor?: string };

export function runList(list: typeof LISTS[number], prefix: string, flags: ListFlags): Promise<number> {
  return asked(list, flags, async ({ calls }) => {
    const held = flags.heldFor === undefined ? "" : `&heldForMs=${durationMs(flags.heldFor)}`;
    const target = `/v1/${list}?prefix=${encodeURIComponent(prefix)}${held}`;
    for await (const item of itemsOf<State>(calls, target, undefined)) show(flags, item, rowOf(item));
  });
}

export function runGet(name: string, flags: OfNoun): Promise<number> {
  return asked("get", flags, async ({ calls }) => {
    const target = targetIn(flags, name, ["lock", "election", "semaphore"]);
    const { body } = await calls.json({ method: "GET", target });
    show(flags, body, jsonLines(body));
  });
}

export function runHistory(name: string, flags: OfNoun): Promise<number> {
  return asked("history", flags, async ({ calls }) => {
    const target = below(targetIn(flags, name, ["lock", "election", "semaphore"]), "/history");
    const { body } = await calls.json<History>({ method: "GET", target });
    for (const item of body.items) show(flags, item, cells(...Object.values(item)));
  });
}

/** Streams until it is ended; each line has what is there then. */
export function runWatch(name: string, flags: OfNoun): Promise<number> {
  return asked("watch", flags, async ({ calls }) => {
    const target = below(targetIn(flags, name, Object.keys(NOUNS)), "/events");
    const never = new AbortController().signal;
    for await (const { event, data } of endlessEvents(calls, { target }, never)) print(jsonLine({ event, data }));
  });
}

export function runForce(name: string, flags: OfNoun & { readonly reason: string }): Promise<number> {
  return asked("force", flags, async ({ calls }) => {
    const target = targetIn(flags, name, ["lock", "election", "semaphore"]);
    const call = { method: "DELETE", target, body: { reason: flags.reason }, command: calls.command() } as const;
    const { body } = await calls.json<{ readonly count: number }>(call);
    show(flags, body, `${body.count} ended`);
  });
}

/** Throws UsageError for a noun that is none of these. */
function targetIn({ noun }: OfNoun, name: string, nouns: readonly string[]): string {
  if (!nouns.includes(noun)) throw new UsageError(`--noun is one of ${nouns.join(", ")}`);
  return checkedTarget(NOUNS[noun as keyof typeof NOUNS], name);
}

/** name, state, who, fences, how many wait. */
function rowOf(item: State): string {
  if ("bound" in item) return cells(item.id, item.holder, item.bound.length, item.lapsesInMs);
  if ("leader" in item) {
    return cells(
      item.name,
      item.leader === null ? "free" : "led",
      item.leader?.candidate,
      item.leader?.term,
      item.waiterCount,
    );
  }
  const of = (field: "holder" | "fence") => item.holders.map((holder) => holder[field]).join(",");
  return cells(item.name, item.state, of("holder"), of("fence"), item.waiterCount);
}
