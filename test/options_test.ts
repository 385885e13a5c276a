/** Programs of `deno task`, as somebody meets them who does not know them. */
import { assert, assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
/** The command line of the project itself has tests of its own, and `test` hands on what it is told to Deno's. */
const OTHERS = ["quorate", "start", "node", "gateway", "test"];

type Ended = { readonly code: number; readonly out: string; readonly err: string };

async function tasksHere(): Promise<Readonly<Record<string, string>>> {
  return JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))).tasks;
}

/** As the task runs it; what is waited for in vain is ended. */
async function run(task: string, ...more: readonly string[]): Promise<Ended> {
  const [program, ...args] = task.split(" ");
  assertEquals(program, "deno");
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args, ...more],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("tasks: each says what it takes, and refuses in one line what it does not know", async () => {
  const tasks = await tasksHere();
  const names = Object.keys(tasks).filter((name) => !OTHERS.includes(name));
  assert(names.length > 10);
  for (const name of names) {
    const help = await run(tasks[name]!, "--help");
    assertEquals([help.code, help.err], [0, ""], name);
    assert(help.out.startsWith(`deno task ${name}`), `${name}: ${help.out.slice(0, 80)}`);
    assertMatch(help.out, /Exit code: 0/, name);
    const wrong = await run(tasks[name]!, "--nonsense");
    assertEquals([wrong.code, wrong.out, wrong.err.trim().split("\n").length], [2, "", 1], `${name}: ${wrong.err}`);
    assertMatch(wrong.err, /nonsense/, name);
  }
});

Deno.test("tasks: a number that is none is refused before anything is begun", async () => {
  const tasks = await tasksHere();
  const numbers: Readonly<Record<string, readonly string[]>> = {
    sim: ["--seeds", "--from", "--jobs", "--seed"],
    explore: ["--bound"],
    judge: ["--histories"],
    chaos: ["--minutes"],
    members: ["--minutes", "--workers"],
    hot: ["--seconds"],
    stalls: ["--times"],
    stranger: ["--clients"],
  };
  for (const [name, flags] of Object.entries(numbers)) {
    for (const flag of flags) {
      const { code, err } = await run(tasks[name]!, flag, "many");
      assertEquals([code, err.includes(flag)], [2, true], `${name} ${flag}: ${err}`);
    }
  }
});
