import { assert, assertEquals, assertGreater, assertLessOrEqual, assertThrows } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { PAXOS_BODY_MAX_BYTES, VALUE_MAX_BYTES } from "../../src/limits.ts";
import type { WireMessage, WireReply } from "../../src/ports.ts";
import { utf8Bytes } from "../../src/transport/checks.ts";
import {
  answered,
  decodeMessages,
  decodeReplies,
  decodeRequest,
  decodeResponse,
  encodeMessage,
  encodeRequest,
  encodeResponse,
} from "../../src/transport/wire.ts";
import { BALLOT, CERTIFICATE, CONFIG, MARK, MESSAGES, REPLIES, SNAPSHOT, STANDING, VALUE } from "./samples.ts";

type Path = readonly (string | number)[];

/** A copy of `value` with `to` at `path`; undefined takes the field away. */
function changed(value: unknown, path: Path, to: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return to;
  const copy = Array.isArray(value) ? [...value] : { ...value as Record<string, unknown> };
  const fields = copy as Record<string | number, unknown>;
  const inner = changed(fields[step], rest, to);
  if (inner === undefined) delete fields[step];
  else fields[step] = inner;
  return copy;
}

function refusedMessage(message: unknown, field: string): void {
  const error = assertThrows(() => decodeMessages(JSON.stringify([message])), QuorateError);
  assertEquals([error.code, error.facts.field], ["invalid-request", field]);
}

function refusedReply(reply: unknown, field: string): void {
  const error = assertThrows(() => decodeReplies(JSON.stringify([reply])), QuorateError);
  assertEquals([error.code, error.facts.field], ["invalid-request", field]);
}

/** Every path to a field of an object within `value`. */
function* paths(value: unknown, at: Path = []): Generator<Path> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    const path = [...at, Array.isArray(value) ? Number(name) : name];
    if (!Array.isArray(value)) yield path;
    yield* paths(inner, path);
  }
}

const OPTIONAL = new Set(["decided", "snapshot", "value", "claims", "nextMode", "any", "unsaved"]);

/** Whether a field may be absent; `value` may be in `learn` only, `snapshot` everywhere but in replies. */
function isOptional(type: string, path: Path): boolean {
  const name = String(path.at(-1));
  if (name === "contentHash" || name === "importVote") return true;
  // An import's base, and what is reported, are whole.
  if (path.includes("report") || path[0] === "base" || path[0] === "vote") {
    return name === "claims" || name === "nextMode";
  }
  if (!OPTIONAL.has(name) || type === "ahead" || type === "view") return name === "claims" || name === "nextMode";
  return name !== "value" || (type === "learn" && path.length === 1);
}

/** Whether the field belongs to the machine, which alone knows its shape. */
function isOpaque(path: Path): boolean {
  const [parent, name] = path.slice(-2);
  return (parent === "op" && name !== "type") || (parent === "state" && name !== "mode");
}

Deno.test("every message and reply comes out as it went in", () => {
  const messages: readonly WireMessage[] = Object.values(MESSAGES);
  const replies: readonly WireReply[] = Object.values(REPLIES);
  assertEquals(decodeMessages(JSON.stringify(messages)), messages);
  assertEquals(decodeReplies(JSON.stringify(replies)), replies);
  assertEquals(decodeRequest(encodeRequest({ config: CONFIG, mark: MARK, messages })), {
    config: CONFIG,
    mark: MARK,
    messages,
  });
  assertEquals(decodeResponse(encodeResponse({ mark: MARK, replies })), { mark: MARK, replies });
});

Deno.test("no field may be missing, be of another kind, or have one beside it that is not known", () => {
  for (const [samples, decode] of [[MESSAGES, decodeMessages], [REPLIES, decodeReplies]] as const) {
    for (const sample of Object.values(samples)) {
      for (const path of paths(sample)) {
        const refused = (at: Path, to: unknown) => {
          const name = `${sample.type} ${at.join(".")} ${JSON.stringify(to)}`;
          assertThrows(() => decode(JSON.stringify([changed(sample, at, to)])), QuorateError, undefined, name);
        };
        const beside = [...path.slice(0, -1), "surprise"];
        if (!isOpaque(beside)) refused(beside, 1);
        if (isOpaque(path)) continue;
        for (const wrong of [{ wrong: true }, [[]], true]) refused(path, wrong);
        if (!isOptional(sample.type, path)) refused(path, undefined);
      }
    }
  }
});

