/** The composition root: what importing it does, and what it refuses to compose. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { compose, type Composed } from "../src/compose/composed.ts";
import { sha256Hex } from "../src/auth/digest.ts";
import { type NodeConfig, parseConfig } from "../src/config/config.ts";
import { QuorateError } from "../src/errors.ts";
import { StoreError } from "../src/ports.ts";
import { openOwnerStore } from "../src/store/kv_ballot_store.ts";
import { apply, makeRecord, write } from "./store/ballot_store_contract.ts";

const ROOT = new URL("../", import.meta.url);
const SECRET = "a secret of this test only";
const TOKEN = "a-token-of-this-test-only";
const THREE = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";

/** Runs `code` as a module of its own, with these permissions only. */
async function runModule(code: string, args: readonly string[], env: Record<string, string> = {}) {
  const file = await Deno.makeTempFile({ prefix: "quorate-deploy-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, code.replaceAll("DEPLOY", new URL("deploy.ts", ROOT).href));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--config", new URL("deno.json", ROOT).pathname, ...args, file],
      cwd: ROOT,
      env: { ...env, NO_COLOR: "1" },
      clearEnv: false,
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { success, out: text(stdout), err: text(stderr) };
  } finally {
    await Deno.remove(file);
  }
}

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-deploy-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function configOf(kv: string, more: { id?: string; cluster?: string; init?: boolean } = {}): Promise<NodeConfig> {
  const { id = "a", cluster = THREE, init = false } = more;
  const args = ["--id", id, "--kv", kv, "--cluster", cluster, ...(init ? ["--init"] : [])];
  return parseConfig(args, { QUORATE_PEER_SECRET: SECRET }, () => Promise.reject(new Error("no file is read")));
}

async function composed(config: NodeConfig): Promise<Composed> {
  return await compose(config, () => {});
}

/** Composes and closes again: a store that was used. */
async function used(config: NodeConfig): Promise<void> {
  await (await composed(config)).close();
}

Deno.test("deploy: importing it opens nothing: it needs no permission but to read its own files", async () => {
  const { success, out, err } = await runModule(
    `const { default: app } = await import("DEPLOY"); console.log(typeof app.fetch);`,
    ["--allow-read", "--deny-net", "--deny-env", "--deny-write", "--deny-run", "--deny-ffi", "--deny-sys"],
  );
  assert(success, err);
  assertEquals(out, "function\n");
});

/** Asks the default export, several at once if `times` says so. */
function asking(times: number): string {
  return `const { default: app } = await import("DEPLOY");
    const answers = await Promise.all(Array.from({ length: ${times} }, async () => {
      const headers = { Authorization: "Bearer TOKEN" };
      const response = await app.fetch(new Request("http://127.0.0.1:8701/v1/status", { headers }));
      return { status: response.status, type: response.headers.get("content-type"), body: await response.json() };
    }));
    console.log(JSON.stringify(answers));
    Deno.exit(0);`.replace("TOKEN", TOKEN);
}

type Asked = { status: number; type: string; body: Record<string, unknown> };

Deno.test("deploy: asked without configuration it answers 503 and says in one line what is missing, every time", async () => {
  const { success, out, err } = await runModule(asking(2), ["-A"], { QUORATE_ID: "a" });
  assert(success, err);
  for (const { status, type, body } of JSON.parse(out) as Asked[]) {
    assertEquals([status, body["status"], body["code"]], [503, 503, "not-ready"]);
    assertStringIncludes(type, "application/problem+json");
    const detail = String(body["detail"]);
    assertStringIncludes(detail, "QUORATE_KV");
    assert(!detail.includes("\n"), detail);
  }
});

Deno.test("deploy: many first requests at once are answered by one node; without tokens by none", () =>
  withFolder(async (folder) => {
    await used(await configOf(`${folder}/a.sqlite`, { init: true }));
    const env = {
      QUORATE_ID: "a",
      QUORATE_KV: `${folder}/a.sqlite`,
      QUORATE_CLUSTER: THREE,
      QUORATE_PEER_SECRET: SECRET,
    };
    const open = await runModule(asking(1), ["-A"], env);
    assert(open.success, open.err);
    const [refused] = JSON.parse(open.out) as Asked[];
    assertEquals(refused?.status, 503);
    assertStringIncludes(String(refused?.body["detail"]), "QUORATE_TOKENS");
    const tokens = JSON.stringify([{ subject: "s", sha256: sha256Hex(TOKEN), scopes: ["admin:*"] }]);
    const { success, out, err } = await runModule(asking(8), ["-A"], { ...env, QUORATE_TOKENS: tokens });
    assert(success, err);
    assertEquals((JSON.parse(out) as Asked[]).map(({ status }) => status), Array(8).fill(200), out);
  }));

