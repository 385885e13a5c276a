/**
 * Commands about what is not there are answered by a read: decided, each would make a record at every member, and an entry in
 * the window, for nothing (PROTOCOL.md §6). It decides nothing, and need not: what such a fence or session was is over for
 * good, so an earlier try of the same command that is under way still comes to nothing either.
 */
import type { LockMachine } from "../machine/machine.ts";
import type { Op, Result } from "../machine/op.ts";
import { holdOfFence, viewSession } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { AcceptorHost } from "../replica/acceptor_host.ts";
import { ownState } from "../replica/own_state.ts";
import type { Outcome } from "../replica/pending.ts";
import type { Clock } from "../ports.ts";
import type { Reader } from "../replica/reader.ts";
import { receiptOf } from "../engine/receipt.ts";
import type { Caller } from "./service.ts";

type Parts = {
  readonly acceptor: AcceptorHost;
  readonly clock: Clock;
  readonly machine: LockMachine;
  readonly reader: Reader;
};

/** What changes nothing. Of a command that was decided before, the first result is none of them, and is asked for as ever. */
const NOTHING_DONE: ReadonlySet<Result["outcome"]> = new Set([
  "never-granted",
  "lost",
  "already-released",
  "taken-over",
  "forced",
  "ended",
  "no-session",
  "session-ended",
  "absent",
]);

export function holdsFence(state: State, subject: string, fence: string): boolean {
  return holdOfFence(state, fence)?.subject === subject;
}

/** Whether the state's session lives and is this subject's. */
export function isLiveFor(state: State, subject: string): boolean {
  const session = viewSession(state);
  return session !== null && session.subject === subject && session.ended === null;
}

/** What is asked, and how a state shows what it is about. */
export type Asked = {
  readonly op: Op;
  readonly id: string;
  readonly isThere: (state: State) => boolean;
};

/**
 * What the command comes to by a read, if neither the own record nor a read quorum shows what it is about; else what `decide`
 * comes to, in the time that is left. Rejects with `no-quorum` if it cannot be read; nothing was sent then.
 */
export async function byReadOr(
  parts: Parts,
  key: string,
  asked: Asked,
  caller: Caller,
  decide: (rest: Caller) => Promise<Outcome>,
): Promise<Outcome> {
  const untilMs = parts.clock.now() + caller.timeoutMs;
  return await answerByRead(parts, key, asked, caller) ??
    await decide({ ...caller, timeoutMs: Math.max(1, untilMs - parts.clock.now()) });
}

/** Null: it has to be decided. */
async function answerByRead(
  parts: Parts,
  key: string,
  { op, id, isThere }: Asked,
  { subject, timeoutMs, hedge }: Caller,
): Promise<Outcome | null> {
  const { machine, reader, clock } = parts;
  const untilMs = clock.now() + timeoutMs;
  const own = await ownState(parts, key, timeoutMs);
  if (own !== null && isThere(own)) return null;
  const { state, instance, decidedBy } = await reader.read(key, Math.max(1, untilMs - clock.now()));
  if (isThere(state)) return null;
  const value = { id: "", proposer: "", commands: [{ subject, id, born: hedge ?? instance, op }] };
  const [result] = machine.applyWithResults(state, instance, value).results;
  if (result === undefined || !NOTHING_DONE.has(result.outcome)) return null;
  return { result, state, instance, receipt: { ...receiptOf(decidedBy), path: "read" } };
}
