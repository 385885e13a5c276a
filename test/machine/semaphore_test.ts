import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { HOLDERS_PER_KEY, ROW_MAX_BYTES } from "../../src/limits.ts";
import type { Result, Take } from "../../src/machine/op.ts";
import { jsonBytes } from "../../src/machine/size.ts";
import { isFree, isOtherLimit, viewGrants } from "../../src/machine/view.ts";
import { KeyLog, machine, randomness } from "./key_log.ts";

type Asking = Partial<Omit<Take, "type" | "wait">> & { wait?: string; id?: string; subject?: string };

function take(log: KeyLog, holder: string, { wait, id, subject, ...rest }: Asking = {}): Result {
  const op: Take = {
    type: "take",
    limit: 3,
    permits: 1,
    holder,
    ttlMs: 30_000,
    lockDelayMs: 0,
    atMs: 1_000,
    ...rest,
    ...(wait === undefined ? {} : { wait: { node: wait } }),
  };
  return log.do(op, subject, id);
}

const usedBy = (log: KeyLog) => log.state.holders.reduce((sum, { permits }) => sum + permits!, 0);

Deno.test("permits are given while there are some, each grant with a fence of its own", () => {
  const log = new KeyLog();
  assertEquals(take(log, "one", { permits: 2 }), { outcome: "granted", fence: "1025", ttlMs: 30_000 });
  assertEquals(take(log, "two", { permits: 2 }), { outcome: "held" });
  assertEquals(take(log, "two"), { outcome: "granted", fence: "3073", ttlMs: 30_000 });
  assertEquals(take(log, "three"), { outcome: "held" });
  const { limit, available, holders } = viewGrants(log.state);
  assertEquals([limit, available, holders.map(({ permits }) => permits)], [3, 0, [2, 1]]);
  log.release("1025");
  assertEquals(viewGrants(log.state).available, 2);
});

Deno.test("who waits for many is not passed by who asks for few", () => {
  const log = new KeyLog();
  take(log, "one", { permits: 2 });
  take(log, "big", { permits: 3, wait: "a" });
  assertEquals(take(log, "small"), { outcome: "held" });
  take(log, "small", { wait: "a" });
  log.release("1025");
  assertEquals([log.holders, log.waiters], [["big"], ["small"]]);
  log.release(log.hold.fence);
  assertEquals([log.holders, log.waiters], [["small"], []]);
});

Deno.test("one release serves as many of the queue as fit, in order", () => {
  const log = new KeyLog();
  take(log, "all", { permits: 3 });
  for (const [holder, permits] of [["a", 1], ["b", 1], ["c", 2], ["d", 1]] as const) {
    take(log, holder, { permits, wait: "n" });
  }
  log.release("1025");
  assertEquals([log.holders, log.waiters], [["a", "b"], ["c", "d"]]);
});

Deno.test("another limit is refused while it is in use, held, waited for or cooling; then it is the new one", () => {
  const log = new KeyLog();
  take(log, "one", { lockDelayMs: 5_000 });
  assertEquals(take(log, "two", { limit: 4 }), { outcome: "limit-mismatch", limit: 3 });
  assertEquals(take(log, "two", { limit: 4, wait: "a" }), { outcome: "limit-mismatch", limit: 3 });
  assert(isOtherLimit(log.state, { mode: "shared", limit: 4 }));
  log.lapse("f:1025");
  assertEquals(take(log, "two", { limit: 4 }), { outcome: "limit-mismatch", limit: 3 });
  assertEquals(take(log, "two"), { outcome: "cooling" });
  log.lapse("cooling");
  assert(!isOtherLimit(log.state, { mode: "shared", limit: 4 }));
  assertEquals(take(log, "two", { limit: 4, permits: 4 }).outcome, "granted");
  assertEquals(log.state.limit, 4);
});

Deno.test("a limit nobody was granted under is none", () => {
  const log = new KeyLog();
  assertEquals(take(log, "one", { metadata: "x".repeat(ROW_MAX_BYTES) }), { outcome: "too-large" });
  assertEquals([log.state.kind, log.state.limit], ["unused", undefined]);
});

Deno.test("it is not reentrant: who holds permits under this name waits for itself", () => {
  const log = new KeyLog();
  take(log, "one");
  assertEquals(take(log, "one"), { outcome: "held" });
  assertEquals(take(log, "one", { subject: "t" }).outcome, "granted");
});

Deno.test("no more holders than a key may have, though permits are left", () => {
  const log = new KeyLog();
  for (let i = 0; i < HOLDERS_PER_KEY; i++) assertEquals(take(log, `h${i}`, { limit: 1_024 }).outcome, "granted");
  assertEquals(take(log, "more", { limit: 1_024 }), { outcome: "held" });
  assert(!isFree(log.state, { mode: "shared", permits: 1, limit: 1_024 }, new Set()));
  assertEquals(take(log, "more", { limit: 1_024, wait: "a" }).outcome, "queued");
  log.release(log.hold.fence);
  assertEquals(log.holders.at(-1), "more");
});