Deno.test("what a node keeps to itself is refused: decide, recover, and what answers them", () => {
  const address = { key: "lock/a", epoch: 0, instance: 5 };
  refusedMessage({ type: "decide", ...address, certificate: CERTIFICATE }, "messages[0].type");
  refusedMessage({ type: "recover", ...address, reports: [], freshId: "x" }, "messages[0].type");
  refusedReply({ type: "picked", instance: 5, ballot: [0, "", 1], value: VALUE }, "replies[0].type");
  refusedReply({ type: "decided", instance: 5 }, "replies[0].type");
  refusedReply({ type: "undecided", instance: 5 }, "replies[0].type");
});

Deno.test("what the receiver's host adds is refused from outside", () => {
  refusedMessage({ ...MESSAGES.accept, envelope: { from: "a", seenMs: {} } }, "messages[0].envelope");
  refusedMessage({ ...MESSAGES.accept, seenMs: {} }, "messages[0].seenMs");
  refusedMessage({ ...MESSAGES.read, from: "b" }, "messages[0].from");
});

Deno.test("names every object has are no types and no fields", () => {
  for (const type of ["constructor", "toString", "__proto__", "", 7, null]) {
    refusedMessage({ ...MESSAGES.read, type }, "messages[0].type");
    refusedReply({ type }, "replies[0].type");
  }
  const json = JSON.stringify([MESSAGES.read]).replace("{", '{"__proto__":{"x":1},');
  assertThrows(() => decodeMessages(json), QuorateError, "__proto__");
});

Deno.test("instances and epochs are integers that stay exact", () => {
  for (const instance of ["1e400", "-1", "1.5", "0", "9007199254740992", '"5"', "null", "true", "[5]"]) {
    const json = JSON.stringify([MESSAGES.read]).replace('"instance":5', `"instance":${instance}`);
    const error = assertThrows(() => decodeMessages(json), QuorateError);
    assertEquals(error.facts.field, "messages[0].instance", instance);
  }
  for (const epoch of [-1, 1.5, null]) refusedMessage({ ...MESSAGES.read, epoch }, "messages[0].epoch");
});

Deno.test("ballots are the standing ones or a node's own", () => {
  const good = [[0, "", 0], [0, "", 1], [1, "a/x", 0], [7, "a/x/y", 1]];
  for (const ballot of good) decodeMessages(JSON.stringify([{ ...MESSAGES.prepare, ballot }]));
  const at = "messages[0].ballot";
  const bad: readonly [unknown, string][] = [
    [[0, "a/x", 0], `${at}[1]`],
    [[0, "", 2], `${at}[2]`],
    [[0, "", -1], `${at}[2]`],
    [[1, "", 0], `${at}[1]`],
    [[1, "a", 0], `${at}[1]`],
    [[1, "/x", 0], `${at}[1]`],
    [[1, "a/", 0], `${at}[1]`],
    [[-1, "a/x", 0], `${at}[0]`],
    [[1.5, "a/x", 0], `${at}[0]`],
    [[1, "a/" + "x".repeat(200), 0], `${at}[1]`],
    [[1, "a/x"], at],
    [[1, "a/x", 0, 0], at],
    ["1.a/x.0", at],
    [{ 0: 1, 1: "a/x", 2: 0, length: 3 }, at],
  ];
  for (const [ballot, field] of bad) refusedMessage({ ...MESSAGES.prepare, ballot }, field);
});

Deno.test("keys and ids have their limits", () => {
  const key = (text: string) => ({ ...MESSAGES.read, key: text });
  decodeMessages(JSON.stringify([key("x".repeat(528)), key("é".repeat(264))]));
  for (const text of ["", "x".repeat(529), "é".repeat(265), "\ud800"]) refusedMessage(key(text), "messages[0].key");

  const value = "messages[0].value";
  const accept = (path: Path, to: unknown) => changed(MESSAGES.accept, ["value", ...path], to);
  refusedMessage(accept(["id"], ""), `${value}.id`);
  refusedMessage(accept(["id"], "x".repeat(201)), `${value}.id`);
  refusedMessage(accept(["proposer"], "a/b"), `${value}.proposer`);
  refusedMessage(accept(["commands", 0, "subject"], "é".repeat(65)), `${value}.commands[0].subject`);
  refusedMessage(accept(["commands", 0, "born"], -1), `${value}.commands[0].born`);
  refusedMessage(accept(["commands", 0, "op"], "release"), `${value}.commands[0].op`);
  refusedMessage(accept(["commands", 0, "op", "type"], 1), `${value}.commands[0].op.type`);
  decodeMessages(JSON.stringify([accept(["proposer"], "")]));
});

