/** Whether leases have run out, as a classic quorum sees it, this node in it if it votes, each by its own clock (PROTOCOL.md §7). */
import { QuorateError } from "../errors.ts";
import { CLAIMS_PER_VALUE } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { LeaseName, LeaseTerm } from "../paxos/message.ts";
import type { SubmitterParts } from "./submitter.ts";
import type { LeaseClock } from "./lease_clock.ts";

/** Those of `terms` that ran out by this node's clock, as far as one value can claim them: the rest is for the next. */
export function lapsedOf(clock: LeaseClock, key: string, terms: readonly LeaseTerm[]): readonly LeaseName[] {
  return terms.filter((lease) => clock.remainingMs(key, lease) === 0).slice(0, CLAIMS_PER_VALUE)
    .map(({ id, by }) => ({ id, by }));
}

/** A claim is voted for only after this said yes; an acceptor that disagrees refuses it all the same. */
export async function haveLapsed(
  { acceptor, transport, epoch, learning }: SubmitterParts,
  key: string,
  leases: readonly LeaseName[],
): Promise<boolean> {
  const { me, quorums } = acceptor.rules;
  const message = { type: "lapsed?", key, epoch, instance: 1, leases } as const;
  const agreed = new Set<NodeId>();
  if (acceptor.votes) {
    const own = await acceptor.handle(message, me);
    if (own.type !== "lapsed" || own.remainingMs > 0) return false;
    agreed.add(me);
  }
  if (quorums.isClassic(agreed)) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const others = quorums.members.filter((member) => member !== me);
  let open = others.length;
  for (const to of others) {
    const heard = (lapsed: boolean) => {
      open--;
      if (lapsed) agreed.add(to);
      if (quorums.isClassic(agreed)) resolve(true);
      else if (open === 0) resolve(false);
    };
    transport.send(to, message).then(
      (reply) => {
        const lapsed = reply.type === "lapsed" && reply.remainingMs === 0;
        // Where word of the lease was lost with its writer, and nobody writes, it is not timed before this node says it.
        if (!lapsed) learning.missed(to, key);
        heard(lapsed);
      },
      () => heard(false),
    );
  }
  return promise;
}

/** For a claim: the lease was renewed after all, so it did not run out. */
export function orNullIfHeld(error: unknown): null {
  if (error instanceof QuorateError && error.code === "held") return null;
  throw error;
}
