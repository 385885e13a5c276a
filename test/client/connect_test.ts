/** The client on real nodes that die, fall silent, or are all gone. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { connect, type QuorateError } from "../../src/mod.ts";
import { until } from "../replica/clocks.ts";
import { fastWorld, type Linked, withLinks } from "./linked_nodes.ts";

const LOOK_MS = 5;

function linkOf({ urls, links }: Linked, url: string | undefined) {
  return links[urls.indexOf(url!)]!;
}

for (const state of ["cut", "silent"] as const) {
  for (const what of ["x", ["w", "x"]]) {
    Deno.test(`client: who waits for ${what} keeps its place when its node is ${state}`, async () => {
      await withLinks(3, async (linked) => {
        const other = connect(linked.direct);
        const lock = await other.locks.acquire("x");
        const asked: string[] = [];
        const { locks } = linked.client(fastWorld(5, asked));
        const waiting = locks.acquire(what, { holder: "first" });
        waiting.catch(() => {});
        const pending = async () => (await other.locks.query()).pending.map(({ holder }) => holder);
        await until("it waits", async () => (await pending()).length === 1);
        const behind = other.locks.acquire("x", { holder: "second" });
        behind.catch(() => {});
        await until("both wait", async () => (await pending()).length === 2);
        const first = asked.at(-1);
        linkOf(linked, first).state = state;
        await until("it is asked for at another node", () => asked.at(-1) !== first);
        assertEquals(await pending(), ["first", "second"]);
        await lock.release();
        const mine = await waiting;
        assert(mine.fences.get("x")! > lock.fence);
        // By this client's fast clock a busy machine may be too late to say so.
        await mine.release().catch(() => {});
        await (await behind).release();
        await until("nothing is held", async () => (await other.locks.query()).held.length === 0);
      });
    });
  }
}

Deno.test("client: who waits longer than a node lets it keeps its place, and is told it again", async () => {
  await withLinks(3, async (linked) => {
    const other = connect(linked.direct);
    const lock = await other.locks.acquire("x");
    const asked: string[] = [];
    const world = fastWorld(1, asked);
    const isBeforeItsEnd = (ms: number) => ms > 250_000 && ms < 300_000;
    const after = (ms: number, run: () => void) => world.clock.after(isBeforeItsEnd(ms) ? 300 : ms, run);
    const { locks } = linked.client({ ...world, clock: { ...world.clock, after } });
    const positions: number[] = [];
    const waiting = locks.acquire("x", { wait: 3_600_000, holder: "first", onPosition: (one) => positions.push(one) });
    await until("it waits", () => positions.length === 1);
    const behind = other.locks.acquire("x", { holder: "second" });
    await until("it has been asked for again, twice", () => asked.length === 3 && positions.length === 3);
    assertEquals(positions, [1, 1, 1]);
    assertEquals((await other.locks.query()).pending.map(({ holder }) => holder), ["first", "second"]);
    await lock.release();
    await (await waiting).release();
    await (await behind).release();
  });
});

Deno.test("client: an abort at any moment around the answer leaves nothing held", async () => {
  await withLinks(1, async (linked) => {
    const other = connect(linked.direct);
    const TURNS = 60;
    let aborted = 0;
    await Promise.all(Array.from({ length: TURNS }, async (_, turns) => {
      const gone = new AbortController();
      const world = fastWorld(1);
      const { locks } = linked.client({
        ...world,
        fetch: async (url, init) => {
          const response = await world.fetch(url, init);
          if (init.method === "POST") {
            void (async () => {
              for (let i = 0; i < turns; i++) await null;
              gone.abort();
            })();
          }
          return response;
        },
      });
      const lock = await locks.acquire(`x/${turns}`, { wait: 0, signal: gone.signal }).catch(() => null);
      if (lock === null) aborted++;
      else await lock.release();
    }));
    assert(aborted > 0 && aborted < TURNS, `${aborted}`);
    await until("all are free", async () => (await other.locks.query()).held.length === 0);
  });
});

Deno.test("client: a take whose answers are all lost fails, and what it was granted does not stay for its ttl", async () => {
  await withLinks(1, async (linked) => {
    const other = connect(linked.direct);
    const world = fastWorld(5);
    const { locks } = linked.client({
      ...world,
      fetch: async (url, init) => {
        const response = await world.fetch(url, init);
        if (init.method !== "POST") return response;
        await response.body?.cancel();
        throw new TypeError("the connection broke");
      },
    }, { timeout: 1_000 });
    for (const what of ["x", ["y", "z"]]) {
      const error = await locks.tryAcquire(what, { ttl: 3_600_000 }).catch((error) => error);
      assertEquals(error.code, "outcome-unknown");
    }
    await until("nothing is held", async () => (await other.locks.query()).held.length === 0);
  });
});

Deno.test("client: an abort leaves the queue also when the node that it waits at is gone", async () => {
  await withLinks(3, async (linked) => {
    const other = connect(linked.direct);
    const lock = await other.locks.acquire("x");
    const asked: string[] = [];
    const { locks } = linked.client(fastWorld(5, asked));
    const gone = new AbortController();
    const waiting = locks.acquire("x", { signal: gone.signal }).catch((error) => error);
    await until("it waits", async () => (await other.locks.query()).pending.length === 1);
    linkOf(linked, asked[0]).state = "silent";
    gone.abort("enough");
    assertEquals(await waiting, "enough");
    await until("the place is left", async () => (await other.locks.query()).pending.length === 0);
    await lock.release();
  });
});

Deno.test("client: a hold outlives any node that it was taken at", async () => {
  await withLinks(3, async (linked) => {
    const { locks } = linked.client();
    const lock = await locks.acquire("x");
    for (const link of linked.links) {
      link.state = "cut";
      const endMs = () => performance.now() + lock.remainingMs();
      const beforeMs = endMs();
      await new Promise((resolve) => setTimeout(resolve, 200));
      await lock.renew();
      // As much later as it was sent later, whatever its answer took.
      assert(lock.held && endMs() > beforeMs + 100, `${endMs() - beforeMs} ms`);
      link.state = "open";
    }
    await lock.release();
    assertEquals((await locks.query()).held, []);
  });
});

/** For how long at most this process did not run, on a machine that was busy with others. */
class Stalls implements Disposable {
  #longestMs = 0;
  #lastMs = performance.now();
  readonly #timer = setInterval(() => {
    this.#longestMs = this.longestMs;
    this.#lastMs = performance.now();
  }, LOOK_MS);

  get longestMs(): number {
    return Math.max(this.#longestMs, performance.now() - this.#lastMs - LOOK_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

Deno.test("client: in a network that swallows packets a hold ends before its guarantee does", async () => {
  await withLinks(3, async (linked) => {
    const other = connect(linked.direct);
    const { locks, sessions } = linked.client();
    const session = await sessions.open({ ttl: 2_000 });
    const held = await Promise.all([
      locks.acquire("a", { ttl: 2_000 }),
      locks.acquire(["b", "c"], { ttl: 2_000 }),
      locks.acquire("d", { session }),
    ]);
    for (const link of linked.links) link.state = "silent";
    using stalls = new Stalls();
    const guaranteeEnds = held.map((lock) => performance.now() + lock.remainingMs() + 0.05 * 1_980);
    const rivals = held.map(async ({ name }) => {
      const lock = await other.locks.acquire(name);
      const atMs = performance.now();
      await lock.release();
      return atMs;
    });
    await Promise.all(held.map(async ({ signal }, i) => {
      const endMs = await new Promise<number>((resolve) =>
        signal.addEventListener("abort", () => resolve(performance.now()))
      );
      // While the process does not run it ends nothing; nor does it use what it holds.
      assert(endMs < guaranteeEnds[i]! + stalls.longestMs, `${endMs - guaranteeEnds[i]!} ms late`);
      assertEquals([signal.reason.how, held[i]!.held, held[i]!.remainingMs()], ["expired", false, 0]);
      assert(endMs < await rivals[i]!);
    }));
    for (const link of linked.links) link.state = "cut";
    await Promise.all([...held, session].map((one) => one[Symbol.asyncDispose]()));
  });
});

Deno.test("client: to dispose never throws and is bounded with the cluster down", async () => {
  await withLinks(3, async (linked) => {
    const quorate = linked.client(fastWorld(5));
    const { locks, kv } = quorate;
    const session = await quorate.sessions.open();
    const held = [
      session,
      await locks.acquire("a", { session }),
      await locks.acquire(["b", "c"]),
      await quorate.elections.campaign("e"),
      await quorate.register("r", "here"),
    ];
    const watch = kv.watch("");
    await watch.ready;
    for (const link of linked.links) link.state = "cut";
    await Promise.all(held.map((one) => one[Symbol.asyncDispose]()));
    await watch[Symbol.asyncDispose]();
    for (const one of held) assertEquals(one.signal.reason.how, "disposed");
    const code = await held[1]!.release().then(() => "", (error: QuorateError) => error.code);
    assert(["outcome-unknown", "not-ready"].includes(code), code);
  });
});

Deno.test("client: who is asked for while no node answers is told so", async () => {
  await withLinks(3, async (linked) => {
    const { locks, kv } = linked.client(fastWorld(5), { timeout: 3_000 });
    await kv.put("x", "1");
    for (const link of linked.links) link.state = "silent";
    const write = await kv.put("x", "2").catch((error) => error);
    assertEquals([write.code, write.outcome, typeof write.idempotencyKey], ["outcome-unknown", "unknown", "string"]);
    const take = await locks.tryAcquire("x").catch((error) => error);
    assertEquals([take.code, take.retryable], ["outcome-unknown", true]);
    for (const link of linked.links) link.state = "cut";
  });
});

Deno.test("client: a URL with credentials is refused, as nobody would be sent them, and is not repeated", () => {
  for (const url of ["http://me:hunter2@127.0.0.1:1", "https://hunter2@node.example"]) {
    const error = assertThrows(() => connect(["http://127.0.0.1:1", url]), TypeError);
    assertEquals(error.message.includes("hunter2"), false);
  }
});
