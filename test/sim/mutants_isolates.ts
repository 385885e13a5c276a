/** Bugs that only show where many processes serve one store; see mutants.ts. */
import type { Mutant } from "./mutants.ts";

const STORE = "store/shared_store.ts";
const LEASES = "replica/lease_clock.ts";

const REMEMBERS = [
  {
    file: STORE,
    text: "  readonly #lanes = new Map<string, Waiter[]>();\n",
    replacement:
      "  readonly #lanes = new Map<string, Waiter[]>();\n  readonly #memory = new Map<string, StoredRecord | null>();\n",
  },
  {
    file: STORE,
    text: '      return ok ? { type: "done", answers } : { type: "again", unknown: null };\n',
    replacement:
      '      if (ok) this.#memory.set(key, record);\n      return ok ? { type: "done", answers } : { type: "again", unknown: null };\n',
  },
];

export const ISOLATE_MUTANTS: readonly Mutant[] = [
  {
    name: "memory trusted across requests: what was written last is what a step runs on",
    kind: "isolates",
    edits: [...REMEMBERS, {
      file: STORE,
      text: "this.#play(key, waiters, rows);",
      replacement: "this.#play(key, waiters, { ...rows, record: this.#memory.get(key) ?? rows.record });",
    }],
    from: 21,
    seeds: 20,
  },
  {
    name: "memory trusted across requests: what writes nothing is answered from it",
    kind: "isolates",
    edits: [...REMEMBERS, {
      file: STORE,
      text: "    let unknown: StoreError | null = null;\n",
      replacement:
        "    let unknown: StoreError | null = null;\n    const known = this.#memory.get(key);\n    const remembered = known === undefined ? null : this.#play(key, waiters, { record: known, damage: null, version: null });\n    if (remembered?.record === null) return remembered.answers;\n",
    }],
    from: 13,
    seeds: 50,
  },
  {
    name: "an intended write applied again after a lost check: only the versions are read anew",
    kind: "isolates",
    edits: [{
      file: STORE,
      text: "const { answers, record } = this.#play(key, waiters, rows);",
      replacement:
        "const memo = attempts as Map<string, Answers> & { first?: { answers: [Waiter, unknown][]; record: StoredRecord | null } };\n    const { answers, record } = memo.first ??= this.#play(key, waiters, rows);",
    }],
    from: 21,
    seeds: 50,
  },
  {
    name: "start-up time as first sight of a lease",
    kind: "isolates",
    edits: [
      {
        file: LEASES,
        text: "    this.#clock = clock;\n",
        replacement: "    this.#clock = clock;\n    this.#startedMs = clock.now();\n",
      },
      {
        file: LEASES,
        text: "  readonly #clock: Clock;\n",
        replacement: "  readonly #clock: Clock;\n  readonly #startedMs: number;\n",
      },
      {
        file: LEASES,
        text: "madeBy?.get(lease.by) ?? now;",
        replacement: "madeBy?.get(lease.by) ?? this.#startedMs;",
      },
    ],
    from: 32,
    seeds: 200,
  },
  {
    name: '"ok: false" read as "not voted": its caller is told that nothing came of it',
    kind: "isolates",
    edits: [
      {
        file: STORE,
        text: '      return ok ? { type: "done", answers } : { type: "again", unknown: null };\n',
        replacement:
          '      if (!ok) for (const [waiter] of answers) waiter.reject(new StoreError("a check failed"));\n      return { type: "done", answers };\n',
      },
      {
        file: "replica/proposer_host.ts",
        text:
          "        // An own write of unknown outcome is neither a vote nor none; the timer goes on from there.\n        done,\n",
        replacement:
          '        (error) => (done(), message.type === "accept" && this.#attempt === 0 && error.message.includes("failed at this name") && this.#finish({ type: "not-voted" } as never)),\n',
      },
      {
        file: "replica/submitter.ts",
        text: '    if (ending.type === "decided") await',
        replacement:
          '    if ((ending.type as string) === "not-voted") {\n      const first = [...this.#pending].filter(({ sentIn }) => sentIn?.instance === opening.instance);\n      for (const pending of first) this.#fail(pending, new QuorateError("no-quorum", "not voted", { outcome: "none" }));\n    }\n    if (ending.type === "decided") await',
      },
    ],
    from: 64,
    seeds: 100,
  },
  {
    name: "wall clocks of one platform trusted without a margin",
    kind: "isolates",
    edits: [{
      file: "limits.ts",
      text: "export const WALL_MARGIN_MS = 2_000;",
      replacement: "export const WALL_MARGIN_MS = 0;",
    }],
    from: 55,
    seeds: 500,
  },
  {
    name: "nobody notes beside a record when its leases were first seen",
    kind: "isolates",
    edits: [{
      file: "replica/kept_records.ts",
      text: "firstSeen: this.#leases.firstSeen(record.state, before?.firstSeen) }",
      replacement: "firstSeen: {} }",
    }],
    from: 12,
    seeds: 50,
  },
];
