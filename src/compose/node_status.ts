/** The parts of a node's own status that others tell: its peers, and the names that have stopped. */
import type { NodeStatus } from "../api.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { nounOfKey } from "../nouns.ts";
import type { Peers } from "../replica/peers.ts";
import type { Transport } from "../ports.ts";
import type { Stopped } from "../replica/stopped.ts";

type PeerStatus = Pick<NodeStatus, "members" | "others">;

export type PeerStatusParts = {
  readonly me: NodeId;
  readonly members: readonly NodeId[];
  readonly urls: Readonly<Record<NodeId, string>>;
  readonly peers: Peers;
  readonly transport: Transport;
};

export function peerStatus({ me, members, urls, peers, transport }: PeerStatusParts): PeerStatus {
  const others = peers.others();
  return {
    members: members.map((id) => {
      const fault = peers.faultOf(id);
      return {
        id,
        url: urls[id] ?? "",
        reachable: id === me || peers.isReachable(id),
        rttMs: id === me ? 0 : Math.round(transport.rttMs(id) * 10) / 10,
        heardAgoMs: peers.heardAgoMs(id),
        ...(fault === null ? {} : { fault }),
      };
    }),
    ...(others.length === 0 ? {} : { others: [...others] }),
  };
}

export function stoppedStatus({ count, shown }: Stopped): Pick<NodeStatus, "stopped"> {
  const names = shown.flatMap(({ key, reason }) => {
    const about = nounOfKey(key);
    return about === null ? [] : [{ ...about, reason }];
  });
  return count === 0 ? {} : { stopped: { count, names } };
}
