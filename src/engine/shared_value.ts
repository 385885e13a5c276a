/** Values that anybody may send (PROTOCOL.md §3): named by their content, so the same bytes are the same value everywhere. */
import type { Command } from "../paxos/message.ts";

/** Hex SHA-256 of canonical {key, commands}; `digest` is SHA-256 in hex. */
export function sharedValueId(digest: (text: string) => string, key: string, commands: readonly Command[]): string {
  return digest(
    JSON.stringify([key, ...commands.map(({ subject, id, born, op }) => [subject, id, born, canonical(op)])]),
  );
}

/** Fields in one order: a client in another language may write them in another. */
function canonical(op: Command["op"]): unknown {
  return Object.entries(op).sort(([a], [b]) => a < b ? -1 : 1);
}
