/** `--tls-ca` of the commands that ask a cluster. */
import { assertEquals, assertMatch } from "@std/assert";
import { newCa, newLeaf } from "../../src/cli/certificates.ts";
import { listen } from "../../src/cli/serve.ts";
import { run, withFolder } from "./command.ts";

Deno.test("--tls-ca: a command trusts that CA besides the system's, by flag or variable, and says what is wrong with the file", () =>
  withFolder(async (folder) => {
    const now = Date.now();
    const ca = await newCa(now);
    const tls = await newLeaf(ca, ["127.0.0.1"], 1, now);
    await Deno.writeTextFile(`${folder}/ca.pem`, ca.cert);
    await Deno.writeTextFile(`${folder}/key.pem`, ca.key);
    await Deno.writeTextFile(`${folder}/bad.pem`, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const listener = listen({ host: "127.0.0.1", port: 0, tls, cors: [] });
    listener.open(() => Response.json({ items: [], cursor: null }));
    try {
      const ls = (args: readonly string[], env = {}, timeout = "20s") =>
        run(["kv", "ls", "--timeout", timeout, "--url", listener.url, ...args], env);
      const trusted = await Promise.all([
        ls(["--tls-ca", `${folder}/ca.pem`]),
        ls([], { QUORATE_TLS_CA: `${folder}/ca.pem` }),
        // The flag wins.
        ls(["--tls-ca", `${folder}/ca.pem`], { QUORATE_TLS_CA: `${folder}/none.pem` }),
      ]);
      assertEquals(trusted.map(({ code, err }) => [code, err]), Array(3).fill([0, []]));
      const untrusted = await ls([], {}, "1s");
      assertEquals([untrusted.code, untrusted.out], [1, []], `${untrusted.err}`);
      for (
        const [file, why] of [
          ["none.pem", /cannot read --tls-ca .*none\.pem: /],
          ["key.pem", /--tls-ca holds no PEM certificate: .*key\.pem$/],
          ["bad.pem", /--tls-ca holds no certificate of a CA: /],
        ] as const
      ) {
        const { code, out, err } = await ls(["--tls-ca", `${folder}/${file}`]);
        assertEquals([code, out, err.length], [1, [], 1], `${err}`);
        assertMatch(err[0]!, why);
      }
      const trace = await run(["trace", "x"], { QUORATE_URL: listener.url, QUORATE_TLS_CA: `${folder}/bad.pem` });
      assertMatch(`${trace.err}`, /--tls-ca holds no certificate of a CA/);
    } finally {
      await listener.stop();
    }
  }));
