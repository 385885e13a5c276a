/** One node as a child process of `deno task start`. */
import type { NodeId } from "../paxos/ballot.ts";
import { secretPath } from "./data_folder.ts";
import { eachLine } from "./lines.ts";
import { shellWord } from "./shell_word.ts";

/**
 * New objects get 8 MB before the garbage collector looks at them, not 16: under load a node has a quarter less memory then.
 * What outlives that may grow by 80 % before it is looked at, which takes more than a quarter of the rest. Neither takes more
 * CPU. The runtime reads this once, before any code runs.
 */
export const NODE_MEMORY = "--v8-flags=--max-semi-space-size=8,--heap-growing-percent=80";

/** As the task `node` in deno.json has it. */
export const NODE_RUN = [
  "run",
  NODE_MEMORY,
  "--no-prompt",
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env",
] as const;

/** What this program is told to be a node: by Deno that runs it, or itself, where it was compiled to a program of its own. */
export function nodeWords(isCompiled: boolean): readonly string[] {
  return isCompiled ? ["node"] : [...NODE_RUN, `${import.meta.dirname}/main.ts`, "node"];
}

/** A process that does not end by itself after this is killed. */
const STOP_MS = 5_000;

export type NodeProcess = {
  readonly id: NodeId;
  readonly url: string;
  readonly pid: number;
  /** Resolves when it has ended and all it said is shown: how, as in "exit code 1" or "SIGKILL". */
  readonly ended: Promise<string>;
  hasEnded(): boolean;
  /** Ends it, and resolves when it has. */
  stop(): Promise<void>;
};

/** Starts a node; what it says appears with its id in front. The secret is not on its command line, which all can read. */
export function startNode(
  id: NodeId,
  url: string,
  nodeArgs: readonly string[],
  secret: string,
): NodeProcess {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...nodeWords(Deno.build.standalone), ...nodeArgs],
    env: { QUORATE_PEER_SECRET: secret },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = Promise.all([
    eachLine(child.stdout, (line) => console.log(`[${id}] ${line}`)),
    eachLine(child.stderr, (line) => console.error(`[${id}] ${line}`)),
  ]);
  let over = false;
  const ended = child.status.then(async ({ code, signal }) => {
    over = true;
    await said;
    return signal ?? `exit code ${code}`;
  });
  const send = (signal: Deno.Signal) => {
    if (over) return;
    try {
      child.kill(signal);
    } catch {
      // It ended by itself a moment ago, as after Ctrl-C, which reaches it without us.
    }
  };
  const stop = async () => {
    send("SIGTERM");
    const timer = setTimeout(() => send("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  };
  return { id, url, pid: child.pid, ended, hasEnded: () => over, stop };
}

/** The line that brings an ended node back, for a shell in the folder `deno task` runs in. */
export function restartLine(
  folder: string,
  nodeArgs: readonly string[],
  isCompiled: boolean = Deno.build.standalone,
): string {
  // Started through npx there may be no deno on the PATH, or another one.
  const deno = Deno.env.get("npm_command") === "exec" ? `npx deno@${Deno.version.deno}` : "deno";
  const secret = `QUORATE_PEER_SECRET="$(cat ${shellWord(secretPath(folder))})"`;
  const program = isCompiled ? shellWord(Deno.execPath()) : `${deno} task`;
  return `${secret} ${program} node ${nodeArgs.map(shellWord).join(" ")}`;
}
