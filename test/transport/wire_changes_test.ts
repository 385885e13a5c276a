import { assertEquals } from "@std/assert";
import type { WireMessage, WireReply } from "../../src/ports.ts";
import { messageIn, replyIn, WIRE_CHANGES, type WireChange } from "../../src/transport/wire_changes.ts";
import { decodeRequest, decodeResponse, encodeMessage, encodeResponse, joinRequest } from "../../src/transport/wire.ts";
import { WIRES } from "../../src/version.ts";
import { MESSAGES, REPLIES } from "./samples.ts";
/** What nodes of 0.2.0 sent, made by that commit's own code of one message and one reply of each type. */
import samples from "./wire5_samples.json" with { type: "json" };

/** Wire 9 has a field more, wire 8 has a type more, wire 7 is the first. */
const CHANGES: readonly WireChange[] = [
  {
    wire: 9,
    message: (message) => {
      const { later: _, ...rest } = message as WireMessage & { later?: string };
      return rest as WireMessage;
    },
  },
  {
    wire: 8,
    message: (message) => message.type === "marks" ? null : message,
    reply: (reply) => reply.type === "marks" ? null : reply,
  },
];

Deno.test("wire changes: what is sent to a peer of an older wire is as that wire has it, or is not sent", () => {
  const later = { ...MESSAGES.read, later: "x" } as WireMessage;
  assertEquals([9, 8, 7].map((wire) => messageIn(wire, later, CHANGES)), [later, MESSAGES.read, MESSAGES.read]);
  const marks = MESSAGES.marks as WireMessage;
  assertEquals([9, 8, 7].map((wire) => messageIn(wire, marks, CHANGES)), [marks, marks, null]);
  const reply = REPLIES.marks as WireReply;
  assertEquals([9, 8, 7].map((wire) => replyIn(wire, reply, CHANGES)), [reply, reply, null]);
});

Deno.test("wire changes: no row is of a wire that nobody is downgraded to, and the newest come first", () => {
  const wires = WIRE_CHANGES.map(({ wire }) => wire);
  assertEquals(wires, wires.filter((wire) => wire > WIRES.least && wire <= WIRES.most).toSorted((a, b) => b - a));
});

Deno.test("wire 5: each request that a node of 0.2.0 sent is understood, and written back for it to the byte", () => {
  for (const [type, text] of Object.entries(samples.requests)) {
    const { config, mark, messages } = decodeRequest(text);
    assertEquals(messages, JSON.parse(text).messages, type);
    assertEquals(messages.map((message) => message.type), [type]);
    assertEquals(joinRequest(config, mark, messages.map((one) => encodeMessage(one as WireMessage, 5))), text);
  }
});

Deno.test("wire 5: each answer that a node of 0.2.0 gave is understood, and written back for it to the byte", () => {
  for (const [type, text] of Object.entries(samples.answers)) {
    const body = decodeResponse(text);
    assertEquals(body.replies, JSON.parse(text).replies, type);
    assertEquals(body.replies.map((reply) => reply.type as string), [type]);
    assertEquals(encodeResponse(body, 5), text);
  }
});
