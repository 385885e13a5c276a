/** `quorate cert new`: what it makes is taken by the runtime and by OpenSSL, and what is there is never written over. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { Outward } from "../../src/compose/outward.ts";
import { checkCa, newCa, newLeaf } from "../../src/cli/certificates.ts";
import { CommandError } from "../../src/cli/report.ts";
import { listen } from "../../src/cli/serve.ts";
import { causeOfFailure } from "../../src/transport/peer_cause.ts";
import { isInstalled, run, withFolder } from "./command.ts";

const make = (folder: string, ...args: readonly string[]) => run(["cert", "new", "--out", `${folder}/c`, ...args]);
const read = (path: string) => Deno.readTextFile(path);

async function stateOf(folder: string): Promise<Record<string, string>> {
  const state: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) state[name] = await read(`${folder}/${name}`);
  return state;
}

/** A CA and the certificate of a.example, made once: some tests only begin with them. */
let made: Promise<Record<string, string>> | undefined;

async function begin(folder: string): Promise<void> {
  made ??= withFolder(async (folder) => {
    assertEquals((await make(folder, "a.example")).code, 0);
    return await stateOf(`${folder}/c`);
  });
  await Deno.mkdir(`${folder}/c`);
  for (const [name, text] of Object.entries(await made)) {
    const mode = name.endsWith("-key.pem") ? 0o600 : 0o644;
    await Deno.writeTextFile(`${folder}/c/${name}`, text, { mode });
  }
}

async function assertRefused(args: readonly string[], folder: string, code: number, why: RegExp): Promise<void> {
  const { code: ended, out, err } = await make(folder, ...args);
  assertEquals([ended, out, err.length], [code, [], 1], `${args}: ${err}`);
  assertMatch(err[0]!, why);
}

Deno.test("cert new: nodes show what it made, and who trusts its CA trusts them by each of their names, and by no other", () =>
  withFolder(async (folder) => {
    const made = await make(folder, "127.0.0.1,localhost", "127.0.0.2", "::1,*.b.example");
    assertEquals(made.code, 0, `${made.err}`);
    const names = ["--1", "127.0.0.1", "127.0.0.2", "ca"].flatMap((name) => [`${name}-key.pem`, `${name}.pem`]);
    assertEquals([...Deno.readDirSync(`${folder}/c`)].map(({ name }) => name).sort(), names);
    assertEquals(made.out.map((line) => line.split("\t").length), [2, 2, 2, 2]);
    for (const name of names) {
      const { mode } = await Deno.stat(`${folder}/c/${name}`);
      assertEquals(mode! & 0o777, name.endsWith("-key.pem") ? 0o600 : 0o644, name);
    }
    // A second call: the same CA.
    const ca = await read(`${folder}/c/ca.pem`);
    assertEquals((await make(folder, "later.example", "--days", "30")).code, 0);
    assertEquals(await read(`${folder}/c/ca.pem`), ca);

    const trusting = new Outward(ca);
    const tls = { cert: await read(`${folder}/c/127.0.0.1.pem`), key: await read(`${folder}/c/127.0.0.1-key.pem`) };
    const listener = listen({ host: "0.0.0.0", port: 0, tls, cors: [] });
    const { port } = new URL(listener.url);
    const ask = async (host: string, by: Pick<Outward, "fetch">) => {
      try {
        const response = await by.fetch(`https://${host}:${port}/healthz`, {});
        await response.body?.cancel();
        return response.status;
      } catch (error) {
        assertEquals(causeOfFailure(error), "certificate", String((error as Error).cause));
        return String((error as Error).cause);
      }
    };
    try {
      assertEquals([await ask("127.0.0.1", trusting), await ask("localhost", trusting)], [503, 503]);
      assertMatch(`${await ask("127.0.0.2", trusting)}`, /certificate.*(NotValidForName|not valid for name)/);
      assertMatch(`${await ask("127.0.0.1", new Outward(null))}`, /UnknownIssuer/);
      const key = await read(`${folder}/c/ca-key.pem`);
      await listener.renew(await newLeaf({ cert: ca, key }, ["127.0.0.1"], 1, Date.now() - 3 * 86_400_000));
      assertMatch(`${await ask("127.0.0.1", new Outward(ca))}`, /expired/i);
    } finally {
      await listener.stop();
    }

    const leaf = new X509Certificate(await read(`${folder}/c/--1.pem`));
    assertMatch(leaf.subjectAltName!, /IP Address:(0:){7}1|IP Address:::1/);
    assertMatch(leaf.subjectAltName!, /DNS:\*\.b\.example/);
    assertEquals([leaf.ca, leaf.verify(new X509Certificate(ca).publicKey)], [false, true]);
    assertEquals(new Set([leaf, new X509Certificate(ca)].map(({ serialNumber }) => serialNumber)).size, 2);
    if (!await isInstalled("openssl")) return;
    const args = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", `${folder}/c/ca.pem`];
    for (const name of ["--1", "127.0.0.1", "later.example"]) {
      const { success, stderr } = await new Deno.Command("openssl", { args: [...args, `${folder}/c/${name}.pem`] })
        .output();
      assert(success, new TextDecoder().decode(stderr));
    }
  }));

