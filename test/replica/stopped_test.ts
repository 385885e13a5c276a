/** Records on a real file that are not what was written: damaged, and never "no record". */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { QuorateError } from "../../src/errors.ts";
import { INLINE_STATE_MAX_BYTES } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import { ballotRow, LOG, stateRow } from "../../src/store/key_space.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { decodeRecord } from "../../src/store/rows.ts";
import { oldRowsOf } from "../store/old_rows.ts";
import { ballotOf, fast, rulesOf } from "../paxos/samples.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { acceptorHost } from "./acceptor_parts.ts";
import { MACHINE_VERSION } from "../../src/version.ts";

const KEY = "kv/x";
const MODE = fast("a");

type Rot = {
  readonly what: string;
  /** Default: the log's own; at −1 every record is written whole. */
  readonly shortenBytes?: number;
  /** The row that rots. */
  readonly find: (kv: Deno.Kv) => Promise<Deno.KvKey> | Deno.KvKey;
  /** Its state is in a row of its own, as before there were checksums. */
  readonly isOld?: boolean;
  readonly bytes?: string;
  /** The machine's version that the first value brings. */
  readonly version?: number;
  readonly says: string;
};

/** The newest row of the log. */
async function lastOfLog(kv: Deno.Kv): Promise<Deno.KvKey> {
  const [last] = await Array.fromAsync(kv.list({ prefix: LOG }, { reverse: true, limit: 1 }));
  assert(last !== undefined);
  return last.key;
}

const SOUND = "c291bmQ";
const ROTTEN = "c291bmE";
/** What is in the register: base64. */
const SMALL = `${SOUND}=`;
/** Its state has a row of its own. */
const LARGE = `${SOUND}g${"eHh4".repeat(INLINE_STATE_MAX_BYTES)}`;
const SAYS = "it is not as it was written";
const ROTS: readonly Rot[] = [
  { what: "a state", shortenBytes: -1, find: () => stateRow(KEY), bytes: LARGE, says: SAYS },
  { what: "a state in the row of its votes", shortenBytes: -1, find: () => ballotRow(KEY), says: SAYS },
  {
    what: "a chained state",
    shortenBytes: -1,
    find: () => stateRow(KEY),
    bytes: LARGE,
    version: MACHINE_VERSION,
    says: SAYS,
  },
  {
    what: "a state in a row of before there were checksums",
    shortenBytes: -1,
    find: () => stateRow(KEY),
    isOld: true,
    says: "its state is not what its hash is of",
  },
  { what: "a vote", shortenBytes: -1, find: () => ballotRow(KEY), says: SAYS },
  { what: "a vote in the log", find: lastOfLog, says: "its log is not as it was written" },
];

for (const rot of ROTS) {
  const rest = "no view, no vote, no promise, one line, and others are well";
  Deno.test(`stopped: ${rot.what} that rotted on disk is damaged on load: ${rest}`, () => isDamaged(rot));
}

