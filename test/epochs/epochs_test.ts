import { assertEquals, assertRejects } from "@std/assert";
import { Epochs } from "../../src/epochs/epochs.ts";
import type { Known } from "../../src/epochs/news.ts";
import { type EpochsRow, StoreError } from "../../src/ports.ts";
import { epochOf, rowOf } from "./samples.ts";

const [E0, E1, E2] = [epochOf(0, "abc"), epochOf(1, "abd"), epochOf(2, "abe")];

function standing(known: Known | null, id = "a", lives: Readonly<Record<string, string>> = {}) {
  const steps: string[] = [];
  const lines: string[] = [];
  const it = { fails: false };
  const write = (name: string) => async ({ current: { epoch } }: EpochsRow) => {
    steps.push(`${name} ${epoch}`);
    await null;
    if (it.fails) throw new StoreError("full");
    steps.push(`done ${epoch}`);
  };
  const report = (line: string) => void lines.push(line);
  const lifeOf = (id: string) => Promise.resolve(lives[id] ?? null);
  const parts = {
    id,
    cluster: E0.cluster,
    known,
    enter: write("enter"),
    retire: write("retire"),
    lifeOf,
    isNobodys: () => false,
    report,
  };
  return { epochs: new Epochs(parts), steps, lines, it };
}

Deno.test("epochs: one step after the other, whoever brings them, and each once", async () => {
  const { epochs, steps } = standing({ current: E0, row: null });
  const rows = [rowOf(E0, E1), rowOf(E0, E1), rowOf(E0, E1, 1), rowOf(E1, E2), rowOf(E0, E1, 1), rowOf(E1, E2)];
  await Promise.all(rows.map((row) => epochs.hear(row, "b")));
  assertEquals(steps, ["enter 1", "done 1", "retire 1", "done 1", "enter 2", "done 2"]);
  assertEquals(epochs.row, rowOf(E1, E2));
  assertEquals(Object.keys(epochs.urls).sort(), ["a", "b", "d", "e"]);
});

Deno.test("epochs: what could not be written is not known, and is taken when it comes again", async () => {
  const { epochs, it } = standing({ current: E1, row: rowOf(E0, E1) });
  it.fails = true;
  await assertRejects(() => epochs.hear(rowOf(E0, E1, 1), "b"), StoreError);
  assertEquals(epochs.row?.first, null);
  it.fails = false;
  await epochs.hear(rowOf(E0, E1, 1), "b");
  assertEquals(epochs.row?.first, 1);
});

Deno.test("epochs: what contradicts its own is told once, and nothing is written", async () => {
  const { epochs, steps, lines } = standing({ current: E1, row: rowOf(E0, E1) });
  for (let i = 0; i < 3; i++) await epochs.hear(rowOf(E0, epochOf(1, "abe")), "b");
  assertEquals(steps, []);
  assertEquals(lines, ["what b says of the cluster's members is not taken: it has other members in epoch 1"]);
});

Deno.test("epochs: those of a cluster before, of the same ids, are not taken; of a second life of one member they are", async () => {
  const origin = [..."abc"].map((id) => ({ id, incarnation: `${id}1` }));
  const of = (epoch: number, ids: string) => epochOf(epoch, ids, { origin });
  const rows = [rowOf(E0, of(1, "abd"), 1), rowOf(of(1, "abd"), of(2, "abe"), 1)];
  for (const row of rows) {
    for (const lives of [{ a: "a2" }, { a: "a2", b: "b2" }, { a: "a2", b: "b2", c: "c1" }]) {
      const { epochs, steps, lines } = standing({ current: E0, row: null }, "a", lives);
      await epochs.hear(row, "d");
      assertEquals([steps, lines.length], [[], 1]);
    }
    for (const lives of [{}, { a: "a1" }, { a: "a1", b: "b1", c: "c2" }]) {
      const { epochs, steps } = standing({ current: E0, row: null }, "a", lives);
      await epochs.hear(row, "d");
      assertEquals(steps.length, 2);
    }
  }
  const ours = epochOf(1, "abd", { origin: [{ id: "a", incarnation: "a2" }] });
  const { epochs, steps, lines } = standing({ current: ours, row: rowOf(E0, ours) }, "a");
  for (const row of rows) await epochs.hear(row, "d");
  assertEquals([steps, lines.length], [[], 1]);
});

Deno.test("epochs: who waits goes into the first epoch of its cluster that has it, and into no other", async () => {
  const { epochs, steps } = standing(null, "d");
  assertEquals([epochs.known, epochs.urls], [null, {}]);
  await epochs.hear(null, "a");
  await epochs.hear(rowOf(E1, E2), "a");
  await epochs.hear(rowOf({ ...E0, cluster: "q-other" }, { ...E1, cluster: "q-other" }), "a");
  assertEquals(steps, []);
  await epochs.hear(rowOf(E0, E1), "a");
  assertEquals(epochs.known, { current: E1, row: rowOf(E0, E1) });
});

Deno.test("epochs: a store that is empty is no member's whose first store may have voted", async () => {
  const { epochs, steps, lines } = standing(null, "a");
  for (let i = 0; i < 3; i++) await epochs.hear(rowOf(E0, E1), "b");
  assertEquals([steps, epochs.known], [[], null]);
  assertEquals(lines, ["a is a member already, with another store: a new one needs an id that was never used"]);
});
