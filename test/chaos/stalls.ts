/** `deno task stalls`: processes that hold locks, stalled past their leases or cut off, and what they then believe. */
import { optionsOf, refuse, whole } from "../options.ts";
import type { How } from "../client/stalled_holder.ts";
import { DENO, nodeIn, type Runtime } from "./holder_process.ts";
import { RealCluster } from "./real_cluster.ts";
import { disposeRound, HOLDS, silenceRound, stallRound, type Wrong } from "./stall_rounds.ts";

const HELP = `deno task stalls [--times 25] [--jobs 3] [--only KIND]…

Three node processes on real files. So many processes of each kind hold ${HOLDS} locks of 1 s each, half of them in Deno, half in
Node from the packed tarball where it is on PATH:

  stop     stopped (SIGSTOP) until somebody else has had all of the locks
  block    the event loop is blocked beyond the leases
  back     the same, after the wall clock was set back
  jump     the wall clock jumps, as where a machine was suspended
  read     the same, and a lock is read before anything calls back
  silent   the network swallows packets: each hold ends before somebody else has the lock
  cut, mute   the nodes are gone, or say nothing more: to dispose throws nothing

Counted is what said that a lock was held when its lease was over: callbacks of the client, and reads through the lock.
Exit code: 0 nothing did, 1 something did, 2 it was not run.`;

type Round = (runtime: Runtime, urls: readonly string[]) => Promise<Wrong>;
const STALLS: readonly How[] = ["stop", "block", "back", "jump", "read"];
const KINDS: Readonly<Record<string, Round>> = {
  ...Object.fromEntries(
    STALLS.map((how): [string, Round] => [how, (runtime, urls) => stallRound(how, runtime, urls)]),
  ),
  silent: silenceRound,
  cut: (runtime, urls) => disposeRound("cut", runtime, urls),
  mute: (runtime, urls) => disposeRound("silent", runtime, urls),
};

async function main(): Promise<number> {
  const values = optionsOf(HELP, {
    times: { type: "string", default: "25" },
    jobs: { type: "string", default: "3" },
    only: { type: "string", multiple: true, default: Object.keys(KINDS) },
  });
  const [times, jobs] = [whole("times", values.times), whole("jobs", values.jobs)];
  const unknown = values.only.find((kind) => !Object.hasOwn(KINDS, kind));
  if (unknown !== undefined) refuse(`--only is none of the kinds: ${JSON.stringify(unknown)}`);
  const folder = await Deno.makeTempDir({ prefix: "quorate-stalls-" });
  let cluster: RealCluster | null = null;
  try {
    const node = await nodeIn(folder);
    const runtimes = node === null ? [DENO] : [DENO, node];
    console.log(`in ${runtimes.map(({ name }) => name).join(" and ")}`);
    cluster = await RealCluster.start(3, 0, { isolates: 1, env: { QUORATE_RATE: "off" } });
    const urls = cluster.ids.map((id) => cluster!.url(id));
    let isWell = true;
    for (const [kind, round] of Object.entries(KINDS).filter(([kind]) => values.only.includes(kind))) {
      const wrong: string[] = [];
      let left = times;
      const job = async () => {
        while (left > 0) wrong.push(...await round(runtimes[left-- % runtimes.length]!, urls));
      };
      await Promise.all(Array.from({ length: jobs }, job));
      console.log(`${kind}: ${times} processes, ${wrong.length} wrong${wrong.map((what) => `\n  ${what}`).join("")}`);
      isWell &&= wrong.length === 0;
    }
    console.log(isWell ? "nothing claimed what it had lost" : "WRONG");
    return isWell ? 0 : 1;
  } finally {
    await cluster?.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main());
  } catch (error) {
    console.error(`stalls: ${(error as Error).message}`);
    Deno.exit(2);
  }
}
