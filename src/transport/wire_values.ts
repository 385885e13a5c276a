/** Checks of what messages are made of: ballots, values, votes, snapshots. Whether they make sense is the acceptor's to say. */
import {
  CLAIMS_PER_VALUE,
  COMMANDS_PER_VALUE,
  MEMBERS_MAX,
  NAME_MAX_BYTES,
  ROW_MAX_BYTES,
  SUBJECT_MAX_BYTES,
  VALUE_MAX_BYTES,
} from "../limits.ts";
import type { Ballot, NodeId } from "../paxos/ballot.ts";
import type {
  Certificate,
  Command,
  LeaseName,
  Mode,
  Outcomes,
  Report,
  Snapshot,
  State,
  Unsaved,
  Value,
  Vote,
  VoteKind,
} from "../paxos/message.ts";
import type { Mark } from "../ports.ts";
import {
  anyRecord,
  distinct,
  exceeds,
  fieldsOf,
  integer,
  list,
  oneOf,
  opaque,
  record,
  refuse,
  text,
  weigh,
} from "./checks.ts";

/** Ids of nodes, values, commands and leases, owners of ballots, digests. */
export const ID_MAX_CHARS = 200;
/** A key is a noun, a slash and a name. */
export const KEY_MAX_BYTES = 16 + NAME_MAX_BYTES;

const MODE_FAST = fieldsOf<Extract<Mode, { kind: "fast" }>>({ kind: 1, recovery: 1, coordinator: 1 });
const MODE_CLASSIC = fieldsOf<Extract<Mode, { kind: "classic" }>>({ kind: 1, coordinator: 1 });
const MODE_PREPARE = fieldsOf<Extract<Mode, { kind: "prepare" }>>({ kind: 1 });
const LEASE = fieldsOf<LeaseName>({ id: 1, by: 1 });
const COMMAND = fieldsOf<Command>({ subject: 1, id: 1, born: 1, op: 1 });
const VALUE = fieldsOf<Required<Value>>({ id: 1, proposer: 1, commands: 1, claims: 1, nextMode: 1, machine: 1 });
const VOTE = fieldsOf<Vote>({ ballot: 1, kind: 1, value: 1 });
const CERTIFICATE = fieldsOf<Certificate>({ instance: 1, ballot: 1, kind: 1, valueId: 1, acceptors: 1 });
const SNAPSHOT = fieldsOf<Snapshot>({ instance: 1, state: 1, stateHash: 1, contentHash: 1, decidedBy: 1 });
const RESULT = fieldsOf<Outcomes["results"][number]>({ subject: 1, id: 1, result: 1 });
const RESULT_MAX_CHARS = 64;
const UNSAVED = fieldsOf<Unsaved>({ run: 1, last: 1, saved: 1 });
const MARK = fieldsOf<Mark>({ incarnation: 1, boot: 1, run: 1, seq: 1 });
const REPORT = fieldsOf<Report>({ from: 1, vote: 1 });

const VOTE_KINDS: readonly VoteKind[] = ["classic", "fast", "uncoordinated"];
const CERTIFICATE_KINDS: readonly Certificate["kind"][] = ["classic", "open", "inclusive"];

export function checkId(value: unknown, field: string): string {
  return text(value, field, 1, ID_MAX_CHARS);
}

export function checkNode(value: unknown, field: string): NodeId {
  const node = checkId(value, field);
  // A slash ends the node's part of a ballot's owner and of a value's id.
  if (node.includes("/")) refuse(field, "holds a /, which no node's id does");
  return node;
}

export function checkKey(value: unknown, field: string): string {
  const key = text(value, field, 1, KEY_MAX_BYTES);
  if (exceeds(key, KEY_MAX_BYTES)) refuse(field, `is above ${KEY_MAX_BYTES} bytes`);
  return key;
}

