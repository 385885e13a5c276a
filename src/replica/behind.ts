/** Whether this node was behind on a name when something came, as a read quorum of members had moved on by then. */
import type { SubmitterParts } from "./submitter.ts";

/**
 * The instance that members stand at who are past this node's record as it is now; null if of a read quorum none is. What is
 * decided and no member of that quorum has moved on by, it does not see.
 */
export async function aheadOf(
  { acceptor, transport, epoch }: Pick<SubmitterParts, "acceptor" | "transport" | "epoch">,
  key: string,
): Promise<number | null> {
  const { me, quorums } = acceptor.rules;
  const { snapshot: { instance: own } } = await acceptor.view(key);
  const heard = new Set([me]);
  let newest = own;
  const { promise, resolve } = Promise.withResolvers<void>();
  const asked = quorums.members.filter((member) => member !== me).map(async (member) => {
    const reply = await transport.send(member, { type: "read", key, epoch, instance: 1 }).catch(() => null);
    if (reply?.type !== "view") return;
    newest = Math.max(newest, reply.snapshot.instance);
    heard.add(member);
    if (quorums.isPhase1(heard)) resolve();
  });
  await Promise.race([promise, Promise.all(asked)]);
  return newest > own ? newest : null;
}
