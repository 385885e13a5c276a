import { assertEquals, assertMatch } from "@std/assert";
import { createClientTokens } from "./tokens.ts";
import { withApps } from "../routes/memory_apps.ts";
import { withLinks } from "../client/linked_nodes.ts";
import { freePort } from "../free_ports.ts";
import { Command, isInstalled, run } from "./command.ts";

const SHOW = 'echo "$QUORATE_LOCK $QUORATE_FENCE $QUORATE_HELD"';
const HAS_SCRIPT = await isInstalled("script");

async function waitersOf(url: string, name: string): Promise<number> {
  return (await (await fetch(`${url}/v1/locks/${name}`)).json()).waiterCount;
}

async function stateOf(url: string, name: string): Promise<string> {
  return (await (await fetch(`${url}/v1/locks/${name}`)).json()).state;
}

Deno.test("lock, elect, semaphore: the command runs while it is held, knows its fence, and gives its exit code", () =>
  withLinks(3, async ({ urls }) => {
    const env = { QUORATE_URL: urls.join(",") };
    const cases: [string[], number, RegExp][] = [
      [["lock", "a", "--", "sh", "-c", `${SHOW}; exit 3`], 3, /^a [1-9][0-9]* true$/],
      [["lock", "b", "c", "--", "sh", "-c", 'echo "$QUORATE_LOCK $QUORATE_FENCES"'], 0, /^b \{"b":"\d+","c":"\d+"\}$/],
      [["lock", "d", "--", "sh", "-c", "echo going; kill -9 $$"], 137, /^going$/],
      [["elect", "e", "here", "--", "sh", "-c", 'echo "$QUORATE_ELECTION $QUORATE_FENCE"'], 0, /^e [1-9][0-9]*$/],
      [["semaphore", "s", "--limit", "2", "--", "sh", "-c", 'echo "$QUORATE_SEMAPHORE"; exit 4'], 4, /^s$/],
      // A flag behind -- is the command's.
      [["lock", "f", "--", "echo", "--help", "-n"], 0, /^--help -n$/],
    ];
    const ends = await Promise.all(cases.map(([args]) => run(args, env)));
    for (const [i, [args, code, pattern]] of cases.entries()) {
      assertEquals([ends[i]!.code, ends[i]!.out.length], [code, 1], `${args} ${ends[i]!.err}`);
      assertMatch(ends[i]!.out[0]!, pattern);
    }
    // It is given back, also where the command cannot be started: the same is run again, late.
    const [missing, folder, again] = await Promise.all([
      run(["lock", "g", "--", "no-such-command"], env),
      run(["lock", "h", "--", "/"], env),
      run(["lock", "-n", "a", "--", "sh", "-c", SHOW], env),
    ]);
    assertEquals([missing.code, folder.code, again.code], [127, 126, 0], String([missing.err, folder.err, again.err]));
    assertMatch(missing.err[0]!, /^quorate lock: cannot start no-such-command/);
    assertEquals(
      await Promise.all(["a", "b", "c", "g", "h"].map((name) => stateOf(urls[0]!, name))),
      Array(5).fill("free"),
    );
  }));

Deno.test("lock: a refusal has its exit code and its line; signals go to the command; who gives up leaves the queue", () =>
  withLinks(3, async ({ urls, client }) => {
    const env = { QUORATE_URL: urls.join(",") };
    await using _held = await client().locks.acquire("busy");
    const refused = await Promise.all([
      run(["lock", "-n", "busy", "--", "true"], env),
      run(["lock", "-n", "-E", "75", "busy", "--", "true"], env),
      run(["lock", "--wait", "200ms", "--json", "busy", "--", "true"], env),
    ]);
    assertEquals(refused.map(({ code, out }) => [code, out]), [[1, []], [75, []], [1, []]]);
    assertMatch(refused[0]!.err.at(-1)!, /^quorate lock: busy is held \(held\)$/);
    const documents = refused[2]!.err.map((line) => JSON.parse(line));
    // Whether it waited before that is a matter of time.
    assertEquals([documents.at(-1)!.event, documents.at(-1)!.code], ["error", "held"]);

    const script = "trap 'echo told; exit 5' TERM; echo up; for i in $(seq 1000); do sleep 0.02; done";
    await using signalled = new Command(["lock", "free", "--", "sh", "-c", script], env);
    await using waiting = new Command(["lock", "busy", "--", "echo", "never"], env);
    await Promise.all([signalled.line(/^up$/), waiting.line(/^quorate lock: waiting for busy, position 1$/)]);
    signalled.kill("SIGTERM");
    waiting.kill("SIGINT");
    const [told, left] = await Promise.all([signalled.ended(), waiting.ended()]);
    assertEquals([told.code, told.out], [5, ["up", "told"]]);
    assertEquals([left.code, left.out, await waitersOf(urls[1]!, "busy")], [130, [], 0]);
  }));

Deno.test("lock: a command that comes to its turn in the queue runs, also with a grace longer than it is told of at first", () =>
  withLinks(3, async ({ urls, client }) => {
    const env = { QUORATE_URL: urls.join(",") };
    // Out of a queue it has at most 9.9 s until it is renewed, and less where its place was renewed a while ago.
    const cases = [["lock", "turn"], ["elect", "turn"], ["semaphore", "--limit", "1", "turn"]];
    const { locks, elections, semaphores } = client();
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const { promise: taken, resolve: hasTaken } = Promise.withResolvers<void>();
    const permits = semaphores.request("turn", { limit: 1 }, () => {
      hasTaken();
      return over;
    });
    const holds = [await locks.acquire("turn"), await elections.campaign("turn")];
    await taken;
    await Promise.all(cases.map(async ([verb, ...rest], i) => {
      const flags = ["--ttl", "30s", "--grace", "10s"];
      await using waiting = new Command(
        [verb!, ...flags, ...rest, "--", "sh", "-c", "echo up; sleep 0.2; echo done"],
        env,
      );
      await waiting.line(/waiting for turn, position 1$/);
      await holds[i]?.release();
      if (holds[i] === undefined) end();
      const { code, out, err } = await waiting.ended();
      assertEquals([verb, code, out, err.length], [verb, 0, ["up", "done"], 1], err.join("\n"));
    }));
    await permits;
  }));

