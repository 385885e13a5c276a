/** A child that runs only while something is held: it is gone before somebody else may have that. */
import type { QuorateError } from "../client/error.ts";
import type { Held } from "../client/held.ts";
import { ChildGroup } from "./child_group.ts";
import type { Passed, Signals } from "./signals.ts";

export type Guarded = {
  readonly code: number;
  /** Why the child was ended; null: it ended by itself. */
  readonly lost: string | null;
};

export type Guarding = {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** From TERM to KILL. */
  readonly graceMs: number;
  readonly signals: Signals;
  onLost(why: string): void;
};

const LOOK_EVERY_MS = 20;

/**
 * Runs the command while it is held. When so little of the guarantee is left as the grace takes, no renewal has come through
 * for most of it: the group is sent TERM, and KILL before the guarantee ends. Rejects with StartError.
 */
export async function runGuarded(held: Held, { command, env, graceMs, signals, onLost }: Guarding): Promise<Guarded> {
  signals.starts();
  const child = await ChildGroup.start(command, env);
  let lost: string | null = null;
  let isKilled = false;
  let knownUntilMs = performance.now() + held.remainingMs();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const kill = () => {
    isKilled = true;
    child.signal("SIGKILL");
  };
  const end = (why: string, leftMs: number) => {
    lost = why;
    clearTimeout(timer);
    onLost(why);
    if (leftMs <= 0) return kill();
    child.signal("SIGTERM");
    // A stopped process would not hear it.
    child.signal("SIGCONT");
    timer = setTimeout(kill, Math.min(graceMs, leftMs));
  };
  const look = () => {
    const leftMs = held.remainingMs();
    if (lost !== null || held.signal.aborted) return;
    if (leftMs <= graceMs) return end("it could not be renewed", leftMs);
    knownUntilMs = performance.now() + leftMs;
    clearTimeout(timer);
    timer = setTimeout(look, leftMs - graceMs);
  };
  const onAbort = () => {
    const { how, message } = held.signal.reason as QuorateError;
    // What an admin ended stays this holder's until its guarantee ends, unless it was given to another: the fence tells.
    const leftMs = how === "expired" ? 0 : knownUntilMs - performance.now();
    if (lost === null) end(message, leftMs);
    else if (leftMs <= 0) kill();
  };
  const pass = (signal: Passed) => {
    if (signal === "SIGTSTP") return child.signal("SIGSTOP");
    // After a stop of this process: whoever lost it meanwhile must not go on.
    if (signal === "SIGCONT") look();
    if (signal !== "SIGCONT" || lost === null) child.signal(signal);
  };

  const { signal } = held;
  signal.addEventListener("abort", onAbort, { once: true });
  signals.passTo(pass);
  try {
    if (signal.aborted) onAbort();
    else look();
    const code = await child.ended;
    // What the leader started may be at work yet.
    while (lost !== null && !isKilled && child.isThere()) await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
    return { code, lost };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    signals.passTo(null);
  }
}
