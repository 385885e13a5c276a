/** Commands that ask the cluster something, print it, and end. */
import { type Cluster, clusterOf, type Common } from "./cluster.ts";
import { print, shown } from "./output.ts";
import { failed, jsonLine, teller } from "./tell.ts";

/** The exit code of `ask`; 0 if it says none. */
export async function asked(
  verb: string,
  flags: Common,
  ask: (cluster: Cluster) => Promise<number | void>,
): Promise<number> {
  try {
    return await ask(await clusterOf(flags)) ?? 0;
  } catch (error) {
    return failed(verb, error, teller(verb, flags.json === true));
  }
}

/** One result: a line of JSON, or what people read. */
export function show({ json }: Common, value: unknown, text: string): void {
  print(json ? jsonLine(value) : text);
}

/** Cells of a line, for people and for cut(1). */
export function cells(...parts: readonly unknown[]): string {
  return parts.map((part) => part === undefined || part === null || part === "" ? "-" : shown(`${part}`)).join("\t");
}
