/**
 * The OpenAPI document as other people's programs read it: a linter, and two generators whose code is checked and used. They
 * are fetched when this runs, into the cache and no further: nothing of the project depends on them.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { memoryApps } from "../routes/memory_apps.ts";

const LINTER = "npm:@redocly/openapi-core@1.34.24";
const TYPES = "npm:openapi-typescript@7.13.0";
const CLIENT = "npm:oazapfts@7.5.0";

/** A registry that swallows what it is asked must not hold the gate. */
const FETCHED_WITHIN_MS = 60_000;

const LINT = `
import { createConfig, lintFromString } from "${LINTER}";
const config = await createConfig({ extends: ["recommended"] });
const problems = await lintFromString({ source: await Deno.readTextFile("openapi.json"), config });
for (const { severity, ruleId, message, location } of problems) {
  console.log(severity, ruleId, message, location[0]?.pointer);
}`;

const MAKE_TYPES = `
import openapiTS, { astToString } from "${TYPES}";
// What has a default may be left out of a request.
const types = await openapiTS(await Deno.readTextFile("openapi.json"), { defaultNonNullable: false });
await Deno.writeTextFile("types.ts", astToString(types));`;

const USE_TYPES = `
import type { components, operations } from "./types.ts";
const asked: components["schemas"]["Acquire"] = { holder: "me", ttlMs: 1_000, mode: "shared" };
type Granted = operations["acquireLock"]["responses"][200]["content"]["application/json"];
export const fenceOf = ({ fence }: Granted): string => fence;
// @ts-expect-error: no such mode
export const wrong: components["schemas"]["Acquire"] = { ...asked, mode: "both" };`;

const USE_CLIENT = `
import { acquireLock, defaults, getLock, releaseLock } from "./client.ts";
defaults.baseUrl = Deno.args[0];
const taken = await acquireLock("made", { holder: "generated", ttlMs: 60_000 });
if (taken.status !== 200) throw new Error(JSON.stringify(taken));
const held = await getLock("made");
const refused = await acquireLock("made", { holder: "other" });
const released = await releaseLock("made", taken.data.fence);
console.log(held.data.state, refused.status, refused.data.code, released.data.outcome);`;

async function deno(cwd: string, ...args: string[]): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd, stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`deno ${args.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return text;
}

/** Outside of the project, so that neither its settings nor its lock file hear of it. */
async function script(folder: string, name: string, text: string, ...args: string[]): Promise<string> {
  await Deno.writeTextFile(`${folder}/${name}`, text);
  return await deno(folder, "run", "-A", "--quiet", "--no-check", "--no-lock", "--no-config", name, ...args);
}

async function areThere(): Promise<boolean> {
  const args = ["cache", "--no-lock", "--no-config", LINTER, TYPES, CLIENT];
  const signal = AbortSignal.timeout(FETCHED_WITHIN_MS);
  const { success } = await new Deno.Command(Deno.execPath(), { args, signal, stdout: "null", stderr: "null" })
    .output();
  return success;
}

const ignore = !await areThere();

Deno.test({
  name: `document: a linter and two generators take it${ignore ? " (SKIPPED: their registry is out of reach)" : ""}`,
  ignore,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    const apps = await memoryApps(1);
    try {
      const document = await (await apps.ask("a", "/openapi.json")).text();
      await Deno.writeTextFile(`${folder}/openapi.json`, document);

      await t.step("the linter finds only error examples that no request for clients can get", async () => {
        const lines = (await script(folder, "lint.ts", LINT)).trim().split("\n");
        const others = lines.filter((line) => !line.startsWith("warn no-unused-components "));
        assertEquals([others, lines.length > 0], [[], true]);
        const broken = JSON.stringify({ ...JSON.parse(document), servers: undefined });
        await Deno.writeTextFile(`${folder}/openapi.json`, broken);
        assertStringIncludes(await script(folder, "lint.ts", LINT), "error no-empty-servers");
        await Deno.writeTextFile(`${folder}/openapi.json`, document);
      });

      await t.step("openapi-typescript makes types that hold what the compiler must know", async () => {
        await script(folder, "make.ts", MAKE_TYPES);
        await Deno.writeTextFile(`${folder}/use_types.ts`, USE_TYPES);
        await deno(folder, "check", "--quiet", "--no-lock", "--no-config", "use_types.ts");
      });

      await t.step("oazapfts makes a client that takes and releases a lock", async () => {
        await deno(folder, "run", "-A", "--quiet", "--no-lock", "--no-config", CLIENT, "openapi.json", "client.ts");
        const client = (await Deno.readTextFile(`${folder}/client.ts`)).replaceAll(
          '"@oazapfts/runtime',
          '"npm:@oazapfts/runtime@1.2.0',
        );
        await Deno.writeTextFile(`${folder}/client.ts`, client);
        assertEquals(
          await script(folder, "use_client.ts", USE_CLIENT, apps.url("a")),
          "held 409 held released\n",
        );
      });
    } finally {
      await apps.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
