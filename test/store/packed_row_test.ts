/** What a name costs that was used once and is free again, in bytes of a real database; and what a packed row is refused for. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { ROW_MAX_BYTES } from "../../src/limits.ts";
import { StoreError } from "../../src/ports.ts";
import { ballotRow, stateRow } from "../../src/store/key_space.ts";
import { pack } from "../../src/store/packed.ts";
import { isPackedRow, packedRow, unpackRow } from "../../src/store/packed_row.ts";
import { decodeRecord } from "../../src/store/rows.ts";
import { ROW_FORMAT } from "../../src/version.ts";
import { until } from "../replica/clocks.ts";
import { type NodesOnFiles, type StoreKind, withNodesOnFiles } from "./nodes_on_files.ts";

const FREE_NAME_MAX_BYTES = 200;
const NAMES = ["lock/backup", "kv/flags/beta", "semaphore/render", "election/main"];
/** After a first use and its end. */
const AT_REST = 3;

for (const kind of ["owner", "shared"] as const) {
  Deno.test(`${kind} store: a name that was used once and is free takes at most ${FREE_NAME_MAX_BYTES} bytes, keys and all`, () =>
    withNodesOnFiles(kind, (nodes) => costsLittle(kind, nodes)));
}

async function costsLittle(kind: StoreKind, { files, ask }: NodesOnFiles): Promise<void> {
  const { fence } = await ask("a", "POST", "/v1/locks/backup", { holder: "ci-1", ttlMs: 60_000 });
  await ask("b", "DELETE", `/v1/locks/backup/${fence}`);
  await ask("b", "PUT", "/v1/kv/flags%2Fbeta", "on");
  await ask("c", "DELETE", "/v1/kv/flags%2Fbeta");
  const taken = await ask("c", "POST", "/v1/semaphores/render", { holder: "ci-1", ttlMs: 60_000, limit: 3 });
  await ask("a", "DELETE", `/v1/semaphores/render/${taken["fence"]}`);
  const { term } = await ask("a", "POST", "/v1/elections/main", {
    candidate: "ci-1",
    ttlMs: 60_000,
    value: "10.0.0.1",
  });
  await ask("b", "DELETE", `/v1/elections/main/${term}`);
  for (const [id, file] of files) {
    await until(`${id} has all of it in its rows`, async () => {
      using kv = await Deno.openKv(file);
      for (const name of NAMES) {
        const [ballot, state] = await kv.getMany([ballotRow(name), stateRow(name)]);
        if (decodeRecord(name, ballot.value, state.value)?.instance !== AT_REST) return false;
      }
      return true;
    });
    for (const name of NAMES) {
      const bytes = bytesOf(file, name);
      // A free register, and one row of no content for what is listed, are the least there is.
      assert(bytes > 100 && bytes <= FREE_NAME_MAX_BYTES, `${kind} store of ${id}: ${name} takes ${bytes} bytes`);
    }
  }
  // And it is known still.
  const again = await ask("c", "GET", "/v1/locks/backup");
  assertEquals([again["state"], again["lastFence"]], ["free", fence]);
}

/** All rows in whose key the name is, as the database has them. */
function bytesOf(file: string, name: string): number {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const rows = database.prepare("SELECT k, v FROM kv").all() as { k: Uint8Array; v: Uint8Array }[];
    const own = rows.filter(({ k }) => new TextDecoder("latin1").decode(k).includes(name));
    return own.reduce((sum, { k, v }) => sum + k.length + v.length, 0);
  } finally {
    database.close();
  }
}

Deno.test("packed row: of another format, cut off, or not as it was written it is refused, each by its name", () => {
  const parts = [pack({ instance: 1 })!, pack({ state: {} })!];
  const row = packedRow(parts, "row");
  assertEquals(unpackRow(row, "row"), { format: ROW_FORMAT, parts: [{ instance: 1 }, { state: {} }] });
  for (let end = 0; end < row.length; end++) {
    const cut = row.slice(0, end);
    if (isPackedRow(cut)) assertThrows(() => unpackRow(cut, "row"), StoreError, "it is not as it was written");
  }
  const damaged = 'the ballot row of "k" is damaged';
  for (
    const some of [[], parts.slice(0, 1), [pack(1)!, pack(null)!], [Uint8Array.of(0xff)], [
      parts[0]!,
      Uint8Array.of(0x2f),
    ]]
  ) {
    const bad = packedRow(some, "row");
    assertThrows(() => decodeRecord("k", bad, null), StoreError, damaged);
  }
  assertThrows(() => packedRow([new Uint8Array(ROW_MAX_BYTES + 1)], "row"), StoreError, "more than");
  for (const none of [null, "text", new Uint8Array(), new TextEncoder().encode("{}"), {}]) assert(!isPackedRow(none));
});
