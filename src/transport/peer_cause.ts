/** What a failed call says of the peer, from what the runtime and the peer say of it. */
import type { PeerCause } from "../ports.ts";

/** By the text of the runtime: its errors of a fetch have no codes. The first that fits. */
const BY_TEXT: readonly (readonly [RegExp, PeerCause])[] = [
  [/certificate|UnknownIssuer|NotValidForName/i, "certificate"],
  [/connection refused|os error (?:111|61|10061)\b/i, "refused"],
  [/timed out|os error (?:110|60|10060)\b/i, "timed-out"],
  [/client error \(Connect\)|dns error|unreachable|connection (?:reset|closed)/i, "unreachable"],
];

/** By the `code` of the peer's problem document. */
const BY_CODE: Readonly<Record<string, PeerCause>> = {
  "peer-unauthenticated": "other-secret",
  "unknown-peer": "no-member",
  "config-mismatch": "other-members",
  "wire-mismatch": "other-wire",
  "peer-misdirected": "wrong-node",
  "not-ready": "not-ready",
};

export function causeOfFailure(error: unknown): PeerCause {
  const text = textOf(error);
  return BY_TEXT.find(([pattern]) => pattern.test(text))?.[1] ?? "failed";
}

export function causeOfCode(code: string): PeerCause {
  return Object.hasOwn(BY_CODE, code) ? BY_CODE[code]! : "failed";
}

/** What an error says and what it comes from says: the runtime has the reason in either. */
export function textOf(error: unknown): string {
  const texts: string[] = [];
  for (let one = error, depth = 0; one instanceof Error && depth < 4; one = one.cause, depth++) texts.push(one.message);
  return texts.length === 0 ? String(error) : texts.join(": ");
}
