/**
 * Files of tests that take longest, most of them on real processes for seconds on end. The gate runs them; a developer's
 * `deno task test` does not wait for them. What guards the protocol itself is not among them, but for simulated runs and searches
 * of which it has smaller ones.
 */
export const LONG: readonly string[] = [
  "test/bench/bench_test.ts",
  "test/bench/programs_test.ts",
  "test/chaos/backup_test.ts",
  "test/chaos/bad_input_test.ts",
  "test/chaos/chaos_test.ts",
  "test/chaos/conformance_test.ts",
  "test/chaos/direct_client_test.ts",
  "test/chaos/features_test.ts",
  "test/chaos/gateway_test.ts",
  "test/chaos/hosted_test.ts",
  "test/chaos/hot_test.ts",
  "test/chaos/idle_test.ts",
  "test/chaos/learned_members_test.ts",
  "test/chaos/learner_test.ts",
  "test/chaos/members_test.ts",
  "test/chaos/metrics_test.ts",
  "test/chaos/moved_repair_test.ts",
  "test/chaos/nouns_test.ts",
  "test/chaos/old_stores_test.ts",
  "test/chaos/raise_test.ts",
  "test/chaos/repair_test.ts",
  "test/chaos/runbook_test.ts",
  "test/chaos/second_life_test.ts",
  "test/chaos/secret_rotation_test.ts",
  "test/chaos/service_files_test.ts",
  "test/chaos/sessions_test.ts",
  "test/chaos/spans_test.ts",
  "test/chaos/stalls_test.ts",
  "test/chaos/standing_files_test.ts",
  "test/chaos/telling_test.ts",
  "test/chaos/three_hosts_test.ts",
  "test/chaos/upgrade_test.ts",
  "test/chaos/watchers_test.ts",
  "test/chaos/written_often_test.ts",
  "test/cli/backup_test.ts",
  "test/cli/cert_test.ts",
  "test/cli/doctor_test.ts",
  "test/cli/guard_test.ts",
  "test/cli/hangup_test.ts",
  "test/cli/hold_test.ts",
  "test/cli/member_test.ts",
  "test/cli/program_test.ts",
  "test/cli/serve_test.ts",
  "test/cli/trust_test.ts",
  "test/client/client_contract_test.ts",
  "test/client/connect_test.ts",
  "test/gateway/leaving_test.ts",
  "test/kv_connect/faults_test.ts",
  "test/options_test.ts",
  "test/package/generators_test.ts",
  "test/package/package_test.ts",
  "test/python/python_client_test.ts",
  "test/readme_test.ts",
  "test/replica/learner_node_test.ts",
  "test/routes/document_test.ts",
  "test/sim/explore/members/model_test.ts",
  "test/sim/explore/reductions_test.ts",
  "test/sim/long_logs_test.ts",
  "test/sim/seeds_test.ts",
  "test/sim/session_seeds_test.ts",
];

/** What `deno` is run with: for the long files, for those that `args` names, or for all but the long ones. */
export function testArguments(args: readonly string[], isTerminal: boolean): string[] {
  const isLong = args.includes("--long");
  const rest = args.filter((arg) => arg !== "--long");
  const isNamed = rest.some((arg) => !arg.startsWith("-"));
  const files = isLong ? LONG : isNamed ? [] : ["test/", `--ignore=${LONG.join(",")}`];
  // On paper dots say nothing: a log has the name of each test. Types are a step of the gate.
  const reporter = isTerminal ? ["--reporter=dot"] : [];
  return ["test", "-A", "--no-check", "--parallel", "--quiet", ...reporter, ...rest, ...files];
}

/** One more file at a time than there are cores: many tests wait, for a lease to end or for another process. */
export function testJobs(): Readonly<Record<string, string>> {
  return { DENO_JOBS: Deno.env.get("DENO_JOBS") ?? `${navigator.hardwareConcurrency + 1}` };
}
