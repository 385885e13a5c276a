/** What a message to an acceptor is about, and what one did to the record. */
import { sameBallot } from "../paxos/ballot.ts";
import type {
  AcceptorMessage,
  AcceptorRecord,
  AcceptorReply,
  LeaseName,
  Snapshot,
  Value,
  Vote,
} from "../paxos/message.ts";
import type { Move, WireReply } from "../ports.ts";

/** What moved the record on by one instance, if a decided value did and not a state that somebody sent. */
export function moveOf(before: AcceptorRecord, after: AcceptorRecord, message: AcceptorMessage): Move | null {
  const { instance, decidedBy } = after;
  if ("snapshot" in message && message.snapshot !== undefined) return null;
  if (instance !== before.instance + 1 || decidedBy?.instance !== before.instance) return null;
  const value = [before.vote?.value, message.type === "learn" ? message.value : undefined]
    .find((known) => known?.id === decidedBy.valueId);
  return value === undefined ? null : { certificate: decidedBy, value };
}

/** Whether the message is of another value in the vote's own fast ballot. */
export function hasMet(vote: Vote, message: AcceptorMessage): boolean {
  return message.type === "accept" && vote.kind === "fast" && sameBallot(message.ballot, vote.ballot) &&
    message.value.id !== vote.value.id;
}

/** Whether the record stands where the sender of the message stood; behind it, it is old, and past it, the sender is. */
export function isAsNew(message: AcceptorMessage, reply: AcceptorReply, isOwn: boolean): boolean {
  switch (message.type) {
    case "accept":
    case "any":
    case "prepare":
      return !isOwn &&
        (reply.type === "accepted" || reply.type === "opened" || reply.type === "promise" ||
          reply.type === "refused") &&
        reply.instance === message.instance;
    case "learn":
      return reply.type === "learned" &&
        reply.instance === (message.certificate === null ? message.snapshot?.instance : message.instance + 1);
    default:
      return false;
  }
}

export function leasesNamed(message: AcceptorMessage): readonly LeaseName[] {
  switch (message.type) {
    case "lapsed?":
      return message.leases;
    case "learn":
      return [];
    default:
      return valuesIn(message).flatMap(({ claims = [] }) => claims);
  }
}

/** The newest version of the machine that a value or state of the message is of; 0: it has neither, or they do not say. */
export function neededVersion(message: AcceptorMessage): number {
  const values = valuesIn(message).map(({ machine = 0 }) => machine);
  return Math.max("snapshot" in message ? versionOf(message.snapshot) : 0, ...values);
}

/** As neededVersion, of a reply. */
export function neededByReply(reply: WireReply): number {
  if (reply.type === "fresh") return neededByReply(reply.reply);
  if ("report" in reply || reply.type === "import-refused") return neededByImport(reply);
  const vote = "vote" in reply ? reply.vote?.value.machine ?? 0 : 0;
  return Math.max("snapshot" in reply ? versionOf(reply.snapshot) : 0, vote);
}

function neededByImport(
  reply: Extract<WireReply, { readonly type: "unimported" | "import-promise" | "import-refused" }>,
) {
  const report = "report" in reply ? reply.report : null;
  const imported = [reply.vote, report?.importVote ?? null];
  const values = [...imported, report?.vote ?? null].map((vote) => vote?.value.machine ?? 0);
  const states = [report?.snapshot ?? undefined, ...imported.map((vote) => vote?.base)].map(versionOf);
  return Math.max(...values, ...states);
}

/** The version of the machine that a state is of; 0: it does not say. */
export function versionOf(snapshot: Snapshot | undefined): number {
  return (snapshot?.state as { readonly version?: number } | undefined)?.version ?? 0;
}

/** What this node may vote for, or move by, because of the message. */
export function valuesIn(message: AcceptorMessage): readonly Value[] {
  switch (message.type) {
    case "accept":
      return [message.value];
    case "learn":
      return message.value === undefined ? [] : [message.value];
    case "recover":
    case "pick":
      return message.reports.flatMap(({ vote }) => vote === null ? [] : [vote.value]);
    default:
      return [];
  }
}
