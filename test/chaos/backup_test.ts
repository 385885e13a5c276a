/** Backup and restore, with real processes and the real command line. */
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { BackupDigest } from "../../src/backup/backup_file.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { freshRecord } from "../../src/paxos/record.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { drill } from "./backup_drill.ts";
import { withMembers } from "./member_cluster.ts";
import { call, pause, RealCluster } from "./real_cluster.ts";

/** The backup of a cluster that holds nothing. */
function wholeBackup(): string {
  const digest = new BackupDigest(sha256Hex);
  const header = JSON.stringify({ format: 1, cluster: "c", restored: 0 });
  digest.add(header);
  return `${header}\n${JSON.stringify(digest.end())}\n`;
}

Deno.test({
  name:
    "backup: what a cluster held is in another, and no fence is granted twice, whatever was granted after the backup",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const { keys, faults, fences } = await drill(150, folder);
      assertEquals(faults, []);
      assertGreater(keys, 160);
      assertEquals(fences, 170);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "restore: a file that is not whole, and a store that is somebody's, are refused before anything is written",
  fn: async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, '{"format":1,"cluster":"c","restored":0}\n');
    const cluster = await RealCluster.start(1, 0, { isolates: 1, late: ["a"] });
    try {
      const start = async (expected: RegExp, ...flags: string[]) => {
        await cluster.startNode("a", flags, { ready: false });
        for (let i = 0; i < 1_000 && !expected.test(cluster.output("a")); i++) await pause(20);
        assertMatch(cluster.output("a"), expected);
        await cluster.kill("a");
      };
      await start(/--restore needs --init/, "--restore", path);
      await start(/the backup lacks its end: it is not whole/, "--init", "--restore", path);
      const machine = createMachine({ digest: sha256Hex });
      const half = await openOwnerStore({ path: cluster.store("a"), apply: machine.apply, run: () => "half" });
      await half.update("kv/x", () => ({ record: freshRecord(machine, { kind: "prepare" }, 5), reply: null }));
      await half.close();
      await start(/this store has records and is nobody's, as after a restore that was cut off/, "--init");
      await start(
        /this store has records already: a backup is restored into an empty one/,
        "--init",
        "--restore",
        path,
      );
      await Deno.remove(cluster.store("a"));
      await Deno.writeTextFile(path, wholeBackup());
      await start(/--restore-number is not a number from 1 on/, "--init", "--restore", path, "--restore-number", "0");
      await start(/restored, as number 5/, "--init", "--restore", path, "--restore-number", "5");
      await Deno.remove(cluster.store("a"));
      await cluster.startNode("a", ["--init"]);
      await cluster.kill("a");
      await start(/this store is a's already: start without --init/, "--init", "--restore", path);
      await cluster.startNode("a");
    } finally {
      await cluster.stop();
      await Deno.remove(path);
    }
  },
});

Deno.test("backup: one that was interrupted is gone on with after the members have changed", () =>
  withMembers("abc", async (cluster) => {
    const path = `${cluster.folder}/backup.jsonl`;
    for (const name of ["x", "y"]) await call(cluster.url("a"), "PUT", `/v1/kv/${name}`, name);
    assertEquals((await cluster.quorate("a", "backup", path)).code, 0);
    const begun = (await Deno.readTextFile(path)).split("\n").slice(0, 2).map((line) => `${line}\n`).join("");
    await Deno.writeTextFile(path, begun);
    assertEquals(await cluster.replace("abc", "a", "d"), "dbc");
    const again = await cluster.quorate("d", "backup", path);
    assertEquals(again.code, 0, again.text);
    assertEquals((await cluster.quorate("d", "verify", path, "--cluster")).code, 0);
  }));
