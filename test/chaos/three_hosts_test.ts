/** docs/operating.md on three hosts is followed to the letter; each of four mistakes is told by its cause; SIGHUP mends it. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Outward } from "../../src/compose/outward.ts";
import { blocksOf, Host, type Id, IDS, ThreeHosts } from "./three_hosts.ts";

const PAGE = blocksOf();

type Asked = { readonly status: number; readonly body: Record<string, unknown> };
type Told = { readonly id: string; readonly cause?: string; readonly fault?: { readonly cause: string } };

async function withHosts(run: (hosts: ThreeHosts) => Promise<void>): Promise<void> {
  const hosts = await ThreeHosts.made();
  try {
    await run(hosts);
  } finally {
    await hosts.remove();
  }
}

async function withNodes(nodes: readonly Host[], run: (nodes: Readonly<Record<Id, Host>>) => Promise<void>) {
  try {
    await run(Object.fromEntries(nodes.map((node) => [node.id, node])) as Record<Id, Host>);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
  }
}

/** Null: it does not answer, or shows what is not of the CA that the first machine has. */
async function ask(
  hosts: ThreeHosts,
  { url }: Host,
  path: string,
  method = "GET",
  ca = "ca.pem",
): Promise<Asked | null> {
  const authorization = `Bearer ${(await Deno.readTextFile(`${hosts.here}/token`)).trim()}`;
  try {
    const trusted = new Outward(await Deno.readTextFile(`${hosts.here}/certs/${ca}`));
    const body = method === "GET" ? {} : { body: "{}" };
    const response = await trusted.fetch(url + path, { method, headers: { authorization }, ...body });
    return { status: response.status, body: await response.json() };
  } catch {
    return null;
  }
}

const isReady = (hosts: ThreeHosts, ca?: string) => (node: Host) =>
  node.until("ready", async () => (await ask(hosts, node, "/readyz", "GET", ca))?.status === 200);

/** That the node says it of c in its log, in /v1/status and in its 503s. */
async function assertTold(hosts: ThreeHosts, node: Host, cause: string): Promise<void> {
  const line = `node ${node.id}: c: ${cause}: `;
  await node.until(line, () => node.lines.some((one) => one.startsWith(line)));
  const ofC = (list: unknown) => (list as readonly Told[]).find(({ id }) => id === "c");
  await node.until(`${cause} in /v1/status`, async () => {
    const status = await ask(hosts, node, "/v1/status");
    if (status === null) return false;
    return [...status.body["members"] as Told[], ...(status.body["others"] ?? []) as Told[]]
      .some(({ id, fault, cause: other }) => id === "c" && (fault?.cause ?? other) === cause);
  });
  for (const [path, method] of [["/readyz", "GET"], ["/v1/locks/x?timeoutMs=500", "POST"]] as const) {
    const answer = await ask(hosts, node, path, method);
    assertEquals(answer?.status, 503, JSON.stringify(answer));
    assertEquals(ofC(answer!.body["peers"])?.cause, cause, JSON.stringify(answer));
    assertStringIncludes(`${answer!.body["detail"]}`, `c: ${cause}`);
  }
}

