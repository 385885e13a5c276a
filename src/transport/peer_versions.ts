/**
 * What this node knows of its peers' versions, and which wire it sends to each: the newest that both speak. A peer is asked in
 * the oldest until it has said more, so nobody has to know beforehand who was upgraded.
 */
import type { NodeId } from "../paxos/ballot.ts";
import {
  MACHINE_OF_ALL,
  type NodeVersion,
  OWN_VERSION,
  readVersion,
  type Wires,
  wiresSaid,
  wireWords,
} from "../version.ts";
import type { Report } from "../ports.ts";

export type PeerVersion = {
  readonly wires: Wires;
  /** Null: it is of a release that does not say. */
  readonly version: string | null;
  /** The newest version of the machine that it knows for certain. */
  readonly machine: number;
  /** Whether that is under a MAC. */
  readonly isProven: boolean;
};

type Known = PeerVersion & {
  /** Until then nothing above its wires is tried, whatever it says: several processes may be this peer, old ones among them. */
  readonly heldMs: number;
};

/** After a peer was seen to speak less than before. */
const HELD_MS = 5_000;

export class PeerVersions {
  readonly own: NodeVersion;
  readonly #now: () => number;
  readonly #report: Report;
  readonly #known = new Map<NodeId, Known>();
  readonly #told = new Map<NodeId, string>();

  constructor(options: { own?: NodeVersion; now?: () => number; report?: Report } = {}) {
    this.own = options.own ?? OWN_VERSION;
    this.#now = options.now ?? (() => 0);
    this.#report = options.report ?? (() => {});
  }

  /** Null: it has said nothing yet. */
  of(peer: NodeId): PeerVersion | null {
    return this.#known.get(peer) ?? null;
  }

  /** The wire to send in. */
  wireTo(peer: NodeId): number {
    const { least, most } = this.own.wires;
    const known = this.#known.get(peer);
    return known === undefined ? least : Math.max(least, Math.min(most, known.wires.most));
  }

  /**
   * A peer, or who passes for it, said so in the heads of a message.
   *
   * @param isProven whether both headers are under a MAC
   */
  note(
    peer: NodeId,
    headers: { readonly wire: string | null; readonly version: string | null },
    isProven: boolean,
  ): void {
    const said = readVersion(headers.version);
    const wires = wiresSaid(headers);
    if (wires === null) return;
    const now = this.#now();
    const before = this.#known.get(peer);
    const next = {
      wires,
      version: said?.version ?? null,
      machine: isProven && said !== null ? said.machine : MACHINE_OF_ALL,
      isProven,
    };
    if (before !== undefined) {
      if (next.wires.most > before.wires.most && now < before.heldMs) return;
      // What was proven stands until it is another that speaks.
      if (before.isProven && !isProven && before.version === next.version) return;
    }
    const isLess = before !== undefined && next.wires.most < before.wires.most;
    this.#known.set(peer, { ...next, heldMs: isLess ? now + HELD_MS : before?.heldMs ?? 0 });
    this.#tell(peer);
  }

  /** One line where a peer's newest wire is another than this node's, and one when it no longer is. */
  #tell(peer: NodeId): void {
    const { wires, version } = this.#known.get(peer)!;
    const { most } = this.own.wires;
    const runs = version === null ? "" : `runs ${version} and `;
    const line = wires.most === most
      ? `${peer}: ${runs}speaks wire ${most}, as this node does`
      : `${peer}: ${runs}speaks ${wireWords(wires)}, this node ${wireWords(this.own.wires)}; ` +
        `what it is sent is in wire ${this.wireTo(peer)}`;
    const told = this.#told.get(peer);
    if (told === line || (told === undefined && wires.most === most)) return;
    this.#told.set(peer, line);
    this.#report(line, { event: "peer-version", facts: { peer, version, wire: this.wireTo(peer) } });
  }
}
