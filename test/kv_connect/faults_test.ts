/** Each fault does what it says, and what Deno's client makes of it: what a store on a remote database has to bear. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { until } from "../replica/clocks.ts";
import type { Fault } from "./faults.ts";
import { type Counts, HostedDatabase } from "./hosted_database.ts";
import { startKvConnect } from "./server.ts";
import { openWith } from "./suite.ts";

const HANG_MS = 20_000;

type Parts = { readonly kv: Deno.Kv; readonly database: HostedDatabase; readonly url: string; readonly token: string };

function test(what: string, run: (parts: Parts) => Promise<void>): void {
  Deno.test(`faults: ${what}`, async () => {
    const server = startKvConnect();
    const url = server.url("a");
    const kv = await openWith(url, server.accessToken);
    // The client asks for its metadata in the background: not while a test counts.
    await kv.get(["warm"]);
    // A client tries for ever: what never comes fails the test instead.
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error("no end in sight")), HANG_MS);
    try {
      await Promise.race([run({ kv, database: server.database("a"), url, token: server.accessToken }), late.promise]);
    } finally {
      clearTimeout(timer);
      kv.close();
      await server.stop();
    }
  });
}

/** Writes what was not there. */
function create(kv: Deno.Kv, key: string): Promise<Deno.KvCommitResult | Deno.KvCommitError> {
  return kv.atomic().check({ key: [key], versionstamp: null }).set([key], key).commit();
}

function writes({ applied, refused }: Counts): { applied: number; refused: number } {
  return { applied, refused };
}

test("503 before effect: the client tries again until it is applied, once", async ({ kv, database }) => {
  database.faults.next("write", "error-before", 3);
  const { ok } = await create(kv, "x");
  assert(ok);
  assertEquals(database.faults.met("write", "error-before"), 3);
  assertEquals(writes(database.counts), { applied: 1, refused: 0 });
});

for (const fault of ["error-after", "cut-after"] as const satisfies Fault[]) {
  test(`${fault}: the client tries again and takes its own write for another's`, async ({ kv, database }) => {
    database.faults.next("write", fault);
    assertEquals(await create(kv, "x"), { ok: false });
    assertEquals((await kv.get(["x"])).value, "x");
    assertEquals(writes(database.counts), { applied: 1, refused: 1 });
  });

  test(`${fault}: a write without checks is applied twice`, async ({ kv, database }) => {
    database.faults.next("write", fault);
    assert((await kv.set(["x"], 1)).ok);
    assertEquals(writes(database.counts), { applied: 2, refused: 0 });
  });
}

test("a cut ends all that is under way on the connection: each of those is tried again", async ({ kv, database }) => {
  // None is answered before all of them have come; the first one is then cut first.
  database.faults.delayMs = 60_000;
  database.faults.next("write", "delay-after", 10);
  database.faults.next("write", "cut-after");
  const keys = Array.from({ length: 10 }, (_, i) => `k${i}`);
  const outcomes = Promise.all(keys.map((key) => create(kv, key)));
  await until("all were applied", () => database.counts.applied === 10);
  database.faults.clear();
  const found = await outcomes;
  assertEquals(found.map(({ ok }) => ok), keys.map(() => false));
  assertEquals(writes(database.counts), { applied: 10, refused: 10 });
});

test("half an answer: the client throws, and what it wrote is written", async ({ kv, database }) => {
  database.faults.next("write", "garbled-after");
  await assertRejects(() => create(kv, "x"), Error, "decode");
  assertEquals((await kv.get(["x"])).value, "x");
  assertEquals(writes(database.counts), { applied: 1, refused: 0 });
  database.faults.next("read", "garbled-after");
  await assertRejects(() => kv.get(["x"]), Error, "decode");
});

test("disabled: the client throws, and nothing was written or read", async ({ kv, database }) => {
  database.faults.next("write", "disabled");
  await assertRejects(() => create(kv, "x"), Error, "Writes are disabled");
  database.faults.next("read", "disabled", 2);
  await assertRejects(() => kv.getMany([["x"], ["y"]]), Error, "Reads are disabled");
  await assertRejects(() => Array.fromAsync(kv.list({ prefix: ["x"] })), Error, "Reads are disabled");
  assertEquals(database.counts, { applied: 0, refused: 0, reads: 1, exchanges: database.counts.exchanges });
  assertEquals(database.rows(), []);
  assertEquals((await kv.get(["x"])).versionstamp, null);
});

test("delay before: another's write comes in between", async ({ kv, database, url, token }) => {
  using other = await openWith(url, token);
  database.faults.delayMs = 60_000;
  database.faults.next("write", "delay-before");
  const late = create(kv, "x");
  await until("it waits", () => database.faults.met("write", "delay-before") === 1);
  assert((await create(other, "x")).ok);
  database.faults.clear();
  assertEquals(await late, { ok: false });
  assertEquals(writes(database.counts), { applied: 1, refused: 1 });
});

