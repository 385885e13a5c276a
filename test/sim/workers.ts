/** Hands out seeds to threads, so that every core has work. */
import type { Kind } from "./plan.ts";
import type { Order, Ran } from "./worker.ts";

const CHUNK = 10;

export type Range = {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
  /** Default: each seed's own. */
  readonly kind?: Kind | undefined;
};

/** Until all have run or `take` says false. `worker` is this tree's, or that of a copy of it. */
export async function forEachSeed(
  { from, count, jobs, kind }: Range,
  take: (ran: Ran) => boolean,
  worker = new URL("./worker.ts", import.meta.url),
): Promise<void> {
  let next = from;
  const ends = new Set<() => void>();
  const isLeft = () => next < from + count;
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const thread = new Worker(worker, { type: "module" });
      const end = () => {
        thread.terminate();
        resolve();
      };
      ends.add(end);
      const more = () => {
        if (!isLeft()) return end();
        const seeds = Array.from({ length: Math.min(CHUNK, from + count - next) }, (_, i) => next + i);
        next += seeds.length;
        thread.postMessage({ seeds, ...(kind === undefined ? {} : { kind }) } satisfies Order);
      };
      thread.onerror = (event) => {
        event.preventDefault();
        thread.terminate();
        reject(new Error(event.message));
      };
      thread.onmessage = ({ data }: MessageEvent<Ran | null>) => {
        if (data === null) return more();
        if (take(data)) return;
        next = from + count;
        // What the others have in hand is of no use any more.
        for (const end of ends) end();
      };
      more();
    });
  await Promise.all(Array.from({ length: jobs }, work));
}
