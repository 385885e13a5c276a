import { assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { BackupDigest, type Read, readBackup } from "../../src/backup/backup_file.ts";
import { QuorateError } from "../../src/errors.ts";
import { createMachine, wholeHashOf } from "../../src/machine/machine.ts";
import type { State } from "../../src/paxos/message.ts";

const machine = createMachine({ digest: sha256Hex });
const stateHash = (state: State) => wholeHashOf(machine, state);
const state = machine.init({ kind: "prepare" });
const HEADER = { format: 1, cluster: "q", restored: 0 };

function record(key: string, more: object = {}) {
  return { key, instance: 2, hash: stateHash(state), state, ...more };
}

function fileOf(...objects: readonly object[]): string[] {
  const digest = new BackupDigest(sha256Hex);
  const lines = objects.map((object) => JSON.stringify(object));
  lines.forEach((line, i) => {
    digest.add(line);
    if (i > 0) digest.counted();
  });
  return [...lines, JSON.stringify(digest.end())];
}

async function* each(lines: readonly string[]): AsyncGenerator<string, void> {
  for (const line of lines) yield await Promise.resolve(line);
}

function read(lines: readonly string[], mayLack = false): Promise<Read[]> {
  return Array.fromAsync(readBackup(each(lines), { digest: sha256Hex, stateHash, mayLack }));
}

const WHOLE = fileOf(HEADER, record("kv/a"), record("lock/b"));

Deno.test("readBackup: a whole file, line by line; one that was only begun where that may be", async () => {
  const found = await read(WHOLE);
  assertEquals(found.map(({ type }) => type), ["header", "record", "record", "end"]);
  assertEquals(found.at(-1)!.type === "end" && found.at(-1), { type: "end", end: JSON.parse(WHOLE[3]!) });
  assertEquals((await read(WHOLE.slice(0, 2), true)).length, 2);
  assertEquals(await read([], true), []);
});

Deno.test("readBackup: whatever is wrong with a line is found, and in which", async () => {
  const [header, first, second, end] = WHOLE as [string, string, string, string];
  const newer = { ...state, version: 99 };
  const wrong: [readonly string[], string][] = [
    [[], "the backup lacks its end: it is not whole"],
    [[header, first, second], "the backup lacks its end: it is not whole"],
    [["[]", ...WHOLE], "line 1 of the backup is no JSON object"],
    [[first, header], "line 1 of the backup is no header of a backup"],
    [fileOf({ ...HEADER, format: 2 }), "line 1 of the backup is of format 2, which this version does not read"],
    [fileOf({ ...HEADER, restored: -1 }), "line 1 of the backup is no header of a backup"],
    [[header, first.slice(0, -1), second, end], "line 2 of the backup is no JSON object"],
    [[header, second, first, end], "line 3 of the backup is not behind the one before, in byte order of keys"],
    [[header, first, first, end], "line 3 of the backup is not behind the one before, in byte order of keys"],
    [[header, first, end], "line 3 of the backup says that others stand before it"],
    [
      [header, first, second.replace('"instance":2', '"instance":3'), end],
      "line 4 of the backup says that others stand before it",
    ],
    [[...WHOLE, first], "line 5 of the backup stands behind its end"],
    [fileOf(HEADER, record("a", { instance: 0 })), "line 2 of the backup is no record"],
    [fileOf(HEADER, record("a", { instance: 1.5 })), "line 2 of the backup is no record"],
    [fileOf(HEADER, record("")), "line 2 of the backup is no record"],
    [fileOf(HEADER, record("a", { state: null })), "line 2 of the backup is no record"],
    [fileOf(HEADER, record("a", { hash: "0" })), "line 2 of the backup has a state that is not what its hash is of"],
    [
      fileOf(HEADER, record("a", { state: newer })),
      "line 2 of the backup has a state that this version cannot apply: the state is of a version this node knows",
    ],
  ];
  for (const [lines, what] of wrong) {
    const error = await assertRejects(() => read(lines), QuorateError);
    assertEquals([error.code, error.message], ["invalid-request", what]);
  }
});
