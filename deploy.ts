/**
 * Composition root and edge entrypoint. `compose` puts one node together; the default export serves it, composed from
 * the environment on the first request. Importing this file opens nothing.
 */
import { peerKeys, peerTo } from "./src/auth/peer_mac.ts";
import { sha256Hex } from "./src/auth/digest.ts";
import { gatewayBefore } from "./src/compose/gateway_before.ts";
import { openStore, storeBytes } from "./src/compose/open_store.ts";
import { Outward } from "./src/compose/outward.ts";
import { restoredOf } from "./src/compose/restore.ts";
import { spansHere } from "./src/compose/spans_here.ts";
import { consoleLog, realClock, realRandomness } from "./src/compose/world.ts";
import { begin, faultOf, initByRequest, initialise, join, mayJoin, mustBelong } from "./src/compose/init.ts";
import { epochOptions, idsOf } from "./src/compose/epoch_options.ts";
import { InEpoch, untilWritten } from "./src/compose/in_epoch.ts";
import { beginningOf, urlsIn } from "./src/epochs/beginning.ts";
import type { Standing } from "./src/epochs/change.ts";
import { MemberChanges } from "./src/epochs/changes.ts";
import { clusterConfigIn } from "./src/epochs/epoch_config.ts";
import { Epochs } from "./src/epochs/epochs.ts";
import { EPOCH_PATH } from "./src/epochs/exchange.ts";
import { Herald, meetingTransport } from "./src/epochs/herald.ts";
import type { Known } from "./src/epochs/news.ts";
import type { MembersState } from "./src/api.ts";
import { genesisOf } from "./src/config/cluster_config.ts";
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
import { caOf, inTheClear } from "./src/config/tls.ts";
import { QuorateError } from "./src/errors.ts";
import { createMachine } from "./src/machine/machine.ts";
import { learnsIn, nodesOf } from "./src/config/gateway_config.ts";
import { notReady } from "./src/http/not_ready.ts";
import { isLoopback } from "./src/http/request_head.ts";
import type { NodeId } from "./src/paxos/ballot.ts";
import { NodeMetrics } from "./src/observe/node_metrics.ts";
import { TraceRing } from "./src/observe/trace.ts";
import { tracingTransport } from "./src/observe/tracing_transport.ts";
import { ReplicaNode } from "./src/compose/node.ts";
import { NO_MARK, NO_TRACE, type Report, StoreError } from "./src/ports.ts";
import type { Membership } from "./src/replica/vote_gate.ts";
import type { Check } from "./src/service/service.ts";
import { createHttpTransport } from "./src/transport/http_transport.ts";
import { PeerVersions } from "./src/transport/peer_versions.ts";
import { Lines } from "./src/transport/lines.ts";
import { type Acquaintance, callPeer } from "./src/transport/peer_call.ts";
import { VERSION } from "./src/version.ts";
import { type AppOptions, createApp } from "./routes/app.ts";
import type { HearEpoch } from "./routes/epoch.ts";
import { createJoiningApp } from "./routes/joining.ts";
import { withCors } from "./routes/cors.ts";
import { UnderWay } from "./routes/under_way.ts";

/** A node that is put together, and how it is asked and ended. */
export type Composed = {
  readonly handler: (request: Request) => Response | Promise<Response>;
  /** The one that runs now: another one after the members have changed. Throws while it waits to be made a member. */
  readonly node: ReplicaNode;
  /** Which check fails first of those it takes to serve; null: none. */
  failing(): Promise<Check | null>;
  /** False: the store belongs to no member, so nothing here votes and /readyz says so. */
  readonly initialised: boolean;
  /** It waits to be made a member of this cluster; null: it does not. */
  readonly joins: string | null;
  /**
   * What makes these the node's tokens, secrets and CA from then on. Throws QuorateError if the CA is no certificate. Which
   * certificate is shown is up to whoever listens.
   */
  prepare(next: Omit<Credentials, "tls">): () => void;
  /** Requests under way are about to be cut off: those who wait have not gone away. */
  drain(): void;
  close(): Promise<void>;
};

