/** What a restore leaves alone. The rest is tried with real processes, in test/chaos/backup_test.ts. */
import { assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { BackupDigest } from "../../src/backup/backup_file.ts";
import { restoreInto } from "../../src/compose/restore.ts";
import { createModes } from "../../src/engine/modes.ts";
import { QuorateError } from "../../src/errors.ts";
import { openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { createMachine, wholeHashOf } from "../../src/machine/machine.ts";
import { type BallotStore, type StepResult, type StoredRecord, StoreError } from "../../src/ports.ts";
import { makeRecord } from "../store/ballot_store_contract.ts";

Deno.test("restoreInto: its number is one more than the backup has, or above that by who knows of other clusters", async () => {
  const machine = createMachine({ digest: sha256Hex });
  const digest = new BackupDigest(sha256Hex);
  const header = JSON.stringify({ format: 1, cluster: "c", restored: 2 });
  digest.add(header);
  async function* lines() {
    await null;
    yield* [header, JSON.stringify(digest.end())];
  }
  const modes = createModes(["a"], [], sha256Hex);
  const restore = async (number?: number) => {
    const store = await openMemoryStore();
    const more = number === undefined ? {} : { number };
    return (await restoreInto({ store, machine, modes, lines, digest: sha256Hex, ...more })).count;
  };
  assertEquals([await restore(), await restore(3), await restore(7)], [3, 3, 7]);
  await assertRejects(() => restore(2), QuorateError, "2 restores lie behind the backup");
  await assertRejects(() => restore(901), QuorateError, "900 times");
});

Deno.test("restoreInto: a record that another process has made meanwhile stays, with its votes", async () => {
  const machine = createMachine({ digest: sha256Hex });
  const state = machine.init({ kind: "prepare" });
  const written: unknown[] = [];
  const store = {
    // It was empty when it was looked at.
    keys: () => Promise.resolve([]),
    update: async (key: string, step: (stored: StoredRecord | null) => StepResult<unknown>) => {
      await null;
      const { record, reply } = step(key === "kv/b" ? makeRecord(3) : null);
      written.push([key, record?.instance]);
      return reply;
    },
  } as unknown as BallotStore;
  const digest = new BackupDigest(sha256Hex);
  const texts = [
    { format: 1, cluster: "c", restored: 0 },
    ...["kv/a", "kv/b"].map((key) => {
      return { key, instance: 2, hash: wholeHashOf(machine, state), state };
    }),
  ].map((line) => JSON.stringify(line));
  for (const [i, text] of texts.entries()) {
    digest.add(text);
    if (i > 0) digest.counted();
  }
  async function* lines() {
    await null;
    yield* [...texts, JSON.stringify(digest.end())];
  }
  const modes = createModes(["a"], [], sha256Hex);
  await assertRejects(
    () => restoreInto({ store, machine, modes, lines, digest: sha256Hex }),
    StoreError,
    "another process",
  );
  assertEquals(written.length, 1);
});
