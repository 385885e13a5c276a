/** A block of `sh` from a page, run as it would be typed. */

/** A page's block takes seconds. */
const WITHIN_MS = 60_000;

export type Ran = { readonly code: number; readonly out: string; readonly err: string };

/** @param options `-e`: it ends with the first command that fails */
export async function runShell(
  script: string,
  folder: string,
  env: Readonly<Record<string, string>>,
  options: readonly "-e"[] = [],
): Promise<Ran> {
  const child = new Deno.Command("sh", {
    args: [...options, "-c", script],
    cwd: folder,
    env: { ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), WITHIN_MS);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}
