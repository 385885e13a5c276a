import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { NODE_RUN } from "../../src/cli/node_process.ts";
import { shellWord } from "../../src/cli/shell_word.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { memoryApps, withApps } from "../routes/memory_apps.ts";
import { freePort } from "../free_ports.ts";
import { Command, type Ended, isInstalled, run, withFolder } from "./command.ts";
import { createClientTokens } from "./tokens.ts";

const ROOT = new URL("../../", import.meta.url);

function documents({ out }: Ended): Record<string, unknown>[] {
  return out.map((line) => JSON.parse(line));
}

async function inShell(
  shell: string,
  script: string,
  folder: string,
  env: Record<string, string> = {},
): Promise<string> {
  const command = new Deno.Command(shell, { args: ["-c", script], cwd: folder, env, stdin: "null" });
  const { success, stdout, stderr } = await command.output();
  assertEquals(success, true, `${script}${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("kv: put, get, delete and list do what they are asked, once; --json parses; a watch has a line for each change", () =>
  withApps(3, async (apps) => {
    const env = { QUORATE_URL: apps.cluster.ids.map((id) => apps.url(id)).join(",") };
    await using watch = new Command(["kv", "watch", "k", "--json"], env);
    const put = await run(["kv", "put", "k/1", "hello"], env);
    assertMatch(put.out[0]!, /^[1-9][0-9]*$/);
    await watch.line(/"k\/1"/);
    const [got, document, absent, other, listed, missing, wrong] = await Promise.all([
      run(["kv", "get", "k/1"], env),
      run(["kv", "get", "k/1", "--json"], env),
      run(["kv", "put", "k/1", "late", "--if-absent"], env),
      run(["kv", "put", "k/1", "late", "--if-match", "1"], env),
      run(["kv", "ls", "k/", "--json"], env),
      run(["kv", "get", "k/2"], env),
      run(["kv", "put", "k/1", "x", "--fence", "high"], env),
    ]);
    const value = { key: "k/1", revision: put.out[0], contentType: "text/plain; charset=utf-8", value: "aGVsbG8=" };
    assertEquals([got.out, documents(document), documents(listed)], [["hello"], [value], [value]]);
    assertEquals([absent, other, missing, wrong].map(({ code, err }) => [code, err.length]), [[1, 1], [1, 1], [1, 1], [
      2,
      1,
    ]]);
    const deleted = await run(["kv", "delete", "k/1", "--if-match", put.out[0]!], env);
    await watch.line(/"deleted":true/);
    const again = await run(["kv", "delete", "k/1"], env);
    assertEquals([deleted.code, again.code], [0, 1], String(deleted.err));
    for (const line of watch.out) assertEquals(JSON.parse(line).key, "k/1");
  }));

Deno.test("lists, get, history, watch, force and status: what one sees of a lock; each line of --json parses", () =>
  withApps(3, async (apps) => {
    const urls = apps.cluster.ids.map((id) => apps.url(id));
    const gone = `http://127.0.0.1:${freePort()}`;
    const env = { QUORATE_URL: urls.join(",") };
    await apps.ask("a", "/v1/locks/job", { method: "POST", body: '{"holder": "me"}' });
    await apps.ask("a", "/v1/elections/boss", { method: "POST", body: '{"candidate": "me"}' });
    await using watch = new Command(["watch", "job"], env);
    await watch.line(/"state":"held"/);
    const [locks, elections, semaphores, sessions, got, status, dead, noun] = await Promise.all([
      run(["locks"], env),
      run(["elections", "b", "--json"], env),
      run(["semaphores"], env),
      run(["sessions", "--json"], env),
      run(["get", "job", "--json"], env),
      run(["status", "--json", "--url", [...urls, gone].join(",")], env),
      run(["status", "--url", gone], env),
      run(["get", "job", "--noun", "kv"], env),
    ]);
    assertMatch(locks.out.join("\n"), /^job\theld\tme\t[1-9][0-9]*\t0$/);
    assertEquals(documents(elections).map(({ name }) => name), ["boss"]);
    assertEquals([semaphores.out, sessions.out], [[], []]);
    assertEquals(documents(got)[0]!["state"], "held");
    assertEquals(documents(status).map((node) => "status" in node), [true, true, true, false]);
    assertEquals([status.code, dead.code, noun.code, noun.err.length], [0, 1, 2, 1]);
    const force = await run(["force", "job", "--reason", "stuck", "--json"], env);
    assertEquals(documents(force)[0]!["count"], 1);
    await watch.line(/"state":"free"/);
    const [late, history] = await Promise.all([
      run(["force", "job", "--reason", "again"], env),
      run(["history", "job", "--json"], env),
    ]);
    assertEquals(late.out, ["0 ended"]);
    assertEquals(documents(history).map(({ end, reason }) => [end, reason]), [["forced", "stuck"]]);
  }));