Deno.test("deploy: a store that dies with the process is refused", async () => {
  for (const path of [":memory:"]) {
    for (const init of [false, true]) {
      const config = { ...(await configOf("x", { init })), kv: path };
      const error = await assertRejects(() => composed(config), StoreError);
      assertStringIncludes(error.message, "forget its votes");
    }
  }
});

Deno.test("deploy: another member's store, another cluster's store, and another --cluster are refused in one line", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.sqlite`;
    await used(await configOf(path, { init: true }));
    const wrong: Record<string, NodeConfig> = {
      "another member": await configOf(path, { id: "b" }),
      "another cluster": await configOf(path, { cluster: THREE.replace("c=", "d=") }),
      "one member more": await configOf(path, { cluster: `${THREE},d=http://127.0.0.1:4` }),
      "alone": { ...await configOf(path), urls: { a: "http://127.0.0.1:1" } },
    };
    for (const [what, config] of Object.entries(wrong)) {
      const error = await assertRejects(() => composed(config), QuorateError, undefined, what);
      assert(!error.message.includes("\n"), error.message);
      assert(/belongs to member a|--cluster differs/.test(error.message), `${what}: ${error.message}`);
    }
    // Refusing lets go of it, and URLs may change.
    await used(await configOf(path, { cluster: THREE.replaceAll("127.0.0.1", "127.0.0.2") }));
  }));

Deno.test("deploy: who may ask other nodes over plain HTTP on a network is told once what that means", () =>
  withFolder(async (folder) => {
    const told = async (more: readonly string[], cluster: string) => {
      const args = ["--id", "a", "--kv", `${folder}/a.sqlite`, "--cluster", cluster, ...more];
      const config = await parseConfig(
        args,
        { QUORATE_PEER_SECRET: SECRET },
        () => Promise.reject(new Error("no file")),
      );
      const lines: string[] = [];
      const node = await compose(config, (line) => lines.push(line));
      await node.close();
      return lines.filter((line) => line.startsWith("--insecure-peers"));
    };
    // Names of nobody, for ever.
    const far = "a=http://a.invalid:1,b=http://b.invalid:1,c=https://c.invalid:1";
    await assertRejects(() => told([], far), QuorateError, "--cluster has b at http://b.invalid:1");
    assertEquals(await told(["--insecure-peers"], far), [
      "--insecure-peers: what this node sends to b anybody on the way can read, names and values too",
    ]);
    assertEquals(await told(["--insecure-peers"], THREE), []);
  }));

Deno.test("deploy: a store with records that is nobody's is not initialised: its other names would have their fences again", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.sqlite`;
    const store = await openOwnerStore({ path, apply, run: () => "restored" });
    await store.update("lock/x", write(makeRecord(1)));
    await store.close();
    await assertRejects(async () => composed(await configOf(path, { init: true })), StoreError, "cut off");
  }));

Deno.test("deploy: a store that has an identity is not initialised again, and one that has none never votes", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.sqlite`;
    const empty = await composed(await configOf(path));
    try {
      assertEquals(empty.initialised, false);
      const ready = await empty.handler(new Request("http://127.0.0.1:8701/readyz"));
      assertEquals(ready.status, 503);
      assertStringIncludes((await ready.json())["detail"], "--init");
    } finally {
      await empty.close();
    }
    await used(await configOf(path, { init: true }));
    const error = await assertRejects(async () => await composed(await configOf(path, { init: true })), QuorateError);
    assertStringIncludes(error.message, "without --init");
  }));

Deno.test("deploy: a store that is in use is refused, and let go of when its node closes", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.sqlite`;
    const first = await composed(await configOf(path, { init: true }));
    try {
      const error = await assertRejects(async () => await composed(await configOf(path)), StoreError);
      assertStringIncludes(error.message, "in use");
    } finally {
      await first.close();
    }
    await used(await configOf(path));
  }));

Deno.test("deploy: a cluster of one answers by itself, and has no mailboxes", () =>
  withFolder(async (folder) => {
    const config = await parseConfig(["--id", "solo", "--kv", `${folder}/solo.sqlite`, "--init"], {}, () =>
      Promise.reject());
    const node = await composed(config);
    try {
      const url = "http://127.0.0.1:8701";
      const grant = await node.handler(new Request(`${url}/v1/locks/x`, { method: "POST", body: `{"holder":"me"}` }));
      assertEquals(grant.status, 200);
      assertEquals((await node.handler(new Request(`${url}/readyz`))).status, 200);
      assertEquals((await node.handler(new Request(`${url}/paxos/acceptor`, { method: "POST" }))).status, 404);
    } finally {
      await node.close();
    }
  }));
