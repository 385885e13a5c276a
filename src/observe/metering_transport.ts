/** A transport that counts what peers answer, how late, and what fails. */
import { type NodeId, PeerError, type Transport, type WireMessage, type WireReply } from "../ports.ts";

export type PeerMeter = {
  peerAnswered(peer: NodeId, ms: number): void;
  peerFailed(peer: NodeId): void;
};

/** @param now monotonic, in ms */
export function meteringTransport(transport: Transport, meter: PeerMeter, now: () => number): Transport {
  return {
    send(to: NodeId, message: WireMessage): Promise<WireReply> {
      const sentMs = now();
      const sent = transport.send(to, message);
      sent.then(
        // A Learn may be answered late on purpose: it says nothing of the way.
        () => message.type !== "learn" && meter.peerAnswered(to, now() - sentMs),
        // Without a cause it was never sent.
        (error) => error instanceof PeerError && error.why !== null && meter.peerFailed(to),
      );
      return sent;
    },
    rttMs: (to) => transport.rttMs(to),
    close: () => transport.close(),
  };
}
