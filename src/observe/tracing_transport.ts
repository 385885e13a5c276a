/** A transport that shows every message between nodes to a trace, once, at its sender: when it leaves, when its reply comes. */
import type { NodeId, Trace, Transport, WireMessage, WireReply } from "../ports.ts";

/** The very transport where the trace is off. */
export function tracingTransport(transport: Transport, trace: Trace): Transport {
  return trace.on ? new TracingTransport(transport, trace) : transport;
}

class TracingTransport implements Transport {
  readonly #transport: Transport;
  readonly #trace: Trace;

  constructor(transport: Transport, trace: Trace) {
    this.#transport = transport;
    this.#trace = trace;
  }

  async send(to: NodeId, message: WireMessage): Promise<WireReply> {
    this.#trace.record({ type: "sent", to, message });
    try {
      const reply = await this.#transport.send(to, message);
      this.#trace.record({ type: "answered", from: to, message, reply });
      return reply;
    } catch (error) {
      this.#trace.record({ type: "answered", from: to, message, reply: null });
      throw error;
    }
  }

  rttMs(to: NodeId): number {
    return this.#transport.rttMs(to);
  }

  close(): void {
    this.#transport.close();
  }
}