Deno.test("once: of several hosts one runs the command, and none again before the period is over", () =>
  withApps(3, async (apps) => {
    const hosts = apps.cluster.ids.map((id) => ({ QUORATE_URL: apps.url(id) }));
    const args = ["once", "report", "-E", "9", "--", "sh", "-c", "echo ran; exit 3"];
    const ends = await Promise.all(hosts.map((env) => run(args, env)));
    assertEquals(ends.map(({ code }) => code).sort(), [3, 9, 9], String(ends.map(({ err }) => err)));
    assertEquals(ends.flatMap(({ out }) => out), ["ran"]);
    const late = await run(["once", "report", "--", "echo", "ran"], hosts[0]);
    assertEquals([late.code, late.out, late.err], [0, [], []]);
    const until = { until: new Date(Date.now() - 1_000).toISOString() };
    await apps.ask("a", "/v1/kv/once%2Freport", { method: "PUT", body: JSON.stringify(until) });
    await apps.ask("a", "/v1/kv/once%2Fother", { method: "PUT", body: "something else" });
    const [next, refused] = await Promise.all([
      run(["once", "report", "--", "echo", "ran"], hosts[1]),
      run(["once", "other", "--", "echo", "ran"], hosts[2]),
    ]);
    assertEquals([next.code, next.out], [0, ["ran"]], String(next.err));
    assertEquals([refused.code, refused.out, refused.err.length], [1, [], 1]);
  }));

Deno.test("token new: its token opens what its scope says on a node that has its entry, and nothing else", async () => {
  const made = await run(["token", "new", "ci", "--scope", "lock:read,write:deploy/*", "--json"]);
  const { token, entry } = JSON.parse(made.out.join("\n"));
  assertEquals(JSON.stringify(entry).includes(token), false);
  const tokens = [...createClientTokens("another"), ...parseTokens(JSON.stringify([entry]))];
  const apps = await memoryApps(1, { tokens });
  try {
    const env = { QUORATE_URL: apps.url("a") };
    const own = { ...env, QUORATE_TOKEN: token };
    const [allowed, forbidden, stranger, wrong] = await Promise.all([
      run(["lock", "deploy/x", "--", "true"], own),
      run(["lock", "other", "--", "echo", "never"], own),
      run(["locks"], env),
      run(["token", "new", "ci", "--scope", "everything"]),
    ]);
    assertEquals([allowed.code, forbidden.code, stranger.code, wrong.code], [0, 1, 1, 2], String(allowed.err));
    assertMatch(forbidden.err.join("\n"), /^quorate lock: .*\(forbidden\)$/);
    assertMatch(stranger.err.join("\n"), /^quorate locks: .*\(unauthenticated\)$/);
    assertEquals(wrong.err.length, 1);
  } finally {
    await apps.close();
  }
});

Deno.test("commands: a stranger, and who sends too much, is told so in one line", () =>
  withApps(1, async (apps) => {
    const env = { QUORATE_URL: apps.url("a") };
    const lines = [
      "kv watch",
      "kv get k",
      "watch a",
      "elect e --listen",
      "once o -- echo ran",
      "history a",
      "force a --reason r",
    ];
    const strangers = await Promise.all(lines.map((line) => run(line.split(" "), env)));
    for (const [i, { code, out, err }] of strangers.entries()) {
      assertEquals([code, out, err.length], [1, [], 1], lines[i]);
      assertMatch(err[0]!, /\(unauthenticated\)$/);
    }
    const large = await run(["kv", "put", "k", "x".repeat(40_000)], { ...env, QUORATE_TOKEN: "the-token" });
    assertEquals([large.code, large.out], [1, []]);
    assertMatch(large.err.join("\n"), /^quorate kv put: .*\(too-large\)$/);
  }, { tokens: createClientTokens("the-token") }));

