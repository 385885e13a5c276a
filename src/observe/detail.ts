/** Messages and replies cut down to what a chart shows of them. */
import type { NodeId, Sighting, WireReply } from "../ports.ts";

type Handled = Extract<Sighting, { type: "handled" }>;
type Sent = Extract<Sighting, { type: "sent" }>;
type Message = Handled["message"] | Sent["message"];
type Report = Extract<Message, { type: "collision" }>["reports"][number];
type Vote = Report["vote"];

/** Fast Paxos's letters. */
const LETTERS: Readonly<Record<string, "1a" | "1b" | "2a" | "2b">> = {
  prepare: "1a",
  promise: "1b",
  any: "2a",
  accept: "2a",
  accepted: "2b",
};
const NONCE_CHARS = 6;
const DIGEST_CHARS = 12;
const COMMAND_CHARS = 12;
const COMMANDS_MAX = 8;

export type VoteDetail = { readonly ballot: string; readonly value: string };

/** What a message or a reply is about. */
export type MessageDetail = {
  readonly type: Message["type"] | WireReply["type"];
  readonly letter?: "1a" | "1b" | "2a" | "2b";
  readonly instance?: number;
  readonly ballot?: string;
  /** An Any's: how a collision in the ballot it opens is recovered. */
  readonly recovery?: Extract<Message, { type: "any" }>["recovery"];
  readonly value?: string;
  /** Who proposes the value; "" if anybody may. */
  readonly proposer?: NodeId;
  readonly commands?: readonly string[];
  /** The vote a promise, a refusal or a view reports. */
  readonly vote?: VoteDetail | null;
  /** What others voted for, as a report or a pick has it. */
  readonly votes?: Readonly<Record<NodeId, string>>;
};

/** Somebody met two values in one ballot. */
export type CollisionRemark = {
  readonly kind: "remark";
  readonly remark: "collision";
  readonly by: "acceptor" | "proposer" | "coordinator" | "learner";
  readonly instance: number;
  /** For an acceptor: the one it holds, then the one it refuses. */
  readonly values: readonly string[];
};

/** `node/nonce/n` with its nonce cut, or the front of a digest; a ballot's text likewise. */
export function valueName(id: string): string {
  const parts = id.split("/");
  if (parts.length === 1) return id.slice(0, DIGEST_CHARS);
  // A ballot's step follows the nonce.
  return parts.map((part, i) => i === 1 ? part.replace(/^[^.]*/, (nonce) => nonce.slice(0, NONCE_CHARS)) : part)
    .join("/");
}

/** An Idempotency-Key is its caller's: whoever may only read gets its front. */
export function commandName(id: string): string {
  return id.slice(0, COMMAND_CHARS);
}

/** What is marked as of a fresh key is shown as what it is of every other. */
export function detailOf(message: Message | WireReply): MessageDetail {
  if (message.type === "fresh") return detailOf("reply" in message ? message.reply : message.message);
  const letter = LETTERS[message.type];
  return {
    type: message.type,
    ...(letter === undefined ? {} : { letter }),
    ...("instance" in message
      ? { instance: message.instance }
      : "snapshot" in message
      ? { instance: message.snapshot.instance }
      : {}),
    ...("ballot" in message ? { ballot: valueName(message.ballot.join(".")) } : {}),
    ...(message.type === "any" ? { recovery: message.recovery } : {}),
    ...valueOf(message),
    ...votesOf(message),
  };
}

function valueOf(message: Message | WireReply): Pick<MessageDetail, "value" | "proposer" | "commands" | "ballot"> {
  switch (message.type) {
    case "accept":
    case "picked": {
      const { id, proposer, commands } = message.value;
      return { value: valueName(id), proposer, commands: names(commands) };
    }
    case "accepted": {
      if (!("vote" in message)) return { value: valueName(message.valueId) };
      const { ballot, value } = message.vote;
      return { ballot: valueName(ballot.join(".")), value: valueName(value.id) };
    }
    case "learn": {
      const { certificate, snapshot } = message;
      const by = certificate ?? snapshot?.decidedBy ?? null;
      return by === null ? {} : { value: valueName(by.valueId) };
    }
    case "decide":
      return { value: valueName(message.certificate.valueId), ballot: valueName(message.certificate.ballot.join(".")) };
    case "forward":
      return { commands: names(message.commands) };
    case "outcomes":
      return { commands: names(message.results) };
    default:
      return {};
  }
}

function votesOf(message: Message | WireReply): Pick<MessageDetail, "vote" | "votes"> {
  switch (message.type) {
    case "promise":
    case "refused":
    case "view":
      return { vote: voteOf(message.vote) };
    case "collision":
    case "recover":
    case "pick":
      return {
        votes: Object.fromEntries(
          message.reports.flatMap(({ from, vote }) => vote === null ? [] : [[from, valueName(vote.value.id)]]).sort(),
        ),
      };
    default:
      return {};
  }
}

function voteOf(vote: Vote): VoteDetail | null {
  return vote === null ? null : { ballot: valueName(vote.ballot.join(".")), value: valueName(vote.value.id) };
}

function names(commands: readonly { readonly id: string }[]): readonly string[] {
  return commands.slice(0, COMMANDS_MAX).map(({ id }) => commandName(id));
}

/** The collision this node detects in what it sees, or null. */
export function collisionIn(seen: Sighting): CollisionRemark | null {
  if (seen.type === "sent") {
    return seen.message.type === "collision"
      ? among("proposer", seen.message.instance, seen.message.reports, [])
      : null;
  }
  if (seen.type !== "handled") return null;
  const { message, reply } = seen;
  switch (message.type) {
    case "fresh":
      return reply.type === "fresh" ? collisionIn({ ...seen, message: message.message, reply: reply.reply }) : null;
    case "accept": {
      if (reply.type !== "refused" || reply.vote === null) return null;
      const { ballot, value: held } = reply.vote;
      // A vote of another ballot is no collision, only an older or newer attempt.
      if (ballot.join(".") !== message.ballot.join(".") || held.id === message.value.id) return null;
      return remark("acceptor", message.instance, [held.id, message.value.id]);
    }
    case "recover":
      return among("coordinator", message.instance, message.reports, reply.type === "picked" ? [reply.value.id] : []);
    case "pick":
      return among("learner", message.instance, message.reports, []);
    default:
      return null;
  }
}

/** A report with one value tells of silence, not of a collision. */
function among(
  by: CollisionRemark["by"],
  instance: number,
  reports: readonly Report[],
  more: readonly string[],
): CollisionRemark | null {
  const reported = [...new Set(reports.flatMap(({ vote }) => vote === null ? [] : [vote.value.id]))];
  return new Set([...reported, ...more]).size < 2 ? null : remark(by, instance, reported);
}

function remark(by: CollisionRemark["by"], instance: number, ids: readonly string[]): CollisionRemark {
  return { kind: "remark", remark: "collision", by, instance, values: ids.map(valueName) };
}
