/** Bugs of forgetting names that nobody uses; see mutants.ts. Names are forgotten in every fifth run. */
import type { Mutant } from "./mutants.ts";

const FORGET = "machine/forget.ts";

export const FORGETTING_MUTANTS: readonly Mutant[] = [
  {
    name: "the row of a name that is forgotten goes, and its fences begin anew",
    edits: [{
      file: "store/memory_ballot_store.ts",
      text: "      for (const [key, text] of writes) this.disk.records.set(key, text);\n",
      replacement:
        "      for (const [key, text] of writes) {\n        const { instance, vote, state } = JSON.parse(text) as StoredRecord;\n        const { version, evicted } = state as unknown as { version: number; evicted: number };\n        if (version >= 4 && evicted === instance - 2 && vote === null) this.disk.records.delete(key);\n        else this.disk.records.set(key, text);\n      }\n",
    }],
    from: 9,
    seeds: 50,
  },
  {
    name: "what is forgotten leaves no floor: a retry is applied again",
    edits: [{
      file: FORGET,
      text: "  window.evicted = at - 1;\n",
      replacement: "  window.evicted = Math.min(window.evicted, at);\n",
    }],
    from: 79,
    seeds: 50,
  },
  {
    name: "a name is forgotten while it is held",
    edits: [{
      file: FORGET,
      text: "  if (holders.length > 0 || queue.length > 0 || cooling !== null) return false;\n",
      replacement: "  if (holders.length < 0 || queue.length > 0 || cooling !== null) return false;\n",
    }, {
      file: FORGET,
      text: "  draft.history = [];\n",
      replacement: "  draft.history = [];\n  draft.holders = [];\n",
    }],
    from: 249,
    seeds: 50,
  },
];
