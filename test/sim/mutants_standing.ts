/** Bugs that let a member vote with a store that has lost votes (PROTOCOL.md §9); see mutants.ts. */
import type { Mutant } from "./mutants.ts";

const STANDING = "replica/vote_gate.ts";
const VOTES_UNCONFIRMED = {
  file: STANDING,
  text: "return confirmed === true || (confirmed === null && this.#hasSpoken);",
  replacement: "return confirmed !== null || this.#hasSpoken;",
};

export const STANDING_MUTANTS: readonly Mutant[] = [
  {
    name: "a restarted node votes before its marks are confirmed",
    edits: [{
      file: STANDING,
      text: "if (!this.#checked && !this.#store.isShared) return false;",
      replacement: "if (!this.#checked && this.#closed) return false;",
    }],
    from: 24,
    seeds: 1_000,
  },
  {
    name: "a store that lost commits takes no notice",
    edits: [{
      file: STANDING,
      text: "    if (!speaks && heard.seq > own.seq) {",
      replacement: "    if (!speaks && heard.seq > own.seq + 1e9) {",
    }],
    from: 24,
    seeds: 100,
  },
  {
    name: "a second life on a file: silence of the others is taken for their consent",
    edits: [VOTES_UNCONFIRMED, {
      file: STANDING,
      text: "if (!this.#quorums.isPhase1(said) || this.#before()?.isPhase1(said) === false) return false;",
      replacement: "if (!this.#quorums.isMember(id) || said.size === 0) return false;",
    }, {
      file: STANDING,
      text: "if (isNew && !this.#quorums.areWitnesses(agreed, id)) return false;",
      replacement: "if (isNew && agreed.has(id)) return false;",
    }],
    from: 93,
    seeds: 100,
  },
  {
    name: "a second life on a shared database: it votes without asking",
    edits: [VOTES_UNCONFIRMED],
    kind: "isolates",
    from: 30,
    seeds: 30,
  },
];
