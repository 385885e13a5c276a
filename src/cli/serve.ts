/** The listening side of a node process: bound at once, open for requests when the node is composed. */
import type { NodeConfig } from "../config/config.ts";
import type { Tls } from "../config/tls.ts";
import { withCors } from "../../routes/cors.ts";
import { QuorateError } from "../errors.ts";
import { notReady } from "../http/not_ready.ts";
import { CommandError, oneLine } from "./report.ts";
import { realRandomness } from "../compose/world.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

export type Listener = {
  /** With the port that was given or found. */
  readonly url: string;
  /** From now on requests go to the node. */
  open(handler: Handler): void;
  /**
   * Shows this certificate on new connections from then on; those that stand go on with the one before until they end.
   * Rejects with QuorateError if it is no certificate or its key is another's, and has changed nothing then.
   */
  renew(tls: Tls): Promise<void>;
  /** Accepts nothing more. Resolves once requests under way are answered, or after a moment if they are not. */
  stop(): Promise<void>;
};

/** What is under way when the node is told to stop may take this long: a lock that waits may wait for minutes. */
const GRACE_MS = 1_500;
/** A port is free again a moment after its listener was closed. */
const REBIND_EVERY_MS = 2;
/** After so many tries somebody else has it, or the process has too many files open. */
const REBIND_TOLD = 500;

/** Throws CommandError if it cannot listen, QuorateError if what `tls` holds cannot be used. */
export function listen({ host, port, tls, cors }: Pick<NodeConfig, "host" | "port" | "tls" | "cors">): Listener {
  let handler: Handler = starting;
  let shown = tls;
  let isStopped = false;
  const answer = withCors(cors, (request) => handler(request));
  const serve = (at: number) => Deno.serve({ hostname: host, port: at, ...shown ?? {}, onListen: () => {} }, answer);
  if (tls !== null) check(tls);
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = serve(port);
  } catch (error) {
    throw new CommandError(whyNotListening(host, port, error));
  }
  const bound = server.addr.port;
  const authority = `${host.includes(":") ? `[${host}]` : host}:${bound}`;
  return {
    url: `${tls === null ? "http" : "https"}://${authority}`,
    open: (next) => void (handler = next),
    renew: async (next) => {
      if (shown === null || (next.cert === shown.cert && next.key === shown.key)) return;
      check(next);
      shown = next;
      // A server of the runtime keeps the certificate it began with. Its listener closes at once, its connections do not.
      void server.shutdown();
      for (let tries = 1; !isStopped; tries++) {
        try {
          server = serve(bound);
          return;
        } catch (error) {
          if (tries === REBIND_TOLD) console.error(`${whyNotListening(host, bound, error)}; tried again until it goes`);
          await new Promise((resolve) => setTimeout(resolve, REBIND_EVERY_MS));
        }
      }
    },
    // No abort after the grace: on a server that is shutting down it throws. The process ends soon, and they with it.
    stop: async () => {
      isStopped = true;
      await Promise.race([server.shutdown(), new Promise<void>((done) => setTimeout(done, GRACE_MS))]);
    },
  };
}

/** Throws QuorateError if no server can be had with it. */
function check(tls: Tls): void {
  try {
    Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...tls }).close();
  } catch (error) {
    const field = "--tls-cert";
    throw new QuorateError("invalid-request", `${field} and --tls-key cannot be used together: ${oneLine(error)}`, {
      field,
    });
  }
}

/** Peers that start at the same moment should not wait for an answer that this node cannot give yet. */
function starting(request: Request): Response {
  return notReady(request, "this node is starting", () => realRandomness.id());
}

/** One line for a port that is taken or otherwise out of reach. */
export function whyNotListening(host: string, port: number, error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return `port ${port} on ${host} is in use; stop what listens there or choose another with --port`;
  }
  return `cannot listen on ${host} port ${port}: ${oneLine(error)}`;
}