/** The standing ballot, its recovery, or one that a node opened under a nonce of its own (PROTOCOL.md §3). */
export function checkBallot(value: unknown, field: string): Ballot {
  const parts = list(value, field, 3);
  if (parts.length !== 3) refuse(field, "is not [n, owner, step]");
  const n = integer(parts[0], `${field}[0]`, 0);
  const owner = text(parts[1], `${field}[1]`, 0, ID_MAX_CHARS);
  if (parts[2] !== 0 && parts[2] !== 1) refuse(`${field}[2]`, "is neither 0 nor 1");
  if (n === 0) {
    if (owner !== "") refuse(`${field}[1]`, "is not empty in the standing ballot");
  } else {
    const slash = owner.indexOf("/");
    if (slash < 1 || slash === owner.length - 1) refuse(`${field}[1]`, "is not node/nonce");
  }
  return value as Ballot;
}

/** A ballot that a node may open to everybody's values. */
export function checkOpenedBallot(value: unknown, field: string): void {
  const [n, , step] = checkBallot(value, field);
  if (n === 0 || step !== 0) refuse(field, "is not one that a node opens");
}

export function checkRecovery(value: unknown, field: string): void {
  oneOf(value, field, ["coordinated", "uncoordinated"]);
}

export function checkMode(value: unknown, field: string): Mode {
  const { kind } = anyRecord(value, field);
  switch (kind) {
    case "fast": {
      const mode = record(value, field, MODE_FAST);
      checkRecovery(mode["recovery"], `${field}.recovery`);
      checkNode(mode["coordinator"], `${field}.coordinator`);
      break;
    }
    case "classic":
      checkNode(record(value, field, MODE_CLASSIC)["coordinator"], `${field}.coordinator`);
      break;
    case "prepare":
      record(value, field, MODE_PREPARE);
      break;
    default:
      refuse(`${field}.kind`, "is none of fast, classic, prepare");
  }
  return value as Mode;
}

export function checkLeases(value: unknown, field: string): readonly LeaseName[] {
  list(value, field, CLAIMS_PER_VALUE).forEach((item, index) => {
    const at = `${field}[${index}]`;
    const lease = record(item, at, LEASE);
    checkId(lease["id"], `${at}.id`);
    checkId(lease["by"], `${at}.by`);
  });
  return value as readonly LeaseName[];
}

/** @param isLight it is known to weigh no more than it may */
export function checkValue(value: unknown, field: string, isLight = false): Value {
  const fields = record(value, field, VALUE);
  checkId(fields["id"], `${field}.id`);
  if (fields["proposer"] !== "") checkNode(fields["proposer"], `${field}.proposer`);
  checkCommands(fields["commands"], `${field}.commands`);
  if (fields["claims"] !== undefined) checkLeases(fields["claims"], `${field}.claims`);
  if (fields["nextMode"] !== undefined) checkMode(fields["nextMode"], `${field}.nextMode`);
  if (fields["machine"] !== undefined) integer(fields["machine"], `${field}.machine`, 2);
  if (!isLight) weigh(value, field, VALUE_MAX_BYTES);
  return value as Value;
}

export function checkVote(value: unknown, field: string, isLight = false): Vote | null {
  if (value === null) return null;
  const vote = record(value, field, VOTE);
  checkBallot(vote["ballot"], `${field}.ballot`);
  checkVoteKind(vote["kind"], `${field}.kind`);
  checkValue(vote["value"], `${field}.value`, isLight);
  return value as Vote;
}

export function checkVoteKind(value: unknown, field: string): VoteKind {
  return oneOf(value, field, VOTE_KINDS);
}

export function checkCertificate(value: unknown, field: string): Certificate {
  const certificate = record(value, field, CERTIFICATE);
  integer(certificate["instance"], `${field}.instance`, 1);
  checkBallot(certificate["ballot"], `${field}.ballot`);
  oneOf(certificate["kind"], `${field}.kind`, CERTIFICATE_KINDS);
  checkId(certificate["valueId"], `${field}.valueId`);
  const at = `${field}.acceptors`;
  const acceptors = list(certificate["acceptors"], at, MEMBERS_MAX);
  if (acceptors.length === 0) refuse(at, "is empty");
  for (let i = 0; i < acceptors.length; i++) checkNode(acceptors[i], `${at}[${i}]`);
  // Quorums are sets: an acceptor named twice must not look like two.
  distinct(acceptors as readonly NodeId[], at);
  return value as Certificate;
}