Deno.test("docs/operating.md, three hosts: what stands there works as it stands; secret, tokens and CA are changed by SIGHUP", () =>
  withHosts(async (hosts) => {
    // The CA's key has not left the first machine, and nobody else there can read what is secret.
    for (const id of IDS) {
      const names = [...Deno.readDirSync(hosts.checkout(id))].filter(({ isFile }) => isFile).map(({ name }) => name);
      const own = hosts.address(id);
      assertEquals(names.sort(), [`${own}-key.pem`, `${own}.pem`, "ca.pem", "secret", "tokens.json"].sort());
    }
    for (const name of ["secret", "token", "tokens.json", "certs/ca-key.pem"]) {
      assertEquals((await Deno.stat(`${hosts.here}/${name}`)).mode! & 0o077, 0, name);
    }
    await withNodes(IDS.map((id) => hosts.start(id, PAGE.settings, PAGE[id])), async (nodes) => {
      await Promise.all(IDS.map((id) => isReady(hosts)(nodes[id])));
      const printed = await hosts.run(PAGE.ask);
      for (const id of IDS) assertMatch(printed, new RegExp(`^${id}\\thttps://.*\\tvotes\\t`, "m"));
      assertStringIncludes(printed, "mine alone, by any of three hosts\n");
      assertStringIncludes(printed, '"name":"demo"');

      const all = async (change: (id: Id) => Promise<void>) => {
        for (const id of IDS) {
          await change(id);
          assertStringIncludes(await nodes[id].hangUp(), "are read again");
        }
      };
      /** Through each node, once it has heard of the others. */
      const serves = async (ca = "ca.pem") => {
        for (const id of IDS) {
          await isReady(hosts, ca)(nodes[id]);
          await nodes[id].until("a lock", async () => {
            const key = crypto.randomUUID();
            return (await ask(hosts, nodes[id], `/v1/locks/${key}?timeoutMs=20000`, "POST", ca))?.status === 200;
          });
        }
      };
      const put = (id: Id, name: string, text: string) => Deno.writeTextFile(`${hosts.checkout(id)}/${name}`, text);
      const old = (await Deno.readTextFile(`${hosts.here}/secret`)).trim();
      for (
        const secret of [
          `${old},another secret of theirs`,
          `another secret of theirs,${old}`,
          "another secret of theirs",
        ]
      ) {
        await all((id) => put(id, "secret", secret));
        await serves();
      }
      // Whoever is left behind is out, connections that stood included.
      await put("c", "secret", old);
      assertStringIncludes(await nodes.c.hangUp(), "are read again");
      await nodes.a.until("c is out", () => nodes.a.lines.some((line) => line.startsWith("node a: c: other-secret: ")));
      // What is malformed ends nobody.
      await put("c", "secret", "short");
      assertStringIncludes(await nodes.c.hangUp(), "nothing is changed, as QUORATE_PEER_SECRET has fewer than 16");
      await put("c", "secret", "another secret of theirs");
      assertStringIncludes(await nodes.c.hangUp(), "are read again");
      await serves();

      await hosts.run("npx deno@2.9.6 task --quiet quorate cert new --out next 10.0.0.1 10.0.0.2 10.0.0.3");
      const next = await Deno.readTextFile(`${hosts.here}/next/ca.pem`);
      const both = await Deno.readTextFile(`${hosts.here}/certs/ca.pem`) + next;
      await Deno.writeTextFile(`${hosts.here}/certs/next.pem`, next);
      await all((id) => put(id, "ca.pem", both));
      await serves();
      await all(async (id) => {
        for (const name of [`${hosts.address(id)}.pem`, `${hosts.address(id)}-key.pem`]) {
          await put(id, name, await Deno.readTextFile(`${hosts.here}/next/${name}`));
        }
      });
      await serves("next.pem");
      await all((id) => put(id, "ca.pem", next));
      await serves("next.pem");
      for (const id of IDS) assertEquals(await ask(hosts, nodes[id], "/readyz"), null);
    });
  }));

/** What is wrong at host c: its port, its settings or its files. Files stay changed for the mistakes after, so those come last. */
const MISTAKES: readonly {
  readonly what: string;
  readonly cause: string;
  make?(hosts: ThreeHosts): Promise<unknown>;
  readonly settings?: string;
  readonly isElsewhere?: true;
}[] = [
  { what: "a wrong port", cause: "refused", isElsewhere: true },
  {
    what: "another list of members",
    cause: "other-members",
    settings: PAGE.settings.replace("c=https://", "d=https://10.0.0.1:1,c=https://"),
  },
  {
    what: "another secret",
    cause: "other-secret",
    make: (hosts) => Deno.writeTextFile(`${hosts.checkout("c")}/secret`, "a secret of c alone"),
  },
  {
    what: "a certificate that the others do not trust",
    cause: "certificate",
    async make(hosts) {
      await hosts.run("npx deno@2.9.6 task --quiet quorate cert new --out others 10.0.0.3");
      for (const name of ["127.0.0.4.pem", "127.0.0.4-key.pem"]) {
        await Deno.copyFile(`${hosts.here}/others/${name}`, `${hosts.checkout("c")}/${name}`);
      }
    },
  },
];

// The hosts are made once, and each mistake has a cluster of its own on them: what a node heard of c before would be told too.
Deno.test("docs/operating.md, three hosts: what is wrong at one of them is told in the others' logs, status and 503s", (t) =>
  withHosts(async (hosts) => {
    for (const { what, cause, make, settings = PAGE.settings, isElsewhere } of MISTAKES) {
      await t.step(`${what} is ${cause}`, async () => {
        await hosts.removeStores();
        await make?.(hosts);
        if (what === "another list of members") assert(settings !== PAGE.settings);
        const nodes = [
          hosts.start("a", PAGE.settings, PAGE.a),
          hosts.start("b", PAGE.settings, PAGE.b),
          hosts.start("c", settings, PAGE.c, hosts.port + (isElsewhere ? 1 : 0)),
        ];
        await withNodes(nodes, async ({ a, b }) => {
          await Promise.all([a, b].map((node) => assertTold(hosts, node, cause)));
        });
      });
    }
  }));
