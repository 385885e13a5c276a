/**
 * Bugs planted one at a time in a copy of the source, which the simulator's checkers must catch within so many seeds:
 * checkers that catch none of them would be worth nothing (PROTOCOL.md §10). Those of one instance are the explorer's.
 */
import { FORGETTING_MUTANTS } from "./mutants_forgetting.ts";
import { ISOLATE_MUTANTS } from "./mutants_isolates.ts";
import { MEMBERS_MUTANTS } from "./mutants_members.ts";
import { STANDING_MUTANTS } from "./mutants_standing.ts";
import { type Kind, planOf } from "./plan.ts";
import { play } from "./simulator.ts";
import { seedsOf } from "./chosen_seeds.ts";
import { forEachSeed } from "./workers.ts";

type Edit = {
  /** Below src. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly text: string;
  readonly replacement: string;
};

export type Mutant = {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly seeds: number;
  /** The first seed that is tried: of a bug that shows seldom, near one that is known to show it. Default: 1. */
  readonly from?: number;
  /** What the runs are made of. Default: every node has a store to itself. */
  readonly kind?: Kind;
};

const STORE = "store/memory_ballot_store.ts";
const GRANTS = "service/grants.ts";

const OWNER_MUTANTS: readonly Mutant[] = [
  {
    name: "amnesia: a restarted acceptor has forgotten promises and votes",
    edits: [{
      file: STORE,
      text: "  disk.owner = store;\n",
      replacement:
        '  disk.owner = store;\n  for (const [key, text] of disk.records) disk.records.set(key, JSON.stringify({ ...JSON.parse(text), vote: null, promised: [0, "", 0] }));\n',
    }],
    from: 11,
    seeds: 50,
  },
  {
    name: "reply before commit",
    edits: [{
      file: STORE,
      text: "        if (writes.has(key)) waiters.push({ waiter, reply });",
      replacement: "        waiter.resolve(reply);\n        if (writes.has(key)) waiters.push({ waiter, reply });",
    }],
    from: 21,
    seeds: 50,
  },
  {
    name: "an intended vote applied again after a lost check-and-set",
    edits: [{
      file: STORE,
      text: "const { record, reply } = step(found);",
      replacement:
        "const memo = waiter as Waiter & { first?: StepResult<unknown> };\n        const { record, reply } = memo.first ??= step(found);",
    }],
    from: 7,
    seeds: 500,
  },
  {
    name: "a ttl counted from the answer, not from the send",
    edits: [{
      file: GRANTS,
      text: "const granted = { id, hold, state, receipt, waitedMs };",
      replacement: "const granted = { id, hold, state, receipt, waitedMs: clock.now() - startedMs };",
    }],
    from: 967,
    seeds: 1_000,
  },
  {
    name: "a fence without its position in the batch",
    edits: [
      {
        file: "machine/grants.ts",
        text: "fence: numberOf(draft.instance, draft.grants + 1),",
        replacement: "fence: numberOf(draft.instance, 1),",
      },
      {
        file: "machine/grants.ts",
        text: '  assert(compareDecimals(hold.fence, draft.lastFence) > 0, "fences grow for ever");\n',
        replacement: "",
      },
    ],
    from: 27,
    seeds: 500,
  },
  {
    name: "leases timed by the wall clock",
    edits: [{
      file: "compose/node.ts",
      text: "new LeaseClock(clock, machine);",
      replacement:
        "new LeaseClock({ now: () => clock.wall(), wall: () => clock.wall(), after: (ms, run) => clock.after(ms, run) }, machine);",
    }],
    from: 225,
    seeds: 500,
  },
  {
    name: "no dedup: a retry is applied again",
    edits: [{
      file: "machine/machine.ts",
      text: "  if (first !== null) return first;\n  draft.atMs",
      replacement: "  draft.atMs",
    }],
    from: 14,
    seeds: 500,
  },
  {
    name: "a grant out of the queue answered before it is confirmed",
    edits: [{
      file: GRANTS,
      text:
        "    // §7: a grant out of the queue is answered only after a renewal of it was decided, and counts from its send.\n",
      replacement: "    if (waitedMs >= 0) return { hold, state: seen.state, receipt: seen.receipt, waitedMs };\n",
    }],
    from: 40,
    seeds: 500,
  },
  {
    name: "a hand-over that nobody has confirmed is told as long as its ttl",
    edits: [{
      file: "leases/early_answer.ts",
      text: "const leaseMs = Math.min(hold.ttlMs, HANDOVER_TTL_MS);",
      replacement: "const leaseMs = Math.max(hold.ttlMs, HANDOVER_TTL_MS);",
    }],
    from: 53,
    seeds: 1,
  },
  {
    name: "a forward that is born where it arrives",
    edits: [{
      file: "replica/submitters.ts",
      text: "      op,\n      born,\n",
      replacement: "      op,\n",
    }],
    from: 266,
    seeds: 300,
  },
  {
    name: "a wait told by one clock's error alone",
    edits: [{
      file: "service/views/lease.ts",
      text: "countedMs * (1 - DRIFT) / (1 + DRIFT)",
      replacement: "countedMs * (1 - DRIFT)",
    }],
    from: 96,
    seeds: 300,
  },
  {
    name: "a place taken again that counts from the first asking",
    edits: [{
      file: GRANTS,
      text: "      const waitedMs = clock.now() - startedMs;\n      const which",
      replacement: "      const waitedMs = 0;\n      const which",
    }],
    from: 52,
    seeds: 500,
  },
  {
    name: "a waiter that has gone away and keeps its place",
    edits: [{
      file: GRANTS,
      text: "return anonymous === true && signal?.aborted",
      replacement: "return anonymous === undefined && signal?.aborted",
    }],
    from: 265,
    seeds: 100,
  },
  {
    name: "a set that gives nothing back",
    edits: [{
      file: "service/set_undo.ts",
      text: "(taken.isNew || isFirst)",
      replacement: "!(taken.isNew || isFirst)",
    }],
    from: 296,
    seeds: 300,
  },
  {
    name: "a wake-up lost: release hands nothing over",
    edits: [{
      file: "machine/grants.ts",
      text: '  endHold(draft, hold, "released");\n  handOver(draft);\n',
      replacement: '  endHold(draft, hold, "released");\n',
    }],
    from: 21,
    seeds: 50,
  },
  {
    name: "a wake-up lost: the waiter's node does not hear that its turn has come",
    edits: [{
      file: "leases/queue.ts",
      text: "const stopListening = acceptor.onMove(this.#key, (_key, snapshot) => this.#look(snapshot));",
      replacement: "const stopListening = acceptor.onMove(this.#key, () => {});",
    }],
    from: 21,
    seeds: 50,
  },
  {
    name: "a learner that concludes from a classic quorum of a fast ballot",
    edits: [{
      file: "paxos/learner.ts",
      text: 'vote.kind === "classic" ? quorums.isClassic(acceptors) : quorums.isOpenFast(acceptors)',
      replacement: "quorums.isClassic(acceptors)",
    }],
    from: 22,
    seeds: 500,
  },
  {
    name: "a register's If-Match that is not looked at",
    edits: [{
      file: "machine/register.ts",
      text: "  return holds ? null :",
      replacement: "  return holds || ifMatch !== undefined ? null :",
    }],
    from: 18,
    seeds: 50,
  },
  {
    name: "a semaphore with one permit more than its limit",
    edits: [{
      file: "machine/grants.ts",
      text: "> capacityOf(draft.limit)) return false;",
      replacement: "> capacityOf(draft.limit) + (draft.limit === null ? 0 : 1)) return false;",
    }],
    from: 15,
    seeds: 50,
  },
  {
    name: "leaders that share an election",
    edits: [{
      file: "machine/election.ts",
      text: 'subject, mode: "exclusive", ttlMs',
      replacement: 'subject, mode: "shared", ttlMs',
    }],
    from: 17,
    seeds: 50,
  },
  {
    name: "a watcher told again what it knows",
    edits: [{
      file: "watch/watching.ts",
      text: "change.revision > watcher.told)",
      replacement: "change.revision >= watcher.told)",
    }],
    from: 51,
    seeds: 100,
  },
  {
    name: "a long poll that no change wakes",
    edits: [{
      file: "watch/watching.ts",
      text: "stop = await this.watch(noun, name, after, timeoutMs, () => resolve());",
      replacement: "stop = await this.watch(noun, name, after, timeoutMs, () => {});",
    }],
    from: 72,
    seeds: 100,
  },
  {
    name: "a poll answered from the own record",
    edits: [{
      file: "watch/watching.ts",
      text: "    const snapshot = await reader.read(key, timeoutMs);\n    const body",
      replacement: "    void reader;\n    const { snapshot } = await this.#parts.acceptor.view(key);\n    const body",
    }],
    from: 201,
    seeds: 100,
  },
  {
    name: "a watch of a prefix that goes on where it was never begun",
    edits: [{
      file: "watch/watching.ts",
      text: "if (n === undefined || node !== this.#me || run !== this.#run) return null;",
      replacement: "if (n === undefined || node !== this.#me || run !== this.#run) return after === null ? null : [];",
    }],
    from: 194,
    seeds: 200,
  },
  {
    name: "a hedged write that is told otherwise the second time",
    edits: [{
      file: "machine/result_code.ts",
      text: 'return { outcome: "written", revision: a };',
      replacement: 'return { outcome: "precondition-failed", revision: a };',
    }],
    from: 18,
    seeds: 100,
  },
  {
    name: "a value put again that ends by its first lease",
    edits: [{
      file: "machine/register.ts",
      text: "{ lease: { by: draft.by, ttlMs } }",
      replacement: "{ lease: { by: draft.register?.value?.lease?.by ?? draft.by, ttlMs } }",
    }],
    from: 25,
    seeds: 100,
  },
  {
    name: "a value with a ttl that nobody ends",
    edits: [{
      file: "machine/register.ts",
      text: "if (id !== VALUE_LEASE_ID || draft",
      replacement: "if (id === VALUE_LEASE_ID || draft",
    }],
    from: 18,
    seeds: 100,
  },
  {
    name: "the end of a session that leaves what it held",
    edits: [{
      file: "machine/session.ts",
      text: "draft.holders.filter((hold) => hold.session === session)",
      replacement: "draft.holders.filter((hold) => hold.session === undefined)",
    }],
    from: 13,
    seeds: 50,
  },
  {
    name: "a vote on top of what was learned and not written is told before its commit",
    edits: [{
      file: "replica/write_behind.ts",
      text: "    if (record === null) return next;\n",
      replacement: "    if (record === null || moved !== null) return { record: null, reply };\n",
    }],
    from: 12,
    seeds: 50,
  },
  {
    name: "a value that this node never voted for is learned in memory alone",
    edits: [{
      file: "replica/own_record.ts",
      text: "return vote?.value.id === certificate.valueId;",
      replacement: "return vote !== undefined && certificate.valueId !== undefined;",
    }],
    from: 24,
    seeds: 50,
  },
  {
    name: "a guarded decision is made in memory alone",
    edits: [{
      file: "replica/own_record.ts",
      text:
        'if (type !== "learn" || !quorums.isMember(me) || (from === me && certificate.kind === "inclusive")) return false;',
      replacement: 'if ((type !== "learn" && type !== "decide") || !quorums.isMember(me)) return false;',
    }],
    seeds: 50,
  },
];

