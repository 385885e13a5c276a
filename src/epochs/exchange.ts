/** What two nodes tell each other of epochs, POST /paxos/epoch: what each knows, and who it is. */
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochsRow } from "../ports.ts";
import { EPOCHS_MAX_BYTES } from "../limits.ts";
import { type NodeVersion, readVersion, versionText } from "../version.ts";
import { type Fields, fieldsOf, integer, parseJson, record, refuse, text } from "../transport/checks.ts";
import type { Standing } from "./change.ts";
import { memberId, readRow, rowText } from "./epoch_config.ts";

export type EpochTold = { readonly row: EpochsRow | null };
export type EpochAnswer = EpochTold & Standing;

export const EPOCH_PATH = "/paxos/epoch";

const TOLD = fieldsOf<EpochTold>({ row: 1 });
const ANSWER = fieldsOf<EpochAnswer>({
  row: 1,
  cluster: 1,
  id: 1,
  incarnation: 1,
  isJoining: 1,
  isShared: 1,
  version: 1,
  raised: 1,
});

export function encodeTold({ row }: EpochTold): string {
  return `{"row":${row === null ? "null" : rowText(row)}}`;
}

/** Throws QuorateError `invalid-request` or `too-large`. */
export function decodeTold(body: string): EpochTold {
  return told(record(parseJson(body, EPOCHS_MAX_BYTES), "body", TOLD));
}

export function encodeAnswer({ row, cluster, id, incarnation, isJoining, isShared, ...knows }: EpochAnswer): string {
  const version = versionText(knows.version);
  const who = JSON.stringify({ cluster, id, incarnation, isJoining, isShared, version, raised: knows.raised }).slice(1);
  return `{"row":${row === null ? "null" : rowText(row)},${who}`;
}

/** Throws QuorateError `invalid-request` or `too-large`. */
export function decodeAnswer(body: string): EpochAnswer {
  const fields = record(parseJson(body, EPOCHS_MAX_BYTES), "answer", ANSWER);
  const { cluster, id, incarnation, isJoining, isShared, version, raised } = fields;
  return {
    ...told(fields),
    cluster: text(cluster, "answer.cluster", 1, 128),
    id: memberId(id, "answer.id") satisfies NodeId,
    incarnation: incarnation === null ? null : text(incarnation, "answer.incarnation", 1, 64),
    isJoining: flag(isJoining, "answer.isJoining"),
    isShared: flag(isShared, "answer.isShared"),
    version: nodeVersion(version, "answer.version"),
    raised: integer(raised, "answer.raised", 1),
  };
}

function told({ row }: Fields): EpochTold {
  return { row: row === null ? null : readRow(row, "row") };
}

function nodeVersion(value: unknown, field: string): NodeVersion {
  const version = typeof value === "string" ? readVersion(value) : null;
  if (version === null) refuse(field, "is not what a node says of its version");
  return version;
}

function flag(value: unknown, field: string): boolean {
  if (typeof value !== "boolean") refuse(field, "is neither true nor false");
  return value;
}
