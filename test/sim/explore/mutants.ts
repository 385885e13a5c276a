/**
 * Bugs planted one at a time in a copy of src/paxos, each with the plan that must catch it: an explorer that
 * catches none of them would be worth nothing (PROTOCOL.md §10).
 */
import type { Core } from "./explorer.ts";
import type { PlanName } from "./plans.ts";

export type Mutant = {
  readonly name: string;
  /** Below src/paxos. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly text: string;
  readonly replacement: string;
  readonly caughtBy: PlanName;
};

export const MUTANTS: readonly Mutant[] = [
  {
    name: "R2's guard dropped",
    file: "acceptor.ts",
    text: "!sameBallot(record.promised, certificate.ballot) || ",
    replacement: "",
    caughtBy: "FX n=3, a finishes",
  },
  {
    name: "R2 without moving on",
    file: "acceptor.ts",
    text: 'moved) => ({\n    record: moved,\n    reply: { type: "decided"',
    replacement: '_moved) => ({\n    record,\n    reply: { type: "decided"',
    caughtBy: "FCX n=3, b coordinates, a finishes",
  },
  {
    name: "no R1",
    file: "proposer.ts",
    text: "    return { state, out: [sendAccept(context, me, fast.ballot, value)] };",
    replacement:
      '    return { state: { ...state, phase: "fast" }, out: [sendAccept(context, me, fast.ballot, value), ...sendOthers(context, fast.ballot, value)] };',
    caughtBy: "FCX n=3, c coordinates, a finishes",
  },
  {
    name: "overwritten fast vote",
    file: "acceptor.ts",
    text: "if (record.vote !== null && sameBallot(record.vote.ballot, ballot)) {",
    replacement: "if (record.vote?.value.id === value.id && sameBallot(record.vote.ballot, ballot)) {",
    caughtBy: "FX n=3, a finishes",
  },
  {
    name: "ahead read as no vote",
    file: "proposer.ts",
    text: 'return { state: { ...state, phase: "done" }, out: [{ type: "ahead", snapshot: reply.snapshot }] };',
    replacement:
      'return state.phase === "prepare" ? onPromise(context, state, { from, vote: null }) : { state, out: [] };',
    caughtBy: "FX n=3, a finishes",
  },
  {
    name: "votes added across ballots",
    file: "coordinator.ts",
    text: "if (quorums.isClassic(new Set([me])))",
    replacement:
      "if (quorums.isClassic(new Set([me, ...state.reports.filter((r) => r.vote?.value.id === reply.value.id).map((r) => r.from)])))",
    caughtBy: "FCX n=3, c coordinates, a finishes",
  },
  {
    name: "proposers counted as promised in the shortcut",
    file: "recovery.ts",
    text: "pickValue(rules.quorums, reports, new Set([rules.me]))",
    replacement: "pickValue(rules.quorums, reports, new Set(reports.map(({ from }) => from)))",
    caughtBy: "FCX n=3, c coordinates, a finishes",
  },
  {
    name: "a pick in spite of a higher promise",
    file: "recovery.ts",
    text: "if (compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };",
    replacement: "if (record.promised[0] > 99) return { record, reply: refusal(record, ballot) };",
    caughtBy: "FCX n=3, c coordinates, a finishes",
  },
  {
    name: "classic quorum used for a fast ballot",
    file: "learner.ts",
    text: 'vote.kind === "classic" ? quorums.isClassic(acceptors) : quorums.isOpenFast(acceptors)',
    replacement: "quorums.isClassic(acceptors)",
    caughtBy: "FX n=3, c finishes",
  },
  {
    name: "the highest vote's ballot not looked at in the pick",
    file: "pick_value.ts",
    text: "if (quorums.isOpenFast(possible)) return true;",
    replacement: "if (quorums.members.length > 0) return quorums.isOpenFast(possible);",
    caughtBy: "FX n=3, c finishes",
  },
  {
    name: "one-value rule dropped",
    file: "pick_value.ts",
    text: "if (candidates.length === 1)",
    replacement: "if (candidates.length === 0)",
    caughtBy: "FUX n=3, a finishes",
  },
  {
    name: "proposers counted as promised by uncoordinated votes",
    file: "recovery.ts",
    text: "pickValue(rules.quorums, reports, new Set())",
    replacement: "pickValue(rules.quorums, reports, new Set(reports.map(({ from }) => from)))",
    caughtBy: "FUX n=3, a finishes",
  },
];

/** The roles from a copy of the source with the mutant in it. */
export async function mutated(mutant: Mutant, folder: string): Promise<Core> {
  const source = new URL("../../../src/", import.meta.url);
  for (const name of ["assert.ts", "limits.ts"]) await Deno.copyFile(new URL(name, source), `${folder}/${name}`);
  await Deno.mkdir(`${folder}/paxos`);
  for await (const { name } of Deno.readDir(new URL("paxos/", source))) {
    if (name.endsWith(".ts")) await Deno.copyFile(new URL(`paxos/${name}`, source), `${folder}/paxos/${name}`);
  }
  const path = `${folder}/paxos/${mutant.file}`;
  const before = await Deno.readTextFile(path);
  const found = before.split(mutant.text).length - 1;
  if (found !== 1) throw new Error(`"${mutant.name}": its text stands ${found} times in ${mutant.file}, not once`);
  await Deno.writeTextFile(path, before.replace(mutant.text, () => mutant.replacement));
  return await import(new URL(`file://${folder}/paxos/mod.ts`).href);
}
