/** What commands print: to whom it cannot do harm, and what they do where nobody reads it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { NODE_RUN } from "../../src/cli/node_process.ts";
import { type Apps, withApps } from "../routes/memory_apps.ts";
import { Command, run } from "./command.ts";

const MAIN = new URL("../../src/cli/main.ts", import.meta.url).pathname;
/** Clears a screen, in two ways; turns what follows around; forges a line. */
const HOSTILE = "\x1b[2J\x9b2J\u202e\nforged\tcell";

function envOf(apps: Apps): Record<string, string> {
  return { QUORATE_URL: apps.url("a") };
}

/** A command whose output is read for a moment only. Resolves with how it ended, null: by force. */
async function leftAlone(
  args: readonly string[],
  env: Record<string, string>,
  more: () => Promise<unknown>,
): Promise<[code: number | null, said: string]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...NODE_RUN, "--allow-run", MAIN, ...args],
    env: { ...env, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  let code: number | null = null;
  const ended = child.status.then((status) => code = status.code);
  for (let i = 0; i < 100 && code === null; i++) {
    await more();
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  const inTime = code;
  if (inTime === null) child.kill("SIGKILL");
  const [said] = await Promise.all([new Response(child.stderr).text(), ended]);
  return [inTime, said];
}

Deno.test("output: what others say of themselves steers no terminal; --json has it as it is", () =>
  withApps(1, async (apps) => {
    const env = envOf(apps);
    await apps.ask("a", "/v1/elections/e", {
      method: "POST",
      body: JSON.stringify({ candidate: "c", value: HOSTILE }),
    });
    await apps.ask("a", "/v1/locks/l", { method: "POST", body: "{}" });
    await apps.ask("a", "/v1/locks/l", { method: "DELETE", body: JSON.stringify({ reason: HOSTILE }) });
    await using listening = new Command(["elect", "e", "--listen"], env);
    await listening.line(/^c\t/);
    const [history, state, json] = await Promise.all([
      run(["history", "l"], env),
      run(["get", "e", "--noun", "election"], env),
      run(["get", "e", "--noun", "election", "--json"], env),
    ]);
    for (const { out } of [listening, history]) {
      assertEquals(out.length, 1);
      assertMatch(out[0]!, /\uFFFD\[2J\uFFFD2J\uFFFD\uFFFDforged\uFFFDcell$/);
    }
    for (const { out } of [state, json]) {
      assert(!/\p{Cc}/u.test(out.join("")), out.join("\n"));
      assertEquals(JSON.parse(out.join("\n")).leader.value, HOSTILE);
    }
  }));

Deno.test("output: a stream of changes ends once nobody reads it, as where its reader is head(1)", () =>
  withApps(1, async (apps) => {
    const env = envOf(apps);
    const put = () => apps.ask("a", "/v1/kv/k", { method: "PUT", body: "v" });
    await put();
    for (const args of [["kv", "watch"], ["watch", "k", "--noun", "kv"]]) {
      assertEquals(await leftAlone(args, env, put), [141, ""]);
    }
  }));

const isFull = Deno.build.os === "linux";
Deno.test({
  name: `output: where it cannot be written, one line says so${isFull ? "" : " (SKIPPED: there is no /dev/full)"}`,
  ignore: !isFull,
  fn: () =>
    withApps(1, async (apps) => {
      const env = envOf(apps);
      await apps.ask("a", "/v1/kv/k", { method: "PUT", body: "v" });
      const words = [Deno.execPath(), ...NODE_RUN, "--allow-run", MAIN].join(" ");
      for (const args of ["kv get k", "kv ls", "status"]) {
        const command = new Deno.Command("sh", {
          args: ["-c", `exec ${words} ${args} > /dev/full`],
          env,
          stdin: "null",
        });
        const { code, stderr } = await command.output();
        const lines = new TextDecoder().decode(stderr).trim().split("\n");
        assertEquals([code, lines.length], [1, 1], lines.join("\n"));
        assertMatch(lines[0]!, /cannot write standard output: /);
      }
    }),
});

Deno.test("output: help that nobody reads any more ends in no error", async () => {
  for (const args of [["--help"], ["once", "--help"], ["--version"]]) {
    const child = new Deno.Command(Deno.execPath(), {
      args: [...NODE_RUN, MAIN, ...args],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    await child.stdout.cancel();
    const [{ code }, said] = await Promise.all([child.status, new Response(child.stderr).text()]);
    assertEquals([said, code], ["", 141], args.join(" "));
  }
});
