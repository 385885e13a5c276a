/**
 * `deno task browser`: the dashboard in a real Chromium. `--screenshots` takes the pictures of docs/dashboard.md anew; `--load`
 * measures what 10,000 names and 200 changes a second do to the page, and one viewer to its node. Without Chromium it fails and
 * says how to get it; with `--or-skip`, as the gate has it, it says SKIPPED.
 */
import { browser } from "../package/page.ts";
import { measureLoad } from "./load.ts";

const APT = "apt-get install --yes chromium";
const PICTURES = new URL("../../docs/dashboard/", import.meta.url);

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => !["--screenshots", "--load", "--or-skip"].includes(arg));
  if (unknown !== undefined) {
    console.error(`${unknown} is none of --screenshots, --load, --or-skip`);
    return 2;
  }
  const found = await browser();
  if (found === null) {
    const why = `the dashboard needs a browser to be tested in: ${APT}`;
    if (args.includes("--or-skip")) console.log(`SKIPPED: ${why}`);
    else console.error(why);
    return args.includes("--or-skip") ? 0 : 1;
  }
  console.log(found.version);
  if (args.includes("--load")) return await measureLoad(found.program);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--quiet", new URL("dashboard.ts", import.meta.url).pathname],
    env: {
      QUORATE_TEST_BROWSER: found.program,
      ...(args.includes("--screenshots") ? { QUORATE_SCREENSHOTS: PICTURES.pathname } : {}),
    },
    stdin: "null",
  }).spawn();
  return (await child.status).code;
}

Deno.exit(await main(Deno.args));
