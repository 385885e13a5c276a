/** What `deno task bench` is told, checked whole before anything starts. */
import { parseArgs } from "node:util";
import { LOADS } from "./loads.ts";

/** Ends the program with exit code 2: its message says which option is wrong, and how. */
export class UsageError extends Error {
  override name = "UsageError";
}

const ALL_LOADS = LOADS.map(({ name }) => name);

/** For each program: the options it takes, with their defaults. */
const PROGRAMS = {
  compare: {
    nodes: "3",
    workers: "1,16,64",
    rounds: "5",
    seconds: "3",
    "warm-up": "15",
    only: ALL_LOADS,
    json: "",
    svg: "",
  },
  counts: { nodes: "3", workers: "1,16,64", cycles: "100", only: ["lock cycle, own keys", "one hot lock"], json: "" },
  profile: { nodes: "3", workers: "64", seconds: "10", "warm-up": "15", only: ["lock cycle, own keys"], json: "" },
  overload: { nodes: "3", workers: "64", rounds: "5", seconds: "6", "warm-up": "15", json: "" },
  growth: { nodes: "3", names: "100000", json: "" },
  leftovers: { nodes: "3", names: "100000", rounds: "2", forget: "", json: "" },
  disk: { nodes: "3", names: "10000", cycles: "100000", workers: "16", json: "" },
  wan: { cycles: "50", json: "" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

export type Program = keyof typeof PROGRAMS;

export type Options = {
  readonly program: Program;
  /** Sizes of the clusters, one after another. */
  readonly nodes: readonly number[];
  readonly workers: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly cycles: number;
  readonly names: number;
  /** Minutes; null: not given. */
  readonly forget: number | null;
  /** Names of loads. */
  readonly only: readonly string[];
  /** Paths; null: none. */
  readonly json: string | null;
  readonly svg: string | null;
};

const ONE_CELL: readonly Program[] = ["profile", "overload", "growth", "leftovers", "disk"];
const FLAGS = Object.keys(PROGRAMS).filter((program) => program !== "compare") as Exclude<Program, "compare">[];

/** Null: help is asked for. Throws UsageError. */
export function parseOptions(args: readonly string[]): Options | null {
  const given = parsed(args);
  if (given["help"] === true) return null;
  const flags = FLAGS.filter((flag) => given[flag] === true);
  if (flags.length > 1) throw new UsageError(`--${flags[0]} and --${flags[1]} are two programs: choose one`);
  const program = flags[0] ?? "compare";
  const defaults: Readonly<Record<string, string | readonly string[]>> = PROGRAMS[program];
  const stranger = Object.keys(given).find((name) => name !== program && defaults[name] === undefined);
  if (stranger !== undefined) throw new UsageError(`--${stranger} means nothing to ${nameOf(program)}`);
  const text = (name: string) => (given[name] ?? defaults[name] ?? "") as string;
  const numbers = (name: string, rule: Rule) =>
    text(name) === "" && given[name] === undefined ? [] : numbersOf(name, text(name), rule);
  const number = (name: string, rule: Rule) => numbers(name, { ...rule, single: true })[0] ?? NaN;
  const only = (given["only"] ?? defaults["only"] ?? []) as readonly string[];
  const unknown = only.find((name) => !ALL_LOADS.includes(name));
  if (unknown !== undefined) throw new UsageError(`--only is none of the loads: ${JSON.stringify(unknown)}`);
  const single = ONE_CELL.includes(program);
  if (single && only.length > 1) throw new UsageError("--profile is of one load: give one --only");
  return {
    program,
    nodes: numbers("nodes", { most: 9, single, not: 2 }),
    workers: numbers("workers", { most: 1_000, single }),
    rounds: number("rounds", { most: 1_000 }),
    seconds: number("seconds", { most: 3_600, fractions: true }),
    warmUp: number("warm-up", { most: 3_600, fractions: true }),
    cycles: number("cycles", { most: 1_000_000 }),
    names: number("names", { most: 10_000_000 }),
    forget: numbers("forget", { most: 10_000, single: true })[0] ?? null,
    only,
    json: text("json") || null,
    svg: text("svg") || null,
  };
}

function parsed(args: readonly string[]): Readonly<Record<string, unknown>> {
  const names = [...new Set(Object.values(PROGRAMS).flatMap((defaults) => Object.keys(defaults)))];
  const options = {
    ...Object.fromEntries(names.map((name) => [name, { type: "string", multiple: name === "only" } as const])),
    ...Object.fromEntries([...FLAGS, "help"].map((name) => [name, { type: "boolean" } as const])),
  };
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

type Rule = { readonly most: number; readonly not?: number; readonly fractions?: boolean; readonly single?: boolean };

function numbersOf(
  name: string,
  text: string,
  { most, not, fractions = false, single = false }: Rule,
): readonly number[] {
  const list = text.split(",").map((part) => part.trim() === "" ? NaN : Number(part));
  const isFine = (number: number) =>
    number > 0 && number <= most && number !== not && (fractions || Number.isInteger(number));
  if (!list.every(isFine) || (single && list.length > 1)) {
    const what = `${fractions ? "a number" : "a whole number"} above 0 and at most ${most}${
      not === undefined ? "" : `, and not ${not}`
    }`;
    throw new UsageError(
      `--${name} is ${what}${single ? "" : ", or several with commas"}, not ${JSON.stringify(text)}`,
    );
  }
  return list;
}

function nameOf(program: Program): string {
  return program === "compare" ? "the comparison" : `--${program}`;
}
