/**
 * What nodes send each other, checked both ways: the only way in for bytes of a peer, and what leaves is held to the
 * same rules, so that one bad message never spoils the request it would share with others.
 *
 * A request to `/paxos/MAILBOX` is `{config, mark, messages}`, its answer `{mark, replies}`, one reply per message in
 * order. `config` is the hex SHA-256 of the sender's ClusterConfig (§3), `mark` the sender's own last commit (§9).
 */
import { KEYS_PER_REPLY, PAXOS_BODY_MAX_BYTES, PAXOS_MAX_MESSAGES, VALUE_MAX_BYTES } from "../limits.ts";
import type { Alignment } from "../paxos/message.ts";
import type { Mark, WireMessage, WireReply } from "../ports.ts";
import {
  anyRecord,
  type Checks,
  duration,
  exceeds,
  type Fields,
  fieldsOf,
  integer,
  list,
  type Of,
  oneOf,
  parseJson,
  record,
  refuse,
  text,
  utf8Bytes,
} from "./checks.ts";
import { IMPORT_MESSAGES, IMPORT_REPLIES } from "./wire_imports.ts";
import {
  checkBallot,
  checkCertificate,
  checkCommands,
  checkId,
  checkKey,
  checkLeases,
  checkMark,
  checkNode,
  checkOpenedBallot,
  checkRecovery,
  checkReports,
  checkResults,
  checkSnapshot,
  checkUnsaved,
  checkValue,
  checkVote,
  checkVoteKind,
} from "./wire_values.ts";
import { messageIn, replyIn } from "./wire_changes.ts";
import { WIRES } from "../version.ts";

export type PeerRequestBody = {
  readonly config: string;
  readonly mark: Mark;
  readonly messages: readonly WireMessage[];
};
/** The reply to a message that could not be taken: neither a vote nor "did not vote". */
type Unavailable = Extract<WireReply, { type: "unavailable" }>;
/** As it came: in the place of each message that is malformed, of an unknown type, or beyond a limit, the answer to it. */
export type ReceivedRequest = Omit<PeerRequestBody, "messages"> & {
  readonly messages: readonly (WireMessage | Unavailable)[];
};
export type PeerResponseBody = { readonly mark: Mark; readonly replies: readonly WireReply[] };

/** Room of a body for its messages or replies: a config hash and a mark are far below the rest. */
export const ITEMS_MAX_BYTES = PAXOS_BODY_MAX_BYTES - 4 * 1024;

const REASON_MAX_CHARS = 1_000;
const TOO_LARGE: Unavailable = { type: "unavailable", reason: "the answers are too large together: ask again" };

const ADDRESS = { type: 1, key: 1, epoch: 1, instance: 1 } as const;
const ALIGNMENT = { decided: 1, snapshot: 1 } as const;

