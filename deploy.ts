/**
 * Composition root and edge entrypoint. `compose` puts one node together; the default export serves it, composed from
 * the environment on the first request. Importing this file opens nothing.
 */
import { peerKeys, peerTo } from "./src/auth/peer_mac.ts";
import { sha256Hex } from "./src/auth/digest.ts";
import { gatewayBefore } from "./src/compose/gateway_before.ts";
import { mustLast, openStore, storeBytes } from "./src/compose/open_store.ts";
import { Outward } from "./src/compose/outward.ts";
import { restoredOf } from "./src/compose/restore.ts";
import { spansHere } from "./src/compose/spans_here.ts";
import { consoleLog, realClock, realRandomness } from "./src/compose/world.ts";
import { clusterConfigOf } from "./src/config/cluster_config.ts";
import {
  corsOf,
  type Credentials,
  isLoopbackHost,
  logOf,
  type NodeConfig,
  parseConfig,
  portOf,
} from "./src/config/config.ts";
import { fromEnv, readerOf } from "./src/config/settings.ts";
import { caOf } from "./src/config/tls.ts";
import { QuorateError } from "./src/errors.ts";
import { createMachine } from "./src/machine/machine.ts";
import { nodesOf } from "./src/config/gateway_config.ts";
import { notReady } from "./src/http/not_ready.ts";
import { isLoopback } from "./src/http/request_head.ts";
import type { NodeId } from "./src/paxos/ballot.ts";
import { QuorumSystem } from "./src/paxos/quorum.ts";
import { NodeMetrics } from "./src/observe/node_metrics.ts";
import { TraceRing } from "./src/observe/trace.ts";
import { tracingTransport } from "./src/observe/tracing_transport.ts";
import { createModes } from "./src/engine/modes.ts";
import { ReplicaNode } from "./src/compose/node.ts";
import { type BallotStore, NO_MARK, NO_TRACE, type Report, StoreError, type Transport } from "./src/ports.ts";
import { knownLife, type Membership, strangerIn } from "./src/replica/vote_gate.ts";
import { createHttpTransport } from "./src/transport/http_transport.ts";
import { PeerVersions } from "./src/transport/peer_versions.ts";
import { Lines } from "./src/transport/lines.ts";
import { VERSION } from "./src/version.ts";
import { createApp } from "./routes/app.ts";
import { withCors } from "./routes/cors.ts";

/** A node that is put together, and how it is asked and ended. */
export type Composed = {
  readonly handler: (request: Request) => Response | Promise<Response>;
  readonly node: ReplicaNode;
  /** False: the store belongs to no member, so nothing here votes and /readyz says so. */
  readonly initialised: boolean;
  /**
   * What makes these the node's tokens, secrets and CA from then on. Throws QuorateError if the CA is no certificate. Which
   * certificate is shown is up to whoever listens.
   */
  prepare(next: Omit<Credentials, "tls">): () => void;
  /** Requests under way are about to be cut off: those who wait have not gone away. */
  drain(): void;
  close(): Promise<void>;
};

const newId = () => realRandomness.id();

/**
 * One node on its store, ready to answer requests; it votes once its members have confirmed the store (PROTOCOL.md §9).
 * Rejects with StoreError if the store cannot be used, with QuorateError if `init` is refused or the store is another's.
 *
 * @param report one line for the operator
 */
