/**
 * Three nodes of today on the stores of 0.1.0 (test/store/fixtures), whose records of one name stand at different instances:
 * an upgrade by stopping all nodes and starting all of them. Real processes, real files.
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import type { KeyState } from "../../src/machine/state.ts";
import { MACHINE_OF_ALL, ROW_FORMAT } from "../../src/version.ts";
import { until } from "../replica/clocks.ts";
import { type Expected, expectedOfOldStores, type Told, unpackOldStore } from "../store/old_stores.ts";
import { RealCluster, type Reply } from "./real_cluster.ts";
import { recordsIn, recordsOf } from "./store_files.ts";

const IDS = ["a", "b", "c"] as const;
type Id = (typeof IDS)[number];

/** The machine's version in the state of a key that was written by 0.1.0 and that nobody has decided anything about since. */
const OLD_VERSION = 1;
/** The machine's version in the state of such a key once a value that a node of today proposed is decided. */
const NEW_VERSION = MACHINE_OF_ALL;

type Row = Readonly<Record<string, unknown>> & { readonly instance: number; readonly format?: number };
type StateRow = Row & { readonly state: KeyState; readonly stateHash: string };
type Stored = { readonly ballot: Row; readonly state: StateRow; readonly text: string };
/** By member and key. */
type Files = ReadonlyMap<Id, ReadonlyMap<string, Stored>>;

const machine = createMachine({ digest: sha256Hex });

/** What the stores hold of nodes that do not run. */
function filesOf(cluster: RealCluster): Promise<Files> {
  return readFiles((id) => recordsOf(cluster, id));
}

