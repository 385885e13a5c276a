/** Figures of many runs, added up. */
import { CRASH_POINTS, SHARED_POINTS } from "./crash_points.ts";
import { type Noun, NOUNS } from "./plan.ts";
import type { SimFigures } from "./simulator.ts";

const POINTS = [...CRASH_POINTS, ...SHARED_POINTS];
/** Figures whose worst counts, not their sum. */
const WORST: ReadonlySet<string> = new Set(["healedMs", "recoveryMs"]);

export class Totals {
  seeds = 0;
  readonly #sums = new Map<string, number>();
  readonly #ofNames: number[] = [];
  readonly #ofSeeds: number[] = [];
  readonly #crashes = new Map<string, number>();

  add({ crashPoints, paths, decisions, nouns, commands, ...figures }: SimFigures): void {
    this.seeds++;
    this.#ofNames.push(...commands);
    this.#ofSeeds.push(commands.reduce((sum, count) => sum + count, 0));
    for (const [name, value] of Object.entries(figures)) this.#note(name, value);
    for (const [name, value] of Object.entries(decisions)) this.#note(`decided ${name}`, value);
    for (const [name, value] of Object.entries(paths)) this.#note(`path ${name}`, value);
    for (const [noun, { paths: _, ...counts }] of Object.entries(nouns)) {
      for (const [name, value] of Object.entries(counts)) this.#note(`${noun} ${name}`, value);
    }
    for (const [point, hits] of Object.entries(crashPoints)) {
      this.#crashes.set(point, (this.#crashes.get(point) ?? 0) + hits);
    }
  }

  /** Nouns of which nothing was ever done. */
  idle(): readonly Noun[] {
    return NOUNS.filter((noun) => (this.#sums.get(`${noun} done`) ?? 0) === 0);
  }

  /** Steps at which no process has died in any run. */
  missed(): readonly string[] {
    return POINTS.filter((point) => !this.#crashes.has(point));
  }

  lines(): readonly string[] {
    const of = (name: string) => Math.round(this.#sums.get(name) ?? 0);
    const paths = [...this.#sums.keys()].filter((name) => name.startsWith("path ")).map((name) =>
      `${name.slice("path ".length)} ${of(name)}`
    );
    return [
      `${this.seeds} seeds, ${of("operations")} operations: ${of("hedged")} hedged, ${
        of("direct")
      } by direct clients, ` +
      `${of("unknown")} of unknown outcome; ${of("grants")} grants, ${of("handOvers")} hand-overs out of queues`,
      ...NOUNS.map((noun) =>
        `${noun}: ${of(`${noun} operations`)} operations: ${of(`${noun} done`)} done, ${
          of(`${noun} refused`)
        } refused, ` +
        `${of(`${noun} unknown`)} of unknown outcome; ${of(`${noun} hedged`)} hedged` +
        (noun === "renewing" ? `; ${of("renewing early")} answered early` : "")
      ),
      `commands decided: ${spread(this.#ofNames)} of a name, ${spread(this.#ofSeeds)} of a seed`,
      `answers by path: ${paths.join(", ")}`,
      `decisions: ${of("decided inclusive")} inclusive, ${of("decided open")} open, ${
        of("decided classic")
      } classic; ` +
      `${of("decided collided")} collisions, ${of("decided recovered")} recoveries`,
      `${of("kills")} crashes, ${of("cuts")} cuts, ${of("diskFaults")} disk faults, ` +
      `${of("stalls")} stalls, ${of("lates")} links late, ` +
      `${of("quarantined")} of ${of("rollbacks")} rollbacks and ${of("losses")} lost stores refused`,
      `members changed ${of("memberChanges")} times; ${of("freshVotes")} votes for names that were new then`,
      `${of("forgotten")} times a name was forgotten`,
      `${of("isolates")} seeds with isolates: ${of("evictions")} evictions, ${
        of("conflicts")
      } checks lost to others, ` +
      `${of("unknownCommits")} commits of unknown outcome, ${of("hungCalls")} calls that hung`,
      `worst recovery after healing: ${of("recoveryMs")} ms beyond the leases that were left, ${
        of("healedMs")
      } ms in all`,
      "deaths by the step they came at:",
      ...POINTS.map((point) => `${String(this.#crashes.get(point) ?? 0).padStart(7)}  ${point}`),
    ];
  }

  #note(name: string, value: number): void {
    const sum = this.#sums.get(name) ?? 0;
    this.#sums.set(name, WORST.has(name) ? Math.max(sum, value) : sum + value);
  }
}

function spread(numbers: readonly number[]): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  return `p50 ${sorted[Math.floor(sorted.length / 2)] ?? 0}, max ${sorted.at(-1) ?? 0}`;
}
