/** `lock`, `elect` and `semaphore`: wait, run a command while it is held, give it back. */
import { QuorateError } from "../client/error.ts";
import type { Held } from "../client/held.ts";
import { show } from "./ask.ts";
import { type Cluster, clusterOf } from "./cluster.ts";
import { StartError } from "./child_group.ts";
import { runGuarded } from "./guard.ts";
import { countIn, exitCodeIn, type HoldFlags, type HoldTimes, holdTimes } from "./hold_flags.ts";
import { shown } from "./output.ts";
import { UsageError } from "./report.ts";
import { Signals } from "./signals.ts";
import { EXIT_LOST, failed, type Tell, teller } from "./tell.ts";

/** A whole guarantee has nearly three times the longest grace. With less, the command could be ended before the first renewal. */
const GRACES_LEFT_MIN = 2.5;

export type LockFlags = HoldFlags & { readonly shared?: true; readonly holder?: string; readonly metadata?: string };
export type ElectFlags = HoldFlags & { readonly candidate?: string; readonly listen?: true };
export type SemaphoreFlags = HoldFlags & {
  readonly limit: string;
  readonly permits?: string;
  readonly holder?: string;
  readonly metadata?: string;
};

/** How a noun is asked for; what its callback makes of it is dropped. */
type Asking = HoldTimes & { readonly signal: AbortSignal; readonly onPosition: (position: number) => void };
type Request = (cluster: Cluster, asking: Asking, run: (held: Held) => Promise<void>) => Promise<unknown>;

export function runLock(names: readonly string[], flags: LockFlags, command: readonly string[]): Promise<number> {
  const what = names.length === 1 ? names[0]! : [...new Set(names)];
  return hold("lock", "QUORATE_LOCK", names, flags, command, ({ quorate }, asking, run) => {
    const mode = flags.shared ? "shared" : "exclusive";
    return quorate.locks.request(what, { ...asking, ...labelsIn(flags), mode }, run);
  });
}

export async function runElect(
  name: string,
  value: string | undefined,
  flags: ElectFlags,
  command: readonly string[],
): Promise<number> {
  if (flags.listen) return await listen(name, flags, command);
  const { candidate } = flags;
  const labels = { ...(candidate !== undefined && { candidate }), ...(value !== undefined && { value }) };
  return await hold("elect", "QUORATE_ELECTION", [name], flags, command, async ({ quorate }, asking, run) => {
    const term = await quorate.elections.campaign(name, { ...asking, ...labels });
    try {
      await run(term);
    } finally {
      await term[Symbol.asyncDispose]();
    }
  });
}

export function runSemaphore(name: string, flags: SemaphoreFlags, command: readonly string[]): Promise<number> {
  return hold("semaphore", "QUORATE_SEMAPHORE", [name], flags, command, ({ quorate }, asking, run) => {
    const limit = countIn(flags.limit, "--limit");
    const permits = countIn(flags.permits ?? "1", "--permits");
    return quorate.semaphores.request(name, { ...asking, ...labelsIn(flags), limit, permits }, run);
  });
}

function labelsIn({ holder, metadata }: { readonly holder?: string; readonly metadata?: string }) {
  return { ...(holder !== undefined && { holder }), ...(metadata !== undefined && { metadata }) };
}

/** The exit code: the command's, or why it did not run to its end. */
async function hold(
  verb: string,
  variable: string,
  names: readonly string[],
  flags: HoldFlags,
  command: readonly string[],
  request: Request,
): Promise<number> {
  const tell = teller(verb, flags.json === true);
  const what = names.join(", ");
  const signals = new Signals();
  let exit: number | null = null;
  try {
    if (command.length === 0) throw new UsageError("a command is needed behind --");
    const times = holdTimes(flags);
    const conflict = exitCodeIn(flags.conflictExitCode, "--conflict-exit-code");
    const asking = { ...times, signal: signals.waiting, onPosition: tellPosition(tell, what) };
    const cluster = await clusterOf(flags);
    const run = async (held: Held) => {
      const lost = await lengthened(held, times.graceMs, signals.waiting);
      if (signals.code !== null) return;
      if (lost !== null) tell("lost", `${held.name} is lost, and the command was not begun: ${lost}`, { why: lost });
      exit = lost === null ? await runHeld(held, variable, command, times.graceMs, signals, tell) : EXIT_LOST;
    };
    await request(cluster, asking, run).catch((error) => {
      const isHeld = error instanceof QuorateError && error.code === "held";
      if (isHeld) exit = conflict;
      // What has run has its exit code; and how it ended is told.
      if (exit === null || isHeld) throw error;
    });
    return exit ?? signals.code ?? EXIT_LOST;
  } catch (error) {
    if (signals.code !== null) return signals.code;
    if (error instanceof StartError) tell("error", error.message, { code: error.code });
    const code = error instanceof StartError ? error.code : failed(verb, error, tell);
    return exit ?? code;
  } finally {
    signals.close();
  }
}

/**
 * A grant out of the queue may be told for a part of its ttl only, until it is renewed: the grace would leave no time for that.
 * Resolves with why it was lost meanwhile, or with null; also once the signal aborts.
 */
async function lengthened(held: Held, graceMs: number, signal: AbortSignal): Promise<string | null> {
  if (signal.aborted || held.remainingMs() >= GRACES_LEFT_MIN * graceMs) return null;
  const renewed = held.renew().then(() => null, (error: Error) => error.message);
  return await new Promise((resolve) => {
    const giveUp = () => resolve(null);
    signal.addEventListener("abort", giveUp, { once: true });
    renewed.then(resolve).finally(() => signal.removeEventListener("abort", giveUp));
  });
}

async function runHeld(
  held: Held,
  variable: string,
  command: readonly string[],
  graceMs: number,
  signals: Signals,
  tell: Tell,
): Promise<number> {
  const fences = Object.fromEntries([...held.fences].map(([name, fence]) => [name, `${fence}`]));
  const env = {
    [variable]: held.name,
    QUORATE_FENCE: `${held.fence}`,
    QUORATE_HELD: "true",
    ...(held.fences.size > 1 && { QUORATE_FENCES: JSON.stringify(fences) }),
  };
  const onLost = (why: string) => tell("lost", `${held.name} is lost, and the command is ended: ${why}`, { why });
  const { code, lost } = await runGuarded(held, { command, env, graceMs, signals, onLost });
  return lost === null ? code : EXIT_LOST;
}

function tellPosition(tell: Tell, what: string): (position: number) => void {
  return (position) => tell("waiting", `waiting for ${what}, position ${position}`, { position });
}

/** Streams who leads until it is told to stop. */
async function listen(name: string, flags: ElectFlags, command: readonly string[]): Promise<number> {
  const tell = teller("elect", flags.json === true);
  const signals = new Signals();
  try {
    if (command.length > 0) throw new UsageError("--listen runs no command");
    const { quorate } = await clusterOf(flags);
    for await (const leader of quorate.elections.observe(name, { signal: signals.waiting })) {
      const parts = leader === null ? ["-"] : [leader.candidate, leader.term, leader.value ?? ""];
      show(flags, { name, leader }, parts.map((part) => shown(`${part}`)).join("\t").trimEnd());
    }
    return signals.code ?? 0;
  } catch (error) {
    return signals.code ?? failed("elect", error, tell);
  } finally {
    signals.close();
  }
}
