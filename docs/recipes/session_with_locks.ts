/** Many locks that one process needs at a time: one thing to keep alive, and all are free as soon as it ends. */
import type { Quorate } from "@quorate/quorate";

export async function withAll(quorate: Quorate, names: readonly string[], run: (stop: AbortSignal) => Promise<void>) {
  await using session = await quorate.sessions.open({ ttl: 10_000 });
  for (const name of [...names].sort()) await quorate.locks.acquire(name, { session }); // sorted: no two wait in a ring
  await run(session.signal);
}
