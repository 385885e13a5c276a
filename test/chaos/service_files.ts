/** The files of docs/deploy that start nodes, taken apart: a unit of systemd, a Containerfile, a compose file and an environment. */
import { parse } from "yaml";
import { assert } from "@std/assert";

export const DEPLOY = new URL("../../docs/deploy/", import.meta.url);

export async function deployFile(name: string): Promise<string> {
  return await Deno.readTextFile(new URL(name, DEPLOY));
}

export type Env = Readonly<Record<string, string>>;

/** `NAME=value` lines, without comments. */
export function envOf(text: string): Env {
  return Object.fromEntries(
    lines(text).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

export type Unit = { readonly all: (key: string) => readonly string[]; readonly one: (key: string) => string };

/** The keys of all sections of a unit, which in this one have different names. */
export function unitOf(text: string): Unit {
  const entries = lines(text).filter((line) => !line.startsWith("[")).map((line) => line.split(/=(.*)/s, 2));
  const all = (key: string) => entries.filter(([name]) => name === key).map(([, value]) => value!);
  const one = (key: string) => {
    const [value, ...more] = all(key);
    assert(value !== undefined && more.length === 0, `${key} stands there ${more.length + 1} times, or not`);
    return value;
  };
  return { all, one };
}

/** The words of a line that quotes nothing; `$NAME` and `${NAME-}` are the words of that variable, or none. */
export function wordsOf(line: string, env: Env): readonly string[] {
  assert(!/["'\\%]/.test(line), line);
  return line.split(/\s+/).flatMap((word) => {
    const name = /^\$(?:\{(\w+)-\}|(\w+))$/.exec(word);
    if (name === null) return [word];
    return (env[name[1] ?? name[2]!] ?? "").split(" ").filter((one) => one !== "");
  });
}

export type Instruction = { readonly name: string; readonly rest: string };

/** The instructions of a Containerfile, in order. */
export function instructionsOf(text: string): readonly Instruction[] {
  return lines(text).map((line) => {
    const [, name, rest] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    assert(name !== undefined && rest !== undefined && !rest.endsWith("\\"), line);
    return { name, rest };
  });
}

export type Service = {
  readonly command: string;
  readonly environment: Env;
  readonly secrets: readonly string[];
  readonly volumes: readonly string[];
  readonly [key: string]: unknown;
};
export type Compose = {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};

/** Throws where it is no YAML. */
export function composeOf(text: string): Compose {
  return parse(text, { merge: true }) as Compose;
}

function lines(text: string): readonly string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
}
