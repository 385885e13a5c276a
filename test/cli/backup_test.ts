import { assertEquals, assertMatch } from "@std/assert";
import { type Apps, withApps } from "../routes/memory_apps.ts";
import { run } from "./command.ts";

const write = async (apps: Apps, name: string) => {
  assertEquals((await apps.ask("a", `/v1/kv/${name}`, { method: "PUT", body: name })).status, 200);
};

async function inFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-backup-" });
  try {
    await use(`${folder}/b.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What is left of a backup that was interrupted: its header and `lines` more. */
async function cutOff(path: string, lines = 1): Promise<string> {
  const begun = (await Deno.readTextFile(path)).split("\n").slice(0, 1 + lines).map((line) => `${line}\n`).join("");
  await Deno.writeTextFile(path, begun);
  return begun;
}

const keysIn = async (path: string) =>
  (await Deno.readTextFile(path)).split("\n").flatMap((line) => line === "" ? [] : JSON.parse(line).key ?? []);

Deno.test("backup: it is gone on with through another node, and not with what another cluster of the same ids holds", () =>
  inFolder((path) =>
    withApps(3, async (apps) => {
      for (const name of ["x", "y"]) await write(apps, name);
      const made = await run(["backup", path, "--url", apps.url("a")]);
      assertEquals(made.code, 0, made.err.join("\n"));
      const header = JSON.parse((await Deno.readTextFile(path)).split("\n")[0]!);
      assertEquals(header.origin.map(({ id }: { readonly id: string }) => id), ["a", "b", "c"]);
      const begun = await cutOff(path);
      await withApps(3, async (others) => {
        for (const name of ["x", "z"]) await write(others, name);
        const refused = await run(["backup", path, "--url", others.url("a")]);
        assertEquals([refused.code, refused.err.length], [2, 1]);
        assertMatch(refused.err[0]!, /b\.jsonl is of another cluster than the one that answers$/);
        assertEquals(await Deno.readTextFile(path), begun);
      });
      const again = await run(["backup", path, "--url", apps.url("c")]);
      assertEquals(again.code, 0, again.err.join("\n"));
      assertEquals(await keysIn(path), ["kv/x", "kv/y"]);
      assertEquals((await run(["verify", path, "--cluster", "--url", apps.url("b")])).code, 0);
    })
  ));

Deno.test("backup: a file that 0.2.0 began is gone on with; one whose header is none is not", () =>
  inFolder((path) =>
    withApps(1, async (apps) => {
      for (const name of ["x", "y"]) await write(apps, name);
      const backup = () => run(["backup", path, "--url", apps.url("a")]);
      await backup();
      const [header, first] = (await cutOff(path)).split("\n");
      const { origin, ...older } = JSON.parse(header!);
      for (const wrong of [{}, [1], [{ id: "a" }], [{ ...origin[0], id: 1 }], Array(10).fill(origin[0])]) {
        await Deno.writeTextFile(path, `${JSON.stringify({ ...older, origin: wrong })}\n${first}\n`);
        const refused = await backup();
        assertEquals(refused.code, 1);
        assertMatch(refused.err[0]!, /line 1 of the backup is no header of a backup/);
      }
      await Deno.writeTextFile(path, `${JSON.stringify(older)}\n${first}\n`);
      assertEquals((await backup()).code, 0);
      assertEquals(await keysIn(path), ["kv/x", "kv/y"]);
    })
  ));

Deno.test("backup, verify: a file that cannot be opened or read is told of in one line", () =>
  inFolder((path) =>
    withApps(1, async (apps) => {
      const folder = path.slice(0, path.lastIndexOf("/"));
      const gone = `${folder}/gone/b.jsonl`;
      for (
        const [verb, file] of [["verify", gone], ["backup", gone], ["verify", folder], ["backup", folder]] as const
      ) {
        const refused = await run([verb, file, "--url", apps.url("a")]);
        assertEquals([refused.code, refused.err.length], [1, 1], refused.err.join("\n"));
        assertMatch(refused.err[0]!, new RegExp(`^quorate ${verb}: .*(No such file|Is a directory)`));
      }
    })
  ));