export async function compose(config: NodeConfig, report: Report): Promise<Composed> {
  const learners = Object.keys(config.learners);
  const outward = new Outward(config.ca);
  let { secrets, tokens } = config;
  // A cluster of one has no peers, and so no secret: nothing is signed with this one.
  const unused = [newId()];
  warnInTheClear(config, report);
  const metrics = new NodeMetrics({
    me: config.id,
    version: VERSION,
    deno: Deno.version.deno,
    now: () => realClock.now(),
    storeBytes: () => storeBytes(config),
  });
  const spans = spansHere(config.id, Deno.env.toObject(), report);
  const store = await openStore(config, () => metrics.conflicted());
  try {
    const restored = await restoredOf(config, store, report);
    const { cluster, text, hash, members, modes } = clusterConfigOf(config, restored);
    const holder: { node?: ReplicaNode } = {};
    const versions = new PeerVersions({ now: () => realClock.now(), report });
    const calls = {
      urls: { ...config.urls, ...config.learners },
      config: hash,
      versions,
      keys: peerKeys({
        cluster,
        id: config.id,
        get secrets() {
          return secrets.length === 0 ? unused : secrets;
        },
      }),
      fetch: outward.fetch,
      clock: realClock,
    };
    // Several processes on one store are one node, and a peer's connection would be to one of them.
    const lines = store.isShared ? null : new Lines({
      ...calls,
      connect: outward.connect,
      newId,
      life: () => peerTo(config.id, store.identity()),
    });
    const transport = createHttpTransport({
      ...calls,
      ...(lines === null ? {} : { lines }),
      spans,
      ownMark: () => holder.node?.mark() ?? NO_MARK,
      understood: (reply) => holder.node?.understood(reply) ?? reply,
      onMark: (peer, mark) => holder.node?.note(peer, mark),
    });
    const member: Membership = { id: config.id, cluster, config: text };
    // A learner answers for no vote, so a second life of it can do no harm and nobody is asked about a first one.
    const init = () => initialise(config, member, config.learner ? [] : members, store, transport);
    if (config.init) await init();
    mustBelong(member, store);
    // This process's own, not the cluster's: each node may be traced or not.
    const ring = Deno.env.get("QUORATE_TRACE") === "1" ? new TraceRing(config.id, realClock) : null;
    const trace = ring ?? NO_TRACE;
    const node = new ReplicaNode({
      id: config.id,
      cluster,
      config: text,
      restored,
      urls: config.urls,
      quorums: new QuorumSystem(members),
      learners,
      machine: createMachine({ digest: sha256Hex }),
      modes: createModes(members, modes, sha256Hex),
      digest: sha256Hex,
      version: VERSION,
      report,
    }, {
      store,
      transport: tracingTransport(transport, trace),
      clock: realClock,
      random: realRandomness,
      machine: createMachine({ digest: sha256Hex }),
      versions,
      trace,
      meter: metrics,
    });
    holder.node = node;
    const app = createApp(node, {
      get tokens() {
        return tokens;
      },
      origins: config.cors,
      rate: config.rate,
      peers: members.length + learners.length === 1 ? null : {
        cluster,
        secrets: () => secrets,
        members: () => [...members, ...learners],
        config: () => hash,
        identity: () => node.identity(),
        mark: () => node.mark(),
        versions,
        refused: (from, why) => node.refused(from, why),
        ...(lines === null ? {} : { lines }),
      },
      ...(ring === null ? {} : { trace: ring }),
      init: {
        member,
        run: () => initByRequest(store, init, () => begin(node, report), report),
        identity: () => store.identity(),
      },
      newId,
      now: () => realClock.now(),
      after: (ms, run) => realClock.after(ms, run),
      tell: report,
      metrics,
      spans,
      report: (error, { requestId, method, path }) =>
        report(`${method} ${path} failed (request ${requestId}): ${error.stack ?? error.message}`, {
          event: "request-failed",
          level: "error",
          names: [path],
          facts: { requestId, method },
        }),
    });
    const confirmed = begin(node, report);
    // Alone it has nobody to wait for, and its first caller should not have to either.
    if (members.length === 1) await confirmed;
    return {
      handler: (request) => app.fetch(request),
      node,
      initialised: store.identity() !== null,
      prepare(next) {
        const trustNext = outward.prepare(next.ca);
        return () => {
          trustNext();
          // A connection lasts as long as the processes do: whoever knows only a secret that is gone is to have none.
          if (secrets.some((secret) => !next.secrets.includes(secret))) lines?.endAll();
          ({ secrets, tokens } = next);
        };
      },
      drain: () => node.drain(),
      async close() {
        node.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function warnInTheClear({ insecurePeers }: NodeConfig, report: Report): void {
  if (insecurePeers.length === 0) return;
  const peers = insecurePeers.join(", ");
  const about = { event: "insecure-peers", level: "warn", facts: { peers } } as const;
  report(`--insecure-peers: what this node sends to ${peers} anybody on the way can read, names and values too`, about);
}

async function initialise(
  config: NodeConfig,
  { id, cluster, config: text }: Membership,
  witnesses: readonly NodeId[],
  store: BallotStore,
  transport: Transport,
): Promise<void> {
  if (store.identity() !== null) {
    throw new QuorateError("invalid-request", `this store is ${store.identity()!.id}'s already: start without --init`);
  }
  // As a restore leaves it that was cut off: without the backup's floor its other names would begin at the first fence again.
  if (config.restore === null && (await store.keys("", "", 1)).length > 0) {
    throw new StoreError(
      "this store has records and is nobody's, as after a restore that was cut off: delete it first",
    );
  }
  await mustLast(config);
  const witness = await knownLife(transport, witnesses, id);
  if (witness !== null) {
    throw new QuorateError(
      "invalid-request",
      `${witness} has another store of member ${id} on record: a second life of it could vote twice`,
    );
  }
  await store.init({ cluster, id, incarnation: realRandomness.id(), config: text ?? "" });
}

/** Where no operator is at hand to start a node once with --init. */
async function initByRequest(
  store: BallotStore,
  init: () => Promise<void>,
  then: () => unknown,
  report: Report,
): Promise<void> {
  // Such a node begins with what its store was when it opened it.
  if (!store.isShared) {
    throw new QuorateError("invalid-request", "this store is a file of the node: start it with --init");
  }
  try {
    await init();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    report(`the store could not be made a member's: ${error.message}`, STORE_FAILED);
    throw new QuorateError("not-ready", faultOf(error));
  }
  then();
}

const STORE_FAILED = { event: "store", level: "error", facts: { failing: true } } as const;

/** Resolves when the node may vote, or never will, with this store. */
async function begin(node: ReplicaNode, report: Report): Promise<void> {
  await node.start().catch((error: Error) => report(`the store cannot be used: ${error.message}`, STORE_FAILED));
}

/** For anybody: where a store is, its message says, and that is for the operator. */
function faultOf({ fault }: StoreError): string {
  return fault ?? "the store of this node cannot be used; its log has the reason";
}

function mustBelong(member: Membership, store: BallotStore): void {
  const stranger = strangerIn(store, member);
  if (stranger !== null) throw new QuorateError("invalid-request", stranger);
}

/** A platform kills 5 s after it asked for an end; what is still under way then is cut off, and asked again with its key. */
const DRAIN_MS = 3_500;
/** A runtime that serves the default export says so by then; else this file was run, and serves by itself. */
const SERVED_WITHIN_MS = 50;

let composed: Promise<Served> | null = null;
/** Requests under way; what a stream sends later is not counted. */
let open = 0;
let isDraining = false;
/** Host that is listened on; null: nothing yet. */
let servedOn: string | null = null;

type Served = Pick<Composed, "handler" | "drain" | "close">;

async function composeHosted(): Promise<Served> {
  const env = Deno.env.toObject();
  const nodes = env["QUORATE_GATEWAY"];
  if (nodes !== undefined) {
    const origins = nodesOf({ name: "QUORATE_GATEWAY", text: nodes });
    // As `deno task gateway`: nodes on loopback may take whoever comes from this machine for its owner, as all would here.
    const isBeforeLocal = origins.some((origin) => isLoopback(new URL(origin).host));
    if (isBeforeLocal && !isLoopbackHost(servedOn ?? "")) {
      throw new QuorateError("invalid-request", "QUORATE_GATEWAY has a node on loopback, and this listens beyond it");
    }
    const cors = corsOf(fromEnv(env, "QUORATE_CORS"), { hasOwner: !isBeforeLocal });
    const closing = new AbortController();
    const ca = await caOf(fromEnv(env, "QUORATE_TLS_CA"), readerOf((path) => Deno.readTextFile(path)));
    const log = logOf(fromEnv(env, "QUORATE_LOG"), fromEnv(env, "QUORATE_LOG_LEVEL"));
    const { report } = consoleLog(log, "gateway", { gateway: "hosted" });
    const handler = withCors(cors, gatewayBefore(origins, cors, new Outward(ca), closing.signal, report));
    return { handler, drain: () => closing.abort(), close: () => Promise.resolve() };
  }
  refusePreview(env);
  const config = await parseConfig([], env, (path) => Deno.readTextFile(path), { isHosted: isHosted(env) });
  // Whoever can reach a hosted entrypoint is no caller on loopback.
  if (config.tokens === null) throw new QuorateError("invalid-request", "a hosted node needs QUORATE_TOKENS");
  const node = await compose(config, consoleLog(config.log, "", { node: config.id }).report);
  return { ...node, handler: withCors(config.cors, node.handler) };
}

function isHosted(env: Readonly<Record<string, string>>): boolean {
  return env["DENO_DEPLOY"] !== undefined || env["DENO_DEPLOYMENT_ID"] !== undefined;
}

/** A preview of an app has its settings and a database of its own: it would be a second life of the same member. */
function refusePreview(env: Readonly<Record<string, string>>): void {
  const timeline = env["DENO_TIMELINE"];
  if (timeline === undefined || timeline === "production") return;
  throw new QuorateError("not-ready", `this is a preview (DENO_TIMELINE is ${timeline}): only production votes`);
}

/** Answers what has come, then closes the store; whoever comes meanwhile is sent elsewhere. */
async function drain(): Promise<void> {
  if (isDraining) return;
  isDraining = true;
  const node = await composed?.catch(() => null) ?? null;
  node?.drain();
  const endMs = performance.now() + DRAIN_MS;
  while (open > 0 && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 20));
  const late = new Promise((resolve) => setTimeout(resolve, Math.max(0, endMs - performance.now()) + 500));
  await Promise.race([node?.close(), late]);
  Deno.exit(0);
}

async function answer(request: Request): Promise<Response> {
  if (isDraining) return notReady(request, "this process is ending", newId);
  const composing = composed ??= composeHosted();
  try {
    await composing;
  } catch (error) {
    // Tried again with the next request: a database may be attached late. Only what could not be composed is: a store that
    // is open stays this one's.
    if (composed === composing) composed = null;
    if (!(error instanceof StoreError)) return notReady(request, (error as Error).message, newId);
    console.error(error.message);
    return notReady(request, faultOf(error), newId);
  }
  return await (await composing).handler(request);
}

async function answerCounted(request: Request): Promise<Response> {
  open++;
  try {
    return await answer(request);
  } finally {
    open--;
  }
}

/** What `deno serve` and a hosting platform run: the node that the environment describes. */
export default {
  fetch: answerCounted,
  /** `deno serve` calls it. */
  onListen({ hostname, port }: { readonly hostname: string; readonly port: number }): void {
    servedOn = hostname;
    console.error(`serving on ${hostname} port ${port}`);
  },
};

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => void drain());
  // `deno run` of this file: nobody but itself serves it.
  setTimeout(() => {
    if (servedOn !== null) return;
    const at = address(Deno.env.toObject());
    servedOn = at.hostname ?? "";
    Deno.serve(at, answerCounted);
  }, SERVED_WITHIN_MS);
}

/** A platform knows where; it routes to what listens anywhere. */
function address(env: Readonly<Record<string, string>>): { readonly hostname?: string; readonly port?: number } {
  if (isHosted(env)) return {};
  const text = env["QUORATE_PORT"];
  const port = portOf(text === undefined ? null : { name: "QUORATE_PORT", text });
  return { hostname: env["QUORATE_HOST"] ?? "127.0.0.1", port };
}
