/** The listening side of a node process: bound at once, open for requests when the node is composed. */
import type { NodeConfig } from "../config/config.ts";
import { withCors } from "../../routes/cors.ts";
import { notReady } from "../http/not_ready.ts";
import { CommandError, oneLine } from "./report.ts";
import { realRandomness } from "../compose/world.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

export type Listener = {
  /** With the port that was given or found. */
  readonly url: string;
  /** From now on requests go to the node. */
  open(handler: Handler): void;
  /** Accepts nothing more. Resolves once requests under way are answered, or after a moment if they are not. */
  stop(): Promise<void>;
};

/** What is under way when the node is told to stop may take this long: a lock that waits may wait for minutes. */
const GRACE_MS = 1_500;

/** Throws CommandError if it cannot listen. */
export function listen({ host, port, tls, cors }: Pick<NodeConfig, "host" | "port" | "tls" | "cors">): Listener {
  let handler: Handler = starting;
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(
      { hostname: host, port, ...tls ?? {}, onListen: () => {} },
      withCors(cors, (request) => handler(request)),
    );
  } catch (error) {
    throw new CommandError(whyNotListening(host, port, error));
  }
  const authority = `${host.includes(":") ? `[${host}]` : host}:${server.addr.port}`;
  return {
    url: `${tls === null ? "http" : "https"}://${authority}`,
    open: (next) => void (handler = next),
    // No abort after the grace: on a server that is shutting down it throws. The process ends soon, and they with it.
    stop: async () => await Promise.race([server.shutdown(), new Promise<void>((done) => setTimeout(done, GRACE_MS))]),
  };
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