export const MUTANTS = [
  ...OWNER_MUTANTS,
  ...STANDING_MUTANTS,
  ...ISOLATE_MUTANTS,
  ...MEMBERS_MUTANTS,
  ...FORGETTING_MUTANTS,
];

export type Verdict = { readonly seed: number; readonly fault: string } | null;

/**
 * The first seed that catches it and what it said, or null if it survived. Rejects if that seed fails without the bug too:
 * then it says nothing of the bug. What is in `folder` afterwards is the copy with the bug.
 */
export async function hunt(mutant: Mutant, folder: string): Promise<Verdict> {
  const { from = 1, seeds: count, kind = "owners" } = mutant;
  await plant(mutant, folder);
  let caught: Verdict = null;
  await forEachSeed(
    { seeds: seedsOf({ from, count }), jobs: 1, kind },
    ({ seed, faults }) => {
      if (faults[0] !== undefined) caught = { seed, fault: faults[0] };
      return caught === null;
    },
    new URL(`file://${folder}/test/sim/worker.ts`),
  );
  const first = caught as Verdict;
  if (first === null) return null;
  const faults = await faultsWithout(first.seed, kind);
  if (faults.length > 0) throw new Error(`${mutant.name}: seed ${first.seed} fails without it too: ${faults[0]}`);
  return first;
}