test("delay after: others see it before its writer knows", async ({ kv, database, url, token }) => {
  using other = await openWith(url, token);
  database.faults.delayMs = 60_000;
  database.faults.next("write", "delay-after");
  let isKnown = false;
  const late = create(kv, "x").finally(() => isKnown = true);
  await until("it is there", async () => (await other.get(["x"])).value === "x");
  assertEquals(isKnown, false);
  database.faults.clear();
  assert((await late).ok);
});

for (const fault of ["hang-before", "hang-after"] as const satisfies Fault[]) {
  test(`${fault}: closing ends neither the call nor the client's trying again`, async ({ database, url, token }) => {
    const kv = await openWith(url, token);
    database.faults.next("write", fault);
    const outcome = create(kv, "x");
    await until("it hangs", () => database.faults.met("write", fault) === 1);
    assertEquals(database.counts.applied, fault === "hang-after" ? 1 : 0);
    kv.close();
    await assertRejects(() => kv.get(["x"]), Deno.errors.BadResource);
    database.faults.clear();
    // The database was closed long ago: the call that hung without effect takes effect now.
    const { ok } = await outcome;
    assertEquals(ok, fault === "hang-before");
    assertEquals(writes(database.counts), { applied: 1, refused: fault === "hang-before" ? 0 : 1 });
  });
}

test("a read that fails is tried again", async ({ kv, database }) => {
  const { reads } = database.counts;
  database.faults.next("read", "error-before", 2);
  assertEquals((await kv.get(["x"])).versionstamp, null);
  assertEquals(database.faults.met("read", "error-before"), 2);
  assertEquals(database.counts.reads, reads + 1);
});

test("tokens that expire are renewed, and the call is made again", async ({ kv, database }) => {
  const { exchanges } = database.counts;
  database.expireTokens();
  assert((await create(kv, "x")).ok);
  database.expireTokens();
  assertEquals((await kv.get(["x"])).value, "x");
  assertEquals(database.counts.exchanges, exchanges + 2);
  assertEquals(writes(database.counts), { applied: 1, refused: 0 });
});

test("tokens of a short life are renewed without a call", async ({ database, url, token }) => {
  // A client renews ten seconds before the end.
  database.tokenLifeMs = 10_300;
  const { exchanges } = database.counts;
  using kv = await openWith(url, token);
  await kv.get(["x"]);
  await until("it was renewed twice", () => database.counts.exchanges >= exchanges + 4);
});

Deno.test("faults: by chance: the same seed is the same draws", () => {
  const draws = (seed: number): string => {
    const { faults } = new HostedDatabase("", seed);
    faults.chance("write", "cut-after", 0.3);
    return Array.from({ length: 100 }, () => faults.after("write").length).join("");
  };
  assertEquals(draws(1), draws(1));
  assert(draws(1) !== draws(2));
  const met = draws(1).replaceAll("0", "").length;
  assert(met > 15 && met < 45, `${met} of 100`);
});

test("what lies in the database can be looked at, in the order of the keys", async ({ kv, database }) => {
  await kv.set(["b"], new Uint8Array([1, 2]));
  const { versionstamp } = await kv.set(["a", "b"], new Uint8Array([3]));
  await kv.set(["c"], 0);
  await kv.delete(["c"]);
  const rows = database.rows();
  assertEquals(rows.map(({ data }) => [...data]), [[3], [1, 2]]);
  assertEquals(new TextDecoder().decode(rows[0]!.key), "\x02a\0\x02b\0");
  assertEquals(rows[0]!.versionstamp.toHex(), versionstamp);
});

test("what Quorate never asks for is refused, and nothing of its atomic is written", async ({ kv, database }) => {
  const refused: [string, Deno.AtomicOperation][] = [
    ["set and delete", kv.atomic().set(["x"], 1).sum(["n"], 1n)],
    ["set and delete", kv.atomic().set(["x"], 1).min(["n"], 1n)],
    ["set and delete", kv.atomic().set(["x"], 1).max(["n"], 1n)],
    ["Expiry", kv.atomic().set(["x"], 1, { expireIn: 1_000 })],
    // The client itself says so.
    ["KV Connect", kv.atomic().set(["x"], 1).enqueue("later")],
  ];
  for (const [said, atomic] of refused) await assertRejects(() => atomic.commit(), Error, said);
  assertEquals([database.rows(), database.counts.applied], [[], 0]);
  const watch = kv.watch([["x"]]).getReader();
  await assertRejects(() => watch.read(), Error, "Watching is not supported");
});
