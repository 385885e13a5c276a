/** One node of this process, from its settings on: what goes on through all epochs, and the way from one into the next. */
import type { AppOptions } from "../../routes/app.ts";
import type { HearEpoch } from "../../routes/epoch.ts";
import { createJoiningApp } from "../../routes/joining.ts";
import type { MembersState } from "../api.ts";
import { peerKeys } from "../auth/peer_mac.ts";
import { genesisOf } from "../config/cluster_config.ts";
import type { Credentials, NodeConfig } from "../config/config.ts";
import { inTheClear } from "../config/tls.ts";
import { beginningOf } from "../epochs/beginning.ts";
import type { Standing } from "../epochs/change.ts";
import { MemberChanges } from "../epochs/changes.ts";
import { clusterConfigIn } from "../epochs/epoch_config.ts";
import { Epochs } from "../epochs/epochs.ts";
import { EPOCH_PATH } from "../epochs/exchange.ts";
import { Herald } from "../epochs/herald.ts";
import { QuorateError } from "../errors.ts";
import { notReady } from "../http/not_ready.ts";
import { NodeMetrics } from "../observe/node_metrics.ts";
import { TraceRing } from "../observe/trace.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { NO_MARK, type Report } from "../ports.ts";
import { lifeOn } from "../replica/lives.ts";
import type { Check } from "../service/service.ts";
import { type Acquaintance, callPeer } from "../transport/peer_call.ts";
import { PeerVersions } from "../transport/peer_versions.ts";
import { MACHINE_OF_ALL, VERSION } from "../version.ts";
import { untilWritten } from "./in_epoch.ts";
import { begin, join, mayJoin } from "./init.ts";
import type { ReplicaNode } from "./node.ts";
import { openStore, storeBytes } from "./open_store.ts";
import { Outward } from "./outward.ts";
import { restoredOf } from "./restore.ts";
import { type ProcessParts, runIn, type Running } from "./running.ts";
import { spansHere } from "./spans_here.ts";
import { realClock, realRandomness } from "./world.ts";

const { now, after } = realClock;
const { id: newId } = realRandomness;

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

/** What is under way when the members change has so long to come to its end; most of it takes a few milliseconds. */
const CHANGE_GRACE_MS = 200;

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
    now,
    storeBytes: () => storeBytes(config),
  });
  // This process's own, not the cluster's: each node may be traced or not.
  const ring = Deno.env.get("QUORATE_TRACE") === "1" ? new TraceRing(id, realClock) : null;
  const spans = spansHere(id, Deno.env.toObject(), report);
  const versions = new PeerVersions({ now, report });
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
      version: versions.own,
      raised: running?.node.raised ?? MACHINE_OF_ALL,
    });
    const peerSide = {
      cluster,
      secrets: () => secrets,
      identity: () => store.identity(),
      versions,
    };
    const failed = (error: Error, { requestId, method, path }: Parameters<AppOptions["report"]>[1]) =>
      report(`${method} ${path} failed (request ${requestId}): ${error.stack ?? error.message}`, {
        event: "request-failed",
        level: "error",
        names: [path],
        facts: { requestId, method },
      });
    const meeting = new Acquaintances();
    let running: Running | null = null;
    let isClosed = false;
    const isOver = () => isClosed;
    const lifeOf = (peer: NodeId) => lifeOn(store, id, peer);
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
        running = await runIn(parts, { current: row.current, row }, resumes);
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
        const calls = { fetch: outward.fetch, clock: realClock, keys, versions };
        const { text } = await callPeer(calls, meeting.of(peer), EPOCH_PATH, body, signal);
        return text;
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

    const parts: ProcessParts = {
      config,
      cluster,
      store,
      outward,
      keys,
      epochs,
      herald,
      hear,
      changing,
      peerSide,
      ring,
      spans,
      metrics,
      report,
      members: { state: membersState, change: (request, timeoutMs) => changes.change(request, timeoutMs) },
      tokens: () => tokens,
      failed,
    };
    const joining = createJoiningApp({
      id,
      peers: { ...peerSide, members: () => [], config: () => "", mark: () => NO_MARK, refused: () => {} },
      hear,
      newId,
      now,
      after,
      report: (error) => failed(error, { requestId: newId(), method: "POST", path: EPOCH_PATH }),
    });
    let handler: Composed["handler"] = (request) => joining.fetch(request);
    if (known !== null) {
      running = await runIn(parts, known, false, async (init) => {
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
