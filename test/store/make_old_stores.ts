/**
 * Makes test/store/fixtures: the stores of three nodes of another version, killed while their records of the same name stood
 * at different instances. Run from the root of this project, on a checkout of that version (0.1.0 is commit 69bf7d9):
 *
 *     deno run -A test/store/make_old_stores.ts FOLDER_OF_THE_CHECKOUT
 *
 * Real processes write every byte. A proxy for each directed link decides which of their messages arrive.
 */
import { assert, assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { gzipSync } from "node:zlib";
import { freePorts } from "../free_ports.ts";
import type { Answer, Expected, Write } from "./old_stores.ts";

const IDS = ["a", "b", "c"] as const;
type Id = (typeof IDS)[number];
type Message = { readonly type: string; readonly key: string };
/** Whether a request arrives. */
type Filter = (from: Id, to: Id, messages: readonly Message[]) => boolean;

const LOCK = "old/full";
const REGISTER = "old/value";
const EVEN = "old/even";
/** A take and a release each: more commands than the window of 32 holds. */
const CYCLES = 17;
const TTL_MS = 3_600_000;
const FIXTURES = new URL("./fixtures/", import.meta.url);

class OldCluster {
  readonly folder = Deno.makeTempDirSync({ prefix: "quorate-old-" });
  arrives: Filter = () => true;
  readonly #ports = new Map<Id, number>(freePorts(IDS.length).map((port, i) => [IDS[i]!, port]));
  readonly #links = new Map<string, Deno.HttpServer<Deno.NetAddr>>();
  readonly #nodes = new Map<Id, Deno.ChildProcess>();

  constructor(checkout: string) {
    for (const from of IDS) {
      for (const to of IDS) if (from !== to) this.#links.set(from + to, this.#link(from, to));
    }
    for (const id of IDS) {
      const url = (to: Id) => to === id ? this.url(id) : `http://127.0.0.1:${this.#links.get(id + to)!.addr.port}`;
      const cluster = IDS.map((to) => `${to}=${url(to)}`).join(",");
      const flags = ["--id", id, "--port", `${this.#ports.get(id)}`, "--cluster", cluster, "--kv", this.path(id)];
      const node = new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "-A", "src/cli/main.ts", "node", ...flags, "--init"],
        cwd: checkout,
        env: { QUORATE_PEER_SECRET: "a secret of these stores only" },
        stdin: "null",
        stdout: "inherit",
        stderr: "inherit",
      }).spawn();
      this.#nodes.set(id, node);
    }
  }

  url(id: Id): string {
    return `http://127.0.0.1:${this.#ports.get(id)}`;
  }

  path(id: Id): string {
    return `${this.folder}/${id}.sqlite`;
  }

  async ready(): Promise<void> {
    for (const id of IDS) await until(`${id} is ready`, () => fetch(`${this.url(id)}/readyz`).then(isOk, () => false));
  }

  /** Where a node's own record stands, by what it says of it without asking anybody. */
  async instance(id: Id, path: string): Promise<number> {
    const response = await fetch(`${this.url(id)}${path}?consistency=stale`);
    await response.body?.cancel();
    return Number(response.headers.get("consensus-instance"));
  }

  async write(id: Id, { method, path, body, key }: Write): Promise<Answer> {
    const response = await fetch(`${this.url(id)}${path}`, { method, headers: { "idempotency-key": key }, body });
    const answer = { status: response.status, body: await response.json() };
    assertEquals(answer.status, 200, JSON.stringify(answer.body));
    return answer;
  }

  /** kill -9 of all at once: nothing is told, nothing is tidied up. */
  async kill(): Promise<void> {
    for (const node of this.#nodes.values()) node.kill("SIGKILL");
    await Promise.all([...this.#nodes.values()].map((node) => node.status));
    await Promise.all([...this.#links.values()].map((link) => link.shutdown()));
  }

  #link(from: Id, to: Id): Deno.HttpServer<Deno.NetAddr> {
    return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const body = await request.text();
      const lost = new Response(null, { status: 503 });
      if (!this.arrives(from, to, JSON.parse(body).messages)) return lost;
      const { pathname } = new URL(request.url);
      const answer = await fetch(this.url(to) + pathname, { method: "POST", headers: request.headers, body })
        .catch(() => lost);
      const text = await answer.text();
      return new Response(text, { status: answer.status, headers: answer.headers });
    });
  }
}

async function make(checkout: string): Promise<void> {
  const cluster = new OldCluster(checkout);
  try {
    await cluster.ready();
    const expected = await fill(cluster);
    await cluster.kill();
    for (const id of IDS) await Deno.writeFile(new URL(`${id}.sqlite.gz`, FIXTURES), await packed(cluster.path(id)));
    await Deno.writeTextFile(new URL("expected.json", FIXTURES), `${JSON.stringify(expected, null, 2)}\n`);
  } finally {
    await cluster.kill().catch(() => {});
    await Deno.remove(cluster.folder, { recursive: true });
  }
}

async function fill(cluster: OldCluster): Promise<Expected> {
  const node = (i: number) => IDS[i % IDS.length]!;
  const take = (key: string, path = `/v1/locks/${encodeURIComponent(LOCK)}`, more = {}): Write => ({
    method: "POST",
    path,
    body: JSON.stringify({ holder: "worker", ttlMs: TTL_MS, ...more }),
    key,
  });
  const put = (key: string, body: string): Write => ({
    method: "PUT",
    path: `/v1/kv/${encodeURIComponent(REGISTER)}`,
    body,
    key,
  });
  let released: Write | null = null;
  let releasedAnswer: Answer | null = null;
  for (let i = 0; i < CYCLES; i++) {
    const { body } = await cluster.write(node(i), take(`take-${i}`));
    released = { method: "DELETE", path: `${take("").path}/${body["fence"]}`, body: null, key: `release-${i}` };
    releasedAnswer = await cluster.write(node(i + 1), released);
  }
  const first = put("put-1", "one");
  const firstAnswer = await cluster.write("a", first);
  const opened = await cluster.write("b", {
    method: "POST",
    path: "/v1/sessions",
    body: JSON.stringify({ holder: "worker", ttlMs: TTL_MS }),
    key: "open-1",
  });
  const session = String(opened.body["id"]);
  const even = take("even-1", `/v1/locks/${encodeURIComponent(EVEN)}`, { ttlMs: undefined, session });
  const evenAnswer = await cluster.write("c", even);
  const paths = {
    lock: take("").path,
    register: first.path,
    even: even.path,
  };
  for (const path of Object.values(paths)) {
    await until(`all have learned of ${path}`, async () => {
      const all = await Promise.all(IDS.map((id) => cluster.instance(id, path)));
      return all[0]! > 0 && all.every((instance) => instance === all[0]);
    });
  }
  // A session has no stale read; what it is bound to is learned in the same moments.
  await pause(1_000);

  // The register: c misses what a and b decide and learn.
  cluster.arrives = (from, to) => from !== "c" && to !== "c";
  const second = put("put-2", "two");
  const secondAnswer = await cluster.write("a", second);
  await until(
    "b has learned of it",
    async () => await cluster.instance("b", paths.register) === await cluster.instance("a", paths.register),
  );

  // The lock: all vote, and a alone knows that it is decided. The session: the same, and c.
  cluster.arrives = onlyAccepts("a", `lock/${LOCK}`);
  const held = take("take-held");
  const heldAnswer = await cluster.write("a", held);
  cluster.arrives = onlyAccepts("c", `session/${session}`);
  const kept: Write = { method: "PUT", path: `/v1/sessions/${session}`, body: null, key: "keep-1" };
  const keptAnswer = await cluster.write("c", kept);
  return {
    lock: LOCK,
    register: REGISTER,
    even: EVEN,
    session,
    value: "two",
    repeats: {
      held: { write: held, answer: heldAnswer },
      released: { write: released!, answer: releasedAnswer! },
      evenTaken: { write: even, answer: evenAnswer },
      firstPut: { write: first, answer: firstAnswer },
      secondPut: { write: second, answer: secondAnswer },
      kept: { write: kept, answer: keptAnswer },
    },
  };
}

/** Nothing else, so that nobody hears of the decision or asks for it. */
function onlyAccepts(of: Id, key: string): Filter {
  return (from, _to, messages) => from === of && messages.every((it) => it.type === "accept" && it.key === key);
}

/** The database as one small file without a log beside it, compressed. */
async function packed(path: string): Promise<Uint8Array> {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  return new Uint8Array(gzipSync(await Deno.readFile(path), { level: 9 }));
}

async function isOk(response: Response): Promise<boolean> {
  await response.body?.cancel();
  return response.ok;
}

async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await is()) return;
    await pause(50);
  }
  throw new Error(`never: ${what}`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const [checkout] = Deno.args;
assert(checkout !== undefined, "name the folder of a checkout");
await make(checkout);
