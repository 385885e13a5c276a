/**
 * Bugs planted one at a time in a copy of the source, each with the plan or the test that must catch it: a checker that
 * catches none of them would be worth nothing (PROTOCOL.md §10). Small plans hide bugs: `passes` names some that do.
 */
import { explore } from "./explorer.ts";
import { plantedCore, type RunPlanted, type TestRun, withCopy } from "./plant.ts";
import { type PlanName, PLANS } from "./plans.ts";

export type Mutant = {
  readonly name: string;
  /** Below src. */
  readonly file: string;
  /** `before` stands exactly once in the file. */
  readonly edits: readonly { readonly before: string; readonly after: string }[];
};

/** A bug of the roles, for the explorer. */
export type RoleMutant = Mutant & { readonly caughtBy: PlanName; readonly passes?: PlanName };
/** A bug elsewhere: this test of this file passes without it and fails with it. */
export type HostMutant = Mutant & { readonly test: string; readonly of: string };

function edit(before: string, after: string) {
  return [{ before, after }];
}

export const ROLE_MUTANTS: readonly RoleMutant[] = [
  {
    name: "R2's guard dropped",
    file: "paxos/acceptor.ts",
    edits: edit("!sameBallot(record.promised, certificate.ballot) || ", ""),
    caughtBy: "FX n=3 2+0, a finishes",
  },
  {
    name: "R2 without moving on",
    file: "paxos/acceptor.ts",
    edits: edit(
      'moved) => ({\n    record: moved,\n    reply: { type: "decided"',
      '_moved) => ({\n    record,\n    reply: { type: "decided"',
    ),
    caughtBy: "FCX n=3 2+0, b coordinates, a finishes",
    passes: "FC n=3 2+0, c coordinates",
  },
  {
    name: "no R1",
    file: "paxos/proposer.ts",
    edits: edit(
      "    return { state, out: [sendAccept(context, me, fast.ballot, value)] };",
      '    return { state: { ...state, phase: "fast" }, out: [sendAccept(context, me, fast.ballot, value), ...sendOthers(context, fast.ballot, value)] };',
    ),
    caughtBy: "FCX n=3 2+0, c coordinates, a finishes",
    passes: "FX n=3 2+0, a finishes",
  },
  {
    name: "R1's vote in another ballot",
    file: "paxos/proposer.ts",
    edits: edit(
      "    return { state, out: [sendAccept(context, me, fast.ballot, value)] };",
      '    return fast.ballot[0] === 0 ? { state, out: [sendAccept(context, me, fast.ballot, value)] } : { state: { ...state, phase: "fast" }, out: [sendAccept(context, me, fast.ballot, value), ...sendOthers(context, fast.ballot, value)] };',
    ),
    caughtBy: "OC n=5 2+0, c opened and coordinates",
    passes: "OX n=3 2+0, a opened, c finishes",
  },
  {
    name: "a record that is barred votes",
    file: "paxos/acceptor.ts",
    edits: edit("&& barredAt(record, instance).barred !== undefined) {", "&& record.instance < 0) {"),
    caughtBy: "FCX n=3 2+0, c coordinates, a finishes, votes overlap",
    passes: "FX n=3 2+0, a finishes, votes overlap",
  },
  {
    name: "a record is barred no further than it stands on disk",
    file: "paxos/barring.ts",
    edits: edit("record.vote === null ? record.instance : record.instance + 1;", "record.instance;"),
    caughtBy: "FCX n=3 2+0, the second instance, c coordinates, a finishes, votes overlap",
    passes: "FCX n=3 2+0, c coordinates, a finishes, votes overlap",
  },
  {
    name: "a record that moves on is barred no more",
    file: "paxos/acceptor.ts",
    edits: edit("    ...barredAt(record, record.instance + 1),\n", ""),
    caughtBy: "FCX n=3 2+0, the second instance, c coordinates, a finishes, votes overlap",
    passes: "FCX n=3 2+0, c coordinates, a finishes, votes overlap",
  },
  {
    name: "the own vote counts before it is durable",
    file: "paxos/proposer.ts",
    edits: edit(
      "const chosen = chosenValue(quorums, opening.instance, state.fastVotes);",
      'const isOn = state.left && value !== null && context.fast !== null && !state.fastVotes.some(({ from }) => from === me);\n  const own = isOn ? [{ from: me, vote: { ballot: context.fast!.ballot, kind: "fast" as const, value: value! } }] : [];\n  const chosen = chosenValue(quorums, opening.instance, [...state.fastVotes, ...own]);',
    ),
    caughtBy: "FX n=5 2+0, a finishes, votes overlap",
    passes: "FX n=3 2+0, c finishes, votes overlap",
  },
  {
    name: "forged proposer",
    file: "paxos/acceptor.ts",
    edits: edit(
      'value.proposer === "" || (value.proposer === from && isMember)',
      'value.proposer === "" || isMember || rules.quorums.isMember(value.proposer)',
    ),
    caughtBy: "FX n=3 2+1, c finishes",
  },
  {
    name: "overwritten fast vote",
    file: "paxos/acceptor.ts",
    edits: edit(
      "if (record.vote !== null && sameBallot(record.vote.ballot, ballot)) {",
      "if (record.vote?.value.id === value.id && sameBallot(record.vote.ballot, ballot)) {",
    ),
    caughtBy: "FX n=3 2+0, a finishes",
  },
  {
    name: "amnesia: a promise forgets the vote",
    file: "paxos/acceptor.ts",
    edits: edit(
      "return { record: promising(record, ballot), reply };",
      "return { record: { ...promising(record, ballot), vote: null }, reply };",
    ),
    caughtBy: "FXX n=3 2+0, a and b finish",
  },
  {
    name: "client value in an uncoordinated ballot",
    file: "paxos/acceptor.ts",
    edits: edit(
      'return fast.recovery === "coordinated" && from === fast.coordinator ? "classic" : null;',
      'return fast.recovery === "uncoordinated" && value.proposer === "" ? "uncoordinated" : fast.recovery === "coordinated" && from === fast.coordinator ? "classic" : null;',
    ),
    caughtBy: "FUX n=3 2+1, a finishes",
  },
  {
    name: "ahead read as no vote",
    file: "paxos/proposer.ts",
    edits: edit(
      'return { state: { ...state, phase: "done" }, out: [{ type: "ahead", snapshot: reply.snapshot }] };',
      'return state.phase === "prepare" ? onPromise(context, state, { from, vote: null }) : { state, out: [] };',
    ),
    caughtBy: "FX n=3 2+0, a finishes",
  },
  {
    name: "votes added across ballots",
    file: "paxos/coordinator.ts",
    edits: edit(
      "if (quorums.isClassic(new Set([me])))",
      "if (quorums.isClassic(new Set([me, ...state.reports.filter((r) => r.vote?.value.id === reply.value.id).map((r) => r.from)])))",
    ),
    caughtBy: "FCX n=3 2+0, c coordinates, a finishes",
  },
  {
    name: "proposers counted as promised in the shortcut",
    file: "paxos/recovery.ts",
    edits: edit(
      "pickValue(rules.quorums, reports, new Set([rules.me]))",
      "pickValue(rules.quorums, reports, new Set(reports.map(({ from }) => from)))",
    ),
    caughtBy: "FC n=3 2+0, c coordinates",
  },
  {
    name: "a pick in spite of a higher promise",
    file: "paxos/recovery.ts",
    edits: edit(
      "if (compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };",
      "if (record.promised[0] > 99) return { record, reply: refusal(record, ballot) };",
    ),
    caughtBy: "FCX n=3 2+0, c coordinates, a finishes",
    passes: "FC n=3 2+0, c coordinates",
  },
  {
    name: "twin coordinator without the self-vote check",
    file: "paxos/recovery.ts",
    edits: edit(
      "record: { ...promising(record, ballot), vote: { ballot, kind, value } },",
      'record: { ...promising(record, ballot), vote: kind === "classic" ? record.vote : { ballot, kind, value } },',
    ),
    caughtBy: "FC n=3 2+0, c coordinates twice",
    passes: "FC n=3 2+0, c coordinates",
  },
  {
    name: "classic quorum used for a fast ballot",
    file: "paxos/learner.ts",
    edits: edit(
      'vote.kind === "classic" ? quorums.isClassic(acceptors) : quorums.isOpenFast(acceptors)',
      "quorums.isClassic(acceptors)",
    ),
    caughtBy: "FX n=3 2+0, a finishes",
  },
  {
    name: "learner that concludes from an inclusive quorum",
    file: "paxos/learner.ts",
    edits: edit(
      "quorums.isOpenFast(acceptors);",
      "quorums.isOpenFast(acceptors) || quorums.isInclusiveFast(acceptors, vote.value.proposer);",
    ),
    caughtBy: "FX n=3 2+0, a finishes",
  },
  {
    name: "read that concludes from an inclusive quorum",
    file: "paxos/learner.ts",
    edits: edit(
      "  const chosen = chosenValue(quorums, newest.instance, reports);\n",
      `  const by = (vote: Vote) => votersOf(reports, vote.ballot, vote.value.id);
  const inclusive = reports.find(({ vote }) => vote?.kind === "fast" && quorums.isInclusiveFast(by(vote), vote.value.proposer))?.vote;
  const chosen = inclusive ? { value: inclusive.value, certificate: certify(newest.instance, inclusive, by(inclusive)) } : chosenValue(quorums, newest.instance, reports);
`,
    ),
    caughtBy: "FX n=3 2+0 with a read",
  },
  {
    name: "nothing choosable at the highest ballot only, in reads",
    file: "paxos/learner.ts",
    edits: edit(
      'pick.type === "free" ? "state"',
      `pick.type === "free" || (reports.some(({ vote }) => vote?.kind === "uncoordinated") &&
        reports.every(({ vote }) =>
          vote?.kind !== "uncoordinated" ||
          !quorums.isOpenFast(new Set([
            ...votersOf(reports, vote.ballot, vote.value.id),
            ...quorums.members.filter((member) => !reports.some(({ from }) => from === member)),
          ])))) ? "state"`,
    ),
    caughtBy: "FU n=3 2+0 with a read",
  },
  {
    name: "proposer-inclusive quorums left out of the pick",
    file: "paxos/pick_value.ts",
    edits: edit(
      "if (quorums.isOpenFast(possible)) return true;",
      "if (quorums.members.length > 0) return quorums.isOpenFast(possible);",
    ),
    caughtBy: "FX n=3 2+1, c finishes",
  },
  {
    name: "one-value rule dropped",
    file: "paxos/pick_value.ts",
    edits: edit("if (candidates.length === 1)", "if (candidates.length === 0)"),
    caughtBy: "FUX n=3 2+0, a finishes",
    passes: "FXX n=3 2+0, a and b finish",
  },
  {
    // What the votes of that ballot say of p, and quorums with p in them, are both taken for what they are in F.
    name: "uncoordinated votes counted inclusively",
    file: "paxos/pick_value.ts",
    edits: [
      ...edit('if (highest.kind === "uncoordinated" || value.proposer === "")', 'if (value.proposer === "")'),
      ...edit(
        'highest.kind === "fast" ? ownVotes(reports, highest.ballot)',
        'highest.kind !== "classic" ? ownVotes(reports, highest.ballot)',
      ),
    ],
    caughtBy: "FUX n=4 2+0, a finishes",
    passes: "FUX n=3 2+0, a finishes",
  },
  {
    name: "proposers counted as promised by uncoordinated votes",
    file: "paxos/recovery.ts",
    edits: edit(
      "pickValue(rules.quorums, reports, new Set())",
      "pickValue(rules.quorums, reports, new Set(reports.map(({ from }) => from)))",
    ),
    caughtBy: "FUX n=3 2+0, a finishes",
  },
  {
    name: "a repair without a value decided before it",
    file: "paxos/repair.ts",
    edits: edit("snapshot.instance > voted", "snapshot.instance > Math.min(voted, 0)"),
    caughtBy: "FX n=3 2+0, c finishes, a is damaged",
  },
  {
    name: "a repair one instance too low",
    file: "paxos/repair.ts",
    edits: edit("snapshot.instance)) + 1;", "snapshot.instance));"),
    caughtBy: "KX n=3 2+0, two instances, a coordinates, b finishes, a is damaged",
    passes: "FX n=3 2+0, c finishes, a is damaged",
  },
  {
    name: "a repair that counts the record it is to replace",
    file: "paxos/repair.ts",
    edits: edit("return standings.filter(({ from }) => from !== me);", "return me === '' ? [] : standings;"),
    caughtBy: "F n=3 2+0, the third instance, c is behind, a is damaged",
    passes: "F n=3 2+0, two instances, a is damaged",
  },
];

