/** The own record's state for who can do without: a disk that hangs must not keep a caller beyond its deadline. */
import type { State } from "../paxos/message.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Clock } from "../ports.ts";

/** Null: it cannot be had, or not within `ms`. */
export function ownState(
  { acceptor, clock }: { readonly acceptor: AcceptorHost; readonly clock: Clock },
  key: string,
  ms: number,
): Promise<State | null> {
  // Nearly always; then there is nothing to time.
  const now = acceptor.viewNow(key);
  if (now !== null) return Promise.resolve(now.snapshot.state);
  const { promise, resolve } = Promise.withResolvers<State | null>();
  const cancel = clock.after(ms, () => resolve(null));
  acceptor.shown(key).then(({ snapshot }) => resolve(snapshot.state), () => resolve(null));
  return promise.finally(cancel);
}
