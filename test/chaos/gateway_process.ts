/** A gateway as `deno task gateway` starts it: what the task allows it and nothing else, and no variable of a node. */
import { eachLine } from "../../src/cli/lines.ts";
import { TASKS } from "../page_session.ts";
import { pause } from "./real_cluster.ts";

const ROOT = new URL("../../", import.meta.url);
/** Far above what an end takes. */
const HANG_MS = 60_000;
const READY_TRIES = 4_800;

export type GatewayProcess = { readonly url: string; output(): string; stop(): Promise<number> };

export async function startGateway(
  nodes: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<GatewayProcess> {
  const [, ...args] = TASKS["gateway"]!.split(" ");
  const kept = Object.entries(Deno.env.toObject()).filter(([name]) => !name.startsWith("QUORATE_"));
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, "--nodes", nodes.join(","), "--port", "0"],
    cwd: ROOT,
    env: { ...Object.fromEntries(kept), NO_COLOR: "1", ...more },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const heard = Promise.all([child.stdout, child.stderr].map((stream) => eachLine(stream, (line) => lines.push(line))));
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), HANG_MS);
    const { code } = await child.status;
    clearTimeout(timer);
    await heard;
    return code;
  };
  const output = () => lines.join("\n");
  for (let i = 0; i < READY_TRIES; i++) {
    const url = /^gateway ready to serve on (\S+), before/m.exec(output())?.[1];
    if (url !== undefined) return { url, output, stop };
    await pause(25);
  }
  await stop();
  throw new Error(`the gateway does not start: ${output()}`);
}
