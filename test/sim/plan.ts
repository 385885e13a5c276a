/** What one run is made of, drawn from its seed before it begins: plain data, so that a run can be made smaller and run again. */
import { MODE_NAMES, type ModeRule } from "../../src/engine/modes.ts";
import { KEY_PREFIXES } from "../../src/nouns.ts";
import type { Fault as DiskFault } from "../../src/store/memory_ballot_store.ts";
import { CRASH_POINTS, type CrashPoint, RARE_POINTS, SHARED_POINTS } from "./crash_points.ts";
import { COMMIT_FAULTS, type KvFault, READ_FAULTS } from "./fake_kv.ts";
import { isolatesOf } from "./processes.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";

/** One direction between two nodes. */
export type Link = { readonly loss: number; readonly repeat: number; readonly delayMs: number };

/**
 * Times count from the start of the run; nodes that are not there, or not up, are passed over. A node is a process where
 * one is named, and else a member, all of whose processes it happens to.
 */
export type FaultEvent =
  | { readonly kind: "kill"; readonly atMs: number; readonly node: string; readonly forMs: number }
  /** From then on dies when it has come to this point so often. */
  | {
    readonly kind: "crash";
    readonly atMs: number;
    readonly node: string;
    readonly point: CrashPoint;
    readonly skip: number;
    readonly forMs: number;
  }
  /** Nothing gets from the one to the other; `both`: nor back. */
  | {
    readonly kind: "cut";
    readonly atMs: number;
    readonly from: string;
    readonly to: string;
    readonly both: boolean;
    readonly forMs: number;
  }
  /** Requests arrive and take effect; no answer to them comes back. */
  | { readonly kind: "mute"; readonly atMs: number; readonly from: string; readonly to: string; readonly forMs: number }
  | { readonly kind: "disk"; readonly atMs: number; readonly node: string; readonly fault: DiskFault }
  | {
    readonly kind: "slow-disk";
    readonly atMs: number;
    readonly node: string;
    readonly ms: number;
    readonly forMs: number;
  }
  /** Dies, and its disk is what it was a while before: of at most f nodes, and only where others have heard of more (§9). */
  | { readonly kind: "rollback"; readonly atMs: number; readonly node: string }
  /** Dies, its store is gone, and an init makes it anew while nobody answers it: of at most f nodes. */
  | { readonly kind: "lost"; readonly atMs: number; readonly node: string; readonly forMs: number }
  /** Stops running, and goes on where it was. With `key`: whoever coordinates that key then, if anybody does. */
  | {
    readonly kind: "stall";
    readonly atMs: number;
    readonly node: string;
    readonly key?: string;
    readonly forMs: number;
  }
  /**
   * Requests from the one to the other come so much later than they would, of this type alone or all of them. With `key`:
   * from anybody to whoever coordinates that key then, if anybody does.
   */
  | {
    readonly kind: "late";
    readonly atMs: number;
    readonly from: string;
    readonly to: string;
    readonly key?: string;
    readonly type?: string;
    readonly byMs: number;
    readonly forMs: number;
  }
  | { readonly kind: "wall"; readonly atMs: number; readonly node: string; readonly offsetMs: number }
  /** The next call to that member's database that can ends so. */
  | { readonly kind: "kv"; readonly atMs: number; readonly node: string; readonly fault: KvFault };

/** What a run may use besides locks. */
const FREQUENT = ["registers", "semaphores", "elections", "watching", "sessions"] as const;
/** Dear ones, each used by one seed in so many, beside what else the seed uses. */
const SELDOM = [["hot", 6], ["waits", 12], ["sets", 6], ["renewing", 12]] as const;
/** Those whose runs take twice the time of others and more. */
const DEAREST: readonly string[] = ["hot", "sets"];
export const NOUNS = [...FREQUENT, ...SELDOM.map(([noun]) => noun)];
export type Noun = typeof NOUNS[number];

export type Plan = {
  readonly seed: number;
  readonly n: number;
  readonly learners: number;
  /** Index by name of the clients; each has random decisions of its own. */
  readonly clients: readonly number[];
  /** Names of locks; a client that would use another does nothing. */
  readonly keys: readonly string[];
  /** Used besides locks. */
  readonly nouns: readonly Noun[];
  readonly faultyMs: number;
  /** The rate of each node's clock, by its place in the cluster, learners last. */
  readonly rates: readonly number[];
  /** Links that are not as `link`, by `from>to`. */
  readonly links: Readonly<Record<string, Link>>;
  readonly link: Link;
  readonly faults: readonly FaultEvent[];
  /** Members whose store many processes serve at once, each member so many. */
  readonly shared: readonly string[];
  readonly isolates: number;
  /** How long such a process lives on average; it is replaced. Null: until a fault ends it. */
  readonly lifeMs: number | null;
  /** Whether nodes know the newest machine, and one of them raises it; else they are as ones beside nodes of a release before. */
  readonly raises: boolean;
  /** Names unused for so long are forgotten, once the machine is raised. Null: none are. */
  readonly forgetAfterMs: number | null;
  /** Who are to be members from some time on, one after the other: each begins when the one before is done. */
  readonly changes: readonly Change[];
};