Deno.test("what would be free once some leases have ended", () => {
  const log = new KeyLog();
  take(log, "one", { permits: 2 });
  take(log, "two");
  const free = (permits: number, ...gone: string[]) =>
    isFree(log.state, { mode: "shared", permits, limit: 3 }, new Set(gone));
  assertEquals([free(1), free(1, "f:2049"), free(2, "f:2049"), free(2, "f:1025"), free(3, "f:1025")], [
    false,
    true,
    false,
    true,
    false,
  ]);
  assert(!isFree(log.state, { mode: "shared", permits: 1, limit: 4 }, new Set(["f:1025"])));
  assert(isFree(log.state, { mode: "shared", permits: 4, limit: 4 }, new Set(["f:1025", "f:2049"])));
  take(log, "w", { wait: "a", id: "w" });
  assert(!free(1, "f:1025"));
  assert(free(1, "f:1025", `p:${machine.placeId("s", "w")}`));
});

Deno.test("the widest semaphore stays in its row when all that wait are served", () => {
  const log = new KeyLog();
  const wide = { limit: HOLDERS_PER_KEY, metadata: '"'.repeat(256), subject: "é".repeat(64) };
  take(log, "all", { limit: HOLDERS_PER_KEY, permits: HOLDERS_PER_KEY });
  let count = 0;
  while (take(log, `${count}`.padEnd(128, "\\"), { ...wide, wait: "a" }).outcome === "queued") count++;
  assert(count > 30);
  log.release("1025");
  assertEquals(log.holders.length, Math.min(count, HOLDERS_PER_KEY));
  log.decide(log.state.holders.map(({ fence }) => log.command({ type: "renew", fence }, wide.subject)), {
    id: "f".repeat(64),
  });
  assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
});

/** The rules once more, as plainly as they can be said: everybody in one list, in the order they came. */
class NaiveSemaphore {
  everybody: { holder: string; permits: number; holds: boolean }[] = [];
  limit = 0;

  used(): number {
    return this.everybody.filter(({ holds }) => holds).reduce((sum, { permits }) => sum + permits, 0);
  }

  ask(holder: string, permits: number, limit: number, waits: boolean): string {
    if (this.everybody.length > 0 && this.limit !== limit) return "limit-mismatch";
    this.limit = limit;
    if (this.everybody.every(({ holds }) => holds) && this.used() + permits <= limit) {
      this.everybody.push({ holder, permits, holds: true });
      return "granted";
    }
    if (!waits) return "held";
    this.everybody.push({ holder, permits, holds: false });
    return "queued";
  }

  end(...holders: string[]): void {
    this.everybody = this.everybody.filter(({ holder }) => !holders.includes(holder));
    for (const next of this.everybody) {
      if (next.holds) continue;
      if (this.used() + next.permits > this.limit) return;
      next.holds = true;
    }
  }

  names(holds: boolean): string[] {
    return this.everybody.filter((one) => one.holds === holds).map(({ holder }) => holder);
  }
}

Deno.test("random histories: permits are never exceeded, and everybody is served as the plain rules say", () => {
  let grants = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomness(seed);
    const below = (n: number) => Math.floor(random() * n);
    const log = new KeyLog();
    const naive = new NaiveSemaphore();
    for (let i = 0; i < 150; i++) {
      const holder = `h${i}`;
      const [hold] = log.state.holders.slice(below(log.holders.length));
      const place = log.places[below(log.places.length)];
      switch (below(7)) {
        case 0:
        case 1:
        case 2: {
          const limit = random() < 0.1 ? 5 : 4;
          const permits = 1 + below(limit);
          const waits = random() < 0.7;
          const result = take(log, holder, { limit, permits, id: holder, ...(waits ? { wait: "a" } : {}) });
          assertEquals(result.outcome, naive.ask(holder, permits, limit, waits), `seed ${seed}, step ${i}`);
          break;
        }
        case 3:
        case 4:
          if (hold === undefined) break;
          log.release(hold.fence);
          naive.end(hold.holder);
          break;
        case 5:
          if (hold === undefined) break;
          log.lapse(`f:${hold.fence}`);
          naive.end(hold.holder);
          break;
        case 6:
          if (place === undefined) break;
          log.do({ type: "leave", place: place.id, atMs: 1 });
          naive.end(place.holder);
          break;
      }
      assertLessOrEqual(usedBy(log), log.state.limit ?? 0, `seed ${seed}, step ${i}`);
      assertEquals(log.waiters, naive.names(false), `seed ${seed}, step ${i}`);
      assertEquals([...log.holders].sort(), naive.names(true).sort(), `seed ${seed}, step ${i}`);
    }
    grants += log.state.history.length;
  }
  assert(grants > 500, `${grants}`);
});