/** `decide`, `recover` and `pick` are no part of it: only a node itself may conclude from its own votes (R2). */
const MESSAGES: Checks<WireMessage> = {
  prepare: [fieldsOf<Of<WireMessage, "prepare">>({ ...ADDRESS, ...ALIGNMENT, ballot: 1 }), (message, at, isLight) => {
    checkAddress(message, at);
    checkAlignment(message, at, isLight);
    checkBallot(message["ballot"], `${at}.ballot`);
  }],
  any: [
    fieldsOf<Of<WireMessage, "any">>({ ...ADDRESS, ...ALIGNMENT, ballot: 1, recovery: 1 }),
    (message, at, isLight) => {
      checkAddress(message, at);
      checkAlignment(message, at, isLight);
      checkOpenedBallot(message["ballot"], `${at}.ballot`);
      checkRecovery(message["recovery"], `${at}.recovery`);
    },
  ],
  accept: [
    fieldsOf<Of<WireMessage, "accept">>({ ...ADDRESS, ...ALIGNMENT, ballot: 1, value: 1, any: 1 }),
    (message, at, isLight) => {
      checkAddress(message, at);
      checkAlignment(message, at, isLight);
      checkBallot(message["ballot"], `${at}.ballot`);
      checkValue(message["value"], `${at}.value`, isLight);
      if (message["any"] === undefined) return;
      checkOpenedBallot(message["ballot"], `${at}.ballot`);
      checkRecovery(message["any"], `${at}.any`);
    },
  ],
  learn: [
    fieldsOf<Of<WireMessage, "learn">>({ ...ADDRESS, certificate: 1, value: 1, snapshot: 1 }),
    (message, at, isLight) => {
      checkAddress(message, at);
      if (message["certificate"] !== null) checkCertificate(message["certificate"], `${at}.certificate`);
      if (message["value"] !== undefined) checkValue(message["value"], `${at}.value`, isLight);
      if (message["snapshot"] !== undefined) checkSnapshot(message["snapshot"], `${at}.snapshot`, isLight);
    },
  ],
  read: [fieldsOf<Of<WireMessage, "read">>(ADDRESS), checkAddress],
  ...IMPORT_MESSAGES,
  "lapsed?": [fieldsOf<Of<WireMessage, "lapsed?">>({ ...ADDRESS, leases: 1 }), (message, at) => {
    checkAddress(message, at);
    checkLeases(message["leases"], `${at}.leases`);
  }],
  collision: [
    fieldsOf<Of<WireMessage, "collision">>({ ...ADDRESS, ...ALIGNMENT, ballot: 1, reports: 1 }),
    (message, at, isLight) => {
      checkAddress(message, at);
      checkAlignment(message, at, isLight);
      checkBallot(message["ballot"], `${at}.ballot`);
      checkReports(message["reports"], `${at}.reports`, isLight);
    },
  ],
  forward: [fieldsOf<Of<WireMessage, "forward">>({ ...ADDRESS, commands: 1, claims: 1 }), (message, at) => {
    checkAddress(message, at);
    checkCommands(message["commands"], `${at}.commands`);
    if (message["claims"] !== undefined) checkLeases(message["claims"], `${at}.claims`);
  }],
  outcomes: [fieldsOf<Of<WireMessage, "outcomes">>({ ...ADDRESS, results: 1 }), (message, at) => {
    checkAddress(message, at);
    checkResults(message["results"], `${at}.results`);
  }],
  accepted: [fieldsOf<Of<WireMessage, "accepted">>({ ...ADDRESS, vote: 1 }), (message, at, isLight) => {
    checkAddress(message, at);
    if (checkVote(message["vote"], `${at}.vote`, isLight) === null) refuse(`${at}.vote`, "is null");
  }],
  marks: [fieldsOf<Of<WireMessage, "marks">>({ type: 1, of: 1 }), (message, at) => {
    checkNode(message["of"], `${at}.of`);
  }],
  keys: [
    fieldsOf<Of<WireMessage, "keys">>({ type: 1, prefix: 1, after: 1, limit: 1, which: 1 }),
    (message, at) => {
      checkKey(message["prefix"], `${at}.prefix`);
      if (message["after"] !== "") checkKey(message["after"], `${at}.after`);
      const limit = integer(message["limit"], `${at}.limit`, 1);
      if (limit > KEYS_PER_REPLY) refuse(`${at}.limit`, `is above ${KEYS_PER_REPLY}`);
      oneOf(message["which"], `${at}.which`, ["live", "all"]);
    },
  ],
  records: [fieldsOf<Of<WireMessage, "records">>({ type: 1, keys: 1 }), checkKeys],
};

