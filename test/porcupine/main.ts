/**
 * `deno task judge`: a second judge of histories. What the simulator records, and faults planted in it, are given to the
 * project's own judges and to Porcupine; both must say the same, and what is known to be so. `--histories N` are recorded.
 * SKIPPED, and exit code 0, where there is no Go or its modules are not to be had.
 */
import { parseArgs } from "node:util";
import { judgeAll } from "./judge.ts";
import { recorded } from "./recorded.ts";

const { values } = parseArgs({ args: Deno.args, options: { histories: { type: "string", default: "200" } } });
const count = Number(values.histories);
if (!Number.isInteger(count) || count < 1) {
  console.error(`--histories is a whole number from 1 on, not ${values.histories}`);
  Deno.exit(2);
}
Deno.exit(await judgeAll(() => recorded(count), console.log));
