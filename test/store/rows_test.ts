/** Rows and their formats: those of 0.1.0 bear no number and are read; what a newer version wrote is refused, not guessed. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { INLINE_STATE_MAX_BYTES, ROW_MAX_BYTES } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { State } from "../../src/paxos/message.ts";
import { type Mark, type StoredRecord, StoreError } from "../../src/ports.ts";
import {
  ballotRow,
  EPOCHS_ROW,
  firstSeenRow,
  IDENTITY_ROW,
  marksRow,
  META_ROW,
  stateRow,
} from "../../src/store/key_space.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import {
  decodeIdentity,
  decodeMarks,
  decodeMeta,
  decodeRecord,
  decodeWritten,
  encodeIdentity,
  encodeMarks,
  encodeMeta,
  encodeRecord,
} from "../../src/store/rows.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import { ROW_FORMAT, SEALED_FORMAT } from "../../src/version.ts";
import {
  apply,
  epochs,
  IDENTITY,
  increment,
  look,
  makeRecord,
  moveOn,
  promise,
  vote,
  write,
} from "./ballot_store_contract.ts";
import { bytesOf } from "./old_rows.ts";
import { unpackOldStore } from "./old_stores.ts";

const MARK: Mark = { incarnation: "inc1", boot: 1, run: "r1", seq: 5 };
const META = { seq: 3, spoken: 2, boot: 1, run: "r", marks: { b: MARK }, quarantined: null };
/** Its state is too large for the ballot row. */
const RECORD: StoredRecord = { ...makeRecord(4, ".".repeat(INLINE_STATE_MAX_BYTES)), firstSeen: { "a/x/1@a/x/2": 7 } };
const newer = (newest: number) =>
  `written by a newer version, in format ${newest + 1}; this version reads formats up to ${newest}`;
const NEWER = newer(ROW_FORMAT);

/** Which the record above has all. */
type Rows = { readonly ballot: Uint8Array; readonly state: Uint8Array; readonly firstSeen: Uint8Array };
const encode = (record: StoredRecord, written = {}) => encodeRecord("k", record, null, written) as Rows;
const rowOf = (bytes: unknown) => JSON.parse(new TextDecoder().decode(bytes as Uint8Array));
/** As 0.1.0 wrote it. */
const old = (bytes: Uint8Array | null) => {
  const { format: _, sum: _none, ...row } = rowOf(bytes);
  if ("state" in row) return bytesOf({ epoch: 0, ...row });
  return bytesOf("instance" in row ? { promised: [0, "", 0], vote: null, ...row } : row);
};
const formatted = (bytes: Uint8Array | null, format: unknown) => bytesOf({ ...rowOf(old(bytes)), format });

Deno.test("rows: each that is written bears the format, and what is read does not", () => {
  const { ballot, state, firstSeen } = encode(RECORD, { writeId: "run.1" });
  const rows = [ballot, state, firstSeen, encodeIdentity(IDENTITY), encodeMeta(META), encodeMarks({ b: MARK })];
  assertEquals(rows.map((row) => rowOf(row).format), rows.map(() => ROW_FORMAT));
  assertEquals(decodeRecord("k", ballot, state, firstSeen), RECORD);
  assertEquals(decodeWritten("k", ballot, state, firstSeen).writeId, "run.1");
  assertEquals(decodeIdentity(rows[3], "db"), IDENTITY);
  assertEquals(decodeMeta(rows[4], "db"), META);
  assertEquals(decodeMarks(rows[5]), { b: MARK });
});

Deno.test("rows: those of 0.1.0, of any mixture, are read as they were meant", () => {
  const { ballot, state, firstSeen } = encode(RECORD, { writeId: "run.1" });
  for (const asBallot of [ballot, old(ballot)]) {
    for (const asState of [state, old(state)]) {
      for (const asSeen of [firstSeen, old(firstSeen)]) {
        assertEquals(decodeRecord("k", asBallot, asState, asSeen), RECORD);
      }
    }
  }
  assertEquals(decodeWritten("k", old(ballot), state, firstSeen).writeId, "run.1");
  assertEquals(decodeIdentity(bytesOf(IDENTITY), "db"), IDENTITY);
  assertEquals(decodeMeta(bytesOf({ format: 1, ...META }), "db"), META);
  assertEquals(decodeMarks(bytesOf({ b: MARK })), { b: MARK });
  assertEquals(decodeMarks(null), {});
});

