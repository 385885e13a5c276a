/**
 * Fast Paxos without a server in between: a client's own Accept! in a standing fast ballot (PROTOCOL.md §1, flow 3).
 * `POST /paxos/acceptor` with `Quorate-Hedge: BORN`, `{messages: [Accept!]}` in, `{replies}` out.
 */
import { QuorateError } from "../src/errors.ts";
import { VISIBLE } from "../src/http/request_head.ts";
import { LIST_DEFAULT_ITEMS } from "../src/limits.ts";
import { NAME_FIELDS, nounOfKey } from "../src/nouns.ts";
import type { DirectAccept, NodeService, Thing } from "../src/service/service.ts";
import { decodeMessages } from "../src/transport/wire.ts";
import { type Ctx, send } from "./answer.ts";
import { readObject } from "./body.ts";
import { checkDirectOp, hasDirectOps } from "./direct_ops.ts";
import { invalid } from "./error_response.ts";
import { permit } from "./gate.ts";
import { checkedName, hedgeOf } from "./input.ts";
import type { Limits } from "./rate_limit.ts";

/** As under /v1, these are never too many of what the caller holds. */
const OF_A_GRANT: ReadonlySet<string> = new Set(["renew", "proclaim", "release"]);

export async function answerDirect(c: Ctx, node: NodeService, limits: Limits): Promise<Response> {
  const born = hedgeOf(c);
  const { messages, ...rest } = await readObject(c) as { messages?: unknown };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw invalid(unknown, "is not a known field");
  if (!Array.isArray(messages) || messages.length > LIST_DEFAULT_ITEMS) {
    throw invalid("messages", `is not an array of at most ${LIST_DEFAULT_ITEMS}`);
  }
  const accepts = decodeMessages(JSON.stringify(messages)).map((message, i) => {
    const at = `messages[${i}]`;
    if (message.type !== "accept") throw invalid(`${at}.type`, "is for peers only");
    const { decided, snapshot, any, ...accept } = message;
    // Only members may say that something was decided: a client could be wrong, or lying.
    if (decided !== undefined) throw invalid(`${at}.decided`, "is for peers only");
    if (snapshot !== undefined) throw invalid(`${at}.snapshot`, "is for peers only");
    if (any !== undefined) throw invalid(`${at}.any`, "is for peers only");
    checkValue(c, accept, at, born);
    return accept;
  });
  for (const { key, value: { commands } } of accepts) {
    if (!commands.every(({ op }) => OF_A_GRANT.has(op.type))) limits.take(c);
    else for (const { op } of commands) await limits.takeUnlessHeld(c, () => grantOf(key, op));
  }
  return send(c, 200, { replies: await node.acceptDirect(accepts) });
}

function grantOf(key: string, op: { readonly type: string }): Thing | null {
  const { noun, name } = nounOfKey(key)!;
  const { fence } = op as { readonly fence?: unknown };
  return noun === "kv" || noun === "session" || typeof fence !== "string" ? null : { noun, name, fence };
}

/** Each command is checked as under /v1; nobody can speak for another, or as a node. */
function checkValue(c: Ctx, { key, ballot, value }: DirectAccept, at: string, born: number | null): void {
  if (ballot[2] !== 0) throw invalid(`${at}.ballot`, "is a recovery, which no client has a part in");
  if (value.proposer !== "") throw invalid(`${at}.value.proposer`, "is a node's");
  if (value.claims !== undefined) throw invalid(`${at}.value.claims`, "is for peers only");
  if (value.nextMode !== undefined) throw invalid(`${at}.value.nextMode`, "is for peers only");
  const about = nounOfKey(key);
  if (about === null || !hasDirectOps(about.noun)) {
    throw invalid(`${at}.key`, "is of no noun that takes direct clients");
  }
  const { noun, name } = about;
  permit(c, { noun, verb: "write" }, checkedName(name, NAME_FIELDS[noun]));
  if (value.commands.length === 0) throw invalid(`${at}.value.commands`, "is empty");
  for (const command of value.commands) {
    if (command.subject !== c.get("client").subject) {
      throw new QuorateError("forbidden", `commands of ${command.subject} are not yours to send`);
    }
    if (!VISIBLE.test(command.id)) throw invalid(`${at}.value.commands.id`, "is not an Idempotency-Key");
    if (command.born !== born) throw invalid(`${at}.value.commands.born`, "is not that of Quorate-Hedge");
    checkDirectOp(noun, command.op, `${at}.value.commands.op`);
  }
}
