/** The client as a whole, on whichever world it is given. */
import { Calls } from "./calls.ts";
import { createElections, type Elections } from "./elections.ts";
import { createKv, type Kv, type KvInput } from "./kv.ts";
import { lookingFirst } from "./lease.ts";
import { createLocks, type Locks } from "./locks.ts";
import { register, type RegisterOptions, type Registration } from "./registration.ts";
import { createSemaphores, type Semaphores } from "./semaphores.ts";
import { createSessions, type Sessions } from "./sessions.ts";
import { webWorld, type World } from "./world.ts";

/** How to talk to a cluster. */
export interface ConnectOptions {
  /** Sent as `Authorization: Bearer`. Default: none, as nodes on loopback want. */
  readonly token?: string;
  /** How long a call is tried, over all nodes, before it fails; waiting in a queue does not count. In ms, default 30,000. */
  readonly timeout?: number;
  /**
   * Whether nodes that become members of the cluster are asked too, once a node behind these URLs has told of them. They are
   * sent the token as the others are. Only a URL that is a member's own is asked for members, so behind a gateway or a proxy
   * nothing is learned; https never becomes http. Default: true, but false in a page, which may ask no other origins.
   */
  readonly learnMembers?: boolean;
  /**
   * A request that has no answer after so many ms is sent to the next node as well, under the same Idempotency-Key; whichever
   * answers first counts, and a write is applied once. What waits in a queue is not hedged. Default: a second node is asked only
   * where the first seems to be gone.
   */
  readonly hedge?: number;
}

/** A client of a cluster. It has nothing open while nothing is asked of it and nothing is held. */
export interface Quorate {
  /** Locks. */
  readonly locks: Locks;
  /** Elections. */
  readonly elections: Elections;
  /** Semaphores. */
  readonly semaphores: Semaphores;
  /** Registers. */
  readonly kv: Kv;
  /** Sessions. */
  readonly sessions: Sessions;
  /**
   * Puts a value and keeps it alive until it is released or this process is gone. Rejects as `Kv.put` does. The signal
   * of the registration aborts once somebody else has written the key. A value that lives by a session is not put again
   * by itself, so there such a write goes unnoticed.
   */
  register(key: string, value: KvInput, options?: RegisterOptions): Promise<Registration>;
}

const TIMEOUT_MS = 30_000;

/**
 * Makes a client of the cluster behind these URLs, which are of nodes or gateways. The nearest of several is asked first, and
 * the next if it fails. Nothing is sent before the first call. Throws a `TypeError` if there is no URL, if one is not of
 * http or https or has credentials in it, or if `hedge` is no number of ms.
 *
 * ```ts ignore
 * const quorate = connect("http://127.0.0.1:8701");
 * await quorate.locks.request("deploy", async (lock) => {
 *   console.log(`fence ${lock.fence}, for ${lock.remainingMs()} ms`);
 * });
 * ```
 */
export function connect(urls: string | readonly string[], options: ConnectOptions = {}): Quorate {
  return connectIn(webWorld, urls, options);
}

/** As `connect`, in a world of the caller's. */
export function connectIn(world: World, urls: string | readonly string[], options: ConnectOptions = {}): Quorate {
  return clientOf(callsTo(world, urls, options));
}

/** Requests to the cluster behind these URLs. Throws as `connect` does. */
export function callsTo(
  world: World,
  urls: string | readonly string[],
  { token, timeout = TIMEOUT_MS, learnMembers = !isInPage(), hedge }: ConnectOptions = {},
): Calls {
  const nodes = (typeof urls === "string" ? [urls] : urls).map(originOf);
  if (nodes.length === 0) throw new TypeError("connect needs a URL");
  if (hedge !== undefined && !(hedge >= 0)) throw new TypeError("hedge is a number of ms from 0 on");
  const options = { nodes: [...new Set(nodes)], token, timeoutMs: timeout, learnMembers, hedgeMs: hedge };
  return new Calls(lookingFirst(world), options);
}

/** A client that asks through these. */
export function clientOf(calls: Calls): Quorate {
  const kv = createKv(calls);
  return {
    locks: createLocks(calls),
    elections: createElections(calls),
    semaphores: createSemaphores(calls),
    kv,
    sessions: createSessions(calls),
    register: (key, value, options) => register(calls, kv, key, value, options),
  };
}

/** A page or a worker of one. */
function isInPage(): boolean {
  const { location } = globalThis as { location?: { readonly protocol?: string } };
  return location?.protocol === "http:" || location?.protocol === "https:";
}

/** What `/v1` is put behind. */
function originOf(url: string): string {
  const { protocol, origin, pathname, username, password } = new URL(url);
  // They would be sent nowhere; and they are not for the text of an error.
  if (username !== "" || password !== "") throw new TypeError("a URL has credentials in it; nodes take a token");
  if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`${url} is no URL of http or https`);
  return origin + pathname.replace(/\/+$/, "");
}
