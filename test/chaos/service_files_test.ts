/**
 * docs/deploy's unit, Containerfile and compose file do what they say: the command lines in them start nodes that form
 * a cluster, with this machine's addresses and folders in the place of those that they name.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { shellWord } from "../../src/cli/shell_word.ts";
import { parseConfig } from "../../src/config/config.ts";
import { Outward } from "../../src/compose/outward.ts";
import { freePort } from "../free_ports.ts";
import { TASKS } from "../page_session.ts";
import { ROOT } from "../pages.ts";
import { composeOf, DEPLOY, deployFile, type Env, envOf, instructionsOf, unitOf, wordsOf } from "./service_files.ts";
import { Host, type Id, IDS, ThreeHosts } from "./three_hosts.ts";

const UNIT = unitOf(await deployFile("quorate.service"));
const NODE_ENV = envOf(await deployFile("node.env"));
const IMAGE = instructionsOf(await deployFile("Containerfile"));
const HEALTH = JSON.parse(
  /CMD (\[.*\])$/.exec(IMAGE.find(({ name }) => name === "HEALTHCHECK")!.rest)![1]!,
) as readonly string[];
const COMPOSE = composeOf(await deployFile("compose.yml"));
const PEM = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";
const OPTIONS = /--allow-\S+|--no-prompt|--v8-flags\S+/g;

/** What a node is told behind `node`; rejects where its parser would. */
async function parsed(words: readonly string[], env: Env): Promise<void> {
  const read = (path: string) =>
    Promise.resolve(
      path.endsWith(".json") ? '[{"subject":"s","sha256":"' + "0".repeat(64) + '","scopes":["*:read:*"]}]' : PEM,
    );
  await parseConfig(words.slice(words.indexOf("node") + 1), env, read);
}

async function withHosts(run: (hosts: ThreeHosts) => Promise<void>): Promise<void> {
  const hosts = await ThreeHosts.made();
  try {
    await run(hosts);
  } finally {
    await hosts.remove();
  }
}

/** Runs three command lines until their nodes are one cluster, which `then` is given; ends them. */
async function formCluster(
  hosts: ThreeHosts,
  of: (id: Id) => { readonly words: readonly string[]; readonly env: Env; readonly cwd: string },
  then: (
    nodes: readonly Host[],
    ask: (node: Host, path: string, method?: string) => Promise<Response>,
  ) => Promise<void>,
): Promise<void> {
  const trusted = new Outward(await Deno.readTextFile(`${hosts.here}/certs/ca.pem`));
  const authorization = `Bearer ${(await Deno.readTextFile(`${hosts.here}/token`)).trim()}`;
  const ask = (node: Host, path: string, method = "GET") =>
    trusted.fetch(node.url + path, {
      method,
      headers: { authorization },
      ...(method === "GET" ? {} : { body: "{}" }),
    });
  const nodes = IDS.map((id) => {
    const { words, env, cwd } = of(id);
    const url = `https://${hosts.address(id)}:${hosts.port}`;
    return new Host(id, url, cwd, `exec ${words.map(shellWord).join(" ")}`, { ...env, NO_COLOR: "1" });
  });
  try {
    for (const node of nodes) {
      await node.until("ready", () =>
        ask(node, "/readyz").then(async (response) => {
          await response.body?.cancel();
          return response.ok;
        }, () => false));
    }
    const lock = `/v1/locks/${crypto.randomUUID()}`;
    const taken = await ask(nodes[0]!, lock, "POST");
    const { fence } = await taken.json();
    assertEquals(taken.status, 200);
    assertEquals((await (await ask(nodes[2]!, lock)).json()).lastFence, fence);
    await then(nodes, ask);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
  }
}

async function systemd(args: readonly string[]): Promise<{ readonly code: number; readonly said: string } | null> {
  try {
    const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", { args: [...args] }).output();
    const decoder = new TextDecoder();
    return { code, said: decoder.decode(stderr) + decoder.decode(stdout) };
  } catch {
    return null;
  }
}
const hasSystemd = await systemd(["--version"]) !== null;

