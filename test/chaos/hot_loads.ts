/** What callers do to one hot name until a moment comes: plain writes, a counter, turns at a lock. */
import type { Read, Write } from "./hot_check.ts";
import type { Turn } from "./hot_check_locks.ts";
import { ask, isDone, isRefusal, type Try } from "./hot_client.ts";
import { pause } from "./real_cluster.ts";

export type Load = {
  /** Where requests go: the nodes, or a gateway. */
  readonly urls: readonly string[];
  readonly name: string;
  readonly count: number;
  readonly seconds: number;
};

const RETRIED = 0.05;
/** Share of the retries that are sent at once; the rest come within RETRY_WITHIN_MS. */
const AT_ONCE = 1 / 3;
const RETRY_WITHIN_MS = 2_000;
/** After no answer, or a rate that was too high. */
const REST_MS = 50;
const TRIES_MAX = 4;
/** Share of the additions of unknown outcome that are left at that. */
const LEFT_UNKNOWN = 0.5;
const LOCK_TTL_MS = 5_000;
const LOCK_WAIT_MS = 10_000;
const HELD_MAX_MS = 5;

const PLAIN = { "Content-Type": "text/plain" } as const;

function pathOf(name: string): string {
  return `/v1/kv/${name}`;
}

/** Each caller remembers the last instance it was told of. */
class Caller {
  readonly #urls: readonly string[];
  #last = "";
  seen = 0;

  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  any(): string {
    return this.#last = this.#urls[Math.floor(Math.random() * this.#urls.length)]!;
  }

  /** Than `url`, if there is one. */
  other(url = this.#last): string {
    const others = this.#urls.filter((other) => other !== url);
    return others[Math.floor(Math.random() * others.length)] ?? url;
  }

  note({ told }: Try): void {
    this.seen = Math.max(this.seen, told?.instance ?? 0);
  }
}

async function inParallel(count: number, run: (i: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => run(i)));
}

/** Unique values; now and then one is retried later, under its Idempotency-Key and through another node. */
export async function plainWrites({ urls, name, count, seconds }: Load): Promise<Write[]> {
  const writes: Write[] = [];
  const later: Promise<void>[] = [];
  const endMs = performance.now() + seconds * 1_000;
  await inParallel(count, async (i) => {
    const caller = new Caller(urls);
    caller.note(await ask(caller.any(), { method: "GET", path: pathOf(name) }));
    for (let n = 0; performance.now() < endMs; n++) {
      const id = `w${i}-${n}`;
      const put = { method: "PUT", path: pathOf(name), body: id, id, headers: PLAIN } as const;
      const before = caller.seen;
      const first = await ask(caller.any(), put);
      const tries = [first];
      writes.push({ id, value: id, tries });
      caller.note(first);
      if (Math.random() < RETRIED) {
        const isExact = Math.random() < 0.5;
        const retry = async () => {
          await pause(Math.random() < AT_ONCE ? 0 : Math.random() * RETRY_WITHIN_MS);
          const born = isExact ? first.told?.born ?? before : null;
          tries.push(await ask(caller.other(first.url), { ...put, born }));
        };
        later.push(retry());
      }
      if (first.told === null || first.told.status === 429) await pause(REST_MS);
    }
  });
  await Promise.all(later);
  return writes;
}

export type Counted = { readonly writes: readonly Write[]; readonly reads: readonly Read[] };

/**
 * Reads and adds one if nobody has written meanwhile. Of those that are not told what came of it some ask again, exactly, and
 * some leave it at that.
 */
export async function additions({ urls, name, count, seconds }: Load): Promise<Counted> {
  const writes: Write[] = [];
  const reads: Read[] = [];
  const path = pathOf(name);
  const endMs = performance.now() + seconds * 1_000;
  await inParallel(count, async (i) => {
    const caller = new Caller(urls);
    for (let n = 0; performance.now() < endMs; n++) {
      const read = await ask(caller.any(), { method: "GET", path });
      if (read.told === null || (read.told.status !== 200 && read.told.status !== 404)) {
        await pause(REST_MS);
        continue;
      }
      caller.note(read);
      const { status, revision, text } = read.told;
      const isNew = status === 404;
      if (!isNew) reads.push({ callMs: read.callMs, revision: revision!, value: text });
      const id = `c${i}-${n}`;
      const value = `${isNew ? 1 : Number(text.split(" ")[0]) + 1} ${id}`;
      const condition: Record<string, string> = isNew ? { "If-None-Match": "*" } : { "If-Match": `"${revision}"` };
      const put = { method: "PUT", path, body: value, id, headers: { ...PLAIN, ...condition } } as const;
      const triesMax = Math.random() < LEFT_UNKNOWN ? 1 : TRIES_MAX;
      const tries = await untilKnown(caller, (url, born) => ask(url, { ...put, born }), triesMax);
      writes.push({ id, value, tries });
    }
  });
  return { writes, reads };
}

/** Tries through one node after another, the later ones with `Quorate-Born`, until something definite is answered. */
async function untilKnown(
  caller: Caller,
  send: (url: string, born: number | null) => Promise<Try>,
  triesMax = TRIES_MAX,
): Promise<Try[]> {
  const before = caller.seen;
  const tries = [await send(caller.any(), null)];
  for (;;) {
    const last = tries.at(-1)!;
    caller.note(last);
    const { told } = last;
    const isKnown = told !== null && (isDone(told) || isRefusal(told) || told.code === "expired-command");
    if (isKnown || tries.length === triesMax) return tries;
    await pause(REST_MS);
    tries.push(await send(caller.other(last.url), told?.born ?? before));
  }
}

/** Takes the lock, holds it for a moment, gives it back. */
export async function lockTurns({ urls, name, count, seconds }: Load): Promise<Turn[]> {
  const turns: Turn[] = [];
  const path = `/v1/locks/${name}`;
  const endMs = performance.now() + seconds * 1_000;
  await inParallel(count, async (i) => {
    const caller = new Caller(urls);
    caller.note(await ask(caller.any(), { method: "GET", path }));
    for (let n = 0; performance.now() < endMs; n++) {
      const id = `l${i}-${n}`;
      const body = JSON.stringify({ holder: id, ttlMs: LOCK_TTL_MS, waitMs: LOCK_WAIT_MS });
      const acquire = await untilKnown(caller, (url, born) => ask(url, { method: "POST", path, body, id, born }));
      const release: Try[] = [];
      turns.push({ id, acquire, release });
      const fence = acquire.at(-1)!.told?.body?.["fence"];
      if (typeof fence !== "string" || acquire.at(-1)!.told?.status !== 200) {
        await pause(REST_MS);
        continue;
      }
      await pause(Math.random() * HELD_MAX_MS);
      const given = { method: "DELETE", path: `${path}/${fence}`, id: `${id}-release` } as const;
      release.push(...await untilKnown(caller, (url) => ask(url, given)));
    }
  });
  return turns;
}