/** What answers `decide` and `recover` is no part of it either: it is about the node's own record. */
type SentReply = Exclude<WireReply, { type: "decided" | "undecided" | "picked" }>;
const REPLIES: Checks<SentReply> = {
  promise: [fieldsOf<Of<WireReply, "promise">>({ type: 1, instance: 1, ballot: 1, vote: 1 }), (reply, at, isLight) => {
    checkInstanceAndBallot(reply, at);
    checkVote(reply["vote"], `${at}.vote`, isLight);
  }],
  opened: [fieldsOf<Of<WireReply, "opened">>({ type: 1, instance: 1, ballot: 1 }), checkInstanceAndBallot],
  accepted: [
    fieldsOf<Of<WireReply, "accepted">>({ type: 1, instance: 1, ballot: 1, kind: 1, valueId: 1 }),
    (reply, at) => {
      checkInstanceAndBallot(reply, at);
      checkVoteKind(reply["kind"], `${at}.kind`);
      checkId(reply["valueId"], `${at}.valueId`);
    },
  ],
  refused: [
    fieldsOf<Of<WireReply, "refused">>({ type: 1, instance: 1, ballot: 1, promised: 1, vote: 1 }),
    (reply, at, isLight) => {
      checkInstanceAndBallot(reply, at);
      checkBallot(reply["promised"], `${at}.promised`);
      checkVote(reply["vote"], `${at}.vote`, isLight);
    },
  ],
  "not-lapsed": [
    fieldsOf<Of<WireReply, "not-lapsed">>({ type: 1, instance: 1, ballot: 1, remainingMs: 1 }),
    (reply, at) => {
      checkInstanceAndBallot(reply, at);
      duration(reply["remainingMs"], `${at}.remainingMs`);
    },
  ],
  ahead: [fieldsOf<Of<WireReply, "ahead">>({ type: 1, snapshot: 1 }), (reply, at, isLight) => {
    checkSnapshot(reply["snapshot"], `${at}.snapshot`, isLight);
  }],
  behind: [fieldsOf<Of<WireReply, "behind">>({ type: 1, instance: 1 }), checkInstance],
  learned: [fieldsOf<Of<WireReply, "learned">>({ type: 1, instance: 1, unsaved: 1 }), (reply, at) => {
    checkInstance(reply, at);
    if (reply["unsaved"] !== undefined) checkUnsaved(reply["unsaved"], `${at}.unsaved`);
  }],
  view: [fieldsOf<Of<WireReply, "view">>({ type: 1, snapshot: 1, promised: 1, vote: 1 }), (reply, at, isLight) => {
    checkSnapshot(reply["snapshot"], `${at}.snapshot`, isLight);
    checkBallot(reply["promised"], `${at}.promised`);
    checkVote(reply["vote"], `${at}.vote`, isLight);
  }],
  ...IMPORT_REPLIES,
  fresh: [fieldsOf<Of<WireReply, "fresh">>({ type: 1, reply: 1 }), (reply, at, isLight) => {
    const { accepted, refused, rejected, stopped } = REPLIES;
    const checks = { accepted, refused, "not-lapsed": REPLIES["not-lapsed"], rejected, stopped };
    checkTagged(reply["reply"], `${at}.reply`, checks, "what answers an Accept!", isLight);
  }],
  lapsed: [fieldsOf<Of<WireReply, "lapsed">>({ type: 1, instance: 1, remainingMs: 1 }), (reply, at) => {
    checkInstance(reply, at);
    duration(reply["remainingMs"], `${at}.remainingMs`);
  }],
  rejected: [fieldsOf<Of<WireReply, "rejected">>({ type: 1, reason: 1 }), checkReason],
  stopped: [fieldsOf<Of<WireReply, "stopped">>({ type: 1, reason: 1 }), checkReason],
  unavailable: [fieldsOf<Of<WireReply, "unavailable">>({ type: 1, reason: 1 }), checkReason],
  noted: [fieldsOf<Of<WireReply, "noted">>({ type: 1 }), () => {}],
  marks: [fieldsOf<Of<WireReply, "marks">>({ type: 1, mark: 1, of: 1 }), (reply, at) => {
    if (reply["mark"] !== null) checkMark(reply["mark"], `${at}.mark`);
    checkNode(reply["of"], `${at}.of`);
  }],
  keys: [fieldsOf<Of<WireReply, "keys">>({ type: 1, keys: 1 }), checkKeys],
  records: [fieldsOf<Of<WireReply, "records">>({ type: 1, keys: 1 }), checkKeys],
};

const REQUEST = fieldsOf<PeerRequestBody>({ config: 1, mark: 1, messages: 1 });
const RESPONSE = fieldsOf<PeerResponseBody>({ mark: 1, replies: 1 });

