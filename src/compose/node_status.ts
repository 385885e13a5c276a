/** What a node says of itself: its peers, its store, and the names that have stopped. */
import type { Changing, NodeStatus } from "../api.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { nounOfKey } from "../nouns.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { NodeOptions } from "./node_options.ts";
import type { Peers } from "../replica/peers.ts";
import type { RaisedMachine } from "../replica/raised_machine.ts";
import type { StoreHealth } from "../replica/store_health.ts";
import type { BallotStore, Clock, Transport } from "../ports.ts";
import type { Versions } from "../version.ts";
import type { Stopped } from "../replica/stopped.ts";

export type StatusParts = {
  readonly id: NodeId;
  readonly cluster: string;
  readonly version: string;
  readonly versions: Versions;
  readonly raised: Pick<RaisedMachine, "decided" | "knows">;
  readonly quorums: QuorumSystem;
  readonly urls: Readonly<Record<NodeId, string>>;
  readonly peers: Peers;
  readonly transport: Transport;
  readonly store: BallotStore;
  readonly health: StoreHealth;
  readonly clock: Clock;
  readonly stopped: Stopped;
  /** Why it does not vote, or null. */
  readonly reason: string | null;
  readonly epoch: number;
  readonly changing?: () => Changing | undefined;
};

export function nodeStatus(parts: StatusParts): NodeStatus {
  const { id: me, cluster, version, quorums, urls, peers, transport, store, health, clock, stopped, reason } = parts;
  const { versions, raised } = parts;
  const others = peers.others();
  const changing = parts.changing?.();
  return {
    id: me,
    cluster,
    members: quorums.members.map((id) => {
      const fault = peers.faultOf(id);
      return {
        id,
        url: urls[id] ?? "",
        reachable: id === me || peers.isReachable(id),
        rttMs: id === me ? 0 : Math.round(transport.rttMs(id) * 10) / 10,
        heardAgoMs: peers.heardAgoMs(id),
        ...(id === me ? { version, wire: versions.own.wires.most } : saidBy(id, versions)),
        ...(fault === null ? {} : { fault }),
      };
    }),
    ...(others.length === 0 ? {} : { others: [...others] }),
    epoch: parts.epoch,
    ...(changing === undefined ? {} : { changing }),
    voting: reason === null,
    ...(reason === null ? {} : { reason }),
    seq: store.seq(),
    boot: store.identity()?.boot ?? 0,
    clock: new Date(clock.wall()).toISOString(),
    store: { ...(health.fault === null ? {} : { fault: health.fault }), slow: health.isSlow },
    ...stoppedStatus(stopped),
    version,
    machine: { version: raised.decided, knows: raised.knows },
  };
}

/** What a peer said of itself; nothing before it has. */
function saidBy(id: NodeId, versions: Versions): Pick<NodeStatus["members"][number], "version" | "wire"> {
  const known = versions.of(id);
  if (known === null) return {};
  return { ...(known.version === null ? {} : { version: known.version }), wire: versions.wireTo(id) };
}

/** Why a node that was a member serves no more, or null. */
export function goneSince(
  { id, epochs, learners = [] }: Pick<NodeOptions, "id" | "epochs" | "learners">,
  votes: boolean,
): string | null {
  return epochs === undefined || votes || learners.includes(id) ? null : `no member since epoch ${epochs.next.number}`;
}

function stoppedStatus({ count, shown }: Stopped): Pick<NodeStatus, "stopped"> {
  const names = shown.flatMap(({ key, reason }) => {
    const about = nounOfKey(key);
    return about === null ? [] : [{ ...about, reason }];
  });
  return count === 0 ? {} : { stopped: { count, names } };
}
