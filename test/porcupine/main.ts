/** `deno task judge`: a second judge of histories. */
import { optionsOf, whole } from "../options.ts";
import { judgeAll } from "./judge.ts";
import { recorded } from "./recorded.ts";

const HELP = `deno task judge [--histories 200]

What the simulator records, and faults planted in it, are given to the project's own judges and to Porcupine; both must say the
same, and what is known to be so. SKIPPED, and exit code 0, where there is no Go or its modules are not to be had.

  --histories  that are recorded

Exit code: 0 they agree, 1 they do not, 2 an option is wrong.`;

const values = optionsOf(HELP, { histories: { type: "string", default: "200" } });
const count = whole("histories", values.histories);
Deno.exit(await judgeAll(() => recorded(count), console.log));
