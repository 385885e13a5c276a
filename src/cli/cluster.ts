/** The cluster that a command talks to, from its flags and its environment. */
import { readFile } from "node:fs/promises";
import process from "node:process";
import type { Calls } from "../client/calls.ts";
import { callsTo, clientOf, type Quorate } from "../client/connect.ts";
import { webWorld } from "../client/world.ts";
import { durationMs } from "./duration.ts";
import { CommandError, oneLine, UsageError } from "./report.ts";
import { fetchTrusting } from "./trust.ts";

/** As `deno task start` has them. */
const URLS_DEFAULT = [8701, 8702, 8703, 8704, 8705].map((port) => `http://127.0.0.1:${port}`);
const TIMEOUT_DEFAULT = "10s";

/** Flags that every command has. */
export type Common = {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly timeout?: string;
  readonly json?: true;
};

export type Cluster = {
  readonly quorate: Quorate;
  readonly calls: Calls;
  readonly urls: readonly string[];
  /** Trusts what the command is to trust. */ readonly fetch: typeof webWorld.fetch;
};

/** URLs of QUORATE_URL, comma between. */
export function urlsIn(text: string | undefined): readonly string[] {
  if (text === undefined) return URLS_DEFAULT;
  return text.split(",").map((url) => url.trim().replace(/\/+$/, ""));
}

/** Throws UsageError for what is no URL or no duration, and CommandError if the token or the CA cannot be read. */
export async function clusterOf({ url, tokenFile, tlsCa, timeout = TIMEOUT_DEFAULT }: Common): Promise<Cluster> {
  const urls = urlsIn(url ?? process.env["QUORATE_URL"]);
  const token = await tokenOf({ ...(tokenFile !== undefined && { tokenFile }) });
  const timeoutMs = durationMs(timeout);
  const fetch = await fetchTrusting(tlsCa ?? process.env["QUORATE_TLS_CA"]);
  try {
    const calls = callsTo({ ...webWorld, fetch }, urls, { ...(token !== undefined && { token }), timeout: timeoutMs });
    return { calls, quorate: clientOf(calls), urls, fetch };
  } catch (error) {
    throw new UsageError(`--url or QUORATE_URL: ${oneLine(error)}`);
  }
}

/** Undefined: there is none. Throws CommandError if it cannot be read. */
export async function tokenOf({ tokenFile }: Pick<Common, "tokenFile">): Promise<string | undefined> {
  return tokenFile === undefined ? process.env["QUORATE_TOKEN"] : await tokenIn(tokenFile);
}

async function tokenIn(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw new CommandError(`cannot read --token-file ${path}: ${oneLine(error)}`);
  }
}
