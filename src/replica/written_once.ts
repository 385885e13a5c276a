/** Registers of the cluster itself, under keys that no user can name: each is written once, and then stays (PROTOCOL.md §9). */
import { Buffer } from "node:buffer";
import { QuorateError } from "../errors.ts";
import { viewRegister } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { Submitters } from "./submitters.ts";

const SUBJECT = "cluster";

/**
 * The text that the register has: this one, or what was written before. Rejects as any write of a register does.
 *
 * @param id of the command
 */
export async function writeOnce(
  submitters: Pick<Submitters, "submit">,
  { key, id, text, timeoutMs }: {
    readonly key: string;
    readonly id: string;
    readonly text: string;
    readonly timeoutMs: number;
  },
): Promise<string> {
  const bytes = Buffer.from(text).toString("base64");
  const op = { type: "put", bytes, contentType: "application/json", ifNoneMatch: ["*"] } as const;
  const { result, state } = await submitters.submit(key, { subject: SUBJECT, id, op, timeoutMs });
  const found = textIn(state);
  if (found === null || (result.outcome !== "written" && result.outcome !== "precondition-failed")) {
    throw new QuorateError("internal", `${key} came to ${result.outcome}`);
  }
  return found;
}

/** Null: nothing was written. */
export function textIn(state: State): string | null {
  const { value } = viewRegister(state);
  return value === null ? null : Buffer.from(value.bytes, "base64").toString();
}
