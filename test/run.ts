/**
 * `deno task test`: every test but the long ones, a dot a test on a terminal. Says first how long that takes. Files or
 * folders after it are run alone, whatever they are; `--long` runs the long ones, as the gate does. Other flags are Deno's.
 */
import { LONG } from "./long.ts";

const FLAGS = ["-A", "--no-check", "--parallel", "--quiet"];

const isLong = Deno.args.includes("--long");
const rest = Deno.args.filter((arg) => arg !== "--long");
const named = rest.filter((arg) => !arg.startsWith("-"));
const files = isLong ? LONG : named.length > 0 ? [] : ["test/", `--ignore=${LONG.join(",")}`];

if (named.length === 0) {
  console.log(
    isLong
      ? `${LONG.length} files, about two minutes on two quiet cores`
      : `about three minutes on two quiet cores; ${LONG.length} files of long tests wait for: deno task ok`,
  );
}
// On paper dots say nothing: a log has the name of each test.
const reporter = Deno.stdout.isTerminal() ? ["--reporter=dot"] : [];
const child = new Deno.Command(Deno.execPath(), {
  args: ["test", ...FLAGS, ...reporter, ...rest, ...files],
  cwd: new URL("../", import.meta.url),
  stdin: "null",
}).spawn();
Deno.addSignalListener("SIGINT", () => {});
Deno.exit((await child.status).code);