Deno.test("cert new: nothing that is there is written over, and nothing is made beside it", () =>
  withFolder(async (folder) => {
    await begin(folder);
    const before = await stateOf(`${folder}/c`);
    await assertRefused(["b.example", "a.example"], folder, 1, /c\/a\.example\.pem is there already; move it away/);
    await Deno.remove(`${folder}/c/a.example.pem`);
    await assertRefused(["b.example", "a.example"], folder, 1, /c\/a\.example-key\.pem is there already/);
    const { "a.example.pem": _, ...rest } = before;
    assertEquals(await stateOf(`${folder}/c`), rest);
  }));

Deno.test("cert new: a CA that cannot be used is told, and not made again", () =>
  withFolder(async (folder) => {
    await begin(folder);
    const [ca, key] = [await read(`${folder}/c/ca.pem`), await read(`${folder}/c/ca-key.pem`)];
    const put = (name: string, text: string) => Deno.writeTextFile(`${folder}/c/${name}`, text);
    const refused = (why: RegExp) => assertRefused(["b.example"], folder, 1, why);

    await put("ca-key.pem", await read(`${folder}/c/a.example-key.pem`));
    await refused(/cannot use the CA .*its key is not that of its certificate/);
    await put("ca.pem", await read(`${folder}/c/a.example.pem`));
    await refused(/cannot use the CA .*not that of a CA/);
    await put("ca.pem", "x".repeat(1_000_000));
    await refused(/cannot use the CA .*no PEM certificate and key/);
    await put("ca.pem", ca);
    await put("ca-key.pem", "");
    await refused(/cannot use the CA .*no PEM certificate and key/);
    await Deno.remove(`${folder}/c/ca-key.pem`);
    await refused(/ca-key\.pem is missing beside .*ca\.pem/);
    await put("ca-key.pem", key);
    assertEquals((await make(folder, "b.example")).code, 0);
  }));

Deno.test("cert new: a CA that has run out signs nothing, and none signs what would outlive it", async () => {
  const day = 86_400_000;
  const ca = await newCa(0);
  checkCa(ca, 3_649 * day);
  assertThrows(() => checkCa(ca, 3_650 * day), CommandError, "its certificate ran out on ");
  const { cert } = await newLeaf(ca, ["a.example"], 10, 3_640 * day);
  assertEquals(Date.parse(new X509Certificate(cert).validTo), 3_650 * day);
  await assertRejects(() => newLeaf(ca, ["a.example"], 11, 3_640 * day), CommandError, "runs out on 1979-12-30");
});

Deno.test("cert new: hosts and flags that cannot be", () =>
  withFolder(async (folder) => {
    const long = `${"x".repeat(64)}.example`;
    for (
      const host of ["", "a b", "a/b", "../a", "https://a", "a:1", "1.2.3", "1.2.3.256", "a,,b", "-a", "a.*.b", long]
    ) {
      await assertRefused(["--", host], folder, 2, /is neither a DNS name nor an address$/);
    }
    await assertRefused(["a", "b", "A"], folder, 2, /a\.pem, for a, is a file of the CA or of another host too$/);
    await assertRefused(["ca"], folder, 2, /ca\.pem, for ca, is a file of the CA/);
    await assertRefused(["x", "x-key"], folder, 2, /x-key\.pem, for x-key, is a file/);
    for (const days of ["0", "-1", "1e3", "3651", "x"]) {
      await assertRefused([`--days=${days}`, "a"], folder, 2, /--days is not a number of days, 1 to 3650/);
    }
    await assertRefused(Array.from({ length: 65 }, (_, i) => `h${i}`), folder, 2, /takes 64 hosts at a time, not 65/);
    assertEquals([...Deno.readDirSync(folder)], []);
    await Deno.writeTextFile(`${folder}/c`, "");
    await assertRefused(["a"], folder, 1, /cannot look at .*c\/a\.pem|cannot make the folder/);
  }));
