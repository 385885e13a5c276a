/**
 * The mixes of faults, and when each of them strikes: a plan made from a seed before anything runs. The same seed is the
 * same plan; what requests meet it is up to the machine, so no two runs interleave alike.
 */
import { seeded } from "../replica/clocks.ts";
import type { Pair } from "./mesh.ts";
import type { LinkFaults, LinkState } from "./proxy.ts";

export const NODES = ["a", "b", "c", "d", "e"] as const;
/** At most this many of five may fail. */
const MINORITY = 2;

export const MIXES = [
  "calm",
  "kill",
  "pause",
  "one-way",
  "two-way",
  "half-open",
  "lossy",
  "minority-down",
  "rollback",
  "full-disk",
] as const;
export type Mix = typeof MIXES[number];

export type Fault =
  /** SIGKILL, and another start at the end. */
  | { readonly type: "kill"; readonly nodes: readonly string[] }
  /** SIGSTOP, and SIGCONT at the end. */
  | { readonly type: "pause"; readonly nodes: readonly string[] }
  | { readonly type: "links"; readonly state: LinkState; readonly pairs: readonly Pair[] }
  | { readonly type: "lossy"; readonly faults: LinkFaults }
  /** Stopped, copied, started; at the end stopped and started on the copy. */
  | { readonly type: "rollback"; readonly nodes: readonly string[] }
  | { readonly type: "full-disk"; readonly nodes: readonly string[] };

/** In ms after the faults begin; steps follow each other. */
export type Step = { readonly atMs: number; readonly untilMs: number; readonly fault: Fault };

type Dice = {
  readonly random: () => number;
  between(low: number, high: number): number;
  some(count: number): string[];
};

/** Longer than every lease of the workload that is not meant to be kept. */
const PAUSE_MS = [3_200, 4_500] as const;

export function plan(mix: Mix, seed: number, durationMs: number): Step[] {
  const dice = rolled(seed * 100 + MIXES.indexOf(mix));
  const whole = (fault: Fault): Step[] => [{ atMs: 0, untilMs: durationMs, fault }];
  const minority = () => dice.some(1 + Math.floor(dice.random() * MINORITY));
  switch (mix) {
    case "calm":
      return [];
    case "kill":
      return repeated(dice, durationMs, [400, 1_500], [600, 1_200], (index) => ({
        type: "kill",
        // Once in a while all at once: what was acknowledged must be on the disks.
        nodes: index % 4 === 3 ? [...NODES] : minority(),
      }));
    case "pause":
      return repeated(dice, durationMs, PAUSE_MS, [400, 900], () => ({ type: "pause", nodes: minority() }));
    case "one-way":
      return repeated(dice, durationMs, [800, 3_000], [300, 900], () => {
        const nodes = minority();
        const isOutward = dice.random() < 0.5;
        const state = (["cut", "half-open", "mute"] as const)[Math.floor(dice.random() * 3)]!;
        const pairs = across(nodes).filter(([from]) => nodes.includes(from) === isOutward);
        return { type: "links", state, pairs };
      });
    case "two-way":
      return repeated(dice, durationMs, [800, 3_000], [300, 900], () => ({
        type: "links",
        state: dice.random() < 0.5 ? "cut" : "half-open",
        pairs: across(minority()),
      }));
    case "half-open":
      return repeated(dice, durationMs, [800, 3_000], [300, 900], () => ({
        type: "links",
        state: "half-open",
        // Anywhere, but three nodes have all their links.
        pairs: across(dice.some(MINORITY)).filter(() => dice.random() < 0.5),
      }));
    case "lossy":
      return whole({
        type: "lossy",
        faults: { dropRequest: 0.02, dropResponse: 0.02, delay: 0.1, delayMaxMs: 60, duplicate: 0.1 },
      });
    case "minority-down":
      return whole({ type: "kill", nodes: dice.some(MINORITY) });
    case "rollback":
      return [{ atMs: 0, untilMs: Math.round(durationMs / 3), fault: { type: "rollback", nodes: minority() } }];
    case "full-disk":
      return repeated(dice, durationMs, [800, 3_000], [600, 1_500], () => ({ type: "full-disk", nodes: minority() }));
  }
}

/** Step after step, each as long as drawn from `lasting` and after a rest drawn from `rest`, in whole ms. */
function repeated(
  dice: Dice,
  durationMs: number,
  lasting: readonly [number, number],
  rest: readonly [number, number],
  draw: (index: number) => Fault,
): Step[] {
  const steps: Step[] = [];
  for (let atMs = dice.between(...rest);;) {
    const untilMs = atMs + dice.between(...lasting);
    const fault = draw(steps.length);
    if (untilMs > durationMs) return steps;
    steps.push({ atMs, untilMs, fault });
    atMs = untilMs + dice.between(...rest);
  }
}

/** Both directions between each of these and each of the others. */
function across(nodes: readonly string[]): Pair[] {
  const others = NODES.filter((id) => !nodes.includes(id));
  return nodes.flatMap((id) => others.flatMap((other): Pair[] => [[id, other], [other, id]]));
}

function rolled(seed: number): Dice {
  const random = seeded(seed);
  return {
    random,
    between: (low, high) => Math.round(low + random() * (high - low)),
    some(count) {
      const left: string[] = [...NODES];
      return Array.from({ length: count }, () => left.splice(Math.floor(random() * left.length), 1)[0]!).sort();
    },
  };
}
