/** `member list|add|remove|replace`: who decides, and how that changes while the cluster goes on. */
import type { MembersChanged, MembersState } from "../api.ts";
import type { Calls } from "../client/calls.ts";
import { asked, cells, show } from "./ask.ts";
import type { Cluster, Common } from "./cluster.ts";
import { print } from "./output.ts";
import { UsageError } from "./report.ts";
import { jsonLine } from "./tell.ts";

/** `wait: false`: until the members have changed, and not until all names have moved. */
export type MemberFlags = Common & { readonly wait: boolean };
export type ReplaceFlags = MemberFlags & { readonly with: string };

type Member = MembersState["members"][number];

const TARGET = "/v1/members";
/** A node asks all old and new members first, and may wait for one of them. */
const CHANGE_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 500;
const LOOK_WITHIN_MS = 2_000;

export function runMemberList(flags: Common): Promise<number> {
  return asked("member list", flags, async ({ calls }) => {
    const state = await stateOf(calls);
    if (flags.json) return print(jsonLine(state));
    for (const { id, url } of state.members) print(cells(id, url));
    const line = progressOf(state);
    if (line !== null) print(line);
  });
}

/** @param added as in `d=http://10.0.0.4:8701` */
export function runMemberAdd(added: readonly string[], flags: MemberFlags): Promise<number> {
  return changed("member add", flags, ({ members }) => {
    const others = added.map(memberIn);
    return [...members.filter(({ id }) => others.every((other) => other.id !== id)), ...others];
  });
}

export function runMemberRemove(ids: readonly string[], flags: MemberFlags): Promise<number> {
  return changed("member remove", flags, (state) => {
    for (const id of ids) refuseUnknown(id, state);
    return state.members.filter(({ id }) => !ids.includes(id));
  });
}

export function runMemberReplace(id: string, flags: ReplaceFlags): Promise<number> {
  return changed("member replace", flags, (state) => {
    const other = memberIn(flags.with);
    const isDone = state.members.some((member) => member.id === other.id);
    refuseUnknown(id, isDone ? state : { members: state.members });
    return [...state.members.filter((member) => member.id !== id && member.id !== other.id), other];
  });
}

/** Who was a member until the last change may have been removed by the same command before. */
function refuseUnknown(id: string, { members, before = [] }: Pick<MembersState, "members" | "before">): void {
  const ids = members.map((member) => member.id);
  if (ids.includes(id) || before.includes(id)) return;
  throw new UsageError(`${id} is no member; the members are ${ids.join(", ")}`);
}

/** Run again, each goes on where it was. @param to the members that are wanted, from those that there are */
function changed(
  verb: string,
  flags: MemberFlags,
  to: (state: MembersState) => readonly Member[],
): Promise<number> {
  return asked(verb, flags, async ({ calls, urls }: Cluster) => {
    const before = await stateOf(calls);
    const { body } = await calls.json<MembersChanged>({
      method: "POST",
      target: `${TARGET}?timeoutMs=${CHANGE_WITHIN_MS}`,
      body: { expect: before.epoch, members: to(before) },
      isUntimed: true,
      waitMs: CHANGE_WITHIN_MS,
    });
    show(flags, body, `epoch ${body.epoch}: the members are ${body.members.map(({ id }) => id).join(", ")}`);
    if (flags.wait) await untilMoved(calls, [...new Set([...urls, ...body.members.map(({ url }) => url)])], flags);
  });
}

/** Tells how far it is whenever that has changed, as whoever moves names has it. */
async function untilMoved(calls: Calls, urls: readonly string[], flags: Common): Promise<void> {
  for (let told = "";;) {
    const states = (await Promise.all(urls.map((url) => stateOf(calls, url).catch(() => null)))).filter((one) =>
      one !== null
    );
    const newest = Math.max(...states.map(({ epoch }) => epoch));
    const current = states.filter(({ epoch }) => epoch === newest);
    const moving = current.filter(({ changing }) => changing !== undefined);
    const [furthest] = [...moving].sort((a, b) => b.changing!.moved - a.changing!.moved || totalOf(b) - totalOf(a));
    // Who knows the end was told that it is decided.
    const state = current.find(({ changing }) => changing === undefined) ?? furthest;
    if (state !== undefined) {
      const line = progressOf(state) ??
        `epoch ${state.epoch}: all names have moved; who is no member any more can be ended`;
      if (line !== told) show(flags, state, line);
      told = line;
      if (state.changing === undefined) return;
    }
    await new Promise<void>((resolve) => calls.clock.after(LOOK_EVERY_MS, resolve));
  }
}

function totalOf({ changing }: MembersState): number {
  return changing?.total ?? 0;
}

/** Null: nothing has to move. */
function progressOf({ changing }: MembersState): string | null {
  if (changing === undefined) return null;
  const { from, to, sealed, of, moved, total, spare } = changing;
  const names = total === null ? "names are not counted yet" : `${moved} of ${total} names have moved`;
  return `epoch ${to}: ${sealed} of ${of} members of epoch ${from} are in it, ${names}; until then ${spare} of them may fail`;
}

async function stateOf(calls: Calls, url?: string): Promise<MembersState> {
  const limits = url === undefined
    ? {}
    : { nodes: [url], isOnce: true, signal: AbortSignal.timeout(LOOK_WITHIN_MS) } as const;
  return (await calls.json<MembersState>({ method: "GET", target: TARGET, isUntimed: true }, limits)).body;
}

function memberIn(text: string): Member {
  const [, id, url] = /^([a-z0-9-]{1,32})=(https?:\/\/.+)$/.exec(text) ?? [];
  if (id === undefined || url === undefined || !URL.canParse(url)) {
    throw new UsageError(`"${text}" is not ID=URL, as in d=http://10.0.0.4:8701`);
  }
  return { id, url: url.replace(/\/+$/, "") };
}
