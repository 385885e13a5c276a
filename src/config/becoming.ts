/** How a store becomes a member's: one of the first members', filled with a backup or not, or of one that joins. */
import type { NodeConfig } from "./config.ts";
import { refuse, type Setting } from "./settings.ts";

type Flags = Partial<Record<"init" | "restore" | "restore-number" | "learner", string>>;

export function restoreOf(flags: Flags): Pick<NodeConfig, "restore" | "restoreNumber"> {
  const [restore, number] = [flags.restore ?? null, flags["restore-number"]];
  if (restore !== null && flags.init === undefined) {
    refuse("--restore", "needs --init: a store becomes a member's with what the backup has, or never");
  }
  if (number === undefined) return { restore, restoreNumber: null };
  if (restore === null) refuse("--restore-number", "needs --restore");
  if (!/^[1-9][0-9]{0,2}$/.test(number)) refuse("--restore-number", "is not a number from 1 on");
  return { restore, restoreNumber: Number(number) };
}

/** @param secrets who joins is told of its membership by nodes that have them */
export function joinOf(setting: Setting | null, flags: Flags, secrets: readonly string[]): Pick<NodeConfig, "join"> {
  if (setting === null) return { join: null };
  const { name, text } = setting;
  if (flags.init !== undefined) refuse(name, "is not for --init: who joins is made a member by those that there are");
  if (flags.learner !== undefined) refuse(name, "is not for --learner: who joins will vote");
  if (!/^q-[0-9a-f]{12}$/.test(text)) {
    refuse(name, `is no id of a cluster, as /v1/status has it: ${JSON.stringify(text)}`);
  }
  if (secrets.length === 0) refuse("QUORATE_PEER_SECRET", "is needed to join, the same as on every node");
  return { join: text };
}
