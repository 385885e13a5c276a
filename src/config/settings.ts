/** Settings as they are given: flags, variables, and the files that they name. What is wrong is told in one line. */
import { parseArgs } from "node:util";
import { durationIn } from "../duration.ts";
import { QuorateError } from "../errors.ts";
import { FORGET_AFTER_MS, FORGET_LEAST_MS } from "../limits.ts";

export type Env = Readonly<Record<string, string | undefined>>;
export type Setting = { readonly name: string; readonly text: string };
export type Read = (file: Setting) => Promise<string>;

/** Flags by name without dashes; a switch that is given is "". Throws QuorateError `invalid-request`. */
export function parseFlags<K extends string>(
  args: readonly string[],
  kinds: Readonly<Record<K, "value" | "switch">>,
): Partial<Record<K, string>> {
  const known = `flags are ${Object.keys(kinds).map((name) => `--${name}`).join(", ")}`;
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [name, { type: kind === "value" ? "string" : "boolean" } as const]),
  );
  // Not its strict mode: what that says takes several lines.
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  const flags: Partial<Record<string, string>> = {};
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") refuse(JSON.stringify(token.value), `is not expected here; ${known}`);
    const { name, rawName, value, inlineValue } = token;
    if (!Object.hasOwn(kinds, name) || rawName !== `--${name}`) refuse(rawName, `is not a flag; ${known}`);
    if (Object.hasOwn(flags, name)) refuse(rawName, "is given twice");
    if (kinds[name as K] === "switch") {
      if (value !== undefined) refuse(rawName, "takes no value");
      // `--port --init` lost its value; whoever means "--init" writes --port=--init.
    } else if (value === undefined || value === "" || (!inlineValue && value.startsWith("-"))) {
      refuse(rawName, "needs a value");
    }
    flags[name] = value ?? "";
  }
  return flags as Partial<Record<K, string>>;
}

export function readerOf(readTextFile: (path: string) => Promise<string>): Read {
  return async ({ name, text }) => {
    try {
      return await readTextFile(text);
    } catch (error) {
      refuse(name, `cannot read ${text}: ${(error as Error).message}`);
    }
  };
}

export function fromEnv(env: Env, name: string): Setting | null {
  const text = env[name];
  if (text === undefined) return null;
  // Taken as "not set", an empty secret or an empty list of tokens would open the node without a word.
  if (text.trim() === "") refuse(name, "is empty; give it a value or unset it");
  return { name, text };
}

/** What a variable holds, or, as `@FILE`, the file that it names. */
export async function textOf({ name, text }: Setting, read: Read): Promise<string> {
  return text.startsWith("@") ? await read({ name, text: text.slice(1).trim() }) : text;
}

/** In ms; `off`: Infinity. */
export function forgetAfterOf(setting: Setting | null): number {
  if (setting === null) return FORGET_AFTER_MS;
  const { name, text } = setting;
  if (text === "off") return Infinity;
  const ms = durationIn(text);
  if (ms === null || ms < FORGET_LEAST_MS) {
    refuse(name, `is neither "off" nor a minute or more, as 30m, 12h or 7d: ${JSON.stringify(text)}`);
  }
  return ms;
}

/** A variable that stands for a switch. */
export function switchOf(setting: Setting | null): boolean {
  if (setting === null) return false;
  if (setting.text !== "1") refuse(setting.name, `is 1 or not set, not ${JSON.stringify(setting.text)}`);
  return true;
}

/** Throws QuorateError `invalid-request`. */
export function refuse(field: string, what: string): never {
  throw new QuorateError("invalid-request", `${field} ${what}`, { field });
}