Deno.test("hold: wrong flags, a node that nobody knows and a missing token are told in one line, and nothing runs", () =>
  withApps(1, async (apps) => {
    const url = ["--url", apps.url("a")];
    const cases: [string[], number, RegExp][] = [
      [["lock"], 2, /^quorate: missing required argument 'names'$/],
      [["lock", "a"], 2, /^quorate lock: a command is needed behind --$/],
      [["lokc", "a"], 2, /^quorate: unknown command 'lokc' \(Did you mean lock\?\)$/],
      [["lock", "--wiat", "1s", "a", "--", "echo"], 2, /^quorate: unknown option '--wiat' \(Did you mean --wait\?\)$/],
      [["lock", "--ttl", "soon", "a", "--", "echo"], 2, /^quorate lock: "soon" is no duration;/],
      [["lock", "--ttl", "1ms", "a", "--", "echo"], 2, /^quorate lock: --ttl is 1000 ms to 3600000 ms$/],
      [["lock", "--grace", "20s", "a", "--", "echo"], 2, /^quorate lock: --grace is at most a third of --ttl/],
      [["lock", "-n", "-w", "1s", "a", "--", "echo"], 2, /^quorate lock: --nonblock and --wait exclude each other$/],
      [["lock", "-E", "999", "a", "--", "echo"], 2, /^quorate lock: --conflict-exit-code is a number from 0 to 255$/],
      [["semaphore", "a", "--limit", "0", "--", "echo"], 2, /^quorate semaphore: --limit is a whole number from 1 on$/],
      [["lock", "--url", "nonsense", "a", "--", "echo"], 2, /^quorate lock: --url or QUORATE_URL: /],
      [["lock", "--token-file", "/none", "a", "--", "echo"], 1, /^quorate lock: cannot read --token-file \/none/],
      [["lock", ...url, "x".repeat(600), "--", "echo"], 2, /\(invalid-request\)$/],
      [["lock", ...url, "a", "--", "echo"], 1, /^quorate lock: .*\(unauthenticated\)$/],
      [
        ["lock", "--url", `http://127.0.0.1:${freePort()}`, "--timeout", "100ms", "a", "--", "echo"],
        1,
        /no node answers \(not-ready\)$/,
      ],
    ];
    const env = { QUORATE_TOKEN: "" };
    const ends = await Promise.all(
      cases.map(([args]) => run(args, args.includes("x".repeat(600)) ? { QUORATE_TOKEN: "the-token" } : env)),
    );
    for (const [i, [args, code, pattern]] of cases.entries()) {
      const { code: actual, out, err } = ends[i]!;
      assertEquals([actual, out, err.length], [code, [], 1], `${args}: ${err}`);
      assertMatch(err[0]!, pattern);
    }
  }, { tokens: createClientTokens("the-token") }));

Deno.test("lock --shared, elect --listen: shared holders do not wait for each other; each leader is a line", () =>
  withLinks(3, async ({ urls, client }) => {
    const env = { QUORATE_URL: urls.join(",") };
    await using _held = await client().locks.acquire("read", { mode: "shared" });
    await using listening = new Command(["elect", "boss", "--listen"], env);
    await using documents = new Command(["elect", "boss", "--listen", "--json"], env);
    await Promise.all([listening.line(/^-$/), documents.line(/"leader":null/)]);
    const [shared, exclusive, led] = await Promise.all([
      run(["lock", "-n", "-s", "read", "--", "true"], env),
      run(["lock", "-n", "read", "--", "true"], env),
      run(["elect", "boss", "http://here", "--candidate", "me", "--", "true"], env),
    ]);
    assertEquals([shared.code, exclusive.code, led.code], [0, 1, 0]);
    await listening.line(/^me\t[1-9][0-9]*\thttp:\/\/here$/);
    const [line] = await documents.line(/^.*"candidate":"me".*$/);
    assertMatch(JSON.parse(line).leader.term, /^[1-9][0-9]*$/);
    listening.kill("SIGINT");
    assertEquals((await listening.ended()).code, 130);
  }));

Deno.test({
  name: `lock: Ctrl-C on a terminal ends the wait at once, and reaches a command once${
    HAS_SCRIPT ? "" : " (SKIPPED: no script here)"
  }`,
  ignore: !HAS_SCRIPT,
  fn: () =>
    withLinks(1, async ({ urls, client }) => {
      const env = { QUORATE_URL: urls.join(",") };
      await using _held = await client().locks.acquire("busy");
      await using waiting = new Command(["lock", "busy", "--", "echo", "never"], env, true);
      const script = "trap 'echo told; sleep 0.3; exit 6' INT; echo up; for i in $(seq 1000); do sleep 0.02; done";
      await using running = new Command(["lock", "free", "--", "sh", "-c", script], env, true);
      await Promise.all([waiting.line(/waiting for busy, position 1/), running.line(/^up/)]);
      await Promise.all([waiting.type("\x03"), running.type("\x03")]);
      const [left, told] = await Promise.all([waiting.ended(), running.ended()]);
      assertEquals([left.code, await waitersOf(urls[0]!, "busy")], [130, 0]);
      assertEquals([told.code, told.out.filter((line) => line.includes("told")).length], [6, 1], String(told.out));
    }),
});
