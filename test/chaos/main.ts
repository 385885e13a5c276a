/** `deno task chaos`: five real processes, their links, stores and disks under faults, and what their users saw. */
import { stopSignal } from "../../src/cli/stop_signal.ts";
import { above, optionsOf, refuse } from "../options.ts";
import { TIMEOUT_MS, TRIES_MAX } from "./client.ts";
import { type Mix, MIXES } from "./mixes.ts";
import { table, verdict } from "./report.ts";
import { type MixResult, runMix } from "./run_mix.ts";
import { CLIENTS, LOCKS } from "./workload.ts";

const CALM_MS = 6_000;
/** For starting, healing and reading back. */
const AROUND_MS = 7_000;
const FAULTS_MIN_MS = 5_000;

const HELP = `deno task chaos [--minutes 5] [--seed 1] [--mix NAME]… [--history FILE] [--verbose]

Five node processes on real files, each reaching each other through a proxy of its own; ${CLIENTS} clients on ${LOCKS} locks and on
resources that these guard. Every mix starts a fresh cluster, measures how fast it is without faults (${
  CALM_MS / 1_000
} s, the second
half counts), goes on with them, heals, and reads everything back through every node.

  --minutes   in all, shared evenly by the mixes
  --seed      the same seed is the same schedule of faults and the same draws per link; not the same interleaving
  --mix       one or more of: ${MIXES.join(", ")}
  --history   JSON lines, one per operation: mix, process, key, op, callMs, returnMs, outcome, fence, node, tries
  --verbose   tells the plan of each mix

success %       of the operations begun during the faults, those with a definite answer: anything but 503, 504 and
                expired-command, within ${TIMEOUT_MS} ms a try (a wait for a held lock on top) and ${TRIES_MAX} tries through
                one node after another
writable        after healing, until a write of the lock was decided and answered
granted         after healing, until the lock was granted: what was left behind had to lapse before
lost acked      acknowledged grants, holds or releases that a later linearizable read does not show
fenced viol.    updates lost on the resource that checks fences
contradictions  answers that do not fit each other, their guarantees, or the faults

Exit code: 0 nothing wrong, 1 something is, 2 void: too slow before the faults, or the control without fence checks
lost nothing, so that nothing was shown; or an option is wrong.`;

async function main(): Promise<number> {
  const values = optionsOf(HELP, {
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    mix: { type: "string", multiple: true, default: [...MIXES] },
    history: { type: "string" },
    verbose: { type: "boolean", default: false },
  });
  const mixes = values.mix.map(mixOf);
  const seed = above("seed", values.seed, 0);
  const faultsMs = Math.max(
    FAULTS_MIN_MS,
    Math.round(above("minutes", values.minutes, 0) * 60_000 / mixes.length) - CALM_MS - AROUND_MS,
  );
  if (values.history !== undefined) await Deno.writeTextFile(values.history, "");
  const stopped = stopSignal().then((): never => {
    throw new Error("stopped");
  });
  // Between mixes nobody listens.
  stopped.catch(() => {});
  const results: MixResult[] = [];
  for (const mix of mixes) {
    // The whole machine's: what else runs on it shows in every figure.
    const load = Deno.loadavg()[0]!.toFixed(1);
    console.log(`== ${mix}, seed ${seed}, ${faultsMs / 1_000} s of faults; load average ${load}`);
    const step = values.verbose ? (line: string) => console.log(`   ${line}`) : () => {};
    const result = await runMix({ mix, seed, calmMs: CALM_MS, faultsMs }, step, stopped);
    if (values.history !== undefined) {
      await Deno.writeTextFile(values.history, result.history.lines(mix), { append: true });
    }
    results.push(result);
  }
  const { lines, exitCode } = verdict(results);
  console.log(`\n${table(results)}\n`);
  for (const line of lines) console.log(line);
  console.log(["nothing wrong", "WRONG", "VOID"][exitCode]);
  return exitCode;
}

function mixOf(name: string): Mix {
  const mix = MIXES.find((known) => known === name);
  if (mix === undefined) refuse(`--mix is one of ${MIXES.join(", ")}, not ${JSON.stringify(name)}`);
  return mix;
}

try {
  Deno.exit(await main());
} catch (error) {
  console.error(`chaos: ${(error as Error).message}`);
  Deno.exit(1);
}
