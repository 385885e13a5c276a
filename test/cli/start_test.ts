import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { isFresh, peerSecret } from "../../src/cli/data_folder.ts";
import { NODE_RUN, nodeWords, restartLine } from "../../src/cli/node_process.ts";
import { shellWord } from "../../src/cli/shell_word.ts";
import { freePorts } from "../free_ports.ts";
import { becomesReady, Command, run, withFolder } from "./command.ts";

Deno.test("start: refuses in one line, and starts nothing", () =>
  withFolder(async (folder) => {
    const refused = async (args: readonly string[], code: number, pattern: RegExp) => {
      const ended = await run(["start", ...args]);
      assertEquals([ended.code, ended.out.length, ended.err.length], [code, 0, 1], ended.err.join("\n"));
      assertMatch(ended.err[0] ?? "", pattern);
    };
    const data = `${folder}/data`;
    await refused(["--kv", "x"], 2, /^quorate start: --kv is not a flag; flags are --port, --data$/);
    await refused(["--port", "65532"], 1, /leaves no room for 5 ports/);

    const port = freePorts(5)[0]!;
    {
      using _taken = Deno.listen({ hostname: "127.0.0.1", port: port + 3 });
      const line = new RegExp(`^quorate start: port ${port + 3} on 127\\.0\\.0\\.1 is in use;.* nothing was started$`);
      await refused(["--data", data, "--port", `${port}`], 1, line);
    }
    assertEquals([...Deno.readDirSync(folder)], []);

    await Deno.writeTextFile(`${folder}/file`, "");
    await refused(["--data", `${folder}/file/data`, "--port", `${port}`], 1, /^quorate start: cannot .*\/file\/data/);

    await Deno.mkdir(data);
    for (const id of ["a", "b", "d", "e"]) await Deno.writeTextFile(`${data}/${id}.sqlite`, "");
    await refused(["--data", data, "--port", `${port}`], 1, /data\/c\.sqlite is missing beside .*data\/a\.sqlite/);
    assertEquals([...Deno.readDirSync(data)].length, 4);
  }));

Deno.test("start: five nodes; a killed one comes back by the line that is printed; Ctrl-C stops all", () =>
  withFolder(async (folder) => {
    const port = freePorts(5)[0]!;
    const data = `${folder}/my data`;
    const args = ["start", "--data", data, "--port", `${port}`];
    const take = async (from: number, name: string) => {
      const response = await fetch(`http://127.0.0.1:${from}/v1/locks/${name}`, { method: "POST", body: "{}" });
      return { status: response.status, body: await response.json() };
    };
    const reachable = (at: number) => fetch(`http://127.0.0.1:${at}/healthz`).then((r) => r.json(), () => null);
    {
      await using start = new Command(args);
      const [, dashboard] = await start.line(/^dashboard: (.*)$/);
      assertEquals(dashboard, `http://127.0.0.1:${port}/`);
      const page = await fetch(dashboard!, { headers: { accept: "text/html" } });
      assertEquals([page.status, (await page.text()).includes("/dashboard/start.js")], [200, true]);
      const [, c] = await start.line(/^c {2}pid ([0-9]+) /);
      assertEquals((await start.line(/^take a lock: (.*)$/))[1]?.includes(`127.0.0.1:${port}/v1/locks/demo`), true);
      assertEquals((await take(port, "demo")).status, 200);

      Deno.kill(Number(c), "SIGKILL");
      await start.line(/^node c ended \(SIGKILL\)/);
      const [, line] = await start.line(/^ {2}(QUORATE_PEER_SECRET=.*--kv.*)$/);
      // As a shell reads it, but with this very deno, not as a task: tasks go by the folder one is in.
      const words = (line ?? "").replace(/^QUORATE_PEER_SECRET="\$\(cat (.*?)\)" .* task node /, (_, file) => {
        assertEquals(file, `'${data}/secret'`);
        return "";
      });
      const nodeArgs = [...words.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
      const secret = (await Deno.readTextFile(`${data}/secret`)).trim();
      assertEquals((line ?? "").includes(secret), false);
      await using again = new Command(["node", ...nodeArgs], { QUORATE_PEER_SECRET: secret });
      await again.line(/^node c ready to serve/);
      assertEquals(await becomesReady(`http://127.0.0.1:${port + 2}`), true);
      assertEquals((await take(port + 2, "demo")).status, 409);

      start.kill("SIGINT");
      const ended = await start.ended();
      assertEquals(ended.code, 0, ended.err.join("\n"));
      assertEquals(await Promise.all([0, 1, 3, 4].map((at) => reachable(port + at))), [null, null, null, null]);
    }
    await using start = new Command(args);
    await start.line(/^take a lock/);
    // The cluster goes on where it was.
    assertEquals((await take(port + 4, "demo")).body.code, "held");
  }));

Deno.test("start: its nodes get the permissions of the task", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${import.meta.dirname}/../../deno.json`));
  assertEquals(tasks.node, `deno ${NODE_RUN.join(" ")} src/cli/main.ts node`);
});

Deno.test("start: compiled to a program of its own it is its own node, and says how to start that", () => {
  assertEquals(nodeWords(true), ["node"]);
  assertEquals(nodeWords(false).slice(-1), ["node"]);
  assertEquals(Deno.build.standalone, false);
  assertStringIncludes(restartLine("data", ["--id", "a"], true), `${shellWord(Deno.execPath())} node --id a`);
  assertStringIncludes(restartLine("data", ["--id", "a"], false), " task node --id a");
});

Deno.test("peerSecret: made once, for its owner only", () =>
  withFolder(async (folder) => {
    const secret = await peerSecret(`${folder}/data`);
    assertMatch(secret, /^[\w-]{43}$/);
    assertEquals(await peerSecret(`${folder}/data`), secret);
    assertEquals(((await Deno.stat(`${folder}/data/secret`)).mode ?? 0) & 0o777, 0o600);
  }));

Deno.test("isFresh: all stores, or none", () =>
  withFolder(async (folder) => {
    assertEquals(await isFresh(folder, ["a", "b"]), true);
    await Deno.writeTextFile(`${folder}/a.sqlite`, "");
    assertEquals(await isFresh(folder, ["a"]), false);
  }));
