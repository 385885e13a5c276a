/** The numbers of this version, and what a node says of them to others. */

/** The release; between two of them the next one, and `-dev`. CHANGELOG.md tells what is in it. */
export const VERSION = "0.3.0-dev";

/** The format of rows that a store writes from now on; a row without a number is one of 0.1.0, whose format was 1. */
export const ROW_FORMAT = 5;
/** The format of the meta row of a store that has left the first epoch: to versions before it such a store is too new. */
export const SEALED_FORMAT = 6;

/** By which rules values are applied (machine/state.ts): the newest that this version knows. */
export const MACHINE_VERSION = 4;
/** What every node knows that speaks the oldest wire of WIRES. */
export const MACHINE_OF_ALL = 3;

/** From `least` to `most`, both included. */
export type Wires = { readonly least: number; readonly most: number };
/**
 * The languages of nodes that this version speaks: that of the release before it is among them. A decoder takes whatever one of
 * them may have; only who sends looks at what its peer speaks.
 */
export const WIRES: Wires = { least: 5, most: 6 };
/** Where requests and answers between nodes name the wire that they are in; who names none speaks wire 1, as 0.1.0 does. */
export const WIRE_HEADER = "quorate-wire";
/** From this wire on requests and answers are signed with what their sender says of itself. */
export const WIRE_OF_VERSIONS = 6;

/** What a node says of itself with each request and each answer. */
export type NodeVersion = {
  readonly version: string;
  readonly wires: Wires;
  /** The newest version of the machine that it knows. */
  readonly machine: number;
};
export const OWN_VERSION: NodeVersion = { version: VERSION, wires: WIRES, machine: MACHINE_VERSION };
export const VERSION_HEADER = "quorate-version";

/** As in `0.3.0; wire=5-6; machine=3`. */
export function versionText({ version, wires: { least, most }, machine }: NodeVersion): string {
  return `${version}; wire=${least}-${most}; machine=${machine}`;
}

/** What a later version adds behind is passed over. */
const VERSION_TEXT =
  /^([0-9A-Za-z.+-]{1,40}); wire=([1-9][0-9]{0,3})-([1-9][0-9]{0,3}); machine=([1-9][0-9]{0,3})(?:; [a-z]{1,20}=[0-9A-Za-z.+-]{1,40}){0,8}$/;

/** Null: it is no such text. */
export function readVersion(text: string | null): NodeVersion | null {
  const [, version, least, most, machine] = VERSION_TEXT.exec(text ?? "") ?? [];
  if (version === undefined || Number(least) > Number(most)) return null;
  return { version, wires: { least: Number(least), most: Number(most) }, machine: Number(machine) };
}

/** The wire that this header names; null: it names none in digits. */
export function readWire(header: string | null): number | null {
  if (header === null) return 1;
  return /^[1-9][0-9]{0,8}$/.test(header) ? Number(header) : null;
}

/** The wires of whose message has these headers; null: they name none. */
export function wiresSaid(
  { wire, version }: { readonly wire: string | null; readonly version: string | null },
): Wires | null {
  const one = readWire(wire);
  return readVersion(version)?.wires ?? (one === null ? null : { least: one, most: one });
}

export function speaks({ least, most }: Wires, wire: number | null): wire is number {
  return wire !== null && wire >= least && wire <= most;
}

/** Null: `wires` has what the header names; else what its sender speaks, in words. */
export function otherWire(header: string | null, wires: Wires = WIRES): string | null {
  const wire = readWire(header);
  if (speaks(wires, wire)) return null;
  return wire === null ? "a wire without a proper number" : `wire ${wire}`;
}

/** As in `wire 6`, or `wires 5 to 6`. */
export function wireWords({ least, most }: Wires): string {
  return least === most ? `wire ${most}` : `wires ${least} to ${most}`;
}

/** What an operator has to do where two nodes have no wire in common. */
export const WIRE_ADVICE =
  "upgrade by one release at a time, or stop all nodes and start all of them with the same version";

/** What is known of the versions of other nodes, by what they say with their messages. */
export interface Versions {
  /** This node's. */
  readonly own: NodeVersion;
  /** Null: that one has said nothing yet. `version` null: it is of a release that does not say. */
  of(peer: string): { readonly version: string | null; readonly machine: number } | null;
  /** The wire that it is sent. */
  wireTo(peer: string): number;
}

/** Where all nodes are of this version. */
export const SAME_VERSIONS: Versions = {
  own: OWN_VERSION,
  of: () => OWN_VERSION,
  wireTo: () => OWN_VERSION.wires.most,
};

/** The same, of nodes that know no newer machine than all do: they have nothing to raise. */
export const AT_FIRST: Versions = { ...SAME_VERSIONS, own: { ...OWN_VERSION, machine: MACHINE_OF_ALL } };
