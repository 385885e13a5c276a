/** README.md and docs/ do what they say: their blocks run against real nodes, and what they name is there. */
import { assert, assertEquals, assertGreater, assertMatch, assertRejects } from "@std/assert";
import { parseConfig } from "../src/config/config.ts";
import { parseGatewayConfig } from "../src/config/gateway_config.ts";
import { quorumSizes } from "../src/paxos/quorum.ts";
import { eachLine } from "../src/cli/lines.ts";
import { pause } from "./chaos/real_cluster.ts";
import { freePorts } from "./free_ports.ts";
import { atPorts, putNpx, runSession, SESSION_PAGES, TASKS } from "./page_session.ts";
import { MAILBOXES } from "../src/ports.ts";
import { type Block, blocks, page, PAGES, quoted, ROOT, section, tableRows } from "./pages.ts";
import { withApps } from "./routes/memory_apps.ts";

const FROM_NOTHING = "docs/recipes/README.md";
/** Which test runs the blocks of a page, by their language. */
const RUN_BY: Readonly<Record<string, readonly string[]>> = {
  // That of three hosts in test/chaos/three_hosts_test.ts, the last in test/chaos/runbook_test.ts.
  sh: [...SESSION_PAGES, FROM_NOTHING, "docs/cli.md", "docs/operating.md", "docs/runbook.md"],
  // The last two in test/package/pages_test.ts.
  ts: ["README.md", "docs/hono.md", "docs/testing.md"],
  // test/python/python_client_test.ts
  python: ["docs/python.md"],
};
const FROM_NOTHING_WITHIN_MS = 60_000;

function all(wanted: string): readonly (Block & { readonly path: string })[] {
  return [...PAGES.keys()].flatMap((path) =>
    blocks(path).filter(({ language }) => language === wanted).map((block) => ({ ...block, path }))
  );
}

Deno.test("pages: every block in sh or ts is on a page whose blocks a test runs", () => {
  for (const [language, paths] of Object.entries(RUN_BY)) {
    assertEquals([...new Set(all(language).map(({ path }) => path))].sort(), [...paths].sort(), language);
  }
  // Settings of other programs, what is printed, and what only has to parse: no other language hides a command.
  const others = new Set([...PAGES.keys()].flatMap((path) => blocks(path).map(({ language }) => language)));
  assertEquals([...others].sort(), ["caddyfile", "console", "json", "nginx", "python", "sh", "text", "ts"]);
});

