/** Bugs of nodes that go from one epoch into the next; the functions they rest on are the explorer's. */
import type { Mutant } from "./mutants.ts";

export const MEMBERS_MUTANTS: readonly Mutant[] = [
  {
    name: "an epoch is sealed in memory only",
    kind: "members",
    edits: [{
      file: "store/memory_ballot_store.ts",
      text: "      ...(epochs === null ? {} : { epochs }),\n",
      replacement: "      ...(epochs === null || this.#boot < 0 ? {} : known === null ? { epochs } : {}),\n",
    }, {
      file: "store/memory_ballot_store.ts",
      text: "    this.#epochs = meta.epochs ?? null;\n",
      replacement: "    this.#epochs = meta.epochs ?? this.#seals ?? this.#epochs ?? null;\n",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "a node that has left its epoch goes on changing its records",
    kind: "members",
    edits: [{
      file: "replica/open_updates.ts",
      text: "    if (this.#isOver) return new QuorateError(",
      replacement: "    if (this.#isOver && this.#count < 0) return new QuorateError(",
    }, {
      file: "replica/open_updates.ts",
      text: "    if (this.#count === 0) resolve();",
      replacement: "    resolve();",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "a read asks the next epoch alone, and takes what has no record there for new",
    kind: "members",
    edits: [{
      file: "members/read.ts",
      text: "const isFresh = without.every((view) => view.first !== null && sameBallot(view.promised, STANDING));",
      replacement: "const isFresh = without.every((view) => sameBallot(view.promised, STANDING));",
    }, {
      file: "members/read.ts",
      text: "snapshot: freshBase(epochs, first)!",
      replacement: "snapshot: freshBase(epochs, first ?? 1)!",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "an epoch is retired before its keys are imported",
    kind: "members",
    edits: [{
      file: "replica/imports.ts",
      text: "    if (!acceptor.votes) return false;\n",
      replacement: "    if (key !== null) return acceptor.votes;\n",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "an epoch is retired where members know its names, imported or not",
    kind: "members",
    edits: [{
      file: "replica/imports.ts",
      text: "if (own?.isImported === true) found",
      replacement: "if (own !== null) found",
    }],
    from: 41,
    seeds: 20,
  },
  {
    name: "the record of the epoch before is lost under the promise of an import",
    kind: "members",
    edits: [{
      file: "replica/member_records.ts",
      text: "const under = stored?.epoch === old.number ? stored : freshIn(",
      replacement: "const under = stored?.epoch === -1 ? stored : freshIn(",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "promise and vote of an import are not kept",
    kind: "members",
    edits: [{
      file: "replica/member_records.ts",
      text: "importing: { epoch: next.number, promised, vote, ...before }",
      replacement:
        "importing: { epoch: next.number, promised: STANDING, vote: null, ...before, promises: [promised, vote] }",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "a name begins as a new one before the epoch before is retired",
    kind: "members",
    edits: [{
      file: "replica/member_records.ts",
      text: "first: first() },\n",
      replacement: "first: first() ?? old.first },\n",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "a name that has a record in the epoch before begins as a new one",
    kind: "members",
    edits: [{
      file: "members/decree.ts",
      text: "  const base = freshBase(epochs);\n  if (base === null || old !== null ||",
      replacement: "  const base = freshBase(epochs, epochs.next.first ?? epochs.old.first);\n  if (base === null ||",
    }, {
      file: "members/decree.ts",
      text: "  const base = freshBase(rules);\n",
      replacement: "  const base = freshBase(rules, rules.next.first ?? rules.old.first);\n",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "a vote for a new name is kept with another base",
    kind: "members",
    edits: [{
      file: "members/decree.ts",
      text: "  const vote = { ...after.vote, base };\n",
      replacement: "  const vote = { ...after.vote, base: { ...base, instance: base.instance + 1 } };\n",
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "who proposes a new name tells others its value before its own vote",
    kind: "members",
    edits: [{
      file: "replica/proposer_host.ts",
      text: "      const { reply, isCasting } = message.type",
      replacement:
        '      if (this.#isFresh && message.type === "accept") { for (const other of acceptor.rules.quorums.members) if (other !== me) void transport.send(other, freshSent(message)).catch(() => {}); }\n      const { reply, isCasting } = message.type',
    }],
    from: 12,
    seeds: 20,
  },
  {
    name: "what a read found of the epoch before is taken for a record of the new one",
    kind: "members",
    edits: [{ file: "replica/learning.ts", text: "    if (isOfBefore === true) return false;\n", replacement: "" }, {
      file: "replica/learning.ts",
      text: "{ isOfBefore, ...snapshot }: Newest",
      replacement: "snapshot: Newest",
    }],
    from: 18,
    seeds: 20,
  },
];
