/** One well formed message, and one reply, of each type. */
import type { Ballot } from "../../src/paxos/ballot.ts";
import type { ImportVote } from "../../src/members/message.ts";
import type { Certificate, Snapshot, Value, Vote } from "../../src/paxos/message.ts";
import type { Mark, WireMessage, WireReply } from "../../src/ports.ts";

export const BALLOT: Ballot = [2, "a/n1", 0];
export const STANDING: Ballot = [0, "", 0];
export const CONFIG = "c".repeat(64);
export const MARK: Mark = { incarnation: "inc1", boot: 7, run: "run1", seq: 42 };

export const VALUE: Value = {
  id: "a/n1/1",
  proposer: "a",
  commands: [{ subject: "local", id: "cmd-1", born: 0, op: { type: "release", fence: "1024", atMs: 5 } as never }],
  claims: [{ id: "1024", by: "a/n0/1" }],
  nextMode: { kind: "classic", coordinator: "b" },
};
export const VOTE: Vote = { ballot: STANDING, kind: "fast", value: VALUE };
export const CERTIFICATE: Certificate = {
  instance: 4,
  ballot: STANDING,
  kind: "inclusive",
  valueId: "a/n1/0",
  acceptors: ["a", "b"],
};
export const SNAPSHOT: Snapshot = {
  instance: 5,
  state: { mode: { kind: "fast", recovery: "coordinated", coordinator: "a" }, holds: [] } as never,
  stateHash: "d".repeat(64),
  contentHash: "e".repeat(32),
  decidedBy: CERTIFICATE,
};

export const IMPORT_VOTE: ImportVote = { ballot: BALLOT, kind: "classic", base: SNAPSHOT, value: VALUE };

const IMPORT = { key: "lock/deploy", epoch: 1 };
const ADDRESS = { key: "lock/deploy", epoch: 0, instance: 5 };

export const MESSAGES: { readonly [T in WireMessage["type"]]: Extract<WireMessage, { type: T }> } = {
  prepare: { type: "prepare", ...ADDRESS, ballot: BALLOT, decided: CERTIFICATE, snapshot: SNAPSHOT },
  any: { type: "any", ...ADDRESS, ballot: BALLOT, recovery: "coordinated", decided: CERTIFICATE },
  accept: { type: "accept", ...ADDRESS, ballot: STANDING, value: VALUE, decided: CERTIFICATE },
  learn: { type: "learn", ...ADDRESS, certificate: { ...CERTIFICATE, instance: 5 }, value: VALUE },
  read: { type: "read", ...ADDRESS },
  "import-prepare": { type: "import-prepare", ...IMPORT, ballot: BALLOT },
  "import-accept": { type: "import-accept", ...IMPORT, ballot: BALLOT, base: SNAPSHOT, value: VALUE },
  "import-learn": {
    type: "import-learn",
    ...IMPORT,
    certificate: { ...CERTIFICATE, ballot: BALLOT, kind: "classic" },
    baseHash: "d".repeat(64),
  },
  fresh: {
    type: "fresh",
    ...IMPORT,
    message: { type: "accept", ...IMPORT, instance: 5, ballot: STANDING, value: VALUE },
  },
  "lapsed?": { type: "lapsed?", ...ADDRESS, leases: [{ id: "1024", by: "a/n0/1" }] },
  collision: {
    type: "collision",
    ...ADDRESS,
    ballot: STANDING,
    reports: [{ from: "a", vote: VOTE }, { from: "b", vote: null }],
    snapshot: SNAPSHOT,
  },
  forward: { type: "forward", ...ADDRESS, commands: VALUE.commands, claims: [{ id: "1024", by: "a/n0/1" }] },
  outcomes: { type: "outcomes", ...ADDRESS, results: [{ subject: "s", id: "k", result: "g1025,30000" }] },
  accepted: { type: "accepted", ...ADDRESS, vote: VOTE },
  marks: { type: "marks", of: "a" },
  keys: { type: "keys", prefix: "kv/", after: "kv/a", limit: 10, which: "live" },
  records: { type: "records", keys: ["kv/a", "kv/b"] },
};

type Sent = Exclude<WireReply, { type: "decided" | "undecided" | "picked" }>;
export const REPLIES: { readonly [T in Sent["type"]]: Extract<WireReply, { type: T }> } = {
  promise: { type: "promise", instance: 5, ballot: BALLOT, vote: VOTE },
  opened: { type: "opened", instance: 5, ballot: BALLOT },
  accepted: { type: "accepted", instance: 5, ballot: STANDING, kind: "fast", valueId: "a/n1/1" },
  refused: { type: "refused", instance: 5, ballot: STANDING, promised: BALLOT, vote: null },
  "not-lapsed": { type: "not-lapsed", instance: 5, ballot: STANDING, remainingMs: 1.5 },
  ahead: { type: "ahead", snapshot: SNAPSHOT },
  behind: { type: "behind", instance: 4 },
  learned: { type: "learned", instance: 5, unsaved: { run: "r1", last: 7, saved: 4 } },
  view: { type: "view", snapshot: { ...SNAPSHOT, decidedBy: null }, promised: STANDING, vote: VOTE },
  lapsed: { type: "lapsed", instance: 5, remainingMs: 0 },
  "import-promise": {
    type: "import-promise",
    ballot: BALLOT,
    report: { snapshot: SNAPSHOT, vote: VOTE },
    vote: IMPORT_VOTE,
    first: null,
  },
  "import-accepted": { type: "import-accepted", ballot: BALLOT, valueId: "a/n1/1" },
  "import-refused": { type: "import-refused", ballot: BALLOT, promised: [3, "b/n2", 0], vote: IMPORT_VOTE },
  unimported: {
    type: "unimported",
    promised: STANDING,
    report: { snapshot: null, vote: null, importVote: IMPORT_VOTE },
    vote: null,
    first: 7,
  },
  fresh: { type: "fresh", reply: { type: "accepted", instance: 5, ballot: STANDING, kind: "fast", valueId: "a/n1/1" } },
  rejected: { type: "rejected", reason: "no such ballot" },
  stopped: { type: "stopped", reason: "two values in one classic ballot" },
  unavailable: { type: "unavailable", reason: "starting" },
  noted: { type: "noted" },
  marks: { type: "marks", mark: MARK, of: "a" },
  keys: { type: "keys", keys: ["kv/b"] },
  records: { type: "records", keys: ["kv/b"] },
};
