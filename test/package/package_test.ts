/** The packed package: its command line in Node, and what it brings with it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../src/mod.ts";
import { withApps } from "../routes/memory_apps.ts";
import { install, versionOf } from "./installed.ts";

type Ended = { readonly code: number; readonly out: string; readonly err: string };

/** Calls back with where it lies. */
async function withPackage(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await install(folder);
    await use(`${folder}/node_modules/@quorate/quorate`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("pack: the client needs nothing else; what other entry points need is asked for and not brought along", () =>
  withPackage(async (folder) => {
    const manifest = JSON.parse(await Deno.readTextFile(`${folder}/package.json`));
    assertEquals(Object.keys(manifest.exports), [".", "./cli", "./direct", "./hono", "./testing"]);
    for (const entry of Object.values(manifest.exports) as { default: string }[]) {
      await Deno.stat(`${folder}/${entry.default}`);
    }
    assertEquals(Object.keys(manifest.dependencies), ["commander"]);
    const peers = ["hono", "@hono/zod-openapi", "zod"];
    assertEquals(Object.keys(manifest.peerDependencies), peers);
    assert(peers.every((peer) => manifest.peerDependenciesMeta[peer].optional));
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(names, ["CHANGELOG.md", "LICENSE", "README.md", "bin", "package.json", "routes", "src"]);
  }));

const version = await versionOf("node");
Deno.test({
  name: `quorate of the packed tarball, in Node ${
    version ?? "(SKIPPED: node is not on PATH)"
  }: holds, registers, exit codes`,
  ignore: version === null,
  fn: () =>
    withPackage((folder) =>
      withApps(3, async ({ cluster, url }) => {
        const urls = cluster.ids.map(url);
        const env = { QUORATE_URL: urls.join(), NO_COLOR: "1" };
        const start = (args: readonly string[], input?: Uint8Array<ArrayBuffer>) => {
          const all = [`${folder}/bin/quorate.js`, ...args];
          const child = new Deno.Command("node", { args: all, env, stdin: "piped", stdout: "piped", stderr: "piped" })
            .spawn();
          void (async () => {
            const writer = child.stdin.getWriter();
            if (input !== undefined) await writer.write(input);
            await writer.close();
          })().catch(() => {});
          return child;
        };
        const run = async (args: readonly string[], input?: Uint8Array<ArrayBuffer>): Promise<Ended> => {
          const { code, stdout, stderr } = await start(args, input).output();
          return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
        };
        const quorate = connect(urls);
        const value = new Uint8Array(20_000).map((_, i) => i);
        const [ran, killed, missing, put, node] = await Promise.all([
          run(["lock", "a", "--", "sh", "-c", 'echo "fence $QUORATE_FENCE"; exit 7']),
          run(["semaphore", "s", "--limit", "1", "--", "sh", "-c", "kill -9 $$"]),
          run(["elect", "e", "--", "no-such-program-here"]),
          run(["kv", "put", "k"], value),
          run(["node", "--id", "a"]),
        ]);
        assertEquals(ran.code, 7);
        assertMatch(ran.out, /^fence [1-9]\d*\n$/);
        assertEquals([killed.code, missing.code, put.code], [137, 127, 0]);
        assertMatch(missing.err, /cannot start no-such-program-here/);
        assertEquals(node.code, 1);
        assertMatch(node.err, /^quorate node runs in Deno alone, [^\n]*\n$/);
        const [cert, backup, trusting] = await Promise.all([
          run(["cert", "new", "x"]),
          run(["backup", "x"]),
          run(["locks", "--tls-ca", "README.md"]),
        ]);
        assertEquals([cert.code, backup.code, trusting.code], [1, 1, 1]);
        assertMatch(backup.err, /^quorate backup[: ]+runs in Deno alone[^\n]*\n$/);
        assertMatch(cert.err, /^quorate cert new: runs in Deno alone, [^\n]*\n$/);
        assertMatch(trusting.err, /--tls-ca/);
        assertEquals([...(await quorate.kv.get("k"))!.value], [...value]);
        const doctor = await run(["doctor", "--json"]);
        assertEquals([doctor.code, JSON.parse(doctor.out).healthy, doctor.err], [0, true, ""]);
        const { stdout } = await start(["kv", "get", "k"]).output();
        assertEquals([...stdout], [...value]);
        assertEquals((await quorate.locks.query()).held, []);
        // A signal goes to the command, and how that ends is how this ends.
        const child = start([
          "lock",
          "t",
          "--",
          "sh",
          "-c",
          "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done",
        ]);
        const reader = child.stdout.getReader();
        await reader.read();
        child.kill("SIGTERM");
        reader.releaseLock();
        assertEquals((await child.output()).code, 9);
      })
    ),
});
