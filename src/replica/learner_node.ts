/**
 * A node that does not vote, as a proposer: what it may not propose openly (PROTOCOL.md §3) a member proposes for it. Which
 * member, and which next while that one is silent.
 */
import { assert } from "../assert.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Mode } from "../paxos/message.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { Transport } from "../ports.ts";

export class MemberChoice {
  readonly #members: readonly NodeId[];
  readonly #transport: Transport;
  #chosen: NodeId | null = null;
  #silent: ReadonlySet<NodeId> = new Set();

  constructor({ members }: QuorumSystem, transport: Transport) {
    this.#members = members;
    this.#transport = transport;
  }

  /** The same until it is silent: the coordinator of a classic ballot, which alone may use it, else the nearest. */
  member(mode: Mode): NodeId {
    if (this.#chosen !== null) return this.#chosen;
    const coordinator = mode.kind === "classic" ? mode.coordinator : null;
    const [first] = this.#members.filter((member) => !this.#silent.has(member)).sort((a, b) =>
      Number(b === coordinator) - Number(a === coordinator) || this.#distance(a) - this.#distance(b)
    );
    assert(first !== undefined, "a cluster has members");
    return this.#chosen = first;
  }

  /** Nothing came of what the chosen one was given; once all were silent, each may be asked again. */
  giveUp(): void {
    const silent = new Set(this.#silent);
    if (this.#chosen !== null) silent.add(this.#chosen);
    this.#silent = silent.size < this.#members.length ? silent : new Set();
    this.#chosen = null;
  }

  /** A member whose round trip is not known may be as far as any. */
  #distance(member: NodeId): number {
    return this.#transport.rttMs(member) || Number.MAX_SAFE_INTEGER;
  }
}
