/** `token new`: a client's token, and the entry of QUORATE_TOKENS that lets nodes know it without having it. */
import { Buffer } from "node:buffer";
import { sha256Hex } from "../auth/digest.ts";
import { parseTokens } from "../auth/tokens.ts";
import { show } from "./ask.ts";
import type { Common } from "./cluster.ts";
import { EXIT_USAGE, oneLine } from "./report.ts";

export type TokenFlags = Common & { readonly scope: readonly string[] };

/** Asks no node. */
export function runTokenNew(subject: string, flags: TokenFlags): Promise<number> {
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
  const entry = { subject, sha256: sha256Hex(token), scopes: flags.scope };
  try {
    parseTokens(JSON.stringify([entry]));
  } catch (error) {
    console.error(`quorate token new: ${oneLine(error)}`);
    return Promise.resolve(EXIT_USAGE);
  }
  show(flags, { token, entry }, `${token}\n${JSON.stringify(entry)}`);
  return Promise.resolve(0);
}
