/** What Deno's own client must see of any KV Connect server; run on the stand-in and, where there is one, on denokv. */
import { assert, assertEquals, assertRejects } from "@std/assert";

export type Target = AsyncDisposable & {
  readonly accessToken: string;
  /** An empty database. */
  readonly url: string;
};

/** Test files run side by side in one process, whose variables are theirs together: another may set its own token meanwhile. */
const TRIES = 5;

/** Opens with the token that belongs to the URL. */
export async function openWith(url: string, accessToken: string): Promise<Deno.Kv> {
  for (let tries = 1;; tries++) {
    Deno.env.set("DENO_KV_ACCESS_TOKEN", accessToken);
    try {
      return await Deno.openKv(url);
    } catch (error) {
      if (tries === TRIES || !(error as Error).message.includes("401")) throw error;
    }
  }
}

/**
 * Registers the tests; `start` is called for each, so that none sees what another left.
 * @param checksMax that the server allows in one atomic write
 */
export function kvConnectSuite(label: string, checksMax: number, start: () => Promise<Target>): void {
  const test = (what: string, run: (target: Target) => Promise<void>): void => {
    Deno.test(`${label}: ${what}`, async () => {
      await using target = await start();
      await run(target);
    });
  };

  test("what is set is got, with a versionstamp that grows", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    assertEquals((await kv.get(["a"])).versionstamp, null);
    const stamps: string[] = [];
    for (let i = 0; i < 20; i++) {
      const { versionstamp } = await kv.set(["a"], { i });
      assertEquals(await kv.get(["a"]), { key: ["a"], value: { i }, versionstamp });
      stamps.push(versionstamp);
    }
    assertEquals(stamps, [...new Set(stamps)].sort());
    assert(stamps.every((stamp) => /^[0-9a-f]{20}$/.test(stamp)));
    await kv.delete(["a"]);
    assertEquals((await kv.get(["a"])).value, null);
  });

  test("bytes come back as bytes, whatever they are", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    for (const value of [all, new Uint8Array(), new Uint8Array(65_536).fill(255)]) {
      await kv.set(["bytes"], value);
      assertEquals((await kv.get<Uint8Array>(["bytes"])).value, value);
    }
    await assertRejects(() => kv.set(["bytes"], new Uint8Array(65_537)), TypeError, "too large");
  });

  test("getMany answers in the order asked, with what is not there", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    await kv.set(["m", 1], "one");
    await kv.set(["m", 3], new Uint8Array([3]));
    const found = await kv.getMany([["m", 3], ["m", 2], ["m", 1], ["m", 3]]);
    assertEquals(found.map(({ value }) => value), [new Uint8Array([3]), null, "one", new Uint8Array([3])]);
    assertEquals(found[1]!.versionstamp, null);
  });

  test("an atomic write is applied whole or not at all", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    const first = await kv.atomic().check({ key: ["x"], versionstamp: null }).set(["x"], 1).set(["y"], 1).commit();
    assert(first.ok);
    assertEquals((await kv.get(["x"])).versionstamp, first.versionstamp);
    assertEquals((await kv.get(["y"])).versionstamp, first.versionstamp);
    const again = kv.atomic().check({ key: ["x"], versionstamp: null }).set(["x"], 2).delete(["y"]);
    assertEquals(await again.commit(), { ok: false });
    assertEquals((await kv.getMany([["x"], ["y"]])).map(({ value }) => value), [1, 1]);
    const stamp = first.versionstamp;
    const next = await kv.atomic().check({ key: ["x"], versionstamp: stamp }, { key: ["z"], versionstamp: null })
      .set(["x"], 3).delete(["y"]).commit();
    assert(next.ok && next.versionstamp > stamp);
    assertEquals((await kv.getMany([["x"], ["y"]])).map(({ value }) => value), [3, null]);
    // Only one of several checks fails, and a deleted key's old versionstamp is good no more.
    const late = kv.atomic().check({ key: ["x"], versionstamp: next.versionstamp }, {
      key: ["y"],
      versionstamp: stamp,
    });
    assertEquals(await late.set(["x"], 4).commit(), { ok: false });
    assertEquals((await kv.get(["x"])).value, 3);
  });

  test("a later mutation of the same key wins", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    assert((await kv.atomic().set(["k"], 1).delete(["k"]).commit()).ok);
    assertEquals((await kv.get(["k"])).versionstamp, null);
    assert((await kv.atomic().set(["k"], 1).delete(["k"]).set(["k"], 2).commit()).ok);
    assertEquals((await kv.get(["k"])).value, 2);
  });

  test("two clients share one database, and one of two writers wins", async (target) => {
    using here = await openWith(target.url, target.accessToken);
    using there = await openWith(target.url, target.accessToken);
    await here.set(["n"], 0);
    assertEquals((await there.get(["n"])).value, 0);
    for (let round = 1; round <= 10; round++) {
      const { versionstamp } = await here.get(["n"]);
      const tries = [here, there].map((kv, i) =>
        kv.atomic().check({ key: ["n"], versionstamp }).set(["n"], [round, i]).commit()
      );
      const won = (await Promise.all(tries)).map(({ ok }) => ok);
      assertEquals(won.filter((ok) => ok).length, 1);
      assertEquals((await there.get(["n"])).value, [round, won.indexOf(true)]);
    }
  });

  test("list: by prefix, from, to, backwards, some at a time", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    const names = Array.from({ length: 25 }, (_, i) => String(i).padStart(3, "0"));
    const write = kv.atomic();
    for (const name of names) write.set(["l", name], name);
    assert((await write.set(["k", "before"], 0).set(["m", "after"], 0).set(["l"], "itself").commit()).ok);
    const list = async (selector: Deno.KvListSelector, options: Deno.KvListOptions = {}): Promise<unknown[]> =>
      (await Array.fromAsync(kv.list(selector, options))).map(({ value }) => value);
    assertEquals(await list({ prefix: ["l"] }), names);
    assertEquals(await list({ prefix: ["l"] }, { reverse: true }), names.toReversed());
    assertEquals(await list({ prefix: ["l"] }, { batchSize: 4 }), names);
    assertEquals(
      await list({ prefix: ["l"] }, { batchSize: 4, reverse: true, limit: 10 }),
      names.toReversed().slice(0, 10),
    );
    assertEquals(await list({ prefix: ["l"], start: ["l", "010"] }), names.slice(10));
    assertEquals(await list({ prefix: ["l"], end: ["l", "010"] }, { limit: 3 }), names.slice(0, 3));
    assertEquals(await list({ start: ["l", "003"], end: ["l", "006"] }), names.slice(3, 6));
    assertEquals(await list({ start: ["l", "003"], end: ["l", "006"] }, { reverse: true }), ["005", "004", "003"]);
    assertEquals(await list({ prefix: ["nothing"] }), []);
    const pages = kv.list({ prefix: ["l"] }, { limit: 10 });
    await Array.fromAsync(pages);
    assertEquals(await list({ prefix: ["l"] }, { cursor: pages.cursor, limit: 10 }), names.slice(10, 20));
  });

  test("keys lie in Deno's order, also those of bytes and of text beyond ASCII", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    const parts = [
      new Uint8Array([0]),
      new Uint8Array([0, 0]),
      new Uint8Array([255]),
      "",
      "a",
      "a\0",
      "a\0b",
      "aa",
      "é",
      "\u{1f512}",
      -1,
      2,
    ];
    for (const part of parts.toReversed()) await kv.set(["o", part], part);
    const found = await Array.fromAsync(kv.list({ prefix: ["o"] }));
    assertEquals(found.map(({ value }) => value), parts);
    assertEquals(found.map(({ key }) => key), parts.map((part) => ["o", part]));
  });

  test("as many checks as it takes, and no more", async (target) => {
    using kv = await openWith(target.url, target.accessToken);
    const commit = (checks: number): Promise<Deno.KvCommitResult | Deno.KvCommitError> => {
      const write = kv.atomic();
      for (let i = 0; i < checks; i++) write.check({ key: ["c", i], versionstamp: null });
      return write.set(["d"], checks).commit();
    };
    assert((await commit(checksMax)).ok);
    await assertRejects(() => commit(checksMax + 1), Error, "checks");
    assertEquals((await kv.get(["d"])).value, checksMax);
  });

  test("a wrong access token is told when opening", async (target) => {
    await assertRejects(() => openWith(target.url, "not-the-right-token"), Error, "401");
  });

  test("malformed and unauthorized requests are refused", async (target) => {
    const post = async (path: string, headers: Record<string, string>, body: BodyInit): Promise<number> => {
      const answer = await fetch(new URL(path, target.url), { method: "POST", headers, body });
      await answer.body?.cancel();
      return answer.status;
    };
    const authorization = `Bearer ${target.accessToken}`;
    const exchange = JSON.stringify({ supportedVersions: [1, 2, 3] });
    assertEquals(await post(target.url, { authorization }, "{"), 400);
    assertEquals(await post(target.url, { authorization }, '{"supportedVersions":[1]}'), 400);
    assertEquals(await post(target.url, {}, exchange), 401);
    assertEquals(await post(target.url, { authorization: target.accessToken }, exchange), 401);
    const answered = await fetch(target.url, { method: "POST", headers: { authorization }, body: exchange });
    const { databaseId, endpoints, token } = await answered.json();
    const data = `${endpoints[0].url}/atomic_write`;
    const headers = {
      authorization: `Bearer ${token}`,
      "x-denokv-version": "3",
      "x-denokv-database-id": databaseId,
    };
    assertEquals(await post(data, headers, new Uint8Array()), 200);
    assertEquals(await post(data, headers, new Uint8Array([0x0a, 0xff])), 400);
    assertEquals(await post(data, { ...headers, authorization: "Bearer none" }, new Uint8Array()), 401);
    assertEquals(await post(data, { ...headers, "x-denokv-database-id": crypto.randomUUID() }, new Uint8Array()), 400);
    assertEquals(await post(data, { ...headers, "x-denokv-version": "9" }, new Uint8Array()), 400);
    assertEquals(await post(`${endpoints[0].url}/nothing`, headers, new Uint8Array()), 404);
    assertEquals(await post(data, headers, new Uint8Array(3 * 1024 * 1024)), 413);
  });
}
