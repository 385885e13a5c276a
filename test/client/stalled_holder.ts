/**
 * A process that holds many locks and is stalled, by itself or by whoever runs it. Says at its first callback after that, as
 * one line of JSON, what callbacks and reads claimed. Only standard APIs, for any runtime.
 */
import { connect, type Lock } from "../../src/mod.ts";

/**
 * `block`: its event loop is blocked for so long. `back`: the same, after somebody has set its wall clock back. `stop`: whoever
 * runs it stops it. `jump`: its wall clock jumps, as after a suspended machine woke up, where what is monotonic stood still.
 * `read`: the same, and a lock is looked at before anything calls back.
 */
export type How = "block" | "back" | "stop" | "jump" | "read";

export type Told = {
  readonly locks: number;
  /** Callbacks of the client that came first after the stall, by name. */
  readonly callbacks: readonly string[];
  /** What said then that a lock was still held. */
  readonly claims: readonly string[];
};

/** A process that did not run for so long has no lease of 1 s any more. */
const STALLED_MS = 1_000;
const HOUR_MS = 3_600_000;
/** To have a lock at all. */
const TRIES = 20;

/** Says `ready PREFIX` once it holds them: their names are PREFIX/0 and so on. */
export async function hold(how: How, stallMs: number, urls: readonly string[], count: number): Promise<Told> {
  const quorate = connect(urls);
  const other = connect(urls);
  const { locks, kv } = quorate;
  // Others do the same: with names in common each would wait for what another has.
  const own = crypto.randomUUID();
  const names = Array.from({ length: count }, (_, i) => `${own}/${i}`);
  let held: readonly Lock[] = [];
  let signals: readonly AbortSignal[] = [];
  let [tickedMs, wasStalled] = [Infinity, false];
  const callbacks: string[] = [];
  const claims: string[] = [];
  const done = new Promise<void>((resolve) => {
    /** Notes what a look at each lock claims, and at the signals as they were taken. */
    const look = (name: string) => {
      if (held.some(({ held }) => held)) claims.push(`${name}: held`);
      if (held.some((lock) => lock.remainingMs() > 0)) claims.push(`${name}: remainingMs`);
      if (held.some(({ signal }) => !signal.aborted)) claims.push(`${name}: signal`);
      if (signals.some(({ aborted }) => !aborted)) claims.push(`${name}: a signal, after a look`);
      resolve();
    };
    /** Called first in each callback of the client. */
    const called = (name: string) => {
      wasStalled ||= performance.now() - tickedMs > STALLED_MS;
      if (!wasStalled) return;
      callbacks.push(name);
      // Before any read through a lock, which looks at the clock: the signals as they were taken.
      if (signals.some(({ aborted }) => !aborted)) claims.push(`${name}: a signal`);
      look(name);
    };
    const tell = (name: string, asked: Promise<unknown>) => asked.then(() => called(name), () => called(name));
    /** On a machine so busy that a grant takes a second to come, one is lost before it is there. */
    const acquired = (name: string, left = TRIES): Promise<Lock> =>
      locks.acquire(name, { ttl: 1_000 }).catch((error) => {
        if (left <= 1) throw error;
        return acquired(name, left - 1);
      });
    const watching = async () => {
      for await (const _ of kv.watch(own)) called("watch");
    };
    const asking = async () => {
      while (callbacks.length === 0) await tell("get", kv.get("x"));
    };
    void (async () => {
      held = await Promise.all(names.map((name) => acquired(name)));
      signals = held.map(({ signal }) => signal);
      tickedMs = performance.now();
      setInterval(() => {
        wasStalled ||= performance.now() - tickedMs > STALLED_MS;
        tickedMs = performance.now();
      }, 5);
      void watching();
      // Stopped at any moment it has something under way; where the moment is known, of each kind.
      if (how === "stop") void asking();
      await new Promise((resolve) => setTimeout(resolve, 50));
      console.log(`ready ${own}`);
      if (how === "stop") return;
      if (how === "back") setWall(-HOUR_MS);
      for (const lock of held) void tell("renew", lock.renew());
      void tell("get", kv.get("x"));
      void tell("get of another client", other.kv.get("x"));
      void tell("put", other.kv.put(own, 1));
      void tell("take", locks.tryAcquire(own));
      // What is settled already is nobody's to hold back: that is heard of before.
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (how === "jump" || how === "read") {
        setWall(HOUR_MS);
        wasStalled = true;
        if (how === "read") look("read");
      } else {
        const untilMs = performance.now() + stallMs;
        while (performance.now() < untilMs);
      }
      // If all of that was answered before.
      void tell("get after it", kv.get("x"));
    })();
  });
  await done;
  return { locks: held.length, callbacks, claims };
}

/** That of this process: the machine's is not its to set. */
function setWall(byMs: number): void {
  const now = Date.now;
  Date.now = () => now() + byMs;
}
