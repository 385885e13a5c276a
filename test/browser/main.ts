/** `deno task browser`: the dashboard in a real Chromium. */
import { browser } from "../package/page.ts";
import { optionsOf } from "../options.ts";
import { measureLoad } from "./load.ts";

const APT = "apt-get install --yes chromium";
const PICTURES = new URL("../../docs/dashboard/", import.meta.url);

const HELP = `deno task browser [--screenshots | --load] [--or-skip]

The tests of the dashboard in a real Chromium, on real nodes. Without Chromium it fails and says how to get it.

  --screenshots  takes the pictures of docs/dashboard.md anew
  --load         measures what 10,000 names and 200 changes a second do to the page, and one viewer to its node
  --or-skip      without Chromium it says SKIPPED, and ends with 0

Exit code: 0 well, 1 not, 2 an option is wrong.`;

async function main(): Promise<number> {
  const values = optionsOf(HELP, {
    screenshots: { type: "boolean" },
    load: { type: "boolean" },
    "or-skip": { type: "boolean" },
  });
  const orSkip = values["or-skip"] === true;
  const found = await browser();
  if (found === null) {
    const why = `the dashboard needs a browser to be tested in: ${APT}`;
    if (orSkip) console.log(`SKIPPED: ${why}`);
    else console.error(why);
    return orSkip ? 0 : 1;
  }
  console.log(found.version);
  if (values.load === true) return await measureLoad(found.program);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--quiet", new URL("dashboard.ts", import.meta.url).pathname],
    env: {
      QUORATE_TEST_BROWSER: found.program,
      ...(values.screenshots === true ? { QUORATE_SCREENSHOTS: PICTURES.pathname } : {}),
    },
    stdin: "null",
  }).spawn();
  return (await child.status).code;
}

Deno.exit(await main());