/** A JSON array of messages. Throws QuorateError `invalid-request` with the `field`, or `too-large`. */
export function decodeMessages(json: string): readonly WireMessage[] {
  return checkMessages(parseJson(json, PAXOS_BODY_MAX_BYTES), "messages", isLightText(json));
}

/** A JSON array of replies; throws as decodeMessages. */
export function decodeReplies(json: string): readonly WireReply[] {
  return checkReplies(parseJson(json, PAXOS_BODY_MAX_BYTES), "replies", isLightText(json));
}

/**
 * Throws as decodeMessages where it is no request at all; what is wrong with one message is said in its place.
 * Whether `config` is the receiver's is for the receiver to say (`config-mismatch`).
 */
export function decodeRequest(json: string): ReceivedRequest {
  const body = record(parseJson(json, PAXOS_BODY_MAX_BYTES), "body", REQUEST);
  const isLight = isLightText(json);
  return {
    config: text(body["config"], "config", 64, 64),
    mark: checkMark(body["mark"], "mark"),
    messages: each<WireMessage>(body["messages"], "messages", (item, at) => checkMessage(item, at, isLight)),
  };
}

/** Throws as decodeMessages where it is no response at all; a reply that cannot be believed is as one that never came. */
export function decodeResponse(json: string): PeerResponseBody {
  const body = record(parseJson(json, PAXOS_BODY_MAX_BYTES), "body", RESPONSE);
  const isLight = isLightText(json);
  return {
    mark: checkMark(body["mark"], "mark"),
    replies: each<WireReply>(body["replies"], "replies", (item, at) => checkReply(item, at, isLight)),
  };
}

/** Replies in the order of `messages`: those of `answer` to what it may be asked, and what stands in place of the rest. */
export async function answered(
  messages: ReceivedRequest["messages"],
  answer: (messages: readonly WireMessage[]) => Promise<readonly WireReply[]>,
): Promise<readonly WireReply[]> {
  const isGood = (message: WireMessage | Unavailable) => message.type !== "unavailable";
  if (messages.every(isGood)) return await answer(messages as readonly WireMessage[]);
  const replies = (await answer(messages.filter((message) => message.type !== "unavailable"))).values();
  // One that is missing stays missing: its sender counts, and believes none of them.
  return messages.flatMap((message) => message.type === "unavailable" ? message : replies.next().value ?? []);
}

export function encodeRequest(body: PeerRequestBody): string {
  return joinRequest(body.config, body.mark, body.messages.map((message) => encodeMessage(message)));
}

/** As encodeRequest, of messages that encodeMessage made; with what they weigh known, the body's limit can be kept. */
export function joinRequest(config: string, mark: Mark, messages: readonly string[]): string {
  return `{"config":${JSON.stringify(config)},"mark":${JSON.stringify(mark)},"messages":[${messages.join(",")}]}`;
}

/** JSON of one message in this wire. Throws as decodeMessages if no peer would take it. */
export function encodeMessage(given: WireMessage, wire = WIRES.most): string {
  const message = messageIn(wire, given);
  if (message === null) return refuse("message", `${given.type} is not in wire ${wire}`);
  const json = JSON.stringify(message);
  checkMessage(message, "message", isLightText(json));
  if (exceeds(json, ITEMS_MAX_BYTES)) refuse("message", `is above ${ITEMS_MAX_BYTES} bytes`);
  return json;
}

/**
 * Never above PAXOS_BODY_MAX_BYTES: replies that find no room are `unavailable`, as if lost, so a peer that asks
 * again for those gets on, where refusing the whole answer would have it ask for all of them for ever.
 */
export function encodeResponse(body: PeerResponseBody, wire = WIRES.most): string {
  const lost = JSON.stringify(TOO_LARGE);
  let room = ITEMS_MAX_BYTES - body.replies.length * (lost.length + 1);
  const replies = body.replies.map((reply) => {
    const json = encodeReply(reply, wire);
    const more = utf8Bytes(json) - lost.length;
    if (more > room) return lost;
    room -= Math.max(0, more);
    return json;
  });
  return `{"mark":${JSON.stringify(body.mark)},"replies":[${replies.join(",")}]}`;
}

