/**
 * Bugs of membership, planted one at a time in a copy of its functions, each with the plan that must catch it. Some
 * look like bugs and are none: their plan must end without a violation.
 */
import { Search } from "../explorer.ts";
import type { Mutant, MutantJudgement } from "../mutants.ts";
import { plantedMembers } from "../plant.ts";
import { MembersModel } from "./model.ts";
import { MEMBERS_PLANS, type MembersPlan, type MembersPlanName } from "./plans.ts";

export type MembersMutant = Mutant & {
  /** A bug of the host, which breaks what the functions rest on: no edit, but a plan in which it happens. */
  readonly host?: Partial<MembersPlan>;
} & ({ readonly caughtBy: MembersPlanName } | { readonly harmlessIn: MembersPlanName });

const edit = (before: string, after: string) => [{ before, after }];

export const MEMBERS_MUTANTS: readonly MembersMutant[] = [
  {
    name: "a seal in memory, lost when a member starts again",
    file: "members/acceptor.ts",
    edits: [],
    host: { losesSeals: true },
    caughtBy: "F 3→3', one import",
  },
  {
    name: "R2 after the seal",
    file: "members/acceptor.ts",
    edits: edit(
      "if (sealed || !isUnimported(record))",
      'if ((sealed && message.type !== "decide") || !isUnimported(record))',
    ),
    caughtBy: "F 3→3', one import",
  },
  {
    name: "a vote after the seal",
    file: "members/acceptor.ts",
    edits: edit(
      "if (sealed || !isUnimported(record))",
      'if ((sealed && message.type !== "accept") || !isUnimported(record))',
    ),
    caughtBy: "F 3→3', one import",
  },
  {
    name: "an unsealed report counted",
    file: "members/acceptor.ts",
    edits: [
      ...edit(
        "if (old.quorums.isMember(me) && !sealed)",
        'if (old.quorums.isMember(me) && !sealed && message.type !== "read")',
      ),
      ...edit("if (!sealed || isRetired || ", "if (isRetired || "),
    ],
    caughtBy: "F 3→3', one import",
  },
  {
    name: "fewer sealed reports than a phase-1 quorum: silence counted as no record",
    file: "members/pick_import.ts",
    edits: [
      ...edit(
        "if (!old.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) return MORE;",
        "if (reports.length === 0) return MORE;",
      ),
      ...edit(
        "const views = reports.flatMap(",
        "const silent = old.quorums.members.filter((member) => !reports.some(({ from }) => from === member)).map((from) => ({ from, snapshot: null, vote: null }));\n  reports = [...reports, ...silent];\n  const views = reports.flatMap(",
      ),
    ],
    caughtBy: "F 3→3', one import",
  },
  {
    name: "e's pick with e+1's sizes",
    file: "members/pick_import.ts",
    edits: [
      ...edit("import {\n", "import {\n  QuorumSystem,\n"),
      ...edit("  { machine, old }: Epochs,", "  { machine, old, next }: Epochs,"),
      ...edit(
        "const pick = pickAvoiding(old.quorums, promises, refused);",
        "const sizes = { ...next.quorums.sizes, classic: old.quorums.sizes.classic };\n  const pick = pickAvoiding(Object.assign(new QuorumSystem(old.quorums.members), { sizes }), promises, refused);",
      ),
    ],
    caughtBy: "F 3→4, one import",
  },
  {
    name: "the standing ballot of e+1 at a key that is not imported",
    file: "members/acceptor.ts",
    edits: edit(
      "if (learned === null) return unimported;",
      "if (learned === null) return stepAcceptor(rolesOf(rules), freshIn(rules.machine, { ...rules.next, first: rules.old.first }), message, envelope);",
    ),
    caughtBy: "F 3→3', one import",
  },
  {
    name: "fresh by a single missing record",
    file: "members/pick_import.ts",
    edits: edit(
      "  const states = newestStates(views);",
      '  if (reports.some(({ snapshot }) => snapshot === null)) return { type: "free", base: fresh, collided: [] };\n  const states = newestStates(views);',
    ),
    caughtBy: "F 3→3', one import",
  },
  {
    name: "a read that asks members of e+1 alone",
    file: "members/read.ts",
    edits: edit(
      'if (pick.type === "free") return',
      'if (pick.type === "more") return { type: "state", snapshot: freshBase(epochs, epochs.old.first)! };\n  if (pick.type === "free") return',
    ),
    caughtBy: "F 3→3' of one proposer, one import, a read in e+1",
  },
  {
    name: "a read that passes over an import's vote",
    file: "members/read.ts",
    edits: edit('if (without.some(({ vote }) => vote !== null)) return { type: "import" };', ""),
    caughtBy: "F 3→3' of one proposer, one import, a read in e+1",
  },
  {
    name: "a read in e that counts sealed members",
    file: "members/acceptor.ts",
    edits: edit(
      "if (sealed || !isUnimported(record))",
      'if ((sealed && message.type !== "read") || !isUnimported(record))',
    ),
    caughtBy: "F 3→3' of one proposer, one import, a read in e",
  },
  {
    name: "a sealed report that changes: the e-part dropped with a promise",
    file: "members/decree.ts",
    edits: edit("{ ...record, promised: ballot };", "{ ...record, old: null, promised: ballot };"),
    caughtBy: "F 3→3', two imports",
  },
  {
    name: "a sealed report that moves on by a decision of e",
    file: "members/acceptor.ts",
    edits: edit(
      "if (sealed || !isUnimported(record))",
      'if ((sealed && message.type !== "learn") || !isUnimported(record))',
    ),
    harmlessIn: "F 3→3', two imports",
  },
  {
    name: "votes in e+1 before the own seal of e",
    file: "members/acceptor.ts",
    edits: edit("if (old.quorums.isMember(me) && !sealed)", "if (old.quorums.isMember(me) && !sealed && me === '')"),
    harmlessIn: "F 3→3', one import",
  },
  {
    name: "an import below a promise",
    file: "members/decree.ts",
    edits: edit("if (compareBallots(ballot, record.promised) < 0) return", "if (record.promised[0] > 99) return"),
    caughtBy: "F 3→3', two imports",
  },
  {
    name: "an import taken by a record of e+1",
    file: "members/acceptor.ts",
    edits: edit(
      "  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);\n",
      '  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);\n  if (message.type === "import-accept") return acceptImport(rules, { old: null, promised: [0, "", 0], vote: null }, message, envelope);\n',
    ),
    caughtBy: "F 3→3', two imports",
  },
  {
    name: "a record of e+1 that promises to an import",
    file: "members/acceptor.ts",
    edits: edit(
      "  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);\n",
      '  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);\n  if (message.type === "import-prepare") return { record, reply: { type: "import-promise", ballot: message.ballot, vote: null, first: null, report: null } };\n',
    ),
    caughtBy: "F 3→3', two imports",
  },
  {
    name: "retired without the sweep",
    file: "members/retire.ts",
    edits: edit("return false;", "return true;"),
    caughtBy: "F 3→3', a floor above a stray vote, one import",
  },
  {
    name: "lists of fewer members than a phase-1 quorum",
    file: "members/retire.ts",
    edits: edit(
      "if (!old.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) return false;",
      "if (reports.length === 0) return false;",
    ),
    caughtBy: "F 3→3', a floor above a stray vote, one import",
  },
  {
    name: "a missing record counted as the floor by a read",
    file: "members/read.ts",
    edits: edit("instance: 0 };", "instance: without[0]?.first ?? 0 };"),
    caughtBy: "3→3', a key that is nobody's below its floor, one import, a read in e+1",
  },
  {
    name: "what is fresh read in spite of a promise",
    file: "members/read.ts",
    edits: edit("view.first !== null && sameBallot(view.promised, STANDING)", "view.first !== null"),
    caughtBy: "3→3', a key that is nobody's, one import, a read in e+1, nobody after",
  },
  {
    name: "an import that builds on e though a promise says that it is retired",
    file: "members/pick_import.ts",
    edits: edit(
      "epochs.next.first ?? promises.find(({ first }) => first !== null)?.first ?? null",
      "epochs.next.first",
    ),
    caughtBy: "3→3', a key that is nobody's, one import, a read in e+1, nobody after",
  },
  {
    name: "retired over a tombstone above the floor",
    file: "members/retire.ts",
    edits: edit("pick.base.instance <= floor &&", "floor >= 0 &&"),
    caughtBy: "F 3→3', a tombstone above the floor, one import",
  },
  {
    name: "a later instance's Learn taken for one of the import",
    file: "members/decree.ts",
    edits: edit(
      "  // What is nobody's yet has no certificate",
      `  const known = message.type === "learn" ? message.certificate : null;
  const { vote } = record;
  if (known !== null && vote !== null && known.instance === vote.base.instance && known.valueId === vote.value.id) {
    return settled(rules, record, standIn(rules, record, vote.base), message as Learn);
  }
  // What is nobody's yet has no certificate`,
    ),
    caughtBy: "3→3', a key that is nobody's, one import, X and a direct value after",
  },
  {
    name: "the ballot of a fresh key taken by a record of e+1",
    file: "members/acceptor.ts",
    edits: edit(
      "  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);\n",
      '  if (message.type === "fresh") {\n    const { record: after, reply } = stepAcceptor(rolesOf(rules), record, message.message, envelope);\n    return { record: after, reply: { type: "fresh", reply } };\n  }\n  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);\n',
    ),
    caughtBy: "3→3', a key that is nobody's, two imports",
  },
  {
    name: "a fresh key proposed before e is retired",
    file: "members/decree.ts",
    edits: [],
    host: { beginsEarly: true },
    harmlessIn: "F 3→3', a stray vote where fresh keys begin, one import",
  },
  {
    name: "a vote for what is fresh by a member that does not know of the retire",
    file: "members/decree.ts",
    edits: edit(
      "const base = freshBase(rules);",
      "const base = freshBase(rules, rules.next.first ?? message.instance);",
    ),
    host: { beginsEarly: true },
    caughtBy: "F 3→3', a stray vote where fresh keys begin, one import",
  },
  {
    name: "the ballot of a fresh key below a promise of its import",
    file: "members/decree.ts",
    edits: edit(
      "const before = standIn(rules, record, base);\n  const { record: after, reply } = stepAcceptor(rolesOf(rules), before, message",
      "const before = { ...standIn(rules, record, base), promised: [0, '', 0] as Ballot };\n  const { record: after, reply } = stepAcceptor(rolesOf(rules), before, message",
    ),
    caughtBy: "F 3→3', a stray vote where fresh keys begin, one import",
  },
];

/** Above the plans that are to catch one. */
const STATES_MAX = 2_000_000;

export async function judgeMembersMutant(mutant: MembersMutant): Promise<MutantJudgement> {
  const core = await plantedMembers(mutant);
  const name = "caughtBy" in mutant ? mutant.caughtBy : mutant.harmlessIn;
  const plan: MembersPlan = { ...MEMBERS_PLANS[name], ...mutant.host };
  const { states, complete, violation } = new Search(new MembersModel(core, plan)).run(STATES_MAX);
  const told = violation === null
    ? `no violation in ${states} states of ${name}`
    : `after ${states} states of ${name}: ${violation.what}`;
  if ("caughtBy" in mutant) return { passed: violation !== null, how: told };
  return { passed: violation === null && complete, how: told };
}
