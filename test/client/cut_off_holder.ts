/** Processes that hold locks while their cluster falls silent or dies. Only standard APIs, for any runtime. */
import { connect, type Lock, type Quorate } from "../../src/mod.ts";

/** By name: when a lock was last seen to be held, by the wall clock of the machine, and how it ended. */
export type CutOff = Readonly<Record<string, { readonly lastHeldMs: number; readonly how: string }>>;

const LOOK_EVERY_MS = 5;
const TTL_MS = 2_000;
/** To have all at one time, on a machine so busy that one may be lost before the last is there. */
const TRIES = 20;

/** Says `ready PREFIX` once it holds PREFIX/0 and so on, and looks at them until all have ended. */
export async function watchHolds(urls: readonly string[], count: number): Promise<CutOff> {
  const own = crypto.randomUUID();
  const held = await allAtOnce(connect(urls), own, count);
  const seen = new Map<string, number>();
  console.log(`ready ${own}`);
  for (;;) {
    // Before the look: what it says was so then, at the latest.
    const atMs = Date.now();
    for (const lock of held) if (lock.held) seen.set(lock.name, atMs);
    if (held.every(({ held }) => !held)) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return Object.fromEntries(
    held.map(({ name, signal }) => [name, { lastHeldMs: seen.get(name) ?? 0, how: signal.reason.how }]),
  );
}

async function allAtOnce(quorate: Quorate, own: string, count: number, left = TRIES): Promise<readonly Lock[]> {
  const session = await quorate.sessions.open({ ttl: TTL_MS });
  const taken = await Promise.allSettled(
    // Every third lives by the session.
    Array.from({ length: count }, (_, i) => {
      return quorate.locks.acquire(`${own}/${i}`, i % 3 === 0 ? { session } : { ttl: TTL_MS });
    }),
  );
  const held = taken.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  if (held.length === count && held.every(({ held }) => held)) return held;
  if (left <= 1) throw new Error(`no ${count} locks at one time`);
  await Promise.all([...held, session].map((one) => one[Symbol.asyncDispose]()));
  return await allAtOnce(quorate, own, count, left - 1);
}

export type Disposed = { readonly disposed: number; readonly thrown: readonly string[] };

/** Says `ready`, waits until the cluster does not answer, and disposes of one of each thing there is. */
export async function disposeWithoutCluster(urls: readonly string[]): Promise<Disposed> {
  const quorate = connect(urls);
  const asking = connect(urls, { timeout: 500 });
  const own = crypto.randomUUID();
  const session = await quorate.sessions.open();
  const watcher = quorate.kv.watch(own);
  const held = [
    session,
    await quorate.locks.acquire(`${own}/a`, { session }),
    await quorate.locks.acquire([`${own}/b`, `${own}/c`]),
    await quorate.elections.campaign(own),
    await quorate.register(own, "here"),
    watcher,
  ];
  console.log(`ready ${own}`);
  while (await asking.kv.get(own).then(() => true, () => false));
  const ends = await Promise.allSettled(held.map((one) => one[Symbol.asyncDispose]()));
  const thrown = ends.flatMap((end) => end.status === "rejected" ? [`${end.reason}`] : []);
  return { disposed: held.length, thrown };
}
