/** The second judge: Porcupine, of the Go program in this folder, where Go and its modules are to be had. */
import { eventsOf, type History, type Verdict } from "./histories.ts";

/** Verdicts in the order of the histories. */
export type Judge = (histories: readonly History[]) => Promise<readonly Verdict[]>;

/** Why there is no second judge here. */
export class Skipped extends Error {}

const FOLDER = new URL("./", import.meta.url);
/** A machine without a network may wait long for a registry that does not answer. */
const DOWNLOAD_WITHIN_MS = 60_000;
const BUILD_WITHIN_MS = 180_000;
const JUDGE_WITHIN_MS = 300_000;
/** Go may fetch no other Go for it, and the program needs no C. */
const ENV = { GOTOOLCHAIN: "local", CGO_ENABLED: "0" };

/** Rejects with Skipped where there is no such command or the modules are not to be had. */
export async function fetchModules(go: string): Promise<void> {
  const modules = await run(go, ["mod", "download"], DOWNLOAD_WITHIN_MS).catch((error: Error) => {
    if (error instanceof Deno.errors.NotFound) throw new Skipped(`there is no ${go} on PATH`);
    throw error;
  });
  if (modules.success) return;
  // Where it is another module than the one whose sum is kept, that is no reason to do without.
  if (/checksum mismatch|SECURITY ERROR/.test(modules.stderr)) throw new Error(modules.stderr);
  throw new Skipped(`its modules are not to be had: ${modules.stderr}`);
}

/** Builds it into this folder, without a network. Rejects where that fails. */
export async function buildPorcupine(go: string, into: string): Promise<Judge> {
  const path = `${into}/porcupine`;
  const built = await run(go, ["build", "-buildvcs=false", "-o", path, "."], BUILD_WITHIN_MS);
  if (!built.success) throw new Error(`the second judge does not build: ${built.stderr}`);
  return (histories) => judge(path, histories);
}

async function judge(path: string, histories: readonly History[]): Promise<readonly Verdict[]> {
  const input = histories.map((history) => `${JSON.stringify({ of: history.of, events: eventsOf(history) })}\n`);
  const { success, stdout, stderr } = await run(path, [], JUDGE_WITHIN_MS, input.join(""));
  if (!success) throw new Error(`the second judge ended badly: ${stderr}`);
  const verdicts = stdout.split("\n").slice(0, -1);
  if (verdicts.length !== histories.length) {
    throw new Error(`of ${histories.length} histories the second judge judged ${verdicts.length}`);
  }
  return verdicts.map((verdict) => {
    if (verdict !== "ok" && verdict !== "illegal" && verdict !== "gave up") throw new Error(`no verdict: ${verdict}`);
    return verdict;
  });
}

/** `stderr` says how it ended where it says nothing else. */
async function run(command: string, args: string[], withinMs: number, input = "") {
  const signal = AbortSignal.timeout(withinMs);
  const child = new Deno.Command(command, {
    args,
    cwd: FOLDER,
    env: ENV,
    signal,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [ended] = await Promise.all([child.output(), write(child.stdin, input)]);
  const [stdout, stderr] = [ended.stdout, ended.stderr].map((bytes) => new TextDecoder().decode(bytes));
  const why = stderr!.trim() || (signal.aborted ? `not done within ${withinMs / 1_000} s` : `exit code ${ended.code}`);
  return { success: ended.success, stdout: stdout!, stderr: why };
}

async function write(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  try {
    await new Blob([text]).stream().pipeTo(stdin);
  } catch {
    // It ended before it had read all; its exit code and its answers say more.
  }
}