Deno.test("pages: their commands are tasks of deno.json, at the version .ci/run pins", async () => {
  const pinned = /npx --yes deno@([\d.]+)/.exec(await Deno.readTextFile(new URL(".ci/run", ROOT)))?.[1];
  assert(pinned !== undefined);
  const lines = [...all("sh"), ...all("console"), ...all("text")].flatMap(({ text }) => text.split("\n"));
  const commands = lines.flatMap((line) => /\bnpx deno@.*/.exec(line)?.[0] ?? []);
  assertGreater(commands.length, 6);
  for (const command of commands) {
    const [, version, task] = /^npx deno@(\S+) task (?:--quiet )?(\S+)/.exec(command) ?? [];
    assertEquals(version, pinned, command);
    assert(task !== undefined && Object.hasOwn(TASKS, task), command);
  }
  for (const task of ["start", "test"]) {
    assert(blocks("README.md").some(({ text }) => text.trim() === `npx deno@${pinned} task ${task}`), task);
  }
  for (const [path, text] of PAGES) {
    for (const [, task] of text.matchAll(/`deno task ([a-z]\w*)/g)) {
      assert(Object.hasOwn(TASKS, task!), `${path}: ${task}`);
    }
  }
});

Deno.test("pages: what is in a console block would start", async () => {
  const pem = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";
  const readFile = () => Promise.resolve(pem);
  const seen = new Map<string, number>();
  for (const { path, text } of all("console")) {
    const [, task, rest] = /^npx deno@\S+ task (\w+)(.*)\n$/.exec(text) ?? [];
    assert(task !== undefined, `${path}: ${text}`);
    seen.set(task, (seen.get(task) ?? 0) + 1);
    const args = rest!.trim().split(" ");
    if (task === "gateway") {
      assertEquals((await parseGatewayConfig(args, {}, readFile)).nodes.length, 3);
    } else {
      // This very run.
      assertEquals(`${task}${rest}`, "test");
    }
  }
  assertEquals([...seen.keys()].sort(), ["gateway", "test"]);
});

Deno.test("docs/operating.md: its table of settings has every flag and variable of a node", async () => {
  const unknown = await assertRejects(() => parseConfig(["--no-such-flag", "x"], {}, () => Promise.resolve("")), Error);
  const flags = unknown.message.split("; flags are ")[1]!.split(", ");
  const sources = await Promise.all(
    ["src/config/config.ts", "src/compose/composed.ts", "deploy.ts"].map((path) =>
      Deno.readTextFile(new URL(path, ROOT))
    ),
  );
  const variables = new Set([...sources.join("\n").matchAll(/"(QUORATE_[A-Z_]+)"/g)].map(([, name]) => name!));
  assertGreater(flags.length, 10);
  assertGreater(variables.size, 8);
  const [, ...rows] = tableRows(section("docs/operating.md", "Settings"));
  const named = rows.flatMap(([flag, variable]) => quoted(`${flag} ${variable}`));
  // `--trace` is the command line's own: it sets the variable.
  assertEquals([...named].sort(), [...flags, ...variables, "--trace"].sort());
});

Deno.test("docs/architecture.md: the quorum table is what the code counts", () => {
  const rows = tableRows(section("docs/architecture.md", "Quorums"));
  const sizes = rows[0]!.slice(1).map(Number).map(quorumSizes);
  const column = (row: number) => rows[row]!.slice(1).map(Number);
  assertEquals(column(1), sizes.map(({ f }) => f));
  assertEquals(column(2), sizes.map(({ classic }) => classic));
  assertEquals(column(3), sizes.map(({ openFast }) => openFast));
  assertEquals(column(4), sizes.map(({ inclusiveFast }) => inclusiveFast));
});

Deno.test("pages: every symbol of the maps of roles and messages stands in the file named before it", async () => {
  let symbols = 0;
  for (
    const [path, title] of [["README.md", "Where Paxos is"], ["docs/architecture.md", "Rules and messages"]] as const
  ) {
    for (const cells of tableRows(section(path, title))) {
      let source: string | null = null;
      for (const text of quoted(cells.join(" "))) {
        if (/^(src|routes)\/.*\.ts$/.test(text)) source = await Deno.readTextFile(new URL(text, ROOT));
        else if (source !== null && /^\w+$/.test(text)) {
          assert(new RegExp(`\\b${text}\\b`).test(source), `${path}, ${cells[0]}: ${text}`);
          symbols++;
        }
      }
    }
  }
  assertGreater(symbols, 25);
});

Deno.test("README: its map of roles has the door of each mailbox", async () => {
  const routes = await Deno.readTextFile(new URL("routes/paxos.ts", ROOT));
  assert(routes.includes("app.post(`/paxos/${mailbox}`"));
  const doors = quoted(section("README.md", "Where Paxos is")).filter((text) => text.startsWith("/paxos/"));
  assertEquals(doors.map((door) => door.slice("/paxos/".length)).sort(), [...MAILBOXES].sort());
});

Deno.test("pages: the files and folders they name exist, and so do those they link to, with their headings", async () => {
  assertGreater(quoted(section("docs/architecture.md", "Life of a request")).length, 12);
  for (const [path, text] of PAGES) {
    // It tells of files as they were called then.
    const named = path === "CHANGELOG.md"
      ? []
      : quoted(text).filter((name) =>
        /^(src|routes|test|docs|\.ci|\.github)\/[\w/.]*$|^[\w.]+\.(ts|md|json)$/.test(name)
      );
    for (const name of named) {
      // Beside deno.json there is none, on purpose; and recipes are named as their page lists them.
      if (name === "package.json") continue;
      await stands(path, name, [ROOT, new URL(path, ROOT), new URL("src/", ROOT)]);
    }
    for (const [, target, heading] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const found = target === "" ? path : await stands(path, target!, [new URL(path, ROOT)]);
      if (heading !== undefined) {
        assert(headings(page(found)).includes(heading), `${path} links to ${target}#${heading}`);
      }
    }
  }
});

/** The path from the project's root of what is at `name` seen from one of `bases`. */
async function stands(path: string, name: string, bases: readonly URL[]): Promise<string> {
  for (const base of bases) {
    const url = new URL(name, base);
    if (await Deno.stat(url).then(() => true, () => false)) return url.href.slice(ROOT.href.length);
  }
  throw new Error(`${path} names ${name}, which is not there`);
}

