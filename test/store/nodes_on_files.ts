/** Three nodes in this process, each on a database file of its own, as its owner or as one who shares it; asked over their routes. */
import { assert } from "@std/assert";
import { createApp } from "../../routes/app.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { createMachine } from "../../src/machine/machine.ts";
import type { BallotStore } from "../../src/ports.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import { memoryCluster } from "../replica/memory_cluster.ts";

export type StoreKind = "owner" | "shared";
export type NodesOnFiles = {
  /** By node. */
  readonly files: ReadonlyMap<string, string>;
  /** The body of an answer that is no refusal. */
  ask(id: string, method: string, path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>>;
};

/** An owner's log is made shorter at once: what is at rest is in no log. */
export async function withNodesOnFiles(kind: StoreKind, run: (nodes: NodesOnFiles) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-files-" });
  const files = new Map(["a", "b", "c"].map((id) => [id, `${folder}/${id}.sqlite`]));
  const stores: BallotStore[] = [];
  const cluster = await memoryCluster(3, {
    shared: {
      of: (id) => [processOf(id)],
      memberOf: (process) => process.slice(0, 1),
      async open(process) {
        const id = process.slice(0, 1);
        const store = await open(kind, files.get(id)!);
        stores.push(store);
        await store.init({ cluster: "test", id, incarnation: realRandomness.id(), config: "{}" });
        return store;
      },
      crash: () => {},
      transport: (inner) => ({
        send: (to, message) => inner.send(processOf(to), message),
        rttMs: (to) => inner.rttMs(processOf(to)),
        close: () => inner.close(),
      }),
    },
  });
  const apps = new Map(cluster.ids.map((id) => [id, appOf(cluster.node(processOf(id)))]));
  try {
    await run({
      files,
      async ask(id, method, path, body) {
        const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
        const response = await apps.get(id)!.fetch(new Request(`http://localhost${path}`, init));
        const text = await response.text();
        assert(response.ok, `${method} ${path}: ${response.status} ${text}`);
        return text === "" ? {} : JSON.parse(text);
      },
    });
  } finally {
    cluster.close();
    await Promise.all(stores.map((store) => store.close()));
    await Deno.remove(folder, { recursive: true });
  }
}

function processOf(id: string): string {
  return `${id}1`;
}

async function open(kind: StoreKind, path: string): Promise<BallotStore> {
  const run = realRandomness.id();
  if (kind === "shared") {
    return await openSharedStore({
      kv: await Deno.openKv(path),
      name: path,
      run,
      clock: realClock,
      random: realRandomness,
    });
  }
  const { apply } = createMachine({ digest: sha256Hex });
  return await openOwnerStore({ path, apply, run: () => run, shortenBytes: 0 });
}

function appOf(node: Parameters<typeof createApp>[0]) {
  return createApp(node, {
    tokens: null,
    rate: null,
    peers: null,
    newId: () => realRandomness.id(),
    now: () => realClock.now(),
    after: (ms, run) => realClock.after(ms, run),
    report: (error) => {
      throw error;
    },
  });
}
