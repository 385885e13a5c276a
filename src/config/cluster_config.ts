/** What the members of a cluster have to have alike. */
import { sha256Hex } from "../auth/digest.ts";
import type { Restored } from "../backup/restored.ts";
import type { ModeRule } from "../engine/modes.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochConfig } from "../ports.ts";
import type { NodeConfig } from "./config.ts";

/** What all members must agree on before they vote (PROTOCOL.md §3). URLs are not part of it: they may change. */
export type ClusterConfig = {
  readonly cluster: string;
  readonly epoch: number;
  readonly members: readonly NodeId[];
  readonly modes: readonly ModeRule[];
  /** The backup that the cluster was made of: that of all its members. Absent: none. */
  readonly restored?: Restored;
};

/** Its canonical JSON text, and the SHA-256 of that in hex, by which members know that they have the same. */
export function canonical(
  { cluster, epoch, members, modes, restored }: Omit<ClusterConfig, "modes"> & Pick<EpochConfig, "modes">,
): { readonly text: string; readonly hash: string } {
  // Members in byte order, fields in this order, no spaces: every member has to get the same text.
  const config = { cluster, epoch, members: [...members].sort(), modes };
  const text = JSON.stringify({ ...config, ...(restored === undefined ? {} : { restored }) });
  return { text, hash: sha256Hex(text) };
}

/** The ClusterConfig that init writes. */
export function clusterConfigOf(
  { urls, modes }: Pick<NodeConfig, "urls" | "modes">,
  restored: Restored | null = null,
): ClusterConfig & { readonly text: string; readonly hash: string } {
  const members = Object.keys(urls).sort();
  const cluster = `q-${sha256Hex(members.join(",")).slice(0, 12)}`;
  const config: ClusterConfig = { cluster, epoch: 0, members, modes, ...(restored === null ? {} : { restored }) };
  return { ...config, ...canonical(config) };
}

/** The first epoch, as the settings of a node have it. */
export function genesisOf(settings: Pick<NodeConfig, "urls" | "modes">, restored: Restored | null): EpochConfig {
  const { cluster, epoch, members, modes } = clusterConfigOf(settings, restored);
  return {
    cluster,
    epoch,
    members: members.map((id) => ({ id, url: settings.urls[id]! })),
    modes,
    ...(restored === null ? {} : { restored }),
  };
}
