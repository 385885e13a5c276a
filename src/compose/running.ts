/** One node in the epoch that it is in, with its door: everything that is made anew when the members change. */
import { type AppOptions, createApp } from "../../routes/app.ts";
import type { HearEpoch } from "../../routes/epoch.ts";
import type { MembersService } from "../../routes/members.ts";
import type { PeerSide } from "../../routes/peer_head.ts";
import { UnderWay } from "../../routes/under_way.ts";
import type { Changing } from "../api.ts";
import { sha256Hex } from "../auth/digest.ts";
import { peerTo } from "../auth/peer_mac.ts";
import type { NodeConfig } from "../config/config.ts";
import { urlsIn } from "../epochs/beginning.ts";
import { clusterConfigIn } from "../epochs/epoch_config.ts";
import type { Epochs } from "../epochs/epochs.ts";
import { type Herald, meetingTransport } from "../epochs/herald.ts";
import type { Known } from "../epochs/news.ts";
import { createMachine } from "../machine/machine.ts";
import type { NodeMetrics } from "../observe/node_metrics.ts";
import type { TraceRing } from "../observe/trace.ts";
import { tracingTransport } from "../observe/tracing_transport.ts";
import { type BallotStore, NO_MARK, NO_TRACE, type Report } from "../ports.ts";
import type { Membership } from "../replica/vote_gate.ts";
import type { Spans } from "../spans.ts";
import { createHttpTransport } from "../transport/http_transport.ts";
import { Lines } from "../transport/lines.ts";
import type { PeerKeys } from "../transport/peer_call.ts";
import { VERSION } from "../version.ts";
import { epochOptions, idsOf } from "./epoch_options.ts";
import { InEpoch } from "./in_epoch.ts";
import { begin, initByRequest, initialise, mustBelong } from "./init.ts";
import { ReplicaNode } from "./node.ts";
import type { Outward } from "./outward.ts";
import { realClock, realRandomness } from "./world.ts";

const { now, after } = realClock;
const { id: newId } = realRandomness;

/** A node in its epoch, with its door. */
export type Running = {
  readonly node: ReplicaNode;
  readonly inEpoch: InEpoch;
  readonly handler: (request: Request) => Response | Promise<Response>;
  readonly underWay: UnderWay;
  readonly lines: Lines | null;
};

/** What all nodes of this process have in common, one after the other. */
export type ProcessParts = {
  readonly config: NodeConfig;
  readonly cluster: string;
  readonly store: BallotStore;
  readonly outward: Outward;
  readonly keys: PeerKeys;
  readonly epochs: Epochs;
  readonly herald: Herald;
  readonly hear: HearEpoch;
  readonly members: MembersService;
  readonly changing: () => Changing | undefined;
  readonly peerSide: Pick<PeerSide, "cluster" | "secrets" | "identity" | "versions">;
  readonly tokens: () => AppOptions["tokens"];
  readonly ring: TraceRing | null;
  readonly spans: Spans;
  readonly metrics: NodeMetrics;
  readonly report: Report;
  /** Told of each request that an exception ended. */
  readonly failed: AppOptions["report"];
};

/**
 * @param resumes whether a node of this process has found the store whole before
 * @param prepare to be done once the transport is there and the node is not yet
 */
export async function runIn(
  parts: ProcessParts,
  known: Known,
  resumes: boolean,
  prepare: (init: () => Promise<void>) => Promise<void> = () => Promise.resolve(),
): Promise<Running> {
  const { config, cluster, store, outward, keys, epochs, herald, peerSide, ring, spans, metrics, report } = parts;
  const { id } = config;
  const learners = Object.keys(config.learners);
  const { versions } = peerSide;
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
  const init = () => initialise(config, { ...member, config: text }, config.learner ? [] : members, store, transport);
  await prepare(init);
  mustBelong(member, store);
  const node = new ReplicaNode({
    id,
    cluster,
    ...(member.config === null ? {} : { config: member.config }),
    restored: current.restored ?? null,
    origin: current.origin ?? null,
    urls,
    ...epochOptions(known, () => epochs.row, sha256Hex),
    resumes,
    changing: parts.changing,
    learners,
    forgetAfterMs: config.forgetAfterMs,
    machine: createMachine({ digest: sha256Hex }),
    digest: sha256Hex,
    version: VERSION,
    report,
  }, {
    store,
    transport: tracingTransport(meetingTransport(transport, (peer) => herald.meet(peer)), ring ?? NO_TRACE),
    clock: realClock,
    random: realRandomness,
    machine: createMachine({ digest: sha256Hex }),
    versions,
    trace: ring ?? NO_TRACE,
    meter: metrics,
  });
  holder.node = node;
  const underWay = new UnderWay(after);
  const app = createApp(node, {
    epoch: current.epoch,
    underWay,
    get tokens() {
      return parts.tokens();
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
    members: parts.members,
    hearEpoch: parts.hear,
    newId,
    now,
    after,
    tell: report,
    commitMs: () => node.health.commitMs,
    metrics,
    spans,
    report: parts.failed,
  });
  const inEpoch = new InEpoch({ node, known, epochs, clock: realClock, report });
  return { node, inEpoch, underWay, lines, handler: (request) => app.fetch(request) };
}