/** As pages of a forge name them. */
function headings(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("README: it is short, and its first screen has two commands, eight lines of TypeScript and a chart", () => {
  const lines = page("README.md").split("\n").length - 1;
  assert(lines <= 180, `${lines} lines`);
  const first = page("README.md").split("\n## ")[0]!;
  assert(first.split("\n").length <= 64, "more than a screen");
  assertEquals(first.match(/^```sh$/gm)?.length, 2);
  assertEquals(blocks("README.md").find(({ language }) => language === "ts")?.text.trimEnd().split("\n").length, 8);
  assert(first.includes("Flow 3, Fast Paxos"));
});

Deno.test("README: its TypeScript runs as it stands, on nodes of its own", async () => {
  const [block, ...others] = blocks("README.md").filter(({ language }) => language === "ts");
  assertEquals(others, []);
  await withApps(3, async (apps) => {
    const ids: Record<string, string> = { "8701": "a", "8702": "b" };
    const code = block!.text.replace(/http:\/\/127\.0\.0\.1:(870[12])/g, (_, port) => apps.url(ids[port]!));
    const args = ["eval", "--check", code];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
    // How much is left depends on the machine; more than the lease there never is.
    const told = /^fence \d+, for (?:[12]?\d|30) s\n$/;
    assertMatch(new TextDecoder().decode(stdout), told, new TextDecoder().decode(stderr));
    assertEquals((await (await apps.ask("c", "/v1/locks/report")).json()).state, "free");
  });
});

Deno.test("README, docs/api.md: their sessions go as they are printed", () => runSession());

Deno.test("docs/recipes: from nothing to a service of which one instance leads, and the other when that is gone", async () => {
  const [block, ...others] = blocks(FROM_NOTHING).filter(({ language }) => language === "sh");
  assertEquals(others, []);
  assert(block!.text.trimEnd().split("\n").length <= 15);
  const folder = await Deno.makeTempDir({ prefix: "quorate-from-nothing-" });
  await putNpx(`${folder}/npx`);
  const port = freePorts(5)[0]!;
  const script = atPorts(block!.text.replace("task start", "task start --port 8701"), port);
  const nodes = Array.from({ length: 5 }, (_, i) => `http://127.0.0.1:${port + i}`);
  const child = new Deno.Command("sh", {
    args: ["-e", "-c", script],
    cwd: folder,
    env: {
      PATH: `${folder}:${Deno.env.get("PATH")}`,
      REPOSITORY: ROOT.pathname,
      QUORATE_URL: nodes.join(),
      NO_COLOR: "1",
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    // A process group of its own, which can be ended as one.
    detached: true,
  }).spawn();
  const lines: string[] = [];
  const heard = Promise.all([child.stdout, child.stderr].map((stream) => eachLine(stream, (line) => lines.push(line))));
  const leaders = () =>
    lines.flatMap((line) => {
      const [, name, fence, pid] = /^(one|two) leads with fence (\d+), pid (\d+)$/.exec(line) ?? [];
      return name === undefined ? [] : [{ name, fence: BigInt(fence!), pid: Number(pid) }];
    });
  const until = async (what: string, done: () => boolean) => {
    for (const deadline = performance.now() + FROM_NOTHING_WITHIN_MS; !done();) {
      assert(performance.now() < deadline, `${what} did not come:\n${lines.join("\n")}`);
      await pause(10);
    }
  };
  try {
    await until("a leader", () => leaders().length > 0);
    const [first] = leaders();
    const state = await (await fetch(`${nodes[4]}/v1/elections/service`)).json();
    assertEquals([state.leader.value, state.leader.fence ?? state.leader.term], [first!.name, `${first!.fence}`]);
    Deno.kill(first!.pid, "SIGKILL");
    await until("another leader", () => leaders().length > 1);
    const [, second, ...more] = leaders();
    assertEquals(more, []);
    assert(second!.name !== first!.name && second!.fence > first!.fence);
  } finally {
    Deno.kill(-child.pid, "SIGTERM");
    await child.status;
    await heard;
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("pages: their charts are the stored ones", async () => {
  for (const [path, flow] of [["README.md", 3], ["docs/architecture.md", 1]] as const) {
    const chart = await Deno.readTextFile(new URL(`trace/flow_${flow}.txt`, import.meta.url));
    assert(page(path).includes(chart.trimEnd()), `flow ${flow}`);
  }
});
