/** The contract of the client, in each runtime that is here. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as client from "../../src/mod.ts";
import { type Apps, memoryApps } from "../routes/memory_apps.ts";
import { runContract } from "./contract_suite.ts";
import { install, versionOf } from "../package/installed.ts";
import { browser, runInPage } from "../package/page.ts";
import { nobody } from "./scripted_nodes.ts";

const ABSENT = [nobody().url, nobody().url];

function urlsOf(apps: Apps): string[] {
  return apps.cluster.ids.map((id) => apps.url(id));
}

Deno.test("client contract, in Deno", async () => {
  const apps = await memoryApps(3);
  try {
    const { failures, count } = await runContract(client, urlsOf(apps), ABSENT);
    assertEquals(failures, []);
    assert(count > 20);
    assertEquals(apps.reports, []);
  } finally {
    await apps.close();
  }
});

const SUITE = "test/client/contract_suite.ts";
const RUNNER = `
import * as client from "@quorate/quorate";
import { runContract } from "./contract_suite.js";
const { failures, count } = await runContract(client, ...process.argv.slice(2).map((list) => list.split(",")));
console.log(failures.join("\\n\\n") || "all of " + count);
// What failed may hold something still; else nothing is left that keeps a process.
if (failures.length > 0) process.exit();
`;

for (const program of ["node", "bun"]) {
  const version = await versionOf(program);
  Deno.test({
    name: `client contract, from the packed tarball in ${program} ${version ?? `(SKIPPED: ${program} is not on PATH)`}`,
    ignore: version === null,
    fn: async () => {
      const folder = await Deno.makeTempDir();
      const apps = await memoryApps(3);
      try {
        await install(folder, SUITE);
        await Deno.writeTextFile(`${folder}/run.js`, RUNNER);
        const args = [`${folder}/run.js`, urlsOf(apps).join(), ABSENT.join()];
        const { stdout, stderr } = await new Deno.Command(program, { args, stdout: "piped", stderr: "piped" }).output();
        assertEquals(new TextDecoder().decode(stderr), "");
        assertMatch(new TextDecoder().decode(stdout), /^all of \d\d\n$/);
      } finally {
        await apps.close();
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

const PAGE = `
import * as client from "@quorate/quorate";
import { runContract } from "/files/contract_suite.js";
const { failures, count } = await runContract(client, urls, ${JSON.stringify(ABSENT)});
await fetch("/result", { method: "POST", body: failures.join("\\n\\n") || "all of " + count });
`;

const found = await browser();
Deno.test({
  name: `client contract, from the packed tarball in a page of ${
    found?.version ?? "a browser (SKIPPED: no Chromium on PATH)"
  }`,
  ignore: found === null,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const apps = await memoryApps(3);
    try {
      await install(folder, SUITE, "test/package/page_assert.ts");
      const imports = {
        "@quorate/quorate": "node_modules/@quorate/quorate/src/mod.js",
        "node:assert/strict": "page_assert.js",
      };
      const told = await runInPage(apps, { program: found!.program, folder, imports, script: PAGE });
      assertMatch(told, /^all of \d\d$/);
    } finally {
      await apps.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("the client uses nothing but standard APIs of the web", async () => {
  const folder = new URL("../../src/client/", import.meta.url);
  const { modules } = JSON.parse(
    new TextDecoder().decode(
      (await new Deno.Command(Deno.execPath(), {
        args: ["info", "--json", new URL("../mod.ts", folder).href],
        stdout: "piped",
        stderr: "null",
      }).output()).stdout,
    ),
  ) as { modules: readonly { specifier: string; local: string }[] };
  assert(modules.length > 15);
  for (const { specifier, local } of modules) {
    assert(specifier.startsWith("file:"), specifier);
    const text = (await Deno.readTextFile(local)).replace(/^\s*(?:\/?\*|\/\/).*$/gm, "");
    assert(!/\b(?:Deno\.|process\.[a-z]|Buffer\.|from "(?:node|npm|jsr):|from "@)/.test(text), specifier);
  }
});
