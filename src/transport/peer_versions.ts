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

/** Until then nothing above this wire is tried, whatever it says: several processes may be this peer, old ones among them. */
type Cap = { readonly most: number; readonly untilMs: number };
type Known = PeerVersion & { readonly cap: Cap | null };

type Told = { readonly line: string; readonly atMs: readonly number[] };

/** Lines of one peer within this time; what it says in between is told with the next that has room. */
const LINES_MS = 60_000;
const LINES_MAX = 4;
/** After a peer was seen to speak less than before. */
const HELD_MS = 5_000;

export class PeerVersions {
  readonly own: NodeVersion;
  readonly #now: () => number;
  readonly #report: Report;
  readonly #known = new Map<NodeId, Known>();
  readonly #told = new Map<NodeId, Told>();

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
    if (known === undefined) return least;
    const { cap, wires } = known;
    const theirs = cap !== null && this.#now() < cap.untilMs ? Math.min(cap.most, wires.most) : wires.most;
    return Math.max(least, Math.min(most, theirs));
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
    const before = this.#known.get(peer);
    const next = {
      wires,
      version: said?.version ?? null,
      machine: isProven && said !== null ? said.machine : MACHINE_OF_ALL,
      isProven,
    };
    // What was proven stands until it is another that speaks.
    if (before?.isProven === true && !isProven && before.version === next.version) return;
    const isLess = before !== undefined && next.wires.most < before.wires.most;
    const cap = isLess ? { most: next.wires.most, untilMs: this.#now() + HELD_MS } : before?.cap ?? null;
    this.#known.set(peer, { ...next, cap });
    this.#tell(peer);
  }

  /** As `note`, of a text under a MAC in a message's body; a node of 0.2.0 has none there. */
  said(peer: NodeId, version: unknown): void {
    if (typeof version === "string" && readVersion(version) !== null) this.note(peer, { wire: null, version }, true);
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
    if (told?.line === line || (told === undefined && wires.most === most)) return;
    const now = this.#now();
    const atMs = (told?.atMs ?? []).filter((ms) => now - ms < LINES_MS);
    if (atMs.length >= LINES_MAX) return;
    this.#told.set(peer, { line, atMs: [...atMs, now] });
    this.#report(line, { event: "peer-version", facts: { peer, version, wire: this.wireTo(peer) } });
  }
}