export function checkSnapshot(value: unknown, field: string, isLight = false): Snapshot {
  const snapshot = record(value, field, SNAPSHOT);
  integer(snapshot["instance"], `${field}.instance`, 1);
  checkState(snapshot["state"], `${field}.state`, isLight);
  checkId(snapshot["stateHash"], `${field}.stateHash`);
  if (snapshot["contentHash"] !== undefined) checkId(snapshot["contentHash"], `${field}.contentHash`);
  if (snapshot["decidedBy"] !== null) checkCertificate(snapshot["decidedBy"], `${field}.decidedBy`);
  return value as Snapshot;
}

export function checkReports(value: unknown, field: string, isLight = false): readonly Report[] {
  const senders = list(value, field, MEMBERS_MAX).map((item, index) => {
    const at = `${field}[${index}]`;
    const report = record(item, at, REPORT);
    checkVote(report["vote"], `${at}.vote`, isLight);
    return checkNode(report["from"], `${at}.from`);
  });
  distinct(senders, field);
  return value as readonly Report[];
}

export function checkCommands(value: unknown, field: string): readonly Command[] {
  const commands = list(value, field, COMMANDS_PER_VALUE);
  for (let i = 0; i < commands.length; i++) checkCommand(commands[i], `${field}[${i}]`);
  return commands as readonly Command[];
}

function checkCommand(value: unknown, field: string): void {
  const command = record(value, field, COMMAND);
  const subject = text(command["subject"], `${field}.subject`, 0, SUBJECT_MAX_BYTES);
  if (exceeds(subject, SUBJECT_MAX_BYTES)) refuse(`${field}.subject`, `is above ${SUBJECT_MAX_BYTES} bytes`);
  checkId(command["id"], `${field}.id`);
  integer(command["born"], `${field}.born`, 0);
  const op = anyRecord(command["op"], `${field}.op`);
  text(op["type"], `${field}.op.type`, 1, ID_MAX_CHARS);
  opaque(op, `${field}.op`);
}

/** The machine's own; of it the roles know the mode only. */
function checkState(value: unknown, field: string, isLight: boolean): void {
  const state = anyRecord(value, field) as Readonly<Record<keyof State, unknown>>;
  checkMode(state.mode, `${field}.mode`);
  opaque(state, field);
  if (!isLight) weigh(state, field, ROW_MAX_BYTES);
}

export function checkResults(value: unknown, at: string): void {
  list(value, at, COMMANDS_PER_VALUE).forEach((item, i) => {
    const result = record(item, `${at}[${i}]`, RESULT);
    text(result["subject"], `${at}[${i}].subject`, 0, SUBJECT_MAX_BYTES);
    checkId(result["id"], `${at}[${i}].id`);
    text(result["result"], `${at}[${i}].result`, 1, RESULT_MAX_CHARS);
  });
}

export function checkUnsaved(value: unknown, at: string): void {
  const { run, last, saved } = record(value, at, UNSAVED);
  checkId(run, `${at}.run`);
  const newest = integer(last, `${at}.last`, 1);
  if (integer(saved, `${at}.saved`, 0) >= newest) refuse(`${at}.saved`, "is not below the last");
}

export function checkMark(value: unknown, at: string): Mark {
  const mark = record(value, at, MARK);
  checkId(mark["incarnation"], `${at}.incarnation`);
  integer(mark["boot"], `${at}.boot`, 0);
  checkId(mark["run"], `${at}.run`);
  integer(mark["seq"], `${at}.seq`, 0);
  return value as Mark;
}
