/**
 * The contract of stores on remote databases, through the client that Deno has for them: on the stand-in, whose server
 * fails on demand, and where there is one on a real denokv, whose commits are made to fail on this side of the client.
 */
import { assertEquals } from "@std/assert";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import type { BallotStore } from "../../src/ports.ts";
import type { Fault } from "../../src/store/memory_ballot_store.ts";
import { ballotRow } from "../../src/store/key_space.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import { DENOKV_CHECKS_MAX, findDenokv, startDenokv } from "../kv_connect/denokv.ts";
import type { Fault as ServerFault } from "../kv_connect/faults.ts";
import { type KvConnect, startKvConnect } from "../kv_connect/server.ts";
import { openWith } from "../kv_connect/suite.ts";
import { ballotStoreContract, countOf, increment, look, type Medium } from "./ballot_store_contract.ts";
import { TestKv } from "./test_kv.ts";

/** A server's word for what a store can meet. */
const SERVER_FAULTS: Readonly<Record<Fault, ServerFault>> = {
  // Applied, and tried again by the client, whose first try is then in the way of its second.
  "conflict": "error-after",
  "unknown-applied": "garbled-after",
  "unknown-lost": "disabled",
};
/** Before the client of a database is taken to have no answer. */
const CALL_MS = 300;

let runs = 0;

async function openStore(kv: Deno.Kv, callMs = 2_000): Promise<BallotStore> {
  const run = `run-${++runs}`;
  return await openSharedStore({ kv, name: "db", run, clock: realClock, random: realRandomness, callMs });
}

/** A database of its own; the clients on it count what they commit. */
function clientsOf(url: string, accessToken: string) {
  const clients: TestKv[] = [];
  return {
    clients,
    open: async () => {
      const client = new TestKv(await openWith(url, accessToken));
      clients.push(client);
      return await openStore(client.asKv());
    },
    atomics: () => clients.reduce((sum, { atomics }) => sum + atomics, 0),
    spoil: async (key: string) => {
      using kv = await openWith(url, accessToken);
      await kv.set(ballotRow(key), new TextEncoder().encode("junk"));
    },
  };
}

function onStandIn(): Promise<Medium> {
  const server = startKvConnect({ checksMax: DENOKV_CHECKS_MAX });
  const { faults } = server.database("db");
  const { open, atomics, spoil } = clientsOf(server.url("db"), server.accessToken);
  return Promise.resolve({
    open,
    atomics,
    spoil,
    failNext: (_, fault) => faults.next("write", SERVER_FAULTS[fault]),
    hold: () => {
      faults.chance("write", "hang-before", 1);
      return () => faults.clear();
    },
    dispose: () => server.stop(),
  });
}

async function onDenokv(program: string): Promise<Medium> {
  const server = await startDenokv(program);
  const { open, atomics, spoil, clients } = clientsOf(server.url, server.accessToken);
  return {
    open,
    atomics,
    spoil,
    failNext: (_, fault) => {
      for (const client of clients) client.fault = fault;
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      for (const client of clients) client.gate = promise;
      return resolve;
    },
    dispose: async () => await server[Symbol.asyncDispose](),
  };
}

const denokv = await findDenokv();
const TESTED_ON = denokv === null ? "the stand-in: there is no denokv" : `the stand-in and ${denokv}`;
// `--quiet` hides what tests print, but not their names.
Deno.test(`shared store, remote: tested on ${TESTED_ON}`, () => {});

ballotStoreContract("shared store on the stand-in", onStandIn, true);
if (denokv !== null) ballotStoreContract("shared store on denokv", () => onDenokv(denokv), true);

async function withStandIn(run: (server: KvConnect) => Promise<void>): Promise<void> {
  const server = startKvConnect({ checksMax: DENOKV_CHECKS_MAX });
  try {
    await run(server);
  } finally {
    await server.stop();
  }
}

const WRITE_FAULTS: readonly ServerFault[] = [
  "delay-before",
  "hang-before",
  "error-before",
  "disabled",
  "delay-after",
  "hang-after",
  "error-after",
  "cut-after",
  "garbled-after",
];

for (const fault of WRITE_FAULTS) {
  Deno.test(`shared store, remote: a write that meets ${fault} counts once, also when it comes back late`, () =>
    withStandIn(async (server) => {
      const { faults } = server.database("db");
      const store = await openStore(await openWith(server.url("db"), server.accessToken), CALL_MS);
      assertEquals(await store.update("k", increment), 1);
      // Longer than its store waits: by then another try has been made.
      faults.delayMs = 2 * CALL_MS;
      faults.next("write", fault, 2);
      assertEquals(await store.update("k", increment), 2);
      const met = faults.met("write", fault);
      assertEquals(met > 0, true);
      faults.clear();
      // What hung or was late is sent again by now, and finds the record changed.
      const { counts } = server.database("db");
      for (let i = 0; i < 10; i++) assertEquals(await store.update("k", increment), 3 + i);
      await new Promise((resolve) => setTimeout(resolve, CALL_MS));
      assertEquals(countOf(await store.update("k", look)), 12);
      assertEquals(counts.applied, 12);
      await store.close();
    }));
}