export const HOST_MUTANTS: readonly HostMutant[] = [
  {
    name: "a value leaves though another write of the record comes before its own vote",
    file: "replica/acceptor_host.ts",
    edits: edit(
      "return { reply, isCasting: leads && !this.#store.leads(message.key) };",
      "return { reply, isCasting: leads || record === null };",
    ),
    of: "test/replica/proposer_host_test.ts",
    test:
      "proposer host: a value does not leave before its own vote where another write of the record comes first (R1)",
  },
  {
    name: "an update leads where another waits before it",
    file: "store/owner_store.ts",
    edits: edit("return isSure && this.peek(key) !== undefined;", "return isSure && this.#closing === null;"),
    of: "test/paxos/barring_test.ts",
    test: "barring, owner store: an update leads where it is the next that is written of a record that would be barred",
  },
  {
    name: "a process that died has barred nothing",
    file: "store/owner_store.ts",
    edits: edit("new Set(ledger.endedWell ||", "new Set(!ledger.endedWell ||"),
    of: "test/paxos/barring_test.ts",
    test:
      "barring, owner store: a process that follows on one that died takes no vote where that may have left a value",
  },
  {
    name: "a process that died passes for one that was closed",
    file: "store/ledger.ts",
    edits: edit("ledger.#endedWell = meta?.ended === true;", "ledger.#endedWell = meta !== null;"),
    of: "test/paxos/barring_test.ts",
    test: "barring, owner store: whoever was closed has lost nothing, and one that follows on it bars nothing anew",
  },
  {
    name: "a commit that was lost has barred nothing",
    file: "store/owner_store.ts",
    edits: edit("    if (this.#log.has(entry.key)) this.#unsure.add(entry.key);\n", ""),
    of: "test/paxos/barring_test.ts",
    test: "barring, owner store: a commit of which nobody knows bars what was in it, and what it may have been",
  },
  {
    name: "what other processes decided is not looked for",
    file: "replica/shared_store_poller.ts",
    edits: edit(
      "acceptor.look(key, isNews).catch(() => {});",
      "key === `${isNews}` ? acceptor.look(key, isNews) : Promise.resolve();",
    ),
    of: "test/replica/shared_store_poller_test.ts",
    test:
      "shared store poller: what is listened to is looked at, and whoever listens hears of another process's decision",
  },
  {
    name: "an absent register's delete answered by a read to who may have tried before",
    file: "service/registers.ts",
    edits: edit(
      "if (caller.anonymous !== true || op.fence !== undefined) return write(caller);",
      "if (caller.anonymous === false) return write(caller);",
    ),
    of: "test/service/read_answers_test.ts",
    test:
      "read answers: to delete what is absent under a key, or under a fence, is decided: an earlier try may be under way",
  },
  {
    name: "a stopped record read as if it were sound",
    file: "replica/acceptor_host.ts",
    edits: edit("    if (stopped === undefined) {\n", "    if (true as boolean) {\n"),
    of: "test/routes/status_test.ts",
    test: "status: a record that contradicts the others' answers nothing, reads are the others', and it is told",
  },
  {
    name: "a vote cast while the record is repaired",
    file: "replica/acceptor_host.ts",
    edits: edit("if (this.mending.isShut(key)) throw", 'if (this.mending.isShut(key) && key === "") throw'),
    of: "test/replica/mending_test.ts",
    test:
      "mending: a record that can be read again while it is repaired says nothing until that is over, and is not replaced",
  },
  {
    name: "a repair at the instance in which the record stood",
    file: "replica/mending.ts",
    edits: edit("own.snapshot.instance < record.instance", "own.snapshot.instance <= record.instance"),
    of: "test/replica/mending_test.ts",
    test: "mending: of one that has stopped nothing takes the place that does not stand above it",
  },
  {
    name: "a damaged record taken for none",
    file: "store/part.ts",
    edits: edit("damage !== null && before === null && !waiter.mends", "damage === ''"),
    of: "test/store/kv_ballot_store_test.ts",
    test:
      "owner store: a damaged record is never none: only who mends it may write, and what it writes takes its place",
  },
  {
    name: "a state that is not what its hash is of",
    file: "replica/kept_records.ts",
    edits: edit(
      "return this.#machine.hash(state) === stateHash;",
      "return this.#machine.hash(state) !== stateHash || stateHash.length > 0;",
    ),
    of: "test/replica/stopped_test.ts",
    test:
      "stopped: a state in a row of before there were checksums that rotted on disk is damaged on load: no view, no vote, no promise, one line, and others are well",
  },
  {
    name: "a row that is not as it was written",
    file: "store/rows.ts",
    edits: edit("end !== endOf(row.subarray(0, -SUM_BYTES))", "end.length !== SUM_BYTES"),
    of: "test/store/rows_test.ts",
    test: "rows: a bit that flips, in any of them, is found out",
  },
  {
    name: "a packed row that is not as it was written",
    file: "store/packed_row.ts",
    edits: edit("Buffer.compare(sumOf(said), row.subarray(-SUM_BYTES)) !== 0", "said.length === 0"),
    of: "test/store/rows_test.ts",
    test: "rows: a bit that flips, in any of them, is found out",
  },
  {
    name: "a log that is not as it was written",
    file: "store/log_entry.ts",
    edits: edit("sum !== undefined && sum !== checksum(JSON.stringify(entry.slice(0, -1)))", 'sum === ""'),
    of: "test/replica/stopped_test.ts",
    test:
      "stopped: a vote in the log that rotted on disk is damaged on load: no view, no vote, no promise, one line, and others are well",
  },
  {
    name: "two states under one hash",
    file: "paxos/record.ts",
    edits: edit("contentHash === undefined || own === contentHash", "contentHash === undefined || own !== null"),
    of: "test/paxos/record_test.ts",
    test: "a state that says something else under the same hash stops the key, by accept, prepare or learn",
  },
  {
    name: "a chain without results",
    file: "machine/chain.ts",
    edits: edit("value.id, ...results.map(textOf)]", "value.id, ...results.slice(0, 0).map(textOf)]"),
    of: "test/machine/chain_test.ts",
    test: "chain: another value, another result or another past is another hash, though the state says the same",
  },
  {
    name: "a chain that never folds the state in",
    file: "machine/chain.ts",
    edits: edit("instance % FOLD_INSTANCES === 0", "instance < 0 * FOLD_INSTANCES"),
    of: "test/machine/chain_test.ts",
    test: "chain: a state that has become another in memory is found out at the next fold, and from then on",
  },
  {
    name: "the first of two states",
    file: "paxos/learner.ts",
    edits: edit(
      'agreed === null ? { type: "contradicted" } : judge(quorums, agreed)',
      "judge(quorums, agreed ?? views)",
    ),
    of: "test/paxos/learner_test.ts",
    test: "read: two states at the newest instance settle nothing, unless a read quorum has the same",
  },
  {
    name: "a vote applied again after a lost check-and-set",
    file: "store/part.ts",
    edits: [
      { before: "    waiter.run = null;\n", after: "" },
      { before: "last !== null && last.base === base && last.saw === saw", after: "last !== null" },
    ],
    of: "test/store/kv_ballot_store_test.ts",
    test: "owner store: another writer's change is seen, and the step runs again on it",
  },
  {
    name: "a reply before the commit",
    file: "store/part.ts",
    edits: edit(
      "      last = run;\n",
      "      last = run;\n      waiter.resolve(run.result.reply);\n",
    ),
    of: "test/store/kv_ballot_store_test.ts",
    test: "owner store: nobody is answered before the commit of what the step wrote or saw",
  },
  {
    name: "a log applied to rows that were written after it",
    file: "store/record_log.ts",
    edits: edit("items.filter(({ seq }) => seq > at)", "items"),
    of: "test/store/record_log_test.ts",
    test: "record log: it stays short, and records are the same with and without it",
  },
  {
    name: "a log that is not read on after a commit of unknown outcome",
    file: "store/owner_store.ts",
    edits: edit("      await within(this.#deadlineMs, this.#path, this.#log.readOn());\n", ""),
    of: "test/store/record_log_test.ts",
    test: "record log: while it cannot be read after a commit of unknown outcome, nothing is said of any record",
  },
  {
    name: "a repeated take told without a renewal",
    file: "service/grants.ts",
    edits: edit("const isNew = hold.ask === which.ask ||", 'const isNew = hold.fence !== "" ||'),
    of: "test/service/holds_test.ts",
    test: "repeated while it is held: the same fence, told as replayed, and its lease begins with this request",
  },
  {
    name: "a set whose caller went away keeps what was renewed late",
    file: "service/set_undo.ts",
    edits: edit("if (caller.anonymous !== true) return false;", "return false;"),
    of: "test/service/lock_sets_test.ts",
    test:
      "lock sets: what a renewal kept that was decided late, after it was given up, is given back by who went away too",
  },
  {
    name: "a reply before the commit, in the host",
    file: "replica/acceptor_host.ts",
    edits: edit(
      "    const reply = await this.#update<SentReply>(key, (stored) => {",
      "    const { promise, resolve, reject } = Promise.withResolvers<SentReply>();\n    void this.#update<SentReply>(key, (stored) => {",
    ).concat(edit(
      "      const reply = next.reply;\n",
      "      const reply = next.reply;\n      resolve(reply);\n",
    )).concat(edit(
      "reply, ...moving };\n    });",
      "...(move === null ? {} : { move }) };\n    }).catch(reject);\n    const reply = await promise;",
    )),
    of: "test/replica/acceptor_host_test.ts",
    test: "acceptor host: nothing is said of a vote or promise before its commit",
  },
  {
    name: "amnesia: a store that belongs to nobody votes",
    file: "replica/vote_gate.ts",
    edits: edit("if (this.#store.identity() === null) return", "if (this.#store === null) return"),
    of: "test/replica/vote_gate_test.ts",
    test: "standing: a store that belongs to nobody never votes and asks nobody",
  },
  {
    name: "amnesia: a store that was rolled back votes",
    file: "replica/vote_gate.ts",
    edits: edit("if (fault !== null) {", "if (fault !== null && this.#lastSeq < 0) {"),
    of: "test/replica/vote_gate_test.ts",
    test: "standing: a node whose store lost its last 1 commits is quarantined, and the rest go on",
  },
  {
    name: "amnesia: a second life is heard by whoever knew the first",
    file: "replica/lives.ts",
    edits: edit("if (known !== null && known !== mark.incarnation) {", "if (known !== null && known === '') {"),
    of: "test/replica/lives_test.ts",
    test: "lives: of a second life nothing is taken, neither what it asks nor what it answers, and it is told once",
  },
  {
    name: "the machine is raised though a node knows less",
    file: "service/raising.ts",
    edits: edit("    if (behind.length > 0) {\n", "    if (behind.length > 99) {\n"),
    of: "test/service/raising_test.ts",
    test:
      "raising: refused while a member or a learner knows less, says nothing or does not answer; nothing is decided",
  },
  {
    name: "a state of a newer machine is taken",
    file: "replica/faulty_message.ts",
    edits: edit("  if (needed > raised.knows) return", "  if (needed > raised.knows + 1) return"),
    of: "test/replica/acceptor_host_test.ts",
    test:
      "acceptor host: a state of a newer machine is not taken either, and it is known from then on that there is one",
  },
  {
    name: "a client's value under any id",
    file: "replica/faulty_message.ts",
    edits: edit(
      "&& !isShared(digest, said.key, said.value)",
      "&& !isShared(digest, said.key, said.value) && message.key === ''",
    ),
    of: "test/replica/acceptor_host_test.ts",
    test: "acceptor host: a value of nobody is voted for only under the id that its commands make",
  },
  {
    name: "ttl counted from a retry: a repeated vote begins the lease anew",
    file: "replica/lease_clock.ts",
    edits: edit("if (!voted.has(valueId)) voted", "voted"),
    of: "test/replica/lease_clock_test.ts",
    test: "lease clock: a lease counts from the vote for the value that grants it, if that came first",
  },
  {
    name: "ttl counted from a retry: the renewal that confirms it is another node's",
    file: "service/holds.ts",
    edits: [
      ...edit("      this.#renewed(name, hold, caller, renewId),\n", "      null,\n"),
      ...edit(
        "    if (renewed === null) return null;\n    // They",
        `    const { result, ...seen } = answered;
    const now = result.outcome === "renewed" ? holdOfFence(seen.state, hold.fence) : null;
    if (now === null) return null;
    return { ...seen, hold: now, id, isFirst: renewed === null };
    // They`,
      ),
    ],
    of: "test/service/locks_test.ts",
    test: "locks: who waits through two nodes under one key is guaranteed by each no more than its own renewal gives",
  },
  {
    name: "a hold that trusts the monotonic clock alone",
    file: "client/lease.ts",
    edits: edit("Math.max(clock.now() - since.nowMs, clock.wall() - since.wallMs)", "(clock.now() - since.nowMs)"),
    of: "test/client/lease_test.ts",
    test: "lease: the clock that says more has gone by counts",
  },
  {
    name: "forgetting without a floor",
    file: "machine/forget.ts",
    edits: edit("window.evicted = at - 1;", "window.evicted = Math.min(window.evicted, at);"),
    of: "test/machine/forget_test.ts",
    test: "forgetting: a command that was applied before is never applied again, and one that was made before it is",
  },
  {
    name: "forgetting what its proposer has not seen",
    file: "machine/forget.ts",
    edits: edit("draft.instance === at && ", "draft.instance >= at && "),
    of: "test/machine/forget_test.ts",
    test: "forgetting: nothing of what its proposer has not seen, and nothing by rules that do not know it",
  },
  {
    name: "a fence without the position in the batch",
    file: "machine/grants.ts",
    edits: edit("numberOf(draft.instance, draft.grants + 1)", "numberOf(draft.instance, 1)"),
    of: "test/machine/lock_test.ts",
    test: "grants of one value have consecutive fences, and a hand-over is unconfirmed until renewed",
  },
];