Deno.test({
  name: `quorate.service: systemd finds nothing wrong${hasSystemd ? "" : ": SKIPPED, no systemd-analyze on PATH"}`,
  ignore: !hasSystemd,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "quorate-unit-" });
    const file = `${folder}/quorate.service`;
    const verified = async (change: (text: string) => string) => {
      const [program] = wordsOf(UNIT.one("ExecStart"), {});
      await Deno.writeTextFile(
        file,
        change((await deployFile("quorate.service")).replaceAll(program!, Deno.execPath())),
      );
      return (await systemd(["verify", file]))!.said.trim();
    };
    try {
      assertEquals(await verified((text) => text), "");
      assertStringIncludes(await verified((text) => text.replace("Restart=", "Restrat=")), "Restrat");
      await verified((text) => text);
      // In tenths: what its own scale calls "OK" ends at 5.
      const exposed = await systemd(["security", "--offline=true", "--no-pager", "--threshold=20", file]);
      assertEquals(exposed!.code, 0, exposed!.said);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("quorate.service: shut in, started again, ended and told to read its files as the node takes it", async () => {
  for (
    const [key, value] of [["ProtectSystem", "strict"], ["Restart", "always"], ["NoNewPrivileges", "yes"]] as const
  ) {
    assertEquals(UNIT.one(key), value);
  }
  assert(Number(UNIT.one("LimitNOFILE")) >= 65_536);
  assertMatch(UNIT.one("ExecReload"), /-HUP \$MAINPID$/);
  assert(Number(UNIT.one("TimeoutStopSec")) * 1_000 > 4_500, "it is killed before it has ended by itself");
  // What is written is in folders that the unit has made for it.
  const words = wordsOf(UNIT.one("ExecStart"), {});
  const kv = words[words.indexOf("--kv") + 1]!;
  assert(kv.startsWith(`/var/lib/${UNIT.one("StateDirectory")}/`));
  assertStringIncludes(UNIT.one("Environment"), `DENO_DIR=/var/cache/${UNIT.one("CacheDirectory")} `);
  assertEquals(UNIT.all("EnvironmentFile"), ["/etc/quorate/node.env", "-/run/quorate-first-start"]);
  assertEquals(UNIT.one("ExecStart").match(OPTIONS), TASKS["node"]!.match(OPTIONS));
  for (const more of [{}, { FIRST_START: "--init" }]) {
    await parsed(wordsOf(UNIT.one("ExecStart"), more), { ...NODE_ENV, ...more });
  }
  await assertRejects(() => parsed([...words, "--inti"], NODE_ENV), Error, "--inti");
  await assertRejects(() => parsed(words, { ...NODE_ENV, QUORATE_ID: "z" }), Error);
});

Deno.test("quorate.service: what it runs on three hosts is a cluster, which SIGHUP and a restart without --init leave one", () =>
  withHosts(async (hosts) => {
    const etc = (id: Id) => `${hosts.checkout(id)}/etc`;
    for (const id of IDS) {
      await Deno.mkdir(etc(id));
      await Deno.mkdir(`${hosts.checkout(id)}/state`);
      const copies = { "cert.pem": `${hosts.address(id)}.pem`, "key.pem": `${hosts.address(id)}-key.pem` };
      for (const [to, from] of Object.entries({ ...copies, "ca.pem": "ca.pem", secret: "secret", "tokens.json": "" })) {
        await Deno.copyFile(`${hosts.checkout(id)}/${from === "" ? to : from}`, `${etc(id)}/${to}`);
      }
    }
    const started = (id: Id, first: Env) => {
      const here = (text: string) =>
        text.replace(/\b10\.0\.0\.([1-3])\b/g, (_, host) => hosts.address(IDS[Number(host) - 1]!))
          .replaceAll(":8701", `:${hosts.port}`).replaceAll("/etc/quorate", etc(id))
          .replaceAll("/var/lib/quorate", `${hosts.checkout(id)}/state`);
      const own = { ...NODE_ENV, QUORATE_ID: id, QUORATE_HOST: hosts.address(id), QUORATE_PORT: `${hosts.port}` };
      const [, ...words] = wordsOf(UNIT.one("ExecStart"), first);
      return {
        words: [Deno.execPath(), ...words].map(here),
        env: Object.fromEntries(Object.entries(own).map(([name, value]) => [name, here(value)])),
        cwd: ROOT.pathname,
      };
    };
    await formCluster(hosts, (id) => started(id, { FIRST_START: "--init" }), async ([a]) => {
      assertStringIncludes(await a!.hangUp(), "are read again");
    });
    await formCluster(hosts, (id) => started(id, {}), async () => {});
  }));

Deno.test("Containerfile: a pinned base, no root, and all that a node needs without a registry", async () => {
  const of = (name: string) => IMAGE.filter((one) => one.name === name).map(({ rest }) => rest);
  const pinned = /npx --yes deno@([\d.]+)/.exec(await Deno.readTextFile(new URL(".ci/run", ROOT)))?.[1];
  assertEquals(of("FROM"), [`docker.io/denoland/deno:${pinned}`]);
  assertEquals(of("USER"), ["deno"]);
  const order = IMAGE.map(({ name }) => name);
  assert(order.indexOf("USER") > order.lastIndexOf("RUN"), "what is built as root is not run as root");
  const [entry, command] = [JSON.parse(of("ENTRYPOINT")[0]!), JSON.parse(of("CMD")[0]!)] as [string[], string[]];
  assertEquals(entry.join(" ").match(OPTIONS), TASKS["node"]!.match(OPTIONS));

  // What it copies is enough to fill a cache from the lock file, and then to start a node and to be asked how it is.
  const folder = await Deno.makeTempDir({ prefix: "quorate-image-" });
  const image = `${folder}/quorate`;
  try {
    for (const rest of of("COPY")) {
      const words = rest.split(" ");
      const to = words.pop()!;
      for (const from of words) await copy(new URL(from, ROOT).pathname, `${image}/${to === "./" ? from : to}`);
    }
    const env = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
    const run = async (words: readonly string[], more: Env = {}) => {
      assertEquals(words[0], "deno");
      const args = words.slice(1);
      const options = { args, cwd: image, env: { ...env, ...more } };
      const { code, stderr } = await new Deno.Command(Deno.execPath(), options).output();
      return { code, said: new TextDecoder().decode(stderr) };
    };
    const [fill] = of("RUN").filter((rest) => rest.startsWith("deno "));
    const filled = await run(fill!.split(" "));
    assertEquals(filled.code, 0, filled.said);

    const port = freePort();
    const settings = {
      QUORATE_ID: "a",
      QUORATE_PORT: `${port}`,
      QUORATE_CLUSTER: `a=http://127.0.0.1:${port}`,
    };
    assertEquals((await run(HEALTH, settings)).code, 1, "nobody answers yet");
    const words = [...entry, ...command, "--init", "--kv", `${folder}/a.sqlite`].slice(1);
    const url = `http://127.0.0.1:${port}`;
    const script = `exec ${[Deno.execPath(), ...words].map(shellWord).join(" ")}`;
    const node = new Host("a", url, image, script, { ...env, ...settings });
    try {
      await node.until(
        "ready",
        () => fetch(`${url}/readyz`).then(async (r) => (await r.text()) !== "" && r.ok, () => false),
      );
      const healthy = await run(HEALTH, settings);
      assertEquals(healthy.code, 0, healthy.said);
    } finally {
      await node.stop();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("compose.yml: three services that differ by their ids only, each with its own store and no more secrets than it needs", async () => {
  assertEquals(Object.keys(COMPOSE.services), [...IDS]);
  assertEquals(Object.keys(COMPOSE.volumes), [...IDS]);
  for (const id of IDS) {
    const { environment, command, secrets, volumes, ...rest } = COMPOSE.services[id]!;
    assertEquals(environment["QUORATE_ID"], id);
    assertEquals(volumes, [`${id}:/data`]);
    assertEquals([rest["read_only"], rest["cap_drop"], rest["restart"]], [true, ["ALL"], "unless-stopped"]);
    const build = rest["build"] as { readonly context: string; readonly dockerfile: string };
    const context = new URL(`${build.context}/`, DEPLOY);
    await Deno.stat(new URL(build.dockerfile, context));
    // Each file that the node reads is a secret of its service, and each of those is a file beside the others.
    const text = [command, ...Object.values(environment)].join(" ");
    const read = [...text.matchAll(/\/run\/secrets\/([\w.-]+)/g)].map(([, name]) => name!);
    assertEquals([...secrets].sort(), [...new Set(read)].sort());
    for (const name of secrets) assertEquals(COMPOSE.secrets[name], { file: `secrets/${name}` });
    for (const more of [{}, { QUORATE_INIT: "--init" }]) await parsed(wordsOf(command, more), environment);
    await assertRejects(() => parsed([...wordsOf(command, {}), "--inti"], environment), Error, "--inti");
  }
  assertThrows(() => composeOf("services:\n\ta: {"));
});

Deno.test("compose.yml: its three command lines are a cluster, and are one again without --init", () =>
  withHosts(async (hosts) => {
    const secrets = `${hosts.here}/secrets`;
    await Deno.mkdir(secrets);
    const copied: Record<string, string> = { "ca.pem": "certs/ca.pem", "peer-secret": "secret", "tokens.json": "" };
    for (const id of IDS) {
      copied[`${id}.pem`] = `certs/${hosts.address(id)}.pem`;
      copied[`${id}-key.pem`] = `certs/${hosts.address(id)}-key.pem`;
    }
    for (const [to, from] of Object.entries(copied)) {
      await Deno.copyFile(`${hosts.here}/${from === "" ? to : from}`, `${secrets}/${to}`);
    }
    const entry = JSON.parse(IMAGE.find(({ name }) => name === "ENTRYPOINT")!.rest) as string[];
    const started = (id: Id, more: Env) => {
      const data = `${hosts.checkout(id)}/data`;
      const here = (text: string) =>
        text.replace(/https:\/\/([abc]):8701/g, (_, member) => `https://${hosts.address(member)}:${hosts.port}`)
          .replace("0.0.0.0", hosts.address(id)).replaceAll("/run/secrets", secrets).replace(/^\/data\b/, data);
      const { command, environment } = COMPOSE.services[id]!;
      Deno.mkdirSync(data, { recursive: true });
      return {
        words: [Deno.execPath(), ...entry.slice(1), ...wordsOf(command, more)].map(here),
        env: {
          ...Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, here(value)])),
          QUORATE_PORT: `${hosts.port}`,
        },
        cwd: ROOT.pathname,
      };
    };
    await formCluster(hosts, (id) => started(id, { QUORATE_INIT: "--init" }), async () => {});
    await formCluster(hosts, (id) => started(id, {}), async () => {
      const { env, cwd } = started("b", {});
      const options = { args: HEALTH.slice(1), cwd, env, stderr: "piped" } as const;
      const { code, stderr } = await new Deno.Command(Deno.execPath(), options).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      // Without its CA it believes nobody, as its node would not.
      const other = { ...options, env: { ...env, QUORATE_TLS_CA: new URL("nothing.pem", DEPLOY).pathname } };
      assertEquals((await new Deno.Command(Deno.execPath(), other).output()).code, 1);
    });
  }));

async function copy(from: string, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) {
    await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    return await Deno.copyFile(from, to);
  }
  for await (const { name } of Deno.readDir(from)) await copy(`${from}/${name}`, `${to}/${name}`);
}
