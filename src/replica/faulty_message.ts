/** What an acceptor's host finds wrong with a message before it looks at any record. */
import { neededVersion, versionOf } from "../engine/acceptor_messages.ts";
import { sharedValueId } from "../engine/shared_value.ts";
import type { SentMessage } from "../members/message.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Value } from "../paxos/message.ts";
import type { RaisedMachine } from "./raised_machine.ts";

/** In words, for the reply; null: nothing. */
export function faultIn(
  message: SentMessage,
  from: NodeId | "",
  raised: RaisedMachine,
  digest: (text: string) => string,
): string | null {
  // By rules that this node does not know it could only guess what comes of it (§3).
  const needed = neededOf(message);
  // A client may say what it likes; a member that proposes it knows that it is decided.
  if (from !== "") raised.note(needed);
  if (needed > raised.knows) return `this needs version ${needed} of the machine`;
  const said = message.type === "fresh" ? message.message : message;
  if (said.type === "accept" && said.value.proposer === "" && !isShared(digest, said.key, said.value)) {
    return "the value's id is not the digest of its content";
  }
  return null;
}

function neededOf(message: SentMessage): number {
  switch (message.type) {
    case "import-accept":
      return Math.max(versionOf(message.base), message.value.machine ?? 0);
    case "import-prepare":
    case "import-learn":
      return 0;
    case "fresh":
      return neededVersion(message.message);
    default:
      return neededVersion(message);
  }
}

/** Two contents under one id would be two values that vote as one. */
function isShared(
  digest: (text: string) => string,
  key: string,
  { id, commands, claims, nextMode, machine }: Value,
): boolean {
  return claims === undefined && nextMode === undefined && machine === undefined &&
    id === sharedValueId(digest, key, commands);
}
