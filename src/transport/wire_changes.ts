/**
 * What messages and replies of today are in an older wire. Who changes what one of them holds raises WIRES.most (version.ts) and
 * adds a row here; the row goes when WIRES.least has reached its wire.
 */
import type { WireMessage, WireReply } from "../ports.ts";

export type WireChange = {
  /** The first wire that has it. */
  readonly wire: number;
  /** What is sent to who speaks less; null: it must not be sent there. */
  readonly message?: (message: WireMessage) => WireMessage | null;
  readonly reply?: (reply: WireReply) => WireReply | null;
};

/** The newest first. Wire 6 differs in its headers alone (auth/peer_mac.ts). */
export const WIRE_CHANGES: readonly WireChange[] = [];

export function messageIn(wire: number, message: WireMessage, changes = WIRE_CHANGES): WireMessage | null {
  return changes.reduce<WireMessage | null>(
    (one, change) => one === null || change.wire <= wire || change.message === undefined ? one : change.message(one),
    message,
  );
}

export function replyIn(wire: number, reply: WireReply, changes = WIRE_CHANGES): WireReply | null {
  return changes.reduce<WireReply | null>(
    (one, change) => one === null || change.wire <= wire || change.reply === undefined ? one : change.reply(one),
    reply,
  );
}
