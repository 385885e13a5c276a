/** The shipped direct client, over the links of a simulated network. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { type DirectEnd, type DirectOp, submitDirect } from "../../src/client/direct.ts";
import type { DirectAccept } from "../../src/service/service.ts";
import type { Seeded } from "./virtual_time.ts";
import { SUBJECT, type World } from "./world.ts";

export async function askDirectly(
  world: World,
  random: Seeded,
  name: string,
  op: DirectOp,
  idempotencyKey: string,
  lastInstance: number,
): Promise<DirectEnd> {
  const { ids } = world.cluster;
  const fetch = async (url: string, init: RequestInit) => {
    const id = url.slice("sim://".length, url.indexOf("/paxos"));
    // A client is as far from a node as the next node is.
    const link = world.linkOf({ from: ids.find((other) => other !== id) ?? id, to: id });
    const travel = async () => {
      await world.clock.sleep(random.next() * link.delayMs);
      if (random.chance(link.loss)) throw new Error("lost");
    };
    await travel();
    const process = world.isolates.database(id) === null ? id : world.isolates.pick(id);
    if (world.down.has(process)) throw new Error("refused");
    const { messages } = JSON.parse(init.body as string) as { messages: readonly DirectAccept[] };
    const replies = await world.ask(process, (node) => node.acceptDirect(messages));
    replies.forEach((reply, i) => {
      if (reply.type !== "accepted") return;
      // What it says to a client it owes to its disk as well.
      const { instance, ballot, valueId } = reply;
      world.monitor.replied(id, messages[i]!.key, { type: "accepted", instance, ballot, kind: "fast", valueId });
    });
    await travel();
    return Response.json({ replies });
  };
  const members = Object.fromEntries(ids.map((id) => [id, `sim://${id}`]));
  const digest = (text: string) => Promise.resolve(sha256Hex(text));
  return await submitDirect(
    { members, subject: SUBJECT, fetch, digest },
    `lock/${name}`,
    op,
    idempotencyKey,
    lastInstance,
  );
}