/** A node in its epoch, with its door. */
type Running = {
  readonly node: ReplicaNode;
  readonly inEpoch: InEpoch;
  readonly handler: Composed["handler"];
  readonly underWay: UnderWay;
  readonly lines: Lines | null;
};

/** What is under way when the members change has so long to come to its end; most of it takes a few milliseconds. */
const CHANGE_GRACE_MS = 200;

const newId = () => realRandomness.id();

/**
 * One node on its store, ready to answer requests; it votes once its members have confirmed the store (PROTOCOL.md §9).
 * Rejects with StoreError if the store cannot be used, with QuorateError if `init` is refused or the store is another's.
 *
 * @param report one line for the operator
 */
export async function compose(config: NodeConfig, report: Report): Promise<Composed> {
  const { id } = config;
  const learners = Object.keys(config.learners);
  const outward = new Outward(config.ca);
  let { secrets, tokens } = config;
  // A cluster of one has no peers, and so no secret: nothing is signed with this one.
  const unused = [newId()];
  warnInTheClear(config, report);
  const metrics = new NodeMetrics({
    me: id,
    version: VERSION,
    deno: Deno.version.deno,
    now: () => realClock.now(),
    storeBytes: () => storeBytes(config),
  });
  // This process's own, not the cluster's: each node may be traced or not.
  const ring = Deno.env.get("QUORATE_TRACE") === "1" ? new TraceRing(id, realClock) : null;
  const trace = ring ?? NO_TRACE;
  const spans = spansHere(id, Deno.env.toObject(), report);
  const versions = new PeerVersions({ now: () => realClock.now(), report });
  const store = await openStore(config, () => metrics.conflicted());
  try {
    const waits = config.join !== null && store.identity() === null;
    if (waits) await mayJoin(store);
    const genesis = genesisOf(config, waits ? null : await restoredOf(config, store, report));
    const known = waits ? null : beginningOf({ genesis, isGiven: config.isClusterGiven }, store.epochs());
    const cluster = known?.current.cluster ?? config.join!;
    const keys = peerKeys({
      cluster,
      id,
      get secrets() {
        return secrets.length === 0 ? unused : secrets;
      },
    });
    const own = (): Standing => ({
      cluster,
      id,
      incarnation: store.identity()?.incarnation ?? null,
      isJoining: running === null,
      isShared: store.isShared,
    });
    const peerSide = {
      cluster,
      secrets: () => secrets,
      identity: () => store.identity(),
      versions,
    };
    const failedRequest = (error: Error, { requestId, method, path }: Parameters<AppOptions["report"]>[1]) =>
      report(`${method} ${path} failed (request ${requestId}): ${error.stack ?? error.message}`, {
        event: "request-failed",
        level: "error",
        names: [path],
        facts: { requestId, method },
      });
    const after = (ms: number, run: () => void) => realClock.after(ms, run);
    const now = () => realClock.now();
    const meeting = new Acquaintances();
    let running: Running | null = null;
    let isClosed = false;
    const isOver = () => isClosed;
    const lifeOf = async (peer: NodeId) =>
      (peer === id ? store.identity() : await store.recall(peer))?.incarnation ?? null;
    const epochs: Epochs = new Epochs({
      id,
      cluster,
      known,
      lifeOf,
      isNobodys: () => store.identity() === null,
      report,
      retire: (row) => store.seal(row),
      enter: async (row) => {
        const before = running;
        const why = `the members of the cluster change, to epoch ${row.current.epoch}`;
        handler = (request) => notReady(request, why, newId);
        before?.inEpoch.close();
        before?.node.drain();
        await before?.underWay.end(CHANGE_GRACE_MS, why);
        const resumes = before?.node.speaks === true;
        if (before !== null) await untilWritten(() => before.node.leave(), realClock, report, isOver);
        const write = () => before === null ? join(store, id, clusterConfigIn(row.current).text, row) : store.seal(row);
        await untilWritten(write, realClock, report, isOver);
        if (isClosed) return;
        running = await run({ current: row.current, row }, resumes);
        handler = running.handler;
        void begin(running.node, report);
      },
    });
    const herald = new Herald({
      id,
      epochs,
      clock: realClock,
      ask: async (peer, body, withinMs) => {
        const signal = AbortSignal.timeout(withinMs);
        return (await callPeer(
          { fetch: outward.fetch, clock: realClock, keys, versions },
          meeting.of(peer),
          EPOCH_PATH,
          body,
          signal,
        ))
          .text;
      },
    });
    const changes = new MemberChanges({
      epochs,
      herald,
      here: () => ({ keys: running!.node.reserved, left: running!.inEpoch.left }),
      learners,
      own,
      lifeOf,
      isMet: async (peer) => await lifeOf(peer) !== null || await running?.node.isKnown(peer) === true,
      refuseUrl: (url) => !config.mayBeInsecure && inTheClear({ url }).length > 0,
      hasSecret: () => secrets.length > 0,
    });
    const hear: HearEpoch = async (from, { row }) => {
      await epochs.hear(row, from);
      return { ...own(), row: epochs.row };
    };
    const changing = () => epochs.known === null ? undefined : running?.inEpoch.changing(epochs.known, herald);
    const membersState = (): MembersState => {
      const now = changing();
      return { ...changes.state(), ...(now === undefined ? {} : { changing: now }) };
    };

    const run = async (known: Known, resumes: boolean, prepare?: BeforeNode): Promise<Running> => {
      const { current } = known;
      const { text, hash } = clusterConfigIn(current);
      const members = idsOf(current);
      const holder: { node?: ReplicaNode } = {};
      const urls = { ...urlsIn(known), ...config.learners };
      const calls = { urls, config: hash, versions, keys, fetch: outward.fetch, clock: realClock };
      // Several processes on one store are one node, and a peer's connection would be to one of them.
      const lines = store.isShared ? null : new Lines({
        ...calls,
        connect: outward.connect,
        newId,
        life: () => peerTo(id, store.identity()),
      });
      const transport = createHttpTransport({
        ...calls,
        ...(lines === null ? {} : { lines }),
        spans,
        ownMark: () => holder.node?.mark() ?? NO_MARK,
        understood: (reply) => holder.node?.understood(reply) ?? reply,
        onMark: (peer, mark) => holder.node?.note(peer, mark),
      });
      // What init wrote is of the first epoch; later ones are the store's own word.
      const member: Membership = { id, cluster, config: known.row === null ? text : null };
      // A learner answers for no vote, so a second life of it can do no harm and nobody is asked about a first one.
      const init = () =>
        initialise(config, { ...member, config: text }, config.learner ? [] : members, store, transport);
      await prepare?.(init);
      mustBelong(member, store);
      const node = new ReplicaNode({
        id,
        cluster,
        ...(member.config === null ? {} : { config: member.config }),
        restored: current.restored ?? null,
        urls,
        ...epochOptions(known, () => epochs.row, sha256Hex),
        resumes,
        changing,
        learners,
        machine: createMachine({ digest: sha256Hex }),
        digest: sha256Hex,
        version: VERSION,
        report,
      }, {
        store,
        transport: tracingTransport(meetingTransport(transport, (peer) => herald.meet(peer)), trace),
        clock: realClock,
        random: realRandomness,
        machine: createMachine({ digest: sha256Hex }),
        versions,
        trace,
        meter: metrics,
      });
      holder.node = node;
      const underWay = new UnderWay(after);
      const app = createApp(node, {
        epoch: current.epoch,
        underWay,
        get tokens() {
          return tokens;
        },
        origins: config.cors,
        rate: config.rate,
        peers: Object.keys(urls).length === 1 ? null : {
          ...peerSide,
          members: () => Object.keys(urls),
          config: () => hash,
          mark: () => node.mark(),
          refused: (from, why) => {
            if (why === "other-members") herald.meet(from);
            // Who left and has not heard of it yet is told now, and is no operator's matter.
            if (why !== "other-members" || members.includes(from) || learners.includes(from)) node.refused(from, why);
          },
          ...(lines === null ? {} : { lines }),
        },
        ...(ring === null ? {} : { trace: ring }),
        init: {
          member,
          run: () => initByRequest(store, init, () => begin(node, report), report),
          identity: () => store.identity(),
        },
        members: { state: membersState, change: (request, timeoutMs) => changes.change(request, timeoutMs) },
        hearEpoch: hear,
        newId,
        now,
        after,
        tell: report,
        metrics,
        spans,
        report: failedRequest,
      });
      const inEpoch = new InEpoch({ node, known, epochs, clock: realClock, report });
      return { node, inEpoch, underWay, lines, handler: (request) => app.fetch(request) };
    };

    const joining = createJoiningApp({
      id,
      peers: { ...peerSide, members: () => [], config: () => "", mark: () => NO_MARK, refused: () => {} },
      hear,
      newId,
      now,
      after,
      report: (error) => failedRequest(error, { requestId: newId(), method: "POST", path: EPOCH_PATH }),
    });
    let handler: Composed["handler"] = (request) => joining.fetch(request);
    if (known !== null) {
      running = await run(known, false, async (init) => {
        if (config.init) await init();
      });
      handler = running.handler;
      const confirmed = begin(running.node, report);
      // Alone it has nobody to wait for, and its first caller should not have to either.
      if (known.current.members.length === 1) await confirmed;
    }
    herald.start();
    return {
      handler: (request) => handler(request),
      get node() {
        if (running === null) throw new QuorateError("not-ready", "this node waits to be made a member");
        return running.node;
      },
      failing: async () => {
        if (running !== null) return await running.node.ready.failing();
        return { name: "membership", fault: `waiting to be made a member of cluster ${cluster}` };
      },
      get initialised() {
        return store.identity() !== null;
      },
      joins: waits ? cluster : null,
      prepare(next) {
        const trustNext = outward.prepare(next.ca);
        return () => {
          trustNext();
          // A connection lasts as long as the processes do: whoever knows only a secret that is gone is to have none.
          if (secrets.some((secret) => !next.secrets.includes(secret))) running?.lines?.endAll();
          ({ secrets, tokens } = next);
        };
      },
      drain: () => running?.node.drain(),
      async close() {
        isClosed = true;
        herald.close();
        running?.inEpoch.close();
        running?.node.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** To be done once the transport is there and the node is not yet. */
type BeforeNode = (init: () => Promise<void>) => Promise<void>;

/** What is known of the nodes that epochs are talked of with, wherever they are. */
class Acquaintances {
  readonly #met = new Map<string, Acquaintance>();

  of({ id, url }: { readonly id: NodeId; readonly url: string }): Acquaintance {
    const name = `${id} ${url}`;
    const known = this.#met.get(name) ?? { id, url, to: null, count: 0 };
    this.#met.set(name, known);
    return known;
  }
}

function warnInTheClear({ insecurePeers }: NodeConfig, report: Report): void {
  if (insecurePeers.length === 0) return;
  const peers = insecurePeers.join(", ");
  const about = { event: "insecure-peers", level: "warn", facts: { peers } } as const;
  report(`--insecure-peers: what this node sends to ${peers} anybody on the way can read, names and values too`, about);
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
    const handler = withCors(
      cors,
      gatewayBefore({ nodes: origins, learnMembers: learnsIn(env) }, cors, new Outward(ca), closing.signal, report),
    );
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