async function isDamaged({ shortenBytes, find, isOld = false, bytes = SMALL, version, says }: Rot): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/a.sqlite`;
  const machine = createMachine({ digest: sha256Hex });
  const lines: string[] = [];
  const open = async () => {
    const log = shortenBytes === undefined ? {} : { shortenBytes };
    const store = await openOwnerStore({ apply: machine.apply, path, run: () => "r", ...log });
    const rules = { ...rulesOf("a", 1), machine };
    const leases = new LeaseClock(new ManualClock(), machine);
    const report = (line: string) => void lines.push(line);
    const host = acceptorHost({ rules, store, leases, modeOf: () => MODE, report });
    return { store, host };
  };
  try {
    const first = await open();
    for (const key of ["kv/well", KEY]) {
      const raise = version === undefined ? {} : { machine: version };
      const valueAt = (instance: number) => {
        const op = { type: "put", bytes, contentType: "text/plain" };
        const commands = [{ subject: "s", id: `k${instance}`, born: 1, op }];
        return { id: `a/v/${instance}`, proposer: "a", commands, ...raise };
      };
      const at = { key, epoch: 0, instance: 1 } as const;
      await first.host.handle({ type: "accept", ...at, ballot: STANDING, value: valueAt(1) }, "a");
      const certificate = {
        instance: 1,
        ballot: STANDING,
        kind: "inclusive",
        valueId: "a/v/1",
        acceptors: ["a"],
      } as const;
      assertEquals((await first.host.handle({ type: "decide", ...at, certificate }, "a")).type, "decided");
      await first.host.handle({ type: "accept", ...at, instance: 2, ballot: STANDING, value: valueAt(2) }, "a");
    }
    await first.store.close();

    const kv = await Deno.openKv(path);
    const row = await find(kv);
    if (isOld) {
      const [ballot, state] = (await kv.getMany([ballotRow(KEY), stateRow(KEY)])).map(({ value }) => value);
      const old = oldRowsOf(decodeRecord(KEY, ballot, state)!);
      await kv.atomic().set(ballotRow(KEY), old.ballot).set(stateRow(KEY), old.state).commit();
    }
    // A character for each byte, as not all rows are text.
    const text = Buffer.from((await kv.get<Uint8Array>(row)).value!).toString("latin1");
    const rotten = text.replace(SOUND, ROTTEN);
    assert(rotten !== text);
    await kv.set(row, new Uint8Array(Buffer.from(rotten, "latin1")));
    kv.close();

    const { store, host } = await open();
    const at = { key: KEY, epoch: 0, instance: 2 } as const;
    for (
      const said of [
        () => host.view(KEY),
        () => host.handle({ type: "prepare", ...at, ballot: ballotOf(1, "b") }, "b"),
        () => host.handle({ type: "lapsed?", ...at, leases: [] }, "b"),
      ]
    ) {
      const error = await assertRejects(said, QuorateError, "damaged");
      assertEquals(error.code, "not-ready");
    }
    assertEquals((await host.handle({ type: "read", ...at }, "b")).type, "stopped");
    assertEquals((await host.view("kv/well")).snapshot.instance, 2);
    assertEquals(lines.length, 1);
    assertStringIncludes(lines[0]!, says);
    assertEquals(host.stopped.shown.map(({ key }) => key), [KEY]);
    await isMended(host);
    await store.close();
    const again = await open();
    assertEquals((await again.host.view(KEY)).snapshot.instance, MENDED_AT);
    await again.store.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const MENDED_AT = 9;

/** Silent until another record stands in its place, and from then on as that one says. */
async function isMended(host: AcceptorHost): Promise<void> {
  const { snapshot } = await host.view("kv/well");
  const record = { ...snapshot, epoch: 0, instance: MENDED_AT, promised: STANDING, vote: null };
  const read = { type: "read", key: KEY, epoch: 0, instance: 1 } as const;
  assertEquals((await host.mending.look(KEY)).type, "damaged");
  const done = await host.mending.mend(KEY, async (own, install) => {
    assertEquals(own.type, "damaged");
    assertEquals(await host.handle(read, "b"), { type: "stopped", reason: "its record is damaged" });
    await assertRejects(() => host.mending.mend(KEY, () => Promise.resolve(0)), QuorateError, "already");
    assertEquals(await install(record), true);
    // It stands, and may be used once nobody mends it any more.
    await assertRejects(() => host.view(KEY), QuorateError, "is being repaired");
    return "mended";
  });
  assertEquals(done, "mended");
  assertEquals(host.stopped.count, 0);
  const promised = { ...read, type: "prepare", instance: MENDED_AT, ballot: ballotOf(1, "a") } as const;
  assertEquals((await host.handle(promised, "a")).type, "promise");
  assertEquals(await host.mending.mend(KEY, () => Promise.resolve("again")), {
    type: "sound",
    snapshot: (await host.view(KEY)).snapshot,
  });
}