export type Change = { readonly atMs: number; readonly members: string };

/** Whether every node has a store to itself, and members change, or some or all members are served by many processes each. */
export type Kind = "owners" | "isolates" | "members";

/** How keys use their standing ballot, by the beginning of their names. */
export const MODE_RULES: readonly ModeRule[] = Object.values(KEY_PREFIXES).flatMap((noun) =>
  MODE_NAMES.map((mode) => ({ prefix: `${noun}${mode}/`, mode }))
);
export const KEYS = 4;
const CLIENTS = 6;
/** Streams of randomness: what else is drawn from a seed does not hang on its nouns. */
const NOUN_STREAM = 200;
const ISOLATE_STREAM = 201;
const SELDOM_STREAM = 202;
const STALL_STREAM = 203;
const HOT_STREAM = 204;
const LOST_STREAM = 205;
const CHANGE_STREAM = 206;
const FORGET_STREAM = 207;
/** Such faults in a run that has any. */
const STALLS_MAX = 4;
const FAULTY_MS = 6_000;
export const MEMBERS = "abcdefg";
/** New members, in the order in which they come. */
const JOINERS = "hijklmn";
export const LEARNERS = "vw";
const WALL_JUMP_MS = 3_600_000;
/** Wall clocks of the processes of one member are within this of their platform's: no two of them more than 2 s apart (§7). */
export const WALL_APART_MS = 1_000;

/** @param kind by default every fourth seed is one of isolates, and every fourth changes its members */
export function planOf(seed: number, kind: Kind = kindOfSeed(seed)): Plan {
  const plan = ownersPlanOf(seed);
  return kind === "owners" ? plan : kind === "members" ? withChanges(plan) : withIsolates(plan);
}

function kindOfSeed(seed: number): Kind {
  return seed % 4 === 3 ? "isolates" : seed % 4 === 1 ? "members" : "owners";
}

/** Whether a run of it takes a multiple of the time of others. */
export function isDear({ shared, changes, nouns }: Plan): boolean {
  return shared.length > 0 || changes.length > 0 || nouns.some((noun) => DEAREST.includes(noun));
}