Deno.test("what is asked about keys, and what is answered, has its limits", () => {
  const ask = (more: object) => ({ ...MESSAGES.keys, ...more });
  decodeMessages(JSON.stringify([ask({ after: "" }), ask({ limit: 500, which: "all" })]));
  for (
    const [field, wrong] of [["prefix", ""], ["after", "x".repeat(529)], ["limit", 0], ["limit", 501], ["which", "x"]]
  ) {
    refusedMessage(ask({ [field as string]: wrong }), `messages[0].${field}`);
  }
  for (const type of ["keys", "records"] as const) {
    const answer = (keys: unknown) => ({ ...REPLIES[type], keys });
    decodeReplies(JSON.stringify([answer([]), answer(Array(500).fill("kv/x"))]));
    refusedReply(answer(Array(501).fill("kv/x")), "replies[0].keys");
    refusedReply(answer(["kv/x", ""]), "replies[0].keys[1]");
  }
  const which = (keys: unknown) => ({ ...MESSAGES.records, keys });
  decodeMessages(JSON.stringify([which([]), which(Array(500).fill("é".repeat(264)))]));
  for (const wrong of [Array(501).fill("kv/x"), "kv/x", undefined]) refusedMessage(which(wrong), "messages[0].keys");
  refusedMessage(which(["kv/x", 1]), "messages[0].keys[1]");
});

Deno.test("a quorum cannot be padded: nobody is named twice", () => {
  const at = "messages[0].certificate.acceptors";
  const learn = (acceptors: unknown) => ({ ...MESSAGES.learn, certificate: { ...CERTIFICATE, acceptors } });
  refusedMessage(learn(["a", "b", "a"]), at);
  refusedMessage(learn([]), at);
  refusedMessage(learn("abcdefghij".split("")), at);
  const reports = [{ from: "a", vote: null }, { from: "a", vote: null }];
  refusedMessage({ ...MESSAGES.collision, reports }, "messages[0].reports");
});

Deno.test("values, states and lists have their limits", () => {
  const value = "messages[0].value";
  const accept = (path: Path, to: unknown) => changed(MESSAGES.accept, ["value", ...path], to);
  const command = VALUE.commands[0]!;
  decodeMessages(JSON.stringify([accept(["commands"], Array(64).fill(command))]));
  refusedMessage(accept(["commands"], Array(65).fill(command)), `${value}.commands`);
  refusedMessage(accept(["claims"], Array(65).fill({ id: "1", by: "b" })), `${value}.claims`);

  const heavy = (chars: number, char: string) => ({ type: "x", pad: char.repeat(chars) });
  decodeMessages(JSON.stringify([accept(["commands", 0, "op"], heavy(40_000, "x"))]));
  refusedMessage(accept(["commands", 0, "op"], heavy(49_152, "x")), value);
  // Bytes, not characters.
  refusedMessage(accept(["commands", 0, "op"], heavy(20_000, "€")), value);

  const ahead = (pad: string) => ({ type: "ahead", snapshot: changed(SNAPSHOT, ["state", "pad"], pad) });
  decodeReplies(JSON.stringify([ahead("x".repeat(56_000))]));
  refusedReply(ahead("x".repeat(57_344)), "replies[0].snapshot.state");
  refusedReply(changed(REPLIES.ahead, ["snapshot", "state", "mode"], undefined), "replies[0].snapshot.state.mode");

  refusedReply(changed(REPLIES.learned, ["unsaved", "saved"], 7), "replies[0].unsaved.saved");
  refusedReply(changed(REPLIES.learned, ["unsaved", "run"], "r".repeat(1_000)), "replies[0].unsaved.run");

  decodeMessages(JSON.stringify(Array(1_000).fill(MESSAGES.read)));
  const error = assertThrows(() => decodeMessages(JSON.stringify(Array(1_001).fill(MESSAGES.read))), QuorateError);
  assertEquals(error.facts.field, "messages");
});

