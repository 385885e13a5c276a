/**
 * `deno task isolates`: the tests that speak HTTP to real nodes, again with two processes for each acceptor, on one shared
 * database each, requests handed on at random. Says which server the databases are in.
 */
import { testJobs } from "../long.ts";
import { optionsOf } from "../options.ts";
import { denokvHere } from "./databases.ts";

/** Files below test/ that are run so. */
export const ON_ISOLATES: readonly string[] = [
  "chaos/conformance_test.ts",
  "chaos/direct_client_test.ts",
  "chaos/features_test.ts",
  "chaos/five_nodes_test.ts",
  "chaos/isolates_test.ts",
  "chaos/learner_test.ts",
  "chaos/nouns_test.ts",
  "chaos/secret_rotation_test.ts",
  "chaos/sessions_test.ts",
  "chaos/watchers_test.ts",
];

/** Why all other tests on real nodes are not; `file: test` where it is only one of a file that is. */
export const NOT_ON_ISOLATES: Readonly<Record<string, string>> = {
  "bench/bench_test.ts": "it measures, and has a shared store of its own among what it measures",
  "bench/programs_test.ts": "it measures",
  "chaos/backup_test.ts": "a backup is of what a quorum says, and is restored into files",
  "chaos/bad_input_test.ts": "what a door refuses comes to no store, however many processes have it open",
  "chaos/chaos_test.ts": "its faults are of links and disks; isolates_test.ts has those of processes and databases",
  "chaos/gateway_test.ts": "a gateway sees a URL, not who serves it, and so did every client of the others",
  "chaos/hot_test.ts": "it records what stores with an owner commit, which is what it judges the answers by",
  "chaos/idle_test.ts": "it asks nothing of a node, and measures what one process costs",
  "chaos/members_test.ts": "members are changed where each has a file to itself: a shared database is refused",
  "chaos/old_stores_test.ts": "its stores are files that an older version wrote",
  "chaos/raise_test.ts": "nodes of two versions on files; all processes of a database are of one version",
  "chaos/repair_test.ts": "it writes junk into a node's own file",
  "chaos/runbook_test.ts": "its page's commands ask a URL, not who serves it, and look at files",
  "chaos/spans_test.ts": "each process has its own telemetry, and a trace says which node it was",
  "chaos/standing_files_test.ts":
    "it rolls back and copies files; a rollback of a shared store is not found out (PROTOCOL.md §9)",
  "chaos/stranger_test.ts":
    "a stranger comes no further than the head of a request, and its node is in the test's own process",
  "chaos/upgrade_test.ts": "the version before ran each node on a file of its own",
  "chaos/watchers_test.ts: a watcher that stops reading is cut off; one beside it that reads gets everything":
    "a balancer takes in what a watcher does not read",
  "cli/backup_test.ts": "a client sees a URL, not who serves it",
  "cli/cert_test.ts": "it makes files, and asks no node but one about its certificate",
  "cli/doctor_test.ts": "a client sees a URL, not who serves it",
  "cli/guard_test.ts": "a client sees a URL, not who serves it, and its links are what fails here",
  "cli/hangup_test.ts": "of one process: its signals, its files",
  "cli/hold_test.ts": "a client sees a URL, not who serves it",
  "cli/member_test.ts": "a client sees a URL, not who serves it",
  "cli/output_test.ts": "of one process: what it prints, and who reads it",
  "cli/program_test.ts": "a client sees a URL, not who serves it",
  "cli/gateway_test.ts": "of one process: its command line, its end",
  "cli/node_test.ts": "of one process: its command line, its file, its end",
  "cli/start_test.ts": "of `deno task start`, which gives each node a file of its own",
  "cli/trust_test.ts": "a client sees a URL, not who serves it",
  "python/python_client_test.ts": "a client sees a URL, not who serves it",
};

const HELP = `deno task isolates

The tests that speak HTTP to real nodes, again with two processes for each acceptor on one shared database each, requests handed
on at random. The databases are in a denokv for each acceptor where one is on PATH or named by QUORATE_DENOKV, else in a
stand-in that fails on demand; it says which.

Exit code: 0 all passed, 1 some failed, 2 an option is wrong.`;

if (import.meta.main) {
  optionsOf(HELP, {});
  const { line } = await denokvHere();
  console.log(`two processes for each acceptor, their databases in ${line}`);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--parallel", "--quiet", ...ON_ISOLATES.map((file) => `test/${file}`)],
    cwd: new URL("../../", import.meta.url),
    env: { QUORATE_TEST_ISOLATES: "2", ...testJobs() },
    stdin: "null",
  }).spawn().status;
  Deno.exit(success ? 0 : 1);
}