Deno.test("completion: bash completes commands and their flags; the scripts of all shells have all commands", () =>
  withFolder(async (folder) => {
    const shells = ["bash", "zsh", "fish"];
    const made = await Promise.all([...shells, "sh"].map((shell) => run(["completion", shell])));
    assertEquals(made.map(({ code }) => code), [0, 0, 0, 2]);
    for (const [i, shell] of shells.entries()) {
      const script = made[i]!.out.join("\n");
      for (const word of ["lock", "elect", "once", "kv", "status", "trace", "wait"]) {
        assertMatch(script, new RegExp(`\\b${word}\\b`));
      }
      await Deno.writeTextFile(`${folder}/${shell}`, script);
    }
    const completed = (words: string, at: number) =>
      inShell("bash", `. ./bash; COMP_WORDS=(${words}); COMP_CWORD=${at}; _quorate; echo "\${COMPREPLY[*]}"`, folder);
    assertEquals(await completed("quorate sem", 1), "semaphore semaphores\n");
    assertEquals(await completed("quorate lock --w", 2), "--wait\n");
    assertEquals(await completed("quorate kv pu", 2), "put\n");
  }));

for (const shell of ["zsh", "fish"]) {
  const ignore = !await isInstalled(shell);
  const name = `completion: ${shell} reads its script${ignore ? ` (SKIPPED: no ${shell} here)` : ""}`;
  Deno.test({
    name,
    ignore,
    fn: () =>
      withFolder(async (folder) => {
        await Deno.writeTextFile(`${folder}/script`, (await run(["completion", shell])).out.join("\n"));
        await inShell(shell, `${shell} -n ./script`, folder);
      }),
  });
}

Deno.test("docs/cli.md: its blocks run as they stand; its table and the program have the same commands", async () => {
  const text = await Deno.readTextFile(new URL("docs/cli.md", ROOT));
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  await withApps(3, (apps) =>
    withFolder(async (folder) => {
      const main = new URL("src/cli/main.ts", ROOT).pathname;
      const line = [Deno.execPath(), ...NODE_RUN, "--allow-run", main].map(shellWord).join(" ");
      await Deno.writeTextFile(`${folder}/quorate`, `#!/bin/sh\nexec ${line} "$@"\n`, { mode: 0o755 });
      const env = { QUORATE_URL: apps.url("a"), PATH: `${folder}:${Deno.env.get("PATH")}` };
      const [first, ...rest] = await Promise.all(
        blocks.map((block) => inShell("bash", `set -e\n${block}`, folder, env)),
      );
      assertMatch(first!, /^deploying with fence \d+\none of three\non one host a day\n\d+\ngreen$/);
      assertEquals(rest, [""]);
    }));
  const help = (await run(["--help"])).out;
  const commands = help.flatMap((line) => /^ {2}([a-z]+) /.exec(line)?.[1] ?? []).filter((name) =>
    !["deno", "help"].includes(name)
  );
  const rows = text.split("\n").filter((line) => line.startsWith("| `")).map((line) => line.split("|")[1]!);
  const named = rows.flatMap((row) => [...row.matchAll(/`([a-z]+)/g)].map(([, name]) => name!));
  assertEquals([...new Set(named)].sort(), [...new Set(commands)].sort());
});

Deno.test("task quorate: has the permissions that its commands are tested with", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const options = `${NODE_RUN.slice(1).join(" ")} --allow-run`;
  assertEquals(tasks.quorate, `deno run ${options} src/cli/main.ts`);
  assertStringIncludes(
    await Deno.readTextFile(new URL(".github/workflows/release.yml", ROOT)),
    ` compile ${options}\n`,
  );
});

Deno.test("locks, elections and semaphores: --held-for leaves out what is held for less; of sessions nothing is held", () =>
  withApps(1, async (apps) => {
    const url = apps.url("a");
    await apps.ask("a", "/v1/locks/job", { method: "POST", body: "{}" });
    await apps.ask("a", "/v1/elections/main", { method: "POST", body: "{}" });
    const [held, young, led, wrong, none] = await Promise.all([
      run(["locks", "--held-for", "0", "--url", url]),
      run(["locks", "jo", "--held-for", "1h", "--url", url]),
      run(["elections", "--held-for", "0", "--url", url]),
      run(["locks", "--held-for", "long", "--url", url]),
      run(["sessions", "--held-for", "1h", "--url", url]),
    ]);
    assertEquals([held.out.length, young.out, led.out.length], [1, [], 1]);
    assertEquals([held.code, young.code, wrong.code, none.code], [0, 0, 2, 2]);
    assertMatch(wrong.err[0]!, /"long" is no duration/);
    assertMatch(none.err[0]!, /unknown option '--held-for'/);
  }));
