/**
 * `once`: a command that runs at most once a period over all hosts. A register says until when it is taken, and is written
 * over only as it was read: no lock, as one would be given back where the command ends before another host's clock strikes.
 */
import type { KvEntry } from "../client/kv_entry.ts";
import { ChildGroup, StartError } from "./child_group.ts";
import { clusterOf, type Common } from "./cluster.ts";
import { durationMs } from "./duration.ts";
import { exitCodeIn } from "./hold_flags.ts";
import { CommandError, UsageError } from "./report.ts";
import { Signals } from "./signals.ts";
import { failed, teller } from "./tell.ts";

export type OnceFlags = Common & { readonly for: string; readonly conflictExitCode: string };

/** A period is over a tenth early, and no more than this: a host that is a second early next day shall not be refused. */
const EARLY_SHARE = 0.1;
const EARLY_MAX_MS = 300_000;

/** The exit code: the command's, or 0 where it has run. */
export async function runOnce(name: string, flags: OnceFlags, command: readonly string[]): Promise<number> {
  const tell = teller("once", flags.json === true);
  const signals = new Signals();
  try {
    if (command.length === 0) throw new UsageError("a command is needed behind --");
    const periodMs = durationMs(flags.for);
    const conflict = exitCodeIn(flags.conflictExitCode, "--conflict-exit-code");
    const { quorate } = await clusterOf(flags);
    const key = `once/${name}`;
    const { waiting: signal } = signals;
    const entry = await quorate.kv.get(key, { signal });
    const nowMs = Date.now();
    const until = untilIn(key, entry);
    const isTaken = until > nowMs;
    const endMs = nowMs + periodMs - Math.min(EARLY_MAX_MS, periodMs * EARLY_SHARE);
    const value = { at: new Date(nowMs).toISOString(), until: new Date(endMs).toISOString() };
    // What nobody can tell is thrown: the command may have been begun by nobody, and never by two.
    const written = isTaken ? null : await quorate.kv.put(key, value, { over: entry?.revision ?? null, signal });
    if (written === null) {
      if (flags.json) tell("taken", "", { name, ...(isTaken && { until: new Date(until).toISOString() }) });
      return conflict;
    }
    if (signals.code !== null) return signals.code;
    signals.starts();
    const child = await ChildGroup.start(command, { QUORATE_ONCE: name, QUORATE_FENCE: `${written}` });
    signals.passTo((passed) => child.signal(passed === "SIGTSTP" ? "SIGSTOP" : passed));
    return await child.ended;
  } catch (error) {
    if (signals.code !== null) return signals.code;
    if (!(error instanceof StartError)) return failed("once", error, tell);
    tell("error", error.message, { code: error.code });
    return error.code;
  } finally {
    signals.close();
  }
}

/** In ms since 1970; 0: nobody has taken it. */
function untilIn(key: string, entry: KvEntry | null): number {
  if (entry === null) return 0;
  try {
    const ms = Date.parse((entry.json() as { until: string }).until);
    if (Number.isFinite(ms)) return ms;
  } catch {
    // Below.
  }
  throw new CommandError(`the register ${key} is not what this command writes; delete it, or choose another name`);
}
