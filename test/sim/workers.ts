/** Hands out seeds to threads, so that every core has work. */
import type { Kind } from "./plan.ts";
import type { Order, Ran } from "./worker.ts";

const CHUNK = 10;

export type Range = {
  /** In this order. */
  readonly seeds: readonly number[];
  readonly jobs: number;
  /** Default: each seed's own. */
  readonly kind?: Kind | undefined;
};

/** Until all have run or `take` says false. `worker` is this tree's, or that of a copy of it. */
export async function forEachSeed(
  { seeds, jobs, kind }: Range,
  take: (ran: Ran) => boolean,
  worker = new URL("./worker.ts", import.meta.url),
): Promise<void> {
  let next = 0;
  const ends = new Set<() => void>();
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const thread = new Worker(worker, { type: "module" });
      const end = () => {
        thread.terminate();
        resolve();
      };
      ends.add(end);
      const more = () => {
        const some = seeds.slice(next, next + CHUNK);
        if (some.length === 0) return end();
        next += some.length;
        thread.postMessage({ seeds: some, ...(kind === undefined ? {} : { kind }) } satisfies Order);
      };
      thread.onerror = (event) => {
        event.preventDefault();
        thread.terminate();
        reject(new Error(event.message));
      };
      thread.onmessage = ({ data }: MessageEvent<Ran | null>) => {
        if (data === null) return more();
        if (take(data)) return;
        next = seeds.length;
        // What the others have in hand is of no use any more.
        for (const end of ends) end();
      };
      more();
    });
  await Promise.all(Array.from({ length: jobs }, work));
}
