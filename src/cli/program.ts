/**
 * The commands of `quorate` for people and scripts, their flags and their help. A further command is a row here and a
 * function that resolves with the exit code.
 */
import { Command, CommanderError } from "commander";
import { VERSION } from "../version.ts";
import { type ElectFlags, type LockFlags, runElect, runLock, runSemaphore, type SemaphoreFlags } from "./hold.ts";
import { kvCommands, localCommands, lookCommands, memberCommands } from "./look_commands.ts";
import { type OnceFlags, runOnce } from "./once.ts";
import { printText } from "./output.ts";
import { EXIT_USAGE } from "./report.ts";
import { verb } from "./verb.ts";

export type Parts = {
  readonly program: Command;
  /** Notes what to do, which is done once all is read. */
  readonly does: (work: () => Promise<number>) => void;
  /** What stands behind the first `--`. */
  readonly command: readonly string[];
};

/** These take a command behind `--`; for others that only ends the flags. */
const RUNNERS: ReadonlySet<string | undefined> = new Set(["lock", "elect", "semaphore", "once"]);

/** Run by main.ts before this is asked; here for help and completion. */
const OWN = [
  ["start", "five nodes on this machine"],
  ["node", "one node"],
  ["gateway", "hands requests to the nearest node"],
  ["trace", "draw what just happened to one name"],
] as const;

/** Runs one command; the exit code. */
export async function runProgram(args: readonly string[], more: string): Promise<number> {
  const at = RUNNERS.has(args[0]) ? args.indexOf("--") : -1;
  const [own, command] = at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)];
  let work: (() => Promise<number>) | null = null;
  const program = programOf((found) => work = found, command).addHelpText("after", `\n${more}`);
  try {
    program.parse([...own], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  const found = work as (() => Promise<number>) | null;
  return found === null ? 0 : await found();
}

function programOf(does: Parts["does"], command: readonly string[]): Command {
  const program = new Command("quorate")
    .description("locks, elections, semaphores, registers and sessions of a cluster")
    .version(VERSION)
    .exitOverride()
    .configureOutput({ writeOut: printText, outputError: (text, write) => write(oneErrorLine(text)) });
  const parts = { program, does, command };
  holdCommands(parts);
  kvCommands(parts);
  lookCommands(parts);
  memberCommands(parts);
  localCommands(parts);
  for (const [name, summary] of OWN) program.command(name).description(summary);
  return program;
}

function holdVerb(program: Command, usage: string, summary: string, ...examples: readonly string[]): Command {
  return verb(program, usage, summary, ...examples)
    .option("-n, --nonblock", "do not wait")
    .option("-w, --wait <duration>", "wait no longer than this")
    .option("-E, --conflict-exit-code <number>", "exit code where somebody else has it", "1")
    .option("--ttl <duration>", "how long it outlives the last renewal (default: 30s)")
    .option("--grace <duration>", "from TERM to KILL where it is lost (default: 5s, at most a third of --ttl)");
}

function holdCommands({ program, does, command }: Parts): void {
  holdVerb(
    program,
    "lock <names...>",
    "run a command while locks are held: quorate lock NAME [NAME...] -- CMD",
    "quorate lock deploy -- ./deploy.sh",
    "quorate lock -n -E 75 backup -- tar cf /backup.tar /data",
  )
    .option("-s, --shared", "with other shared holders")
    .option("--holder <name>", "who holds it, for people")
    .option("--metadata <text>", "more for people")
    .action((names: string[], flags: LockFlags) => does(() => runLock(names, flags, command)));
  holdVerb(
    program,
    "elect <name> [value]",
    "run a command while this leads: quorate elect NAME [VALUE] -- CMD",
    "quorate elect scheduler http://10.0.0.1:80 -- ./scheduler",
    "quorate elect scheduler --listen",
  )
    .option("--candidate <name>", "who campaigns, for people")
    .option("--listen", "print each leader, its term and its value, and run nothing")
    .action((name: string, value: string | undefined, flags: ElectFlags) =>
      does(() => runElect(name, value, flags, command))
    );
  holdVerb(
    program,
    "semaphore <name>",
    "run a command while permits are held: quorate semaphore NAME --limit N -- CMD",
    "quorate semaphore licences --limit 3 -- ./simulate",
  )
    .requiredOption("--limit <number>", "how many permits there are; the same for all who use it")
    .option("--permits <number>", "how many of them to take", "1")
    .option("--holder <name>", "who holds them, for people")
    .option("--metadata <text>", "more for people")
    .action((name: string, flags: SemaphoreFlags) => does(() => runSemaphore(name, flags, command)));
  verb(
    program,
    "once <name>",
    "run a command at most once a period over all hosts: quorate once NAME -- CMD",
    "quorate once nightly-report --for 24h -- ./report.sh",
  )
    .option("--for <duration>", "the period, by the hosts' clocks", "24h")
    .option("-E, --conflict-exit-code <number>", "exit code where it has run", "0")
    .action((name: string, flags: OnceFlags) => does(() => runOnce(name, flags, command)));
}

/** The library puts its suggestion on a line of its own. */
function oneErrorLine(text: string): string {
  return `quorate: ${text.trim().replace(/^error: /, "").replace(/\s*\n\s*/g, " ")}\n`;
}