/** A reply that no peer would take is a bug of this node; the others of the answer must not suffer for it. */
function encodeReply(given: WireReply, wire: number): string {
  try {
    const reply = replyIn(wire, given);
    if (reply === null) refuse("reply", `${given.type} is not in wire ${wire}`);
    const json = JSON.stringify(reply);
    checkReply(reply, "reply", isLightText(json));
    return json;
  } catch (error) {
    return JSON.stringify(unavailable(`no reply to send: ${(error as Error).message}`));
  }
}

/** Items of a list; one that fails its check takes none of the others with it. */
function each<T>(value: unknown, at: string, check: (item: unknown, at: string) => void): readonly (T | Unavailable)[] {
  return list(value, at, PAXOS_MAX_MESSAGES).map((item, i) => {
    try {
      check(item, `${at}[${i}]`);
      return item as T;
    } catch (error) {
      return unavailable((error as Error).message);
    }
  });
}

function unavailable(reason: string): Unavailable {
  return { type: "unavailable", reason: reason.slice(0, REASON_MAX_CHARS).toWellFormed() };
}

function checkMessages(value: unknown, at: string, isLight: boolean): readonly WireMessage[] {
  const items = list(value, at, PAXOS_MAX_MESSAGES);
  for (let i = 0; i < items.length; i++) checkMessage(items[i], `${at}[${i}]`, isLight);
  return items as readonly WireMessage[];
}

function checkReplies(value: unknown, at: string, isLight: boolean): readonly WireReply[] {
  const items = list(value, at, PAXOS_MAX_MESSAGES);
  for (let i = 0; i < items.length; i++) checkReply(items[i], `${at}[${i}]`, isLight);
  return items as readonly WireReply[];
}

/** Written again, a text may be longer, as 1e20 is, but not so much. */
function isLightText(json: string): boolean {
  return 6 * json.length <= VALUE_MAX_BYTES;
}

function checkMessage(value: unknown, at: string, isLight: boolean): void {
  checkTagged(value, at, MESSAGES, "a message on the wire", isLight);
}

function checkReply(value: unknown, at: string, isLight: boolean): void {
  checkTagged(value, at, REPLIES, "a reply on the wire", isLight);
}

function checkTagged<U extends { type: string }>(
  value: unknown,
  at: string,
  checks: Checks<U>,
  what: string,
  isLight: boolean,
): void {
  const { type } = anyRecord(value, at);
  // Own names only: `constructor` is a name of every object.
  if (typeof type !== "string" || !Object.hasOwn(checks, type)) refuse(`${at}.type`, `is not the type of ${what}`);
  const [known, check] = checks[type as U["type"]];
  check(record(value, at, known), at, isLight);
}

function checkAddress(message: Fields, at: string): void {
  checkKey(message["key"], `${at}.key`);
  integer(message["epoch"], `${at}.epoch`, 0);
  integer(message["instance"], `${at}.instance`, 1);
}

type Aligned = Fields & { readonly [K in keyof Alignment]?: unknown };
function checkAlignment(message: Aligned, at: string, isLight: boolean): void {
  if (message.decided !== undefined) checkCertificate(message.decided, `${at}.decided`);
  if (message.snapshot !== undefined) checkSnapshot(message.snapshot, `${at}.snapshot`, isLight);
}

function checkInstance(reply: Fields, at: string): void {
  integer(reply["instance"], `${at}.instance`, 1);
}

function checkInstanceAndBallot(reply: Fields, at: string): void {
  checkInstance(reply, at);
  checkBallot(reply["ballot"], `${at}.ballot`);
}

function checkKeys(item: Fields, at: string): void {
  list(item["keys"], `${at}.keys`, KEYS_PER_REPLY).forEach((key, i) => checkKey(key, `${at}.keys[${i}]`));
}

function checkReason(reply: Fields, at: string): void {
  text(reply["reason"], `${at}.reason`, 0, REASON_MAX_CHARS);
}
