/** Events and sightings for tests of the trace. */
import type { MessageDetail } from "../../src/observe/detail.ts";
import type { TraceEvent } from "../../src/observe/trace.ts";
import type { WireMessage } from "../../src/ports.ts";
import { MESSAGES } from "../transport/samples.ts";

export function accept(key: string, instance = 5): Extract<WireMessage, { type: "accept" }> {
  return { ...MESSAGES.accept, key, instance };
}

const PROPOSAL: MessageDetail = { type: "accept", letter: "2a", instance: 1, ballot: "0..0", value: "a/n/1" };
const VOTE: MessageDetail = { type: "accepted", letter: "2b", instance: 1, ballot: "0..0", value: "a/n/1" };

type Body<E> = E extends unknown ? Omit<E, "node" | "seq" | "atMs" | "key"> : never;

/** The events of one node, in this order, one millisecond apart from `atMs` on. */
export function traceOf(node: string, atMs: number, ...bodies: readonly Body<TraceEvent>[]): readonly TraceEvent[] {
  return bodies.map((body, i) => ({ node, seq: i + 1, atMs: atMs + i, key: "lock/x", ...body }) as TraceEvent);
}

export function sent(to: string, message: MessageDetail = PROPOSAL): Body<TraceEvent> {
  return { kind: "sent", to, message };
}

export function handled(
  from: string,
  message: MessageDetail = PROPOSAL,
  reply: MessageDetail = VOTE,
): Body<TraceEvent> {
  return { kind: "handled", from, message, reply };
}

export function answered(from: string, reply: MessageDetail | null = VOTE): Body<TraceEvent> {
  return { kind: "answered", from, message: PROPOSAL, reply };
}
