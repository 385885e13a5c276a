/**
 * What is searched of membership by sealed epochs (PROTOCOL.md §9, §10), as data. In e two or one nodes propose in the
 * standing fast ballot, acceptors seal at any time, imports have one ballot each, and in e+1 the standing fast ballot follows.
 */
import type { NodeId } from "../../../../src/paxos/mod.ts";

/** What a search has to have seen, or it has not looked where it should. */
export const MEMBERS_SOMETIMES = [
  /** Decided in e after as many members as an import needs were sealed. */
  "decided in e after the seals",
  /** Sealed reports whose instances differ. */
  "reports at two instances",
  /** An import's vote for what the sealed reports force, for something new, for what an earlier import's vote says. */
  "forced by reports",
  "free",
  "forced by a vote",
  "imported",
  "decided in e+1",
  "retired",
  /** A vote for a key that is in no list, in the standing ballot. */
  "fresh",
  /** An import's vote after e was retired, on what it had gathered before. */
  "late import",
  "read in e",
  "read from reports",
  "read from a record",
  "read of what is fresh",
] as const;
export type MembersSometimes = typeof MEMBERS_SOMETIMES[number];

export type MembersPlan = {
  readonly old: string;
  readonly next: string;
  /** Nodes with a value of their own in each instance of e. */
  readonly proposers: string;
  /** A client's value for instance 1 of e, that anybody may send. */
  readonly direct?: true;
  /** Owner of one explicit ballot in e. */
  readonly explicit?: NodeId;
  /** Owners of imports, in the order of their ballots. */
  readonly imports: string;
  /** The last instance that e proposes at, and the last of all. */
  readonly oldInstances: 1 | 2;
  readonly instances: 1 | 2 | 3;
  /** Nodes with a value of their own in each instance of e+1. */
  readonly nextProposers?: string;
  /** Owner of one explicit ballot in each instance of e+1. */
  readonly nextExplicit?: NodeId;
  /** A client's value for every instance of e+1, the same one. */
  readonly nextDirect?: true;
  /** Keys without a record of e+1 begin above it once `retire(e)` is decided. */
  readonly floor?: number;
  /** Nothing is lost of a key that was used in e if it begins anew. */
  readonly tombstone?: true;
  /** Linearizable reads in these epochs, one each. */
  readonly readers?: readonly (0 | 1)[];
  /** Who decides tells it by a certificate, and not only by the state that follows. */
  readonly certificates?: true;
  /** A bug of a host: the seal is in memory, and a restart forgets it. */
  readonly losesSeals?: true;
  /** Another: a key is taken for fresh before e is retired. */
  readonly beginsEarly?: true;
  readonly sometimes: readonly MembersSometimes[];
};

const IMPORTED: readonly MembersSometimes[] = ["forced by reports", "free", "imported", "decided in e after the seals"];
const TWICE: readonly MembersSometimes[] = [...IMPORTED, "forced by a vote"];
/** With four members of e every fast quorum is an open one: nobody needs a guarded decision. */
const OPEN: readonly MembersSometimes[] = ["forced by reports", "free", "imported"];
const APART: MembersSometimes = "reports at two instances";
const FRESH: readonly MembersSometimes[] = ["imported", "retired", "fresh", "late import"];
const READ: readonly MembersSometimes[] = ["read from reports", "read from a record"];

const replaced = { old: "abc", next: "abd", proposers: "ab", oldInstances: 1, instances: 2 } as const;
const grown = { ...replaced, next: "abcd" } as const;
const shrunk = { ...replaced, old: "abcd", next: "abc" } as const;

/**
 * The name says how many members become how many (a prime: one is another), F for the standing fast ballot of e, X for an
 * explicit one and D for a direct value there, the imports, and what else there is.
 */
