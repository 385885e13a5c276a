/** The stand-in as a process, and processes that share one of its databases. */
import { assertEquals } from "@std/assert";
import { openWith } from "./suite.ts";

const FOLDER = import.meta.dirname!;
const TOKEN = "token-of-the-test";
const COUNTERS = 3;
const TIMES = 40;
const HANG_MS = 60_000;

function start(args: readonly string[], stdout: "piped" | "null"): Deno.ChildProcess {
  const env = { DENO_KV_ACCESS_TOKEN: TOKEN, NO_COLOR: "1" };
  return new Deno.Command(Deno.execPath(), { args: ["run", "-A", ...args], env, stdin: "null", stdout }).spawn();
}

Deno.test("main.ts: three processes share a database, and a signal ends it", async () => {
  const server = start([`${FOLDER}/main.ts`, "--token", TOKEN], "piped");
  const killer = setTimeout(() => server.kill("SIGKILL"), HANG_MS);
  try {
    const lines = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let said = "";
    // The address is one line, the token the next.
    for (let i = 0; i < 100 && said.split("\n").length < 3; i++) said += (await lines.read()).value ?? "";
    const [base, token] = said.split("\n");
    assertEquals(token, TOKEN);
    const counters = Array.from(
      { length: COUNTERS },
      () => start([`${FOLDER}/counter.ts`, `${base}shared`, String(TIMES)], "null"),
    );
    const ends = await Promise.all(counters.map(({ status }) => status));
    assertEquals(ends.map(({ code }) => code), counters.map(() => 0));
    using kv = await openWith(`${base}shared`, TOKEN);
    assertEquals((await kv.get(["n"])).value, COUNTERS * TIMES);
    using other = await openWith(`${base}other`, TOKEN);
    assertEquals((await other.get(["n"])).value, null);
    server.kill("SIGTERM");
    const { code, signal } = await server.status;
    assertEquals([code, signal], [0, null]);
    await lines.cancel();
  } finally {
    clearTimeout(killer);
    try {
      server.kill("SIGKILL");
    } catch {
      // It has ended, as it should.
    }
    await server.status;
  }
});