export type MutantJudgement = { readonly passed: boolean; readonly how: string };

/** Above the plans that are to catch one, and that are to let one pass. */
const STATES_MAX = 5_000_000;

export async function judgeRoleMutant(mutant: RoleMutant): Promise<MutantJudgement> {
  const core = await plantedCore(mutant);
  const { states, violation } = explore(core, PLANS[mutant.caughtBy], STATES_MAX);
  if (violation === null) return { passed: false, how: `survived ${states} states of ${mutant.caughtBy}` };
  const how = `after ${states} states of ${mutant.caughtBy}: ${violation.what}`;
  if (mutant.passes === undefined) return { passed: true, how };
  const small = explore(core, PLANS[mutant.passes], STATES_MAX);
  const hidden = small.complete && small.violation === null;
  return { passed: hidden, how: `${how}; ${hidden ? "passes" : "DOES NOT PASS"} ${mutant.passes}` };
}

/**
 * Each with its judgement, in their order. Without the bug its test must pass, which is seen of all at once: a test that
 * cannot pass would catch everything.
 */
export async function judgeHostMutants(
  mutants: readonly HostMutant[],
  told: (mutant: HostMutant, judgement: MutantJudgement) => void,
): Promise<void> {
  if (mutants.length === 0) return;
  await withCopy(async (run) => {
    const sound = await run(null, mutants.map(({ of, test }) => ({ file: of, test })));
    for (const mutant of mutants) told(mutant, await judgeHostMutant(run, sound, mutant));
  });
}

async function judgeHostMutant(run: RunPlanted, sound: TestRun, mutant: HostMutant): Promise<MutantJudgement> {
  const { of, test } = mutant;
  if (!sound.passed(test)) return { passed: false, how: `without the bug it does not pass: ${sound.output}` };
  const planted = await run(mutant, [{ file: of, test }]);
  return planted.failed(test)
    ? { passed: true, how: `by ${of}: ${test}` }
    : { passed: false, how: `with the bug it does not fail: ${planted.output}` };
}