Deno.test("rows: a member may be called format, or marks, before and after", () => {
  const marks = { format: MARK, marks: MARK };
  assertEquals(decodeMarks(bytesOf(marks)), marks);
  assertEquals(decodeMarks(encodeMarks(marks)), marks);
});

Deno.test("rows: a newer format is refused as such, one that is no number as damage", () => {
  const { ballot, state, firstSeen } = encode(RECORD);
  const readers: [string, (format: unknown) => unknown][] = [
    ['ballot row of "k"', (format) => decodeRecord("k", formatted(ballot, format), state, firstSeen)],
    ['state row of "k"', (format) => decodeRecord("k", ballot, formatted(state, format), firstSeen)],
    ['row of leases of "k"', (format) => decodeRecord("k", ballot, state, formatted(firstSeen, format))],
    ["identity row of db", (format) => decodeIdentity(formatted(encodeIdentity(IDENTITY), format), "db")],
    ["meta row of db", (format) => decodeMeta(formatted(encodeMeta(META), format), "db")],
    ["row of marks", (format) => decodeMarks(formatted(encodeMarks({ b: MARK }), format))],
  ];
  for (const [what, read] of readers) {
    read(1);
    const newest = what.startsWith("meta") ? SEALED_FORMAT : ROW_FORMAT;
    assertThrows(() => read(newest + 1), StoreError, `the ${what} was ${newer(newest)}`);
    for (const format of [0, -1, 1.5, 2 ** 60, "2", null, [2], true]) {
      // A map of marks without a number is one of 0.1.0, and holds marks of members.
      if (what === "row of marks" && typeof format !== "number") continue;
      assertThrows(() => read(format), StoreError, `the ${what} is damaged`, `${what} ${format}`);
    }
  }
});

Deno.test("rows: what is left out of them is what nearly every record says, and read again", () => {
  const state = { ...RECORD.state, chain: "h4" } as State;
  const usual = { ...RECORD, epoch: 0, promised: STANDING, vote: null, state, stateHash: "h4" };
  const value = { id: "v", proposer: "a", commands: [] };
  const vote = { ballot: STANDING, kind: "fast", value } as const;
  for (const more of [{}, { epoch: 1 }, { promised: [1, "a/x", 0] as const }, { vote }, { stateHash: "other" }]) {
    const record = { ...usual, ...more };
    const rows = encode(record);
    assertEquals(decodeRecord("k", rows.ballot, rows.state, rows.firstSeen), record);
    const said = { ...rowOf(rows.ballot), ...rowOf(rows.state) };
    const left = ["epoch", "promised", "vote", "stateHash"].filter((name) => !(name in said));
    assertEquals(left.length, 4 - Object.keys(more).length);
  }
  // In a row of an older format it is missing.
  const { ballot, state: second } = encode(usual);
  const { format: _, sum: _none, ...bare } = rowOf(ballot);
  assertThrows(() => decodeRecord("k", bytesOf(bare), second), StoreError, "do not belong together");
});

Deno.test("rows: a bit that flips, in any of them, is found out", () => {
  const { ballot, state, firstSeen } = encode({ ...RECORD, epoch: 0, live: false }, { at: 7 });
  const small = encodeRecord("k", makeRecord(4), null, { at: 7 });
  const rows: [Uint8Array, (row: Uint8Array) => unknown][] = [
    [ballot, (row) => decodeRecord("k", row, state, firstSeen)],
    [state, (row) => decodeRecord("k", ballot, row, firstSeen)],
    [firstSeen, (row) => decodeRecord("k", ballot, state, row)],
    [small.ballot, (row) => decodeRecord("k", row, null)],
    // Nor is it taken for a packed one where the state is there to go by.
    [small.ballot, (row) => decodeRecord("k", row, state)],
    [encodeIdentity(IDENTITY), (row) => decodeIdentity(row, "db")],
    [encodeMeta(META), (row) => decodeMeta(row, "db")],
    [encodeMarks({ b: MARK }), decodeMarks],
  ];
  for (const [row, read] of rows) {
    read(row);
    for (let i = 0; i < row.length; i++) {
      const rotten = row.slice();
      rotten[i]! ^= 1 << (i % 7);
      assertThrows(() => read(rotten), StoreError, "", `byte ${i} of ${new TextDecoder().decode(row)}`);
    }
  }
});

