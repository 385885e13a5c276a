/** What the client has of the world: standard APIs of the web, so that it runs wherever they are. */
import type { Fetch } from "./failover.ts";
import type { Clock } from "./nearest.ts";

/** `now` is monotonic; what it counts may stop while the machine sleeps, so `wall` is asked too. Both in ms. */
export type ClientClock = Clock & { wall(): number };

export type World = {
  readonly fetch: Fetch;
  readonly clock: ClientClock;
  /** A fresh id of at most 64 characters of visible ASCII, that nobody guesses. */
  readonly newId: () => string;
};

export const webWorld: World = {
  fetch: (url, init) => fetch(url, init),
  clock: {
    now: () => performance.now(),
    wall: () => Date.now(),
    after(ms, run) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  },
  newId: () => crypto.randomUUID(),
};

/** Resolves after `ms`, or once the signal aborts. */
export function paused(clock: ClientClock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
  });
}

/** As the promise; rejects with the signal's reason if that aborts first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
