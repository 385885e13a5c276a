/**
 * How a key uses its standing ballot (PROTOCOL.md §3 and §8). What a key nobody has used begins with is the same on
 * every node of one configuration; from then on its own log decides.
 */
import { assert } from "../assert.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Mode } from "../paxos/message.ts";
import type { Heat } from "./contention.ts";

/**
 * `auto`: fast while calm; while contended through one coordinator (§8). `fast`: every node proposes, and a coordinator
 * recovers collisions. `uncoordinated`: the acceptors recover them themselves. `classic`: through the key's coordinator from
 * the first instance on. `multi`: the first value pays a Prepare and makes its proposer the coordinator. `prepare`: every
 * instance pays one.
 */
export type ModeName = "auto" | "fast" | "uncoordinated" | "classic" | "multi" | "prepare";
export const MODE_NAMES: readonly ModeName[] = ["auto", "fast", "uncoordinated", "classic", "multi", "prepare"];

/** A rule of ClusterConfig: the longest prefix that fits a key wins; `auto` where none does. */
export type ModeRule = { readonly prefix: string; readonly mode: ModeName };

export interface Modes {
  initial(key: string): Mode;
  /** What a value that `me` proposes at an instance with this mode should change it to, or null. */
  next(key: string, mode: Mode, me: NodeId, heat: Heat): Mode | null;
}

export function createModes(
  members: readonly NodeId[],
  rules: readonly ModeRule[],
  digest: (text: string) => string,
): Modes {
  const byLength = [...rules].sort((a, b) => b.prefix.length - a.prefix.length);
  const nameOf = (key: string): ModeName => byLength.find(({ prefix }) => key.startsWith(prefix))?.mode ?? "auto";
  return {
    initial: (key) => initialMode(nameOf(key), rendezvous(members, key, digest)),
    next(key, mode, me, heat) {
      const own = { kind: "classic", coordinator: me } as const;
      switch (mode.kind) {
        case "prepare":
          return nameOf(key) === "multi" ? own : null;
        case "fast":
          return heat === "hot" && nameOf(key) === "auto" ? own : null;
        case "classic": {
          // Proposing under another's classic ballot means that it is silent: whoever ends the instance takes over, once.
          if (mode.coordinator !== me) return own;
          return heat === "calm" && nameOf(key) === "auto" ? this.initial(key) : null;
        }
      }
    },
  };
}

function initialMode(name: ModeName, coordinator: NodeId): Mode {
  switch (name) {
    case "auto":
    case "fast":
      return { kind: "fast", recovery: "coordinated", coordinator };
    case "uncoordinated":
      return { kind: "fast", recovery: "uncoordinated", coordinator };
    case "classic":
      return { kind: "classic", coordinator };
    case "multi":
    case "prepare":
      return { kind: "prepare" };
  }
}

/** The member with the highest hash for the key, so that the work of coordinators spreads over all of them. */
function rendezvous(members: readonly NodeId[], key: string, digest: (text: string) => string): NodeId {
  let best: { readonly node: NodeId; readonly weight: string } | null = null;
  for (const node of members) {
    const weight = digest(`${node}\n${key}`);
    if (best === null || weight > best.weight) best = { node, weight };
  }
  assert(best !== null, "a cluster has members");
  return best.node;
}
