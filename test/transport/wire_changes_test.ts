import { assertEquals } from "@std/assert";
import type { WireMessage, WireReply } from "../../src/ports.ts";
import { messageIn, replyIn, WIRE_CHANGES, type WireChange } from "../../src/transport/wire_changes.ts";
import { WIRES } from "../../src/version.ts";
import { MESSAGES, REPLIES } from "./samples.ts";

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
