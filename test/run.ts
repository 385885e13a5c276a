/**
 * `deno task test`: every test but the long ones, a dot a test on a terminal. Says first how long that takes. Files or
 * folders after it are run alone, whatever they are; `--long` runs the long ones, as the gate does. Other flags are Deno's.
 */
import { LONG, testArguments, testJobs } from "./long.ts";

if (Deno.args.includes("--long")) console.log(`${LONG.length} files, five to six minutes on two quiet cores`);
else if (Deno.args.every((arg) => arg.startsWith("-"))) {
  console.log(
    `two to three minutes on two quiet cores; ${LONG.length} files of long tests wait for: deno task ok`,
  );
}
const child = new Deno.Command(Deno.execPath(), {
  args: testArguments(Deno.args, Deno.stdout.isTerminal()),
  cwd: new URL("../", import.meta.url),
  env: testJobs(),
  stdin: "null",
}).spawn();
// Ctrl-C is the child's too, and it says what it has.
Deno.addSignalListener("SIGINT", () => {});
Deno.exit((await child.status).code);