Deno.test("what would not survive being written again is refused in parts that are not looked into", () => {
  const base = JSON.stringify([changed(MESSAGES.accept, ["value", "commands", 0, "op", "pad"], 1)]);
  const op = "messages[0].value.commands[0].op.pad";
  for (
    const [pad, below] of [
      ["1e400", ""],
      ["-1e400", ""],
      ["-0", ""],
      ['"\\ud800"', ""],
      ['{"deep":[{"__proto__":1}]}', ".deep.0.__proto__"],
      ['[0,{"a":["x",-0]},-0]', ".1.a.1"],
      ['{"a":[],"\\ud800":1}', ".\ud800"],
    ]
  ) {
    const error = assertThrows(() => decodeMessages(base.replace('"pad":1', `"pad":${pad}`)), QuorateError);
    assertEquals([error.code, error.facts.field], ["invalid-request", op + below]);
  }
  decodeMessages(base.replace('"pad":1', '"pad":[0,1.5,null,true,{"a":"€🧀"}]'));
});

Deno.test("a value weighs what it will be written as, however short its text is", () => {
  const base = JSON.stringify([changed(MESSAGES.accept, ["value", "commands", 0, "op", "pad"], 1)]);
  const text = base.replace('"pad":1', `"pad":[${Array(3_000).fill("1e20")}]`);
  assert(text.length < VALUE_MAX_BYTES);
  const request = `{"config":"${CONFIG}","mark":${JSON.stringify(MARK)},"messages":${text}}`;
  const [answer] = decodeRequest(request).messages;
  assertEquals(answer?.type, "unavailable");
  assertThrows(() => decodeMessages(text), QuorateError, `is above ${VALUE_MAX_BYTES} bytes`);
});

Deno.test("deep nesting is an error, not a crash", () => {
  const levels = 100_000;
  const cases = [
    "[".repeat(levels) + "]".repeat(levels),
    "[".repeat(levels),
    '{"a":'.repeat(levels) + "1" + "}".repeat(levels),
    `[{"type":"read","key":${"[".repeat(levels)}${"]".repeat(levels)}}]`,
  ];
  for (const json of cases) {
    for (const decode of [decodeMessages, decodeReplies, decodeRequest, decodeResponse]) {
      assertThrows(() => decode(json), QuorateError);
    }
  }
  const nested = JSON.parse("[".repeat(17) + "]".repeat(17));
  refusedMessage(
    changed(MESSAGES.accept, ["value", "commands", 0, "op", "pad"], nested),
    "messages[0].value.commands[0].op.pad" + ".0".repeat(15),
  );
});

Deno.test("what is not JSON, or too much of it, is refused", () => {
  for (const json of ["", "{", "[", "[}", '"', '"\\', "nul", "[1,]", "\ufeff[]", "[]x", "\0", "undefined"]) {
    const error = assertThrows(() => decodeMessages(json), QuorateError, "is not JSON", JSON.stringify(json));
    assertEquals(error.code, "invalid-request");
    assertEquals(error.message, "body is not JSON", "nothing of what it was is repeated");
  }
  for (const json of ["null", "{}", "1", '"x"']) assertThrows(() => decodeMessages(json), QuorateError, "not an array");
  const error = assertThrows(() => decodeMessages(`["${"é".repeat(PAXOS_BODY_MAX_BYTES / 2)}"]`), QuorateError);
  assertEquals(error.code, "too-large");
});

Deno.test("requests and answers are wholes: config, mark and items, and nothing else", () => {
  const request = { config: CONFIG, mark: MARK, messages: [MESSAGES.read] };
  const cases: readonly [unknown, string][] = [
    [[], "body"],
    [{ ...request, extra: 1 }, "body.extra"],
    [{ ...request, config: "short" }, "config"],
    [{ ...request, mark: { ...MARK, seq: -1 } }, "mark.seq"],
    [{ ...request, mark: { ...MARK, boot: 1.5 } }, "mark.boot"],
    [{ ...request, mark: { ...MARK, wall: 1 } }, "mark.wall"],
    [{ ...request, mark: null }, "mark"],
    [{ ...request, messages: {} }, "messages"],
    [{ ...request, messages: Array(1_001).fill(MESSAGES.read) }, "messages"],
  ];
  for (const [body, field] of cases) {
    const error = assertThrows(() => decodeRequest(JSON.stringify(body)), QuorateError);
    assertEquals(error.facts.field, field);
  }
  assertThrows(() => decodeResponse(JSON.stringify({ mark: MARK })), QuorateError, "replies is not an array");
  assertThrows(() => decodeResponse(JSON.stringify({ mark: MARK, replies: [], messages: [] })), QuorateError);
});

