/** What Deno's client would not notice of a database, because it looks at less than it was given. */
import { assertEquals, assertThrows } from "@std/assert";
import { Database } from "./database.ts";
import { checkRead, checkWrite, Refused } from "./limits.ts";
import { type AtomicWrite, DELETE, type Mutation, SET } from "./messages.ts";

const NO_STAMP = new Uint8Array();

function set(key: number[], data = new Uint8Array([1])): Mutation {
  return { key: Uint8Array.from(key), type: SET, value: { data, encoding: 3 }, expireAtMs: 0n };
}

function write(mutations: readonly Mutation[]): AtomicWrite {
  return { checks: [], mutations, enqueues: 0 };
}

Deno.test("database: a range is cut at its limit, from the end that was asked for", () => {
  const database = new Database();
  database.write(write([[2], [1], [3], [2, 0], [0]].map((key) => set(key))));
  const read = (start: number, end: number, limit: number, reverse: boolean): number[][] =>
    database.read([{ start: Uint8Array.of(start), end: Uint8Array.of(end), limit, reverse }])[0]!
      .map(({ key }) => [...key]);
  assertEquals(read(0, 9, 9, false), [[0], [1], [2], [2, 0], [3]]);
  assertEquals(read(1, 3, 2, false), [[1], [2]]);
  assertEquals(read(1, 3, 2, true), [[2, 0], [2]]);
  assertEquals(read(3, 1, 2, false), []);
  assertEquals(read(3, 1, 2, true), []);
});

Deno.test("database: keeps what it was given, not the buffer in which it came", () => {
  const database = new Database();
  const buffer = new Uint8Array([7, 7]);
  database.write(write([{ ...set([]), key: buffer.subarray(0, 1), value: { data: buffer, encoding: 3 } }]));
  buffer.fill(9);
  assertEquals(database.rows().map(({ key, data }) => [[...key], [...data]]), [[[7], [7, 7]]]);
});

Deno.test("database: a failed check changes nothing, the version included", () => {
  const database = new Database();
  const missing = { key: Uint8Array.of(1), versionstamp: Uint8Array.fromHex("00000000000000010000") };
  const present = { key: Uint8Array.of(1), versionstamp: NO_STAMP };
  const failed = database.write({ checks: [missing, present, missing], mutations: [set([1])], enqueues: 0 });
  assertEquals(failed, { ok: false, failedChecks: [0, 2] });
  assertEquals(database.write(write([])), { ok: true, versionstamp: missing.versionstamp });
});

Deno.test("limits: what is just small enough is taken, one more is not", () => {
  const range = (limit: number, bytes = 1) => ({
    start: new Uint8Array(bytes),
    end: new Uint8Array(1),
    limit,
    reverse: false,
  });
  checkRead([range(999, 2_049), range(1)]);
  const reads = [
    [range(0)],
    [range(-1)],
    [range(1_001)],
    [range(1, 2_050)],
    Array.from({ length: 11 }, () => range(1)),
  ];
  for (const ranges of reads) assertThrows(() => checkRead(ranges), Refused);
  const many = (length: number) => write(Array.from({ length }, (_, i) => set([i >> 8, i & 255])));
  const big = (bytes: number) => write([set([1], new Uint8Array(bytes))]);
  const long = (bytes: number) => write([{ ...set([]), key: new Uint8Array(bytes) }]);
  const heavy = (bytes: number) =>
    write(Array.from({ length: 13 }, (_, i) => set([i], new Uint8Array(i < 12 ? 65_535 : bytes - 12 * 65_536 - 1))));
  for (const fits of [many(1_000), big(65_536), long(2_048), heavy(819_200)]) checkWrite(fits, 1);
  for (const exceeds of [many(1_001), big(65_537), long(2_049), heavy(819_201)]) {
    assertThrows(() => checkWrite(exceeds, 1), Refused);
  }
  const check = { key: Uint8Array.of(1), versionstamp: NO_STAMP };
  checkWrite({ checks: [check], mutations: [{ ...set([1]), type: DELETE, value: null }], enqueues: 0 }, 1);
  const refused: AtomicWrite[] = [
    { checks: [check, check], mutations: [], enqueues: 0 },
    { checks: [{ ...check, versionstamp: new Uint8Array(9) }], mutations: [], enqueues: 0 },
    { checks: [], mutations: [], enqueues: 1 },
    write([{ ...set([1]), value: null }]),
    write([{ ...set([1]), value: { data: NO_STAMP, encoding: 4 } }]),
  ];
  for (const refusal of refused) assertThrows(() => checkWrite(refusal, 1), Refused);
});