/** What is said of runs without a bug: many mutants show in the same one. */
const sound = new Map<string, Promise<readonly string[]>>();

function faultsWithout(seed: number, kind: Kind): Promise<readonly string[]> {
  const known = sound.get(`${kind} ${seed}`) ?? play(planOf(seed, kind)).then(({ faults }) => faults);
  sound.set(`${kind} ${seed}`, known);
  return known;
}

/** Whether all were caught. Each of `jobs` lanes hunts one at a time, in a folder of its own. */
export async function catchMutants(jobs: number, print: (line: string) => void): Promise<boolean> {
  const left = MUTANTS.values();
  let survived = 0;
  const lane = async () => {
    const folder = await Deno.makeTempDir({ prefix: "quorate-mutants-" });
    try {
      for (const mutant of left) {
        const verdict = await hunt(mutant, folder);
        if (verdict === null) survived++;
        const how = verdict === null
          ? `SURVIVED ${mutant.seeds} seeds`
          : `seed ${verdict.seed}: ${verdict.fault.slice(0, 160)}`;
        print(`${mutant.name}\n    ${how}`);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: jobs }, lane));
  print(`mutants: ${MUTANTS.length - survived} caught, ${survived} survived`);
  return survived === 0;
}

/**
 * A copy of the source and the simulator, with the mutant in it. It may be written over the copy before: the files that are
 * the same at the same path need no new translation, which takes longer than most hunts.
 */
async function plant({ name, edits }: Mutant, folder: string): Promise<void> {
  const root = new URL("../../", import.meta.url);
  await copyTree(new URL("src/", root), `${folder}/src`);
  await copyTree(new URL("test/sim/", root), `${folder}/test/sim`);
  await copyTree(new URL("test/replica/", root), `${folder}/test/replica`);
  for (const { file, text, replacement } of edits) {
    const path = `${folder}/src/${file}`;
    const before = await Deno.readTextFile(path);
    const found = before.split(text).length - 1;
    if (found !== 1) throw new Error(`"${name}": its text stands ${found} times in ${file}, not once`);
    await Deno.writeTextFile(path, before.replace(text, () => replacement));
  }
}

async function copyTree(from: URL, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyTree(new URL(`${name}/`, from), `${to}/${name}`);
    else if (name.endsWith(".ts")) await Deno.copyFile(new URL(name, from), `${to}/${name}`);
  }
}