Deno.test("what is wrong with one message of a request is said in its place, and the others are as they came", () => {
  const bad: readonly [unknown, string][] = [
    [null, "messages[1] is not an object"],
    [{}, "messages[1].type is not the type of a message on the wire"],
    [{ type: "decide" }, "messages[1].type is not the type of a message on the wire"],
    [{ ...MESSAGES.read, instance: 0 }, "messages[1].instance is not an integer from 1"],
    [{ ...MESSAGES.read, hint: 1 }, "messages[1].hint is not a known field"],
    [{ ...MESSAGES.read, ["x".repeat(2_000)]: 1 }, `messages[1].${"x".repeat(988)}`],
  ];
  for (const [message, reason] of bad) {
    const body = { config: CONFIG, mark: MARK, messages: [MESSAGES.prepare, message, MESSAGES.any] };
    assertEquals(decodeRequest(JSON.stringify(body)).messages, [
      MESSAGES.prepare,
      { type: "unavailable", reason },
      MESSAGES.any,
    ]);
  }
});

Deno.test("answered: replies come in the order of the messages, whatever was refused between them", async () => {
  const refused = { type: "unavailable", reason: "no" } as const;
  const messages = [refused, MESSAGES.read, refused, MESSAGES.any, refused];
  const asked: unknown[] = [];
  const replies = await answered(messages, (good) => {
    asked.push(...good);
    return Promise.resolve([REPLIES.view, REPLIES.opened]);
  });
  assertEquals(asked, [MESSAGES.read, MESSAGES.any]);
  assertEquals(replies, [refused, REPLIES.view, refused, REPLIES.opened, refused]);
  // A node that answers too little is found out by its peer.
  assertEquals((await answered(messages, () => Promise.resolve([REPLIES.view]))).length, 4);
});

Deno.test("a message no peer would take is not encoded", () => {
  assertThrows(() => encodeMessage({ ...MESSAGES.read, instance: NaN }), QuorateError, "message.instance");
  assertThrows(() => encodeMessage({ ...MESSAGES.read, type: "decide" } as never), QuorateError, "message.type");
});

Deno.test("a reply no peer would take does not spoil the others", () => {
  const bad: WireReply = { type: "lapsed", instance: 5, remainingMs: Infinity };
  const { replies } = decodeResponse(encodeResponse({ mark: MARK, replies: [REPLIES.noted, bad, REPLIES.behind] }));
  assertEquals(replies.map((reply) => reply.type), ["noted", "unavailable", "behind"]);
});

Deno.test("an answer keeps to its limit: what finds no room is unavailable, and the rest arrives", () => {
  const heavy = changed(REPLIES.ahead, ["snapshot", "state", "pad"], "€".repeat(17_000)) as WireReply;
  const replies = [REPLIES.noted, ...Array<WireReply>(100).fill(heavy), REPLIES.noted];
  const json = encodeResponse({ mark: MARK, replies });
  assertLessOrEqual(utf8Bytes(json), PAXOS_BODY_MAX_BYTES);
  const types = decodeResponse(json).replies.map((reply) => reply.type);
  assertEquals([types.length, types[0], types.at(-1)], [102, "noted", "noted"]);
  assertGreater(types.filter((type) => type === "ahead").length, 35);
  assert(types.includes("unavailable"));
});

Deno.test("utf8Bytes counts as the encoder does", () => {
  for (const text of ["", "abc", "é", "€", "🧀", "a🧀€é\u07ff\u0800\uffff", "\ud83da", "\ude00"]) {
    assertEquals(utf8Bytes(text), new TextEncoder().encode(text).length, text);
  }
});

Deno.test("an Accept! says of an opened ballot only that it is one, and how it is recovered", () => {
  const accept = { ...MESSAGES.accept, ballot: BALLOT, any: "uncoordinated" } as const;
  assertEquals(decodeMessages(JSON.stringify([accept])), [accept]);
  for (const wrong of [{ any: "free" }, { ballot: STANDING }, { ballot: [2, "a/n1", 1] }, { any: null }]) {
    const error = assertThrows(() => decodeMessages(JSON.stringify([{ ...accept, ...wrong }])), QuorateError);
    assertEquals(error.code, "invalid-request");
  }
  for (const ballot of [STANDING, [2, "a/n1", 1]]) {
    assertThrows(() => decodeMessages(JSON.stringify([{ ...MESSAGES.any, ballot }])), QuorateError);
  }
});
