/**
 * What is said on a connection between nodes: texts of one line of words and, after it, a body. `ask` is a request for a
 * mailbox with the ticket of the connection that its answer is to go over; `answer` and `refusal` name the request by number.
 * Bodies are those of a POST (wire.ts), that of a refusal is its detail.
 */
import { type Mailbox, MAILBOXES } from "../ports.ts";

export type LineFrame =
  | { readonly type: "ask"; readonly number: number; readonly ticket: string; readonly mailbox: Mailbox; body: string }
  | { readonly type: "answer"; readonly number: number; readonly body: string }
  | { readonly type: "refusal"; readonly number: number; readonly code: string; readonly body: string };

/** More than any first line has. */
export const HEAD_MAX_CHARS = 256;

const HEAD = new RegExp(
  `^(?:(?<ask>ask) (?<number>[1-9][0-9]{0,15}) (?<ticket>[A-Za-z0-9_-]{16,64}) (?<mailbox>${MAILBOXES.join("|")})|` +
    `(?<answer>answer) (?<answered>[1-9][0-9]{0,15})|` +
    `(?<refusal>refusal) (?<refused>[1-9][0-9]{0,15}) (?<code>[a-z-]{1,64}))$`,
);

export function frameText(frame: LineFrame): string {
  const { type, number, body } = frame;
  const more = type === "ask" ? ` ${frame.ticket} ${frame.mailbox}` : type === "refusal" ? ` ${frame.code}` : "";
  return `${type} ${number}${more}\n${body}`;
}

/** Null: it is no such text. */
export function frameOf(text: string): LineFrame | null {
  const end = text.indexOf("\n");
  if (end < 0 || end > HEAD_MAX_CHARS) return null;
  const found = HEAD.exec(text.slice(0, end))?.groups;
  if (found === undefined) return null;
  const body = text.slice(end + 1);
  const { ask, number, ticket, mailbox, answer, answered, refused, code } = found;
  if (ask !== undefined) {
    return { type: "ask", number: Number(number), ticket: ticket!, mailbox: mailbox as Mailbox, body };
  }
  if (answer !== undefined) return { type: "answer", number: Number(answered), body };
  return { type: "refusal", number: Number(refused), code: code!, body };
}
