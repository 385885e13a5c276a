/** Several databases in one process, and when Deno's client looks at DENO_KV_ACCESS_TOKEN. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { startKvConnect } from "./server.ts";
import { openWith } from "./suite.ts";

const VARIABLE = "DENO_KV_ACCESS_TOKEN";

Deno.test("each path is a database of its own, with one token for all that have no other", async () => {
  const server = startKvConnect();
  const names = ["a", "b", "c", "d", "e"];
  const opened = await Promise.all(names.map((name) => openWith(server.url(name), server.accessToken)));
  try {
    for (const [i, kv] of opened.entries()) await kv.set(["name"], names[i]);
    const found = await Promise.all(opened.map((kv) => kv.get(["name"])));
    assertEquals(found.map(({ value }) => value), names);
    // One and the same first version in each: they have nothing in common.
    assertEquals(new Set(found.map(({ versionstamp }) => versionstamp)).size, 1);
    server.database("b").faults.next("write", "disabled");
    await assertRejects(() => opened[1]!.set(["name"], "x"), Error, "disabled");
    for (const [i, name] of names.entries()) {
      await opened[i]!.set(["again"], 1);
      assertEquals(server.database(name).counts.applied, 2);
    }
  } finally {
    for (const kv of opened) kv.close();
    await server.stop();
  }
});

Deno.test("the variable is read at openKv, and what was opened keeps what it was then", async () => {
  const server = startKvConnect();
  server.database("a").accessToken = "token-of-a";
  server.database("b").accessToken = "token-of-b";
  const a = await openWith(server.url("a"), "token-of-a");
  const b = await openWith(server.url("b"), "token-of-b");
  Deno.env.set(VARIABLE, "no token of any");
  try {
    await a.set(["x"], "a");
    await b.set(["x"], "b");
    // Renewed with what they were opened with.
    for (const name of ["a", "b"]) server.database(name).expireTokens();
    assertEquals([(await a.get(["x"])).value, (await b.get(["x"])).value], ["a", "b"]);
    await assertRejects(() => openWith(server.url("a"), "token-of-b"), Error, "401");
    Deno.env.delete(VARIABLE);
    await assertRejects(() => Deno.openKv(server.url("a")), Error, VARIABLE);
  } finally {
    a.close();
    b.close();
    await server.stop();
  }
});

Deno.test("of two openings begun at once, each takes the variable as it stood when it began", async () => {
  const server = startKvConnect();
  server.database("a").accessToken = "token-of-a";
  server.database("b").accessToken = "token-of-b";
  const opened = await Promise.all([
    openWith(server.url("a"), "token-of-a"),
    openWith(server.url("b"), "token-of-b"),
  ]);
  try {
    for (const kv of opened) assert((await kv.set(["x"], 1)).ok);
  } finally {
    for (const kv of opened) kv.close();
    await server.stop();
  }
});

Deno.test("a token that was withdrawn ends what was open: the client throws", async () => {
  const server = startKvConnect();
  const database = server.database("a");
  const kv = await openWith(server.url("a"), server.accessToken);
  try {
    await kv.set(["x"], 1);
    database.accessToken = "another";
    database.expireTokens();
    await assertRejects(() => kv.set(["x"], 2), Error, "Invalid access token");
    assertEquals(database.rows().length, 1);
    assertEquals(database.counts.applied, 1);
  } finally {
    kv.close();
    await server.stop();
  }
});
