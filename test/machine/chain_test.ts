/** Hashes of states: whole before version 3, a chain from the value that raises it on (PROTOCOL.md §3). */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { FOLD_INSTANCES } from "../../src/limits.ts";
import type { KeyState } from "../../src/machine/state.ts";
import type { Certificate, Snapshot, Value } from "../../src/paxos/message.ts";
import type { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { rulesOf } from "../paxos/samples.ts";
import { acceptorHost } from "../replica/acceptor_parts.ts";
import { expectedOfOldStores, unpackOldStore } from "../store/old_stores.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { contentOf, digest, KeyLog, machine } from "./key_log.ts";
import { MACHINE_VERSION } from "../../src/version.ts";

const hashOf = (text: string) => digest(text).slice(0, 32);

function put(log: KeyLog, bytes: string, more: Partial<Value> = {}): KeyState {
  log.decide([log.command({ type: "put", bytes, contentType: "t/t" })], more);
  return log.state;
}

Deno.test("chain: it begins at the value that raises the version, with the hash of the whole state before", () => {
  for (const version of [1, 2]) {
    const log = new KeyLog(version);
    const before = put(log, "a");
    assertEquals([before.version, before.chain], [version, undefined]);
    assertEquals(machine.hash(before), hashOf(JSON.stringify(before)));
    const first = put(log, "b", { machine: 3 });
    assertEquals(machine.hash(first), hashOf(`${machine.hash(before)}\na/n/2\nw2049`));
    const second = put(log, "c");
    assertEquals(machine.hash(second), hashOf(`${machine.hash(first)}\na/n/3\nw3073`));
  }
});

Deno.test("chain: another value, another result or another past is another hash, though the state says the same", () => {
  const hashes = new Set<string>();
  const contents = new Set<string>();
  const end = (log: KeyLog) => {
    hashes.add(machine.hash(log.state));
    contents.add(JSON.stringify(contentOf(log.state)));
  };
  const same = new KeyLog();
  put(same, "a");
  end(same);
  const other = new KeyLog();
  put(other, "a", { id: "b/n/1" });
  end(other);
  for (const command of [[], [{ ...same.command({ type: "delete" }), op: { type: "nothing" } }]]) {
    const log = new KeyLog();
    put(log, "a");
    log.decide(command);
    end(log);
  }
  assertEquals([hashes.size, contents.size], [4, 1]);
});

Deno.test("chain: a state that has become another in memory is found out at the next fold, and from then on", () => {
  const sound = new KeyLog();
  put(sound, "a");
  const rotten = new KeyLog();
  rotten.state = { ...put(rotten, "a"), evicted: -2 };
  while (sound.instance < FOLD_INSTANCES - 1) {
    put(sound, `${sound.instance}`);
    put(rotten, `${rotten.instance}`);
  }
  assertEquals(machine.hash(rotten.state), machine.hash(sound.state));
  for (let i = 0; i < 3; i++) assertNotEquals(machine.hash(put(rotten, "x")), machine.hash(put(sound, "x")));
});

Deno.test("chain: who has a state from its store or from a peer goes on alike, across a fold too", () => {
  const log = new KeyLog();
  put(log, "a");
  for (let i = 0; i < 2 * FOLD_INSTANCES; i++) {
    const { state, instance } = log;
    put(log, `${i}`);
    const loaded: KeyState = JSON.parse(JSON.stringify(state));
    const command = { subject: "s", id: `id${log.instance}`, born: log.instance };
    const op = { type: "put", bytes: `${i}`, contentType: "t/t" };
    const value = { id: `a/n/${log.instance}`, proposer: "a", commands: [{ ...command, op }] };
    assertEquals(machine.apply(loaded, instance + 1, value), log.state);
  }
});

Deno.test("a value that is applied for the record and for its callers is applied once, and to another state anew", () => {
  const log = new KeyLog();
  log.grant("h");
  const { state, instance } = log;
  const value = { id: "a/n/2", proposer: "a", commands: [log.ask("i")] };
  const applied = machine.applyWithResults(state, instance + 1, value);
  assert(machine.applyWithResults(state, instance + 1, value) === applied);
  for (const [at, other] of [[instance + 2, value], [instance + 1, { ...value }]] as const) {
    assert(machine.applyWithResults(state, at, other) !== applied);
  }
  assert(machine.applyWithResults({ ...state }, instance + 1, value) !== applied);
});

const IDS = ["a", "b", "c"] as const;

type Cluster = { readonly hosts: readonly AcceptorHost[]; readonly close: () => Promise<void> };

async function open(folder: string): Promise<Cluster> {
  const opened = await Promise.all(IDS.map(async (id) => {
    const store = await openOwnerStore({ apply: machine.apply, path: `${folder}/${id}`, run: () => "r" });
    const leases = new LeaseClock(new ManualClock(), machine);
    return { store, host: acceptorHost({ rules: { ...rulesOf(id, 3), machine }, store, leases }) };
  }));
  return {
    hosts: opened.map(({ host }) => host),
    close: async () => {
      for (const { host } of opened) host.close();
      await Promise.all(opened.map(({ store }) => store.close()));
    },
  };
}

/** Decides the value where the member that is ahead stands; `learn`: who hears of it in the end, the others have their votes. */
async function decide(hosts: readonly AcceptorHost[], key: string, value: Value, learn = hosts): Promise<void> {
  const { snapshot } = await hosts[0]!.view(key);
  const { instance } = snapshot;
  const at = { key, epoch: 0, instance };
  const ballot = [instance, "a/x", 0] as const;
  await Promise.all(hosts.map(async (host) => {
    const prepared = await host.handle({ type: "prepare", ...at, ballot, ...alignmentOf(snapshot) }, "a");
    assertEquals(prepared.type, "promise");
    const accepted = await host.handle({ type: "accept", ...at, ballot, value }, "a");
    assertEquals(accepted.type, "accepted");
  }));
  const certificate: Certificate = { instance, ballot, kind: "classic", valueId: value.id, acceptors: IDS };
  await Promise.all(learn.map(async (host) => {
    const learned = await host.handle({ type: "learn", ...at, certificate }, "a");
    assert(learned.type === "learned");
    assertEquals(learned.instance, instance + 1);
  }));
}

/** By its own vote, as whoever is one behind follows: nobody is sent a state. */
function alignmentOf({ decidedBy }: Snapshot): { readonly decided?: Certificate } {
  return decidedBy === null ? {} : { decided: decidedBy };
}

async function standings({ hosts }: Cluster, key: string): Promise<readonly (readonly [number, string])[]> {
  const views = await Promise.all(hosts.map((host) => host.view(key)));
  return views.map(({ snapshot: { instance, stateHash } }) => [instance, stateHash]);
}

function valueOf(id: string, machine: number): Value {
  const op = { type: "renew", fence: "1" };
  return { id: `a/v/${id}`, proposer: "a", commands: [{ subject: "s", id, born: 1, op }], machine };
}

for (const versions of [[MACHINE_VERSION], [2, MACHINE_VERSION]]) {
  Deno.test(`chain: stores of 0.1.0 at I, I and I+1 have the same hashes by the values that raise them to ${versions}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const { lock } = await expectedOfOldStores();
      const key = `lock/${lock}`;
      for (const id of IDS) await unpackOldStore(id, `${folder}/${id}`);
      let cluster = await open(folder);
      const [ahead, ...behind] = await standings(cluster, key);
      assertEquals(behind.map(([instance]) => instance), [ahead![0] - 1, ahead![0] - 1]);
      for (const version of versions) {
        // Only one moves on: again the others stand at I, with a vote, on a state of the version before.
        await decide(cluster.hosts, key, valueOf(`raise${version}`, version), cluster.hosts.slice(0, 1));
        await cluster.close();
        cluster = await open(folder);
        const now = await standings(cluster, key);
        assertEquals(new Set(now.slice(1).map(String)).size, 1);
        assertEquals(now.map(([instance]) => instance - now[1]![0]), [1, 0, 0]);
      }
      for (let i = 0; i <= FOLD_INSTANCES; i++) await decide(cluster.hosts, key, valueOf(`${i}`, MACHINE_VERSION));
      const all = await standings(cluster, key);
      assertEquals(new Set(all.map(String)).size, 1);
      await cluster.close();
      cluster = await open(folder);
      assertEquals(await standings(cluster, key), all);
      await cluster.close();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
