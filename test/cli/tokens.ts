/** A client's token as nodes are configured with it. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { type ClientToken, parseTokens } from "../../src/auth/tokens.ts";

/** This token may do everything. */
export function createClientTokens(token: string): readonly ClientToken[] {
  const scopes = ["*:read,write,admin:*"];
  return parseTokens(JSON.stringify([{ subject: "tests", sha256: sha256Hex(token), scopes }]));
}