export const MEMBERS_PLANS = {
  "F 3→3', one import": {
    ...replaced,
    imports: "a",
    nextProposers: "bd",
    sometimes: [...IMPORTED, APART, "decided in e+1"],
  },
  "F 3→3', one import, two instances": {
    ...replaced,
    imports: "a",
    oldInstances: 2,
    instances: 3,
    sometimes: [...IMPORTED, APART],
  },
  "F 3→3', two imports": {
    ...replaced,
    imports: "ad",
    nextProposers: "bd",
    sometimes: [...TWICE, APART, "decided in e+1"],
  },
  "F 3→3', two imports, two instances": {
    ...replaced,
    imports: "ad",
    oldInstances: 2,
    instances: 3,
    sometimes: [...TWICE, APART],
  },
  "FD 3→3', one import": {
    ...replaced,
    direct: true,
    imports: "a",
    nextProposers: "b",
    sometimes: [...IMPORTED, APART],
  },
  "FD 3→3', two imports": { ...replaced, direct: true, imports: "ab", sometimes: [...TWICE, APART] },
  "FX 3→3', one import": { ...replaced, proposers: "bc", explicit: "c", imports: "a", sometimes: [...IMPORTED, APART] },
  "FX 3→3', two imports": {
    ...replaced,
    proposers: "bc",
    explicit: "c",
    imports: "ab",
    instances: 1,
    sometimes: [...TWICE, APART],
  },
  "FX 3→3', two imports, two instances": {
    ...replaced,
    proposers: "bc",
    explicit: "c",
    imports: "ab",
    oldInstances: 2,
    instances: 3,
    sometimes: [],
  },
  "F 3→3 of others, two imports": {
    ...replaced,
    next: "def",
    imports: "de",
    nextProposers: "f",
    sometimes: [...TWICE, APART, "decided in e+1"],
  },
  "F 3→4, one import": {
    ...grown,
    imports: "a",
    nextProposers: "d",
    sometimes: [...IMPORTED, APART, "decided in e+1"],
  },
  "F 3→4, two imports": { ...grown, imports: "ad", instances: 1, sometimes: [...TWICE, APART] },
  "FX 3→4, one import": {
    ...grown,
    proposers: "bc",
    explicit: "c",
    imports: "a",
    instances: 1,
    sometimes: [...IMPORTED, APART],
  },
  "FX 3→4, two imports": { ...grown, proposers: "bc", explicit: "c", imports: "ad", instances: 1, sometimes: [] },
  "F 3→4, two imports, two instances": { ...grown, imports: "ad", oldInstances: 2, instances: 3, sometimes: [] },
  "FD 4→3, one import": { ...shrunk, direct: true, imports: "a", instances: 1, sometimes: OPEN },
  "F 4→3, two imports": { ...shrunk, imports: "ab", instances: 1, sometimes: [...OPEN, "forced by a vote"] },
  "F 5→3, one import": { ...shrunk, old: "abcde", imports: "a", instances: 1, sometimes: IMPORTED },
  "F 3→5, one import": { ...grown, next: "abcde", imports: "a", instances: 1, sometimes: IMPORTED },
  "F 3→3', one import, a read in e": {
    ...replaced,
    imports: "a",
    instances: 1,
    readers: [0],
    sometimes: [...IMPORTED, "read in e"],
  },
  "F 3→3', one import, a read in e+1": {
    ...replaced,
    imports: "a",
    nextProposers: "b",
    readers: [1],
    sometimes: [...IMPORTED, ...READ, "decided in e+1"],
  },
  "F 3→3', one import, a read in e+1, two instances": {
    ...replaced,
    imports: "a",
    oldInstances: 2,
    instances: 2,
    readers: [1],
    sometimes: [],
  },
  "F 3→3' of one proposer, one import, a read in e": {
    ...replaced,
    proposers: "c",
    imports: "a",
    instances: 1,
    readers: [0],
    sometimes: ["imported", "free", "read in e"],
  },
  "F 3→3' of one proposer, one import, a read in e+1": {
    ...replaced,
    proposers: "c",
    imports: "a",
    instances: 1,
    readers: [1],
    sometimes: ["imported", "free", "forced by reports", ...READ],
  },
  "F 3→3' of one proposer, one import, a read in each": {
    ...replaced,
    proposers: "a",
    imports: "b",
    instances: 1,
    readers: [0, 1],
    sometimes: ["read in e", ...READ],
  },
  "3→3', a key that is nobody's, one import, a read in each": {
    ...replaced,
    proposers: "",
    imports: "a",
    instances: 1,
    readers: [0, 1],
    sometimes: ["imported", "read in e", ...READ],
  },
  "F 3→3', one import, a read in each": { ...replaced, imports: "a", readers: [0, 1], sometimes: [] },
  "F 3→4, one import, a read in each": { ...grown, imports: "a", readers: [0, 1], sometimes: [] },
  "F 3→3', a floor above a stray vote, one import": {
    ...replaced,
    proposers: "c",
    imports: "a",
    nextProposers: "bd",
    floor: 1,
    sometimes: [...FRESH, "decided in e+1"],
  },
  "F 3→3', a floor above a stray vote, two imports": {
    ...replaced,
    proposers: "c",
    imports: "ab",
    nextProposers: "bd",
    floor: 1,
    sometimes: [...FRESH, "forced by a vote"],
  },
  "F 3→3', a stray vote where fresh keys begin, one import": {
    ...replaced,
    proposers: "c",
    imports: "a",
    nextProposers: "bd",
    floor: 0,
    sometimes: [...FRESH, "decided in e+1"],
  },
  "F 3→3', a stray vote where fresh keys begin, two imports": {
    ...replaced,
    proposers: "c",
    imports: "ab",
    nextProposers: "bd",
    floor: 0,
    sometimes: [...FRESH, "forced by a vote", "decided in e+1"],
  },
  "F 3→3', a stray vote where fresh keys begin, one import, a read in e+1": {
    ...replaced,
    proposers: "c",
    imports: "a",
    instances: 1,
    nextProposers: "b",
    floor: 0,
    readers: [1],
    sometimes: [],
  },
  "F 3→3', a dropped tombstone, one import, one proposer after": {
    ...replaced,
    proposers: "a",
    imports: "a",
    instances: 3,
    nextProposers: "b",
    floor: 2,
    tombstone: true,
    certificates: true,
    sometimes: [...FRESH, "decided in e+1"],
  },
  "3→3', a key that is nobody's, one import, X and a direct value after": {
    ...replaced,
    proposers: "",
    imports: "a",
    nextExplicit: "b",
    nextDirect: true,
    floor: 1,
    sometimes: FRESH,
  },
  "3→3', a key that is nobody's, two imports": {
    ...replaced,
    proposers: "",
    imports: "ab",
    nextProposers: "bd",
    floor: 1,
    sometimes: [...FRESH, "forced by a vote", "decided in e+1"],
  },
  "F 3→3', a tombstone above the floor, one import": {
    ...replaced,
    proposers: "a",
    imports: "a",
    nextProposers: "b",
    floor: 0,
    tombstone: true,
    sometimes: ["imported"],
  },
  "F 3→3', a dropped tombstone, one import": {
    ...replaced,
    proposers: "a",
    imports: "a",
    instances: 3,
    nextProposers: "b",
    nextDirect: true,
    floor: 2,
    tombstone: true,
    sometimes: [...FRESH, "decided in e+1"],
  },
  "F 3→3', a dropped tombstone, two imports": {
    ...replaced,
    proposers: "a",
    imports: "ab",
    instances: 3,
    nextProposers: "bd",
    nextDirect: true,
    floor: 2,
    tombstone: true,
    sometimes: [],
  },
  "3→3', a key that is nobody's, one import, a read in e+1": {
    ...replaced,
    proposers: "",
    imports: "a",
    instances: 2,
    nextProposers: "b",
    floor: 1,
    readers: [1],
    sometimes: [...FRESH, ...READ, "read of what is fresh"],
  },
  "3→3', a key that is nobody's below its floor, one import, a read in e+1": {
    ...replaced,
    proposers: "",
    imports: "a",
    instances: 2,
    nextProposers: "b",
    floor: 2,
    readers: [1],
    sometimes: ["imported", "retired", "late import", ...READ, "read of what is fresh"],
  },
  "3→3', a key that is nobody's, one import, a read in e+1, nobody after": {
    ...replaced,
    proposers: "",
    imports: "a",
    instances: 1,
    floor: 1,
    readers: [1],
    sometimes: ["imported", "retired", "late import", ...READ, "read of what is fresh"],
  },
  "F 3→3', a floor above a stray vote, one import, a read in e+1": {
    ...replaced,
    proposers: "c",
    imports: "a",
    instances: 3,
    nextProposers: "b",
    floor: 2,
    readers: [1],
    sometimes: [],
  },
} as const satisfies Record<string, MembersPlan>;

export type MembersPlanName = keyof typeof MEMBERS_PLANS;
