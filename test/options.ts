/** The command line of the programs below test/, as `deno task` runs them: they say what they take, and what is wrong with it. */
import { parseArgs, type ParseArgsConfig } from "node:util";

type Known = NonNullable<ParseArgsConfig["options"]>;
const HELP = { help: { type: "boolean", short: "h", default: false } } as const;

/** `--help` prints `help` and ends the program with 0; what is not among `options` ends it with 2. */
export function optionsOf<const O extends Known>(help: string, options: O) {
  return parsed(help, options, false).values;
}

/** As `optionsOf`, of a program that takes more than options. */
export function argumentsOf<const O extends Known>(help: string, options: O) {
  return parsed(help, options, true);
}

function parsed<const O extends Known>(help: string, options: O, allowPositionals: boolean) {
  try {
    const { values, positionals } = parseArgs({
      args: Deno.args,
      options: { ...options, ...HELP },
      allowPositionals,
    });
    if ((values as { readonly help?: boolean }).help === true) {
      console.log(help);
      Deno.exit(0);
    }
    return { values: values as ReturnType<typeof parseArgs<{ options: O }>>["values"], positionals };
  } catch (error) {
    refuse((error as Error).message.split(". ")[0]!);
  }
}

/** Ends the program: an option is wrong. */
export function refuse(what: string): never {
  console.error(`${what}; --help says what there is`);
  Deno.exit(2);
}

/** What is no number would do nothing, and so pass. */
export function whole(name: string, text: string): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 1
    ? number
    : refuse(`--${name} is a whole number from 1 on, not ${JSON.stringify(text)}`);
}

export function above(name: string, text: string, least: number): number {
  const number = Number(text);
  return text.trim() !== "" && number > least
    ? number
    : refuse(`--${name} is a number above ${least}, not ${JSON.stringify(text)}`);
}
