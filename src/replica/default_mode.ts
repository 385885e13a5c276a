/** What the standing ballot of a key nobody has used is (PROTOCOL.md §3): equal on every node of one configuration. */
import { assert } from "../assert.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Mode } from "../paxos/message.ts";

/** Fast, recovered by the member with the highest hash for the key, so that collisions spread over all of them. */
export function defaultMode(members: readonly NodeId[], digest: (text: string) => string): (key: string) => Mode {
  return (key) => {
    let best: { readonly node: NodeId; readonly weight: string } | null = null;
    for (const node of members) {
      const weight = digest(`${node}\n${key}`);
      if (best === null || weight > best.weight) best = { node, weight };
    }
    assert(best !== null, "a cluster has members");
    return { kind: "fast", recovery: "coordinated", coordinator: best.node };
  };
}