Deno.test("rows: one that was full before rows bore a number is still written", () => {
  const sizeOf = (bytes: Uint8Array | null) => {
    const { format: _, sum: _none, ...bare } = rowOf(bytes);
    return bytesOf(bare).length;
  };
  const padded = (length: number) => makeRecord(1, ".".repeat(length));
  const room = ROW_MAX_BYTES - sizeOf(encode(padded(INLINE_STATE_MAX_BYTES)).state) + INLINE_STATE_MAX_BYTES;
  assertEquals(sizeOf(encode(padded(room)).state), ROW_MAX_BYTES);
  assertThrows(() => encode(padded(room + 1)), StoreError, "more than");
});

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(`${folder}/store.sqlite`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every row of a file that nobody has open, as text. */
async function rowsIn(path: string): Promise<Map<string, string>> {
  using kv = await Deno.openKv(path);
  const rows = new Map<string, string>();
  for await (const { key, value } of kv.list<Uint8Array>({ prefix: [] })) {
    rows.set(key.join(" "), new TextDecoder().decode(value));
  }
  return rows;
}

async function recordIn(path: string, key: string): Promise<StoredRecord> {
  using kv = await Deno.openKv(path);
  const [ballot, state] = await kv.getMany([ballotRow(key), stateRow(key)]);
  return decodeRecord(key, ballot.value, state.value)!;
}

async function edit(path: string, key: Deno.KvKey, change: (row: Record<string, unknown>) => unknown): Promise<void> {
  using kv = await Deno.openKv(path);
  const { value } = await kv.get<Uint8Array>(key);
  await kv.set(key, bytesOf(change(rowOf(value))));
}

Deno.test("owner store: a file of 0.1.0 opens with every state and hash as they were, and is written anew row by row", () =>
  inFolder(async (path) => {
    const machine = createMachine({ digest: sha256Hex });
    await unpackOldStore("a", path);
    const before = await rowsIn(path);
    const keys = [...before.keys()].filter((row) => row.startsWith("s ")).map((row) => row.slice(2));
    assertEquals(keys.length, 4);
    const rows = (from: Map<string, string>, key: string) => [from.get(`r ${key}`), from.get(`s ${key}`)] as const;

    const store = await openOwnerStore({ apply, path, run: () => "r" });
    assertEquals(store.identity()?.boot, 2);
    // It says nothing of witnesses, which nobody had asked for.
    assertEquals(store.lifeConfirmed(), null);
    for (const key of keys) {
      const record = await store.update(key, look);
      const [ballot, state] = rows(before, key).map((text) => JSON.parse(text!));
      assertEquals(record, { ...ballot, ...state });
      // Not only as it was: its text is the same, of which the hash is made.
      assertEquals(JSON.stringify(record!.state), JSON.stringify(state.state));
      assertEquals(machine.hash(record!.state), state.stateHash);
    }
    const [voted, moved, ...rest] = keys as [string, string, ...string[]];
    await store.update(voted, promise(1));
    await store.update(voted, vote);
    await store.update(voted, moveOn);
    const last = await store.update(voted, look);
    await store.update(moved, (record) => ({ record: { ...record!, instance: record!.instance + 1 }, reply: null }));
    await store.close();

    const after = await rowsIn(path);
    for (const key of rest) assertEquals(rows(after, key), rows(before, key));
    assertEquals(after.get("q identity"), before.get("q identity"));
    const format = (row: string) => JSON.parse(after.get(row)!).format;
    assertEquals(format("q meta"), ROW_FORMAT);
    // What was voted and decided since stands in the log alone.
    assertEquals(rows(after, voted), rows(before, voted));
    const again = await openOwnerStore({ apply, path, run: () => "r" });
    assertEquals(await again.update(voted, look), last);
    await again.close();
    const { state, stateHash } = JSON.parse(before.get(`s ${moved}`)!);
    const now = await recordIn(path, moved);
    assertEquals([JSON.stringify(now.state), now.stateHash], [JSON.stringify(state), stateHash]);
    // Two rows have become one.
    assertEquals([after.get(`r ${moved}`)!.charCodeAt(0), after.has(`s ${moved}`)], [ROW_FORMAT, false]);
  }));

Deno.test("owner store: whose own rows are of a newer version does not open, and is left as it is", async () => {
  for (
    const [key, what, newest] of [[META_ROW, "meta", SEALED_FORMAT], [IDENTITY_ROW, "identity", ROW_FORMAT]] as const
  ) {
    await inFolder(async (path) => {
      const store = await openOwnerStore({ apply, path, run: () => "r" });
      await store.init(IDENTITY);
      await store.close();
      await edit(path, key, (row) => ({ ...row, format: newest + 1 }));
      const before = await rowsIn(path);
      const open = () => openOwnerStore({ apply, path, run: () => "r" });
      await assertRejects(open, StoreError, `the ${what} row of ${path} was ${newer(newest)}`);
      assertEquals(await rowsIn(path), before);
    });
  }
});

Deno.test("owner store: one that has sealed an epoch is too new for versions that know of none, and needs its row", () =>
  inFolder(async (path) => {
    const open = () => openOwnerStore({ apply, path, run: () => "r" });
    const store = await open();
    await store.init(IDENTITY);
    const formatOf = async () => (JSON.parse((await rowsIn(path)).get("q meta")!) as { format: number }).format;
    assertEquals(await formatOf(), ROW_FORMAT);
    await store.seal(epochs(1));
    assertEquals(await formatOf(), SEALED_FORMAT);
    await store.update("k", increment);
    await store.close();
    assertEquals(await formatOf(), SEALED_FORMAT);
    // Nobody has all names of an epoch before the one before it is retired.
    for (const arrived of [true, false, null]) {
      await edit(path, EPOCHS_ROW, (row) => ({ ...row, arrived }));
      await assertRejects(open, StoreError, "the row of epochs is damaged");
    }
    await edit(path, EPOCHS_ROW, ({ first: _, arrived: __, ...row }) => row);
    await assertRejects(open, StoreError, "the row of epochs is damaged");
    const kv = await Deno.openKv(path);
    await kv.delete(EPOCHS_ROW);
    kv.close();
    await assertRejects(open, StoreError, "the row of epochs is missing");
  }));

Deno.test("owner store: a record of a newer version is refused for its key alone, and is left as it is", () =>
  inFolder(async (path) => {
    const open = () => openOwnerStore({ apply, path, run: () => "r" });
    const store = await open();
    await store.init(IDENTITY);
    for (const key of ["ballot", "state"]) await store.update(key, write(RECORD));
    await store.update("fine", increment);
    await store.close();
    await edit(path, ballotRow("ballot"), (row) => ({ ...row, format: ROW_FORMAT + 1 }));
    await edit(path, stateRow("state"), (row) => ({ ...row, format: ROW_FORMAT + 1 }));
    const before = await rowsIn(path);
    const again = await open();
    for (let i = 0; i < 2; i++) {
      await assertRejects(
        () => again.update("ballot", increment),
        StoreError,
        `the ballot row of "ballot" was ${NEWER}`,
      );
      await assertRejects(() => again.update("state", look), StoreError, `the state row of "state" was ${NEWER}`);
    }
    assertEquals(await again.update("fine", increment), 2);
    assertEquals(await again.keys("", "", 9), ["ballot", "fine", "state"]);
    await again.close();
    const after = await rowsIn(path);
    for (const row of ["r ballot", "s ballot", "r state", "s state"]) assertEquals(after.get(row), before.get(row));
  }));

async function withShared(run: (kv: Deno.Kv, open: () => ReturnType<typeof openSharedStore>) => Promise<void>) {
  using kv = await Deno.openKv(":memory:");
  let runs = 0;
  const open = () => {
    const own = {
      getMany: kv.getMany.bind(kv),
      atomic: kv.atomic.bind(kv),
      list: kv.list.bind(kv),
      // One store that closes must not close the database of the others.
      close: () => {},
    };
    return openSharedStore({ kv: own, name: "db", run: `run-${++runs}`, clock: realClock, random: realRandomness });
  };
  await run(kv, open);
}

Deno.test("shared store: a database of 0.1.0 is served, and its rows bear the format once they are written", () =>
  withShared(async (kv, open) => {
    const { ballot, state, firstSeen } = encode(RECORD, { writeId: "old.1" });
    await kv.atomic()
      .set(IDENTITY_ROW, old(encodeIdentity(IDENTITY)))
      .set(ballotRow("k"), old(ballot))
      .set(stateRow("k"), old(state))
      .set(firstSeenRow("k"), old(firstSeen))
      .set(marksRow("k"), bytesOf({ c: MARK }))
      .commit();
    const format = async (key: Deno.KvKey) => rowOf((await kv.get(key)).value).format;

    const store = await open();
    assertEquals([store.identity()?.incarnation, store.lifeConfirmed()], [IDENTITY.incarnation, null]);
    assertEquals(await store.update("k", look), RECORD);
    assertEquals(await store.recall("c"), MARK);
    store.note("b", MARK);
    await store.update("k", promise(1));
    assertEquals(await store.update("k", look), { ...RECORD, promised: [1, "a/x", 0] });
    const rows = [IDENTITY_ROW, ballotRow("k"), stateRow("k"), firstSeenRow("k"), marksRow("k")];
    assertEquals(await Promise.all(rows.map(format)), [undefined, ROW_FORMAT, undefined, undefined, ROW_FORMAT]);
    assertEquals([await store.recall("b"), await store.recall("c")], [MARK, MARK]);
    await store.quarantine("a reason");
    assertEquals(await format(IDENTITY_ROW), ROW_FORMAT);
    await store.close();
    const again = await open();
    assertEquals([again.quarantined(), again.identity()?.cluster], ["a reason", IDENTITY.cluster]);
    await again.close();
  }));

Deno.test("shared store: an identity of a newer version is refused at the start, and under those who serve it", () =>
  withShared(async (kv, open) => {
    const store = await open();
    await store.init(IDENTITY);
    await store.update("k", increment);
    await kv.set(IDENTITY_ROW, formatted(encodeIdentity(IDENTITY), ROW_FORMAT + 1));
    await assertRejects(open, StoreError, `the identity row of db was ${NEWER}`);
    await assertRejects(() => store.update("k", increment), StoreError, `the identity row of db was ${NEWER}`);
    await store.close();
  }));

Deno.test("shared store: a record of a newer version is refused for its key alone, and is left as it is", () =>
  withShared(async (kv, open) => {
    const store = await open();
    await store.init(IDENTITY);
    const { ballot, state, firstSeen } = encode(RECORD);
    const set = (key: string, rows: readonly (Uint8Array | null)[]) =>
      kv.atomic().set(ballotRow(key), rows[0]).set(stateRow(key), rows[1]).set(firstSeenRow(key), rows[2]).commit();
    await set("ballot", [formatted(ballot, ROW_FORMAT + 1), state, firstSeen]);
    await set("state", [ballot, formatted(state, ROW_FORMAT + 1), firstSeen]);
    await set("leases", [ballot, state, formatted(firstSeen, ROW_FORMAT + 1)]);
    for (
      const [key, what] of [["ballot", "ballot row"], ["state", "state row"], ["leases", "row of leases"]] as const
    ) {
      const { versionstamp } = await kv.get(ballotRow(key));
      await assertRejects(() => store.update(key, increment), StoreError, `the ${what} of "${key}" was ${NEWER}`);
      assertEquals((await kv.get(ballotRow(key))).versionstamp, versionstamp);
    }
    assertEquals(await store.update("fine", increment), 1);
    await store.close();
  }));