/** As 0.1.0 left them. */
async function oldFiles(): Promise<Files> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-old-" });
  try {
    return await readFiles(async (id) => {
      await unpackOldStore(id, `${folder}/${id}`);
      return await recordsIn(`${folder}/${id}`);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function readFiles(linesOf: (id: Id) => Promise<string[]>): Promise<Files> {
  const files = new Map<Id, Map<string, Stored>>();
  for (const id of IDS) {
    const rows = new Map<string, string>();
    for (const line of await linesOf(id)) {
      const end = line.indexOf("] {") + 1;
      rows.set(line.slice(0, end), line.slice(end + 1));
    }
    const records = new Map<string, Stored>();
    for (const [name, text] of rows) {
      const [kind, key] = JSON.parse(name);
      if (kind !== "s") continue;
      const state = JSON.parse(text);
      // A chained state bears its hash itself.
      const stateHash = state.stateHash ?? state.state.chain;
      records.set(key, {
        ballot: JSON.parse(rows.get(JSON.stringify(["r", key]))!),
        state: { ...state, stateHash },
        text,
      });
    }
    files.set(id, records);
  }
  return files;
}

/** All members stand at one instance of the key with one state, which hashes to what they say, of that machine version. */
function assertEqualStates(files: Files, key: string, version: number): void {
  const [a, ...others] = IDS.map((id) => files.get(id)!.get(key)!.state);
  for (const other of others) {
    assertEquals([other.instance, other.stateHash, other.state], [a!.instance, a!.stateHash, a!.state], key);
  }
  assertEquals(machine.hash(a!.state), a!.stateHash, key);
  assertVersion(a!, version);
}

function aheadOf(files: Files, key: string, ids: readonly Id[] = IDS): StateRow {
  const states = ids.map((id) => files.get(id)!.get(key)!.state);
  return states.reduce((ahead, state) => state.instance > ahead.instance ? state : ahead);
}

function assertVersion({ state }: StateRow, version: number): void {
  assertEquals(state.version as number, version);
}

async function ask(
  base: string,
  method: string,
  path: string,
  body: string | null = null,
  headers: Record<string, string> = {},
): Promise<Reply & { readonly text: string }> {
  const response = await fetch(`${base}${path}`, { method, headers, body });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") === true;
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : {} };
}

/** The same request with the same Idempotency-Key; of its answer, what a first answer keeps for ever. */
async function repeat(base: string, { write }: Told, ...fields: string[]): Promise<unknown[]> {
  const { method, path, body, key } = write;
  const reply = await ask(base, method, path, body, { "idempotency-key": key });
  return [reply.status, ...fields.map((field) => reply.body[field])];
}

function told({ answer }: Told, ...fields: string[]): unknown[] {
  return [answer.status, ...fields.map((field) => answer.body[field])];
}

function fenceOf({ answer }: Told): string {
  return String(answer.body["fence"]);
}

function pathsOf({ lock, even, register, session }: Expected) {
  return {
    lock: `/v1/locks/${encodeURIComponent(lock)}`,
    even: `/v1/locks/${encodeURIComponent(even)}`,
    register: `/v1/kv/${encodeURIComponent(register)}`,
    session: `/v1/sessions/${session}`,
  };
}

/** A linearizable read of everything, through one node. */
async function assertOldAnswers(base: string, expected: Expected): Promise<void> {
  const paths = pathsOf(expected);
  const { held, evenTaken, secondPut, released } = expected.repeats;
  const holders = async (path: string) => {
    const { status, body } = await ask(base, "GET", path);
    assertEquals(status, 200, JSON.stringify(body));
    return (body["holders"] as { holder: string; fence: string }[]).map(({ holder, fence }) => [holder, fence]);
  };
  assertEquals(await holders(paths.lock), [["worker", fenceOf(held)]]);
  assertEquals(await holders(paths.even), [["worker", fenceOf(evenTaken)]]);
  const history = (await ask(base, "GET", `${paths.lock}/history`)).body["items"] as { fence: string; end: string }[];
  assertEquals(history.length, 17);
  assert(history.some(({ fence, end }) => fence === fenceOf(released) && end === "released"), JSON.stringify(history));
  const value = await ask(base, "GET", paths.register);
  assertEquals([value.status, value.text], [200, expected.value]);
  assertEquals(value.headers.get("etag"), `"${secondPut.answer.body["revision"]}"`);
  const session = await ask(base, "GET", paths.session);
  assertEquals([session.status, session.body["holder"]], [200, "worker"], session.text);
}

function startOnOldStores(late: readonly string[] = []): Promise<RealCluster> {
  return RealCluster.start(3, 0, { isolates: 1, put: unpackOldStore, late });
}

async function killAll(cluster: RealCluster): Promise<void> {
  for (const id of IDS) if (cluster.isRunning(id)) await cluster.kill(id);
}

/** What the stores hold of nodes that do not run any more, once they held this: what a node has answered it may write later. */
async function filesOnce(cluster: RealCluster, isSo: (files: Files) => boolean): Promise<Files> {
  await until("the stores hold it", async () => {
    // A copy of a file that is written to may be torn; what is asserted is read again when nobody writes.
    const files = await filesOf(cluster).catch(() => null);
    return files !== null && isSo(files);
  });
  await killAll(cluster);
  return await filesOf(cluster);
}

/** The same, once all of them had moved on to one instance of each of these keys. */
function filesOnceEqual(cluster: RealCluster, keys: readonly string[]): Promise<Files> {
  // While a record holds a vote a node may know of a move that it has not written yet.
  const isEqual = (files: Files, key: string) =>
    new Set(IDS.map((id) => files.get(id)!.get(key)!.state.instance)).size === 1 &&
    IDS.every((id) => (files.get(id)!.get(key)!.ballot.vote ?? null) === null);
  return filesOnce(cluster, (files) => keys.every((key) => isEqual(files, key)));
}

Deno.test("old stores: the fixtures stand at I, I and I+1, each name with another member ahead or behind", async () => {
  const files = await oldFiles();
  const { lock, even, register, session } = await expectedOfOldStores();
  const ahead = (key: string) => {
    const records = IDS.map((id) => files.get(id)!.get(key)!);
    const lowest = Math.min(...records.map(({ ballot }) => ballot.instance));
    return records.map(({ ballot, state }) => {
      assertVersion(state, OLD_VERSION);
      assertEquals(machine.hash(state.state), state.stateHash);
      assertEquals([ballot.format, state.format], [undefined, undefined]);
      return `${ballot.instance - lowest}${ballot["vote"] === null ? "" : " and a vote"}`;
    });
  };
  assertEquals(ahead(`lock/${lock}`), ["1", "0 and a vote", "0 and a vote"]);
  assertEquals(ahead(`kv/${register}`), ["1", "1", "0"]);
  assertEquals(ahead(`session/${session}`), ["0 and a vote", "0 and a vote", "1"]);
  assertEquals(ahead(`lock/${even}`), ["0", "0", "0"]);
  const { state } = files.get("a")!.get(`lock/${lock}`)!.state;
  assertEquals([state.holders.length, state.history.length, state.evicted > 0], [1, 17, true]);
});

Deno.test("old stores: three nodes form on them, answer as before, go on with larger fences, and end with equal states", async (t) => {
  const expected = await expectedOfOldStores();
  const { held, released, evenTaken, firstPut, secondPut } = expected.repeats;
  const paths = pathsOf(expected);
  const keys = [
    `lock/${expected.lock}`,
    `lock/${expected.even}`,
    `kv/${expected.register}`,
    `session/${expected.session}`,
  ];
  const cluster = await startOnOldStores();
  const [a, b, c] = IDS.map((id) => cluster.url(id)) as [string, string, string];
  try {
    await t.step("linearizable reads answer at every node what 0.1.0 was told", async () => {
      for (const base of [c, b, a]) await assertOldAnswers(base, expected);
    });

    await t.step("loading and reading has converted nothing: who moved on has the state of who was ahead", async () => {
      const before = await oldFiles();
      await killAll(cluster);
      const now = await filesOf(cluster);
      for (const key of keys) {
        const ahead = aheadOf(before, key);
        for (const id of IDS) {
          const { text, state } = now.get(id)!.get(key)!;
          const was = before.get(id)!.get(key)!;
          assertVersion(state, OLD_VERSION);
          if (state.instance === was.state.instance) assertEquals(text, was.text, `${key} of ${id}`);
          else assertEquals([state.state, state.stateHash, state.format], [ahead.state, ahead.stateHash, ROW_FORMAT]);
        }
      }
      await Promise.all(IDS.map((id) => cluster.startNode(id)));
    });

    await t.step("commands of then, sent again with their Idempotency-Keys, have their first answers", async () => {
      assertEquals(await repeat(b, held, "fence"), told(held, "fence"));
      assertEquals(await repeat(c, released, "outcome", "fence"), told(released, "outcome", "fence"));
      assertEquals(await repeat(a, evenTaken, "fence"), told(evenTaken, "fence"));
      assertEquals(await repeat(c, secondPut, "revision"), told(secondPut, "revision"));
      // It is the first answer of a write that was overwritten since, and it writes nothing again.
      assertEquals(await repeat(b, firstPut, "revision"), told(firstPut, "revision"));
      await assertOldAnswers(a, expected);
    });

    await t.step("the holds of then are renewed by their fences, the session is kept", async () => {
      for (const base of [c, b]) {
        const { status, body } = await ask(base, "PUT", `${paths.lock}/${fenceOf(held)}`);
        assertEquals([status, body["fence"]], [200, fenceOf(held)], JSON.stringify(body));
      }
      assertEquals((await ask(a, "PUT", paths.session)).status, 200);
      await assertOldAnswers(b, expected);
    });

    await t.step("what is written next has larger fences and revisions", async () => {
      assertEquals((await ask(b, "DELETE", `${paths.lock}/${fenceOf(held)}`)).status, 200);
      let last = BigInt(fenceOf(held));
      for (const base of [a, b, c]) {
        const { status, body } = await ask(base, "POST", paths.lock, JSON.stringify({ holder: "next" }));
        assertEquals(status, 200, JSON.stringify(body));
        assertGreater(BigInt(String(body["fence"])), last);
        last = BigInt(String(body["fence"]));
        assertEquals((await ask(base, "DELETE", `${paths.lock}/${last}`)).status, 200);
      }
      let revision = Number(secondPut.answer.body["revision"]);
      for (const base of [c, a, b]) {
        const { status, body } = await ask(base, "PUT", paths.register, "three");
        assertEquals(status, 200, JSON.stringify(body));
        assertGreater(Number(body["revision"]), revision);
        revision = Number(body["revision"]);
      }
      // It frees what is bound to it: a value for the lock that all stood alike of.
      assertEquals((await ask(c, "DELETE", paths.session)).status, 200);
      const taken = await ask(a, "POST", `${paths.even}`, JSON.stringify({ holder: "next", waitMs: 20_000 }));
      assertEquals(taken.status, 200, taken.text);
      assertGreater(BigInt(String(taken.body["fence"])), BigInt(fenceOf(evenTaken)));
    });

    await t.step("all three end with equal states at equal instances, in rows of today", async () => {
      const files = await filesOnceEqual(cluster, keys);
      for (const key of keys) {
        assertEqualStates(files, key, NEW_VERSION);
        for (const id of IDS) {
          const { ballot, state } = files.get(id)!.get(key)!;
          assertEquals([ballot.format, state.format], [ROW_FORMAT, ROW_FORMAT], `${key} of ${id}`);
        }
      }
    });
  } finally {
    await cluster.stop();
  }
});

Deno.test("old stores: a decision that only the member knew which is away is found by the others, and taken up by all", async () => {
  const expected = await expectedOfOldStores();
  const { held } = expected.repeats;
  const paths = pathsOf(expected);
  const cluster = await startOnOldStores(["a"]);
  try {
    for (const id of ["c", "b"]) await assertOldAnswers(cluster.url(id), expected);
    const key = `lock/${expected.lock}`;
    // a had made the same of the same value by itself.
    const { state: known } = (await oldFiles()).get("a")!.get(key)!;
    const others = (files: Files) => aheadOf(files, key, ["b", "c"]);
    const files = await filesOnce(cluster, (files) => others(files).instance >= known.instance);
    const found = others(files);
    assertEquals([found.instance, found.stateHash, found.state], [known.instance, known.stateHash, known.state]);
    for (const id of IDS) assertVersion(files.get(id)!.get(key)!.state, OLD_VERSION);
    await Promise.all(["b", "c"].map((id) => cluster.startNode(id)));
    const renewed = await ask(cluster.url("c"), "PUT", `${paths.lock}/${fenceOf(held)}`);
    assertEquals(renewed.status, 200, renewed.text);
    await cluster.startNode("a");
    await assertOldAnswers(cluster.url("a"), expected);
    assertEqualStates(await filesOnceEqual(cluster, [key]), key, NEW_VERSION);
  } finally {
    await cluster.stop();
  }
});