/** The same run with members that change, and with deaths while they do; from randomness of its own. */
function withChanges(plan: Plan): Plan {
  const random = seededRandomness(plan.seed, CHANGE_STREAM);
  const changes: Change[] = [];
  let members = MEMBERS.slice(0, plan.n);
  let joined = 0;
  const faults: FaultEvent[] = plan.faults.filter(({ kind }) => kind !== "rollback" && kind !== "lost");
  for (let atMs = random.next() * 1_500; atMs < FAULTY_MS * 0.7; atMs += 500 + random.next() * 3_000) {
    const [leaves, joins] = random.pick([[1, 1], [1, 1], [0, 1], [1, 0], [0, 2], [2, 0], [2, 2]] as const);
    const size = members.length - leaves + joins;
    if (size < 3 || size > 6 || joined + joins > JOINERS.length) continue;
    const stay = [...members];
    for (let i = 0; i < leaves; i++) stay.splice(random.below(stay.length), 1);
    members = [...stay, ...JOINERS.slice(joined, joined + joins)].sort().join("");
    joined += joins;
    changes.push({ atMs, members });
    const near = [...members, ...MEMBERS.slice(0, plan.n)];
    for (let i = random.below(4); i > 0; i--) {
      const [node, forMs] = [random.pick(near), 50 + random.next() * 800];
      faults.push({ kind: "kill", atMs: atMs + random.next() * 1_500, node, forMs });
    }
    const disk = random.pick(["conflict", "unknown-applied", "unknown-lost"] as const);
    if (random.chance(0.5)) {
      faults.push({ kind: "disk", atMs: atMs + random.next() * 500, node: random.pick(near), fault: disk });
    }
  }
  const rates = [...plan.rates, ...Array.from({ length: joined }, () => random.pick(plan.rates))];
  // Whose clients begin to use new names after a change.
  const nouns = [...new Set([...plan.nouns, "registers" as const])];
  return { ...plan, nouns, rates, changes, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

function ownersPlanOf(seed: number): Plan {
  const random = seededRandomness(seed);
  const n = random.pick([3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 7]);
  const learners = random.pick([0, 0, 1, 2]);
  const nodes = [...MEMBERS.slice(0, n), ...LEARNERS.slice(0, learners)];
  const keys = Array.from({ length: KEYS }, (_, i) => `${MODE_NAMES[(seed + i) % MODE_NAMES.length]}/${i}`);
  return {
    seed,
    n,
    learners,
    clients: Array.from({ length: CLIENTS }, (_, i) => i),
    keys,
    nouns: nounsOf(seed),
    faultyMs: FAULTY_MS,
    rates: ratesOf(random, nodes),
    link: linkOf(random),
    links: oddLinks(random, nodes),
    faults: [...faultsOf(random, nodes, n), ...stallsOf(seed, nodes), ...lossesOf(seed, n)].sort((a, b) =>
      a.atMs - b.atMs
    ),
    shared: [],
    isolates: 0,
    lifeMs: null,
    raises: seed % 5 !== 3,
    forgetAfterMs: forgetAfterOf(seed),
    changes: [],
  };
}

/** The same run with stores that many processes serve, and what can only happen to those; from randomness of its own. */
function withIsolates(plan: Plan): Plan {
  const random = seededRandomness(plan.seed, ISOLATE_STREAM);
  const members = [...MEMBERS.slice(0, plan.n)];
  // Some clusters are mixed: mostly shared, or mostly not.
  const share = random.pick([1, 1, 1, 0.7, 0.3]);
  const some = members.filter(() => random.chance(share));
  const shared = some.length === 0 ? members.slice(0, 1) : some;
  // Three of each of many would take too long.
  const isolates = plan.n > 4 ? 2 : random.pick([2, 2, 3]);
  const processes = shared.flatMap((id) => isolatesOf({ shared, isolates }, id));
  const faults = plan.faults.flatMap((fault) => sharedFault(random, fault, { shared, isolates }) ?? []);
  for (let atMs = random.next() * 200; atMs < FAULTY_MS; atMs += random.next() * 250) {
    faults.push(isolateFault(random, shared, processes, atMs));
  }
  const lifeMs = random.pick([null, null, null, null, 400, 1_500]);
  return { ...plan, shared, isolates, lifeMs, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

/** What a fault that was drawn for a node with a store to itself comes to where many processes share one. */
function sharedFault(
  random: Seeded,
  fault: FaultEvent,
  plan: Pick<Plan, "shared" | "isolates">,
): FaultEvent | null {
  if (!("node" in fault) || !plan.shared.includes(fault.node)) return fault;
  const process = random.pick(isolatesOf(plan, fault.node));
  switch (fault.kind) {
    case "kill":
      // Else all of them at once.
      return random.chance(0.7) ? { ...fault, node: process } : fault;
    case "crash":
      return { ...fault, node: process };
    case "wall":
      return { ...fault, node: process, offsetMs: (random.next() * 2 - 1) * WALL_APART_MS };
    case "disk":
      return { kind: "kv", atMs: fault.atMs, node: fault.node, fault: KV_FAULT_OF[fault.fault] };
    case "stall":
      // What its database says would have to wait too.
      return null;
    case "rollback":
      // Where the store is shared it is not found out, as documented (§9).
      return null;
    default:
      return fault;
  }
}

const KV_FAULT_OF: Readonly<Record<DiskFault, KvFault>> = {
  "conflict": "refused-lost",
  "unknown-applied": "error-applied",
  "unknown-lost": "error-lost",
};

function isolateFault(
  random: Seeded,
  shared: readonly string[],
  processes: readonly string[],
  atMs: number,
): FaultEvent {
  // They are replaced soon.
  const [node, forMs] = [random.pick(processes), 20 + random.next() * 400];
  const skip = random.pick([0, 0, 1, 3]);
  switch (random.below(8)) {
    case 0:
      return { kind: "kill", atMs, node, forMs };
    case 1:
    case 2:
      return { kind: "crash", atMs, node, point: random.pick(CRASH_POINTS), skip, forMs };
    case 3:
      return { kind: "crash", atMs, node, point: random.pick(SHARED_POINTS), skip, forMs };
    case 4:
      return { kind: "kv", atMs, node: random.pick(shared), fault: random.pick(READ_FAULTS) };
    default:
      return { kind: "kv", atMs, node: random.pick(shared), fault: random.pick(COMMIT_FAULTS) };
  }
}

/** None, one or two: a run of everything at once would take too long for a gate. */
function nounsOf(seed: number): readonly Noun[] {
  const random = seededRandomness(seed, NOUN_STREAM);
  const count = random.pick([0, 0, 1, 1, 2]);
  const [first, second] = [random.pick(FREQUENT), random.pick(FREQUENT)];
  const seldom = seededRandomness(seed, SELDOM_STREAM);
  const dear = SELDOM.filter(([, oneIn]) => seldom.below(oneIn) === 0).map(([noun]) => noun);
  return [...new Set<Noun>([first, second].slice(0, count)), ...dear];
}

/** In every fifth run, of whatever kind it is; less than clients go on trying, so that they meet what is forgotten. */
function forgetAfterOf(seed: number): number | null {
  const random = seededRandomness(seed, FORGET_STREAM);
  return seed % 5 === 4 ? random.pick([40, 100, 250, 600]) : null;
}

/** Lease bounds are promised for clocks within 1 % of each other's rate; everything else for any. */
export function keepsTime({ rates }: Plan): boolean {
  return rates.every((rate) => rate >= 0.99 && rate <= 1.01);
}

function ratesOf(random: Seeded, nodes: readonly string[]): readonly number[] {
  const within = random.chance(0.7);
  return nodes.map(() => within ? 0.991 + random.next() * 0.018 : 0.5 + random.next() * 1.5);
}

function linkOf(random: Seeded): Link {
  return {
    loss: random.pick([0, 0.01, 0.05, 0.3]),
    repeat: random.pick([0, 0.05, 0.5]),
    delayMs: random.pick([2, 10, 60]),
  };
}

function oddLinks(random: Seeded, nodes: readonly string[]): Readonly<Record<string, Link>> {
  const links: Record<string, Link> = {};
  for (const from of nodes) {
    for (const to of nodes) if (from !== to && random.chance(0.15)) links[`${from}>${to}`] = linkOf(random);
  }
  return links;
}

function faultsOf(random: Seeded, nodes: readonly string[], n: number): readonly FaultEvent[] {
  const faults: FaultEvent[] = [];
  for (let atMs = random.next() * 300; atMs < FAULTY_MS; atMs += random.next() * 400) {
    faults.push(faultOf(random, nodes, n, atMs));
  }
  return faults;
}

/** From randomness of their own: in a third of all runs, and wherever one name is hot. */
function stallsOf(seed: number, nodes: readonly string[]): readonly FaultEvent[] {
  const random = seededRandomness(seed, STALL_STREAM);
  const hot = nounsOf(seed).includes("hot") ? `kv/${hotName(seed)}` : null;
  const count = random.chance(0.33) || hot !== null ? 1 + random.below(STALLS_MAX) : 0;
  return Array.from({ length: count }, () => {
    const [atMs, node] = [random.next() * FAULTY_MS * 0.7, random.pick(nodes)];
    const forMs = 200 + random.next() * 1_800;
    const to = random.pick(nodes.filter((other) => other !== node));
    const key = hot === null || random.chance(0.3) ? {} : { key: hot };
    if (random.chance(0.4)) return { kind: "stall", atMs, node, forMs, ...key };
    const type = random.pick(["forward", "forward", "forward", undefined]);
    const byMs = 300 + random.next() * 2_700;
    return { kind: "late", atMs, from: node, to, ...key, byMs, forMs, ...(type === undefined ? {} : { type }) };
  });
}

/** From randomness of their own: in every fifth run. */
function lossesOf(seed: number, n: number): readonly FaultEvent[] {
  const random = seededRandomness(seed, LOST_STREAM);
  if (!random.chance(0.2)) return [];
  const [atMs, node] = [random.next() * FAULTY_MS * 0.7, MEMBERS[random.below(n)]!];
  return [{ kind: "lost", atMs, node, forMs: 500 + random.next() * 3_000 }];
}

/** The name that very many use, where any is. */
export function hotName(seed: number): string {
  return `${seededRandomness(seed, HOT_STREAM).pick(MODE_NAMES)}/hot`;
}

function faultOf(random: Seeded, nodes: readonly string[], n: number, atMs: number): FaultEvent {
  const node = random.pick(nodes);
  const forMs = 50 + random.next() * 1_500;
  const others = nodes.filter((other) => other !== node);
  const to = random.pick(others);
  switch (random.below(13)) {
    case 0:
      return { kind: "kill", atMs, node, forMs };
    case 1:
    case 2:
      return { kind: "cut", atMs, from: node, to, both: random.chance(0.3), forMs };
    case 3:
      return { kind: "mute", atMs, from: node, to, forMs };
    case 4:
    case 5:
      return { kind: "disk", atMs, node, fault: random.pick(["conflict", "unknown-applied", "unknown-lost"]) };
    case 6:
      return { kind: "slow-disk", atMs, node, ms: 20 + random.next() * 300, forMs };
    case 7:
      return { kind: "wall", atMs, node, offsetMs: (random.next() * 2 - 1) * WALL_JUMP_MS };
    case 8:
      return { kind: "rollback", atMs, node: nodes[random.below(n)]! };
    default:
      if (random.chance(0.15)) return { kind: "crash", atMs, node, point: random.pick(RARE_POINTS), skip: 0, forMs };
      return { kind: "crash", atMs, node, point: random.pick(CRASH_POINTS), skip: random.pick([0, 0, 1, 3, 8]), forMs };
  }
}
