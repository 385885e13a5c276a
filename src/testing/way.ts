/** How a client in this process reaches a node in it: through a network that may be cut, to a node that may be gone. */
import type { Fetch } from "../client/failover.ts";

export type Way = {
  /** Resolves once what is sent now would arrive, either way. */
  open(): Promise<void>;
  /** The node's process; null: there is none. */
  node(): NodeProcess | null;
};
export type NodeProcess = {
  /** Aborts when it is gone. */
  readonly gone: AbortSignal;
  handle(request: Request): Promise<Response>;
};

/**
 * As `fetch`, over that way. What is sent while it is cut arrives when it is open again, unless its sender has given up; the
 * connection to a node that is gone breaks.
 */
export function fetchOver(way: Way): Fetch {
  return (url, init) => {
    const signal = init.signal ?? new AbortController().signal;
    return unless(signal, async () => {
      await way.open();
      signal.throwIfAborted();
      const node = way.node();
      if (node === null) throw refused();
      const broken = heardOver(way, node.gone);
      return await unless(broken, async () => {
        const response = await node.handle(new Request(url, { ...init, signal: heardOver(way, signal) }));
        await way.open();
        const { status, headers, body } = response;
        const ends = [signal, broken];
        return new Response(body === null ? null : carried(body, way, ends), { status, headers });
      });
    });
  };
}

/** What aborts at one end of the way, at the other. */
function heardOver(way: Way, signal: AbortSignal): AbortSignal {
  const heard = new AbortController();
  const tell = () => void way.open().then(() => heard.abort(signal.reason));
  if (signal.aborted) tell();
  else signal.addEventListener("abort", tell, { once: true });
  return heard.signal;
}

/** Rejects with the signal's reason as soon as it aborts. */
async function unless<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise: over, reject } = Promise.withResolvers<never>();
  const end = () => reject(signal.reason);
  signal.addEventListener("abort", end, { once: true });
  try {
    return await Promise.race([work(), over]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** A stream that ends in an error as soon as one of these aborts. */
function carried(body: ReadableStream<Uint8Array>, way: Way, ends: readonly AbortSignal[]): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let unlisten = () => {};
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const listeners = ends.map((signal) => {
        const end = () => {
          unlisten();
          controller.error(signal.reason);
        };
        signal.addEventListener("abort", end, { once: true });
        return () => signal.removeEventListener("abort", end);
      });
      unlisten = () => listeners.forEach((remove) => remove());
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      await way.open();
      if (ends.some(({ aborted }) => aborted)) return;
      if (!done) return controller.enqueue(value);
      unlisten();
      controller.close();
    },
    cancel(reason) {
      unlisten();
      void way.open().then(() => reader.cancel(reason)).catch(() => {});
    },
  });
}

/** As a runtime tells that nothing listens there: surely nothing was sent. */
function refused(): TypeError {
  return new TypeError("connection refused", { cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) });
}
