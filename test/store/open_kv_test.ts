import { assert, assertEquals, assertRejects } from "@std/assert";
import { StoreError } from "../../src/ports.ts";
import { openSharedKv, outlivesProcess } from "../../src/store/open_kv.ts";
import { freePort } from "../free_ports.ts";
import { startKvConnect } from "../kv_connect/server.ts";

const VARIABLE = "DENO_KV_ACCESS_TOKEN";

Deno.test("open kv: one process opens databases of several tokens at once, and leaves its own variable as it was", async () => {
  const server = startKvConnect();
  const names = ["a", "b", "c"];
  for (const name of names) server.database(name).accessToken = `the token of ${name}`;
  const before = Deno.env.get(VARIABLE);
  Deno.env.set(VARIABLE, "the process's own");
  try {
    const opened = await Promise.all(names.map((name) => openSharedKv(server.url(name), `the token of ${name}`)));
    for (const [i, kv] of opened.entries()) {
      await kv.set(["whose"], names[i]);
      assertEquals((await kv.get(["whose"])).value, names[i]);
      kv.close();
    }
    assertEquals(Deno.env.get(VARIABLE), "the process's own");
    // One that cannot be opened is in nobody's way.
    const [refused, fine] = await Promise.allSettled([
      openSharedKv(server.url("a"), "the token of b"),
      openSharedKv(server.url("b"), "the token of b"),
    ]);
    assert(refused.status === "rejected" && refused.reason instanceof StoreError);
    assert(!refused.reason.message.includes("\n") && !refused.reason.message.includes("the token of"));
    assert(fine.status === "fulfilled");
    fine.value.close();
    assertEquals(Deno.env.get(VARIABLE), "the process's own");
  } finally {
    if (before === undefined) Deno.env.delete(VARIABLE);
    else Deno.env.set(VARIABLE, before);
    await server.stop();
  }
});

Deno.test("open kv: nobody at the URL is one line", async () => {
  const url = `http://127.0.0.1:${freePort()}/x`;
  const error = await assertRejects(() => openSharedKv(url, "some token of a test"), StoreError);
  assert(error.message.startsWith(`${url}: `) && !error.message.includes("\n"), error.message);
});

Deno.test("open kv: a database in memory is told from one that outlives the process, and nothing is left in either", async () => {
  const server = startKvConnect();
  try {
    const open = () => openSharedKv(server.url("a"), server.accessToken);
    const kv = await open();
    assertEquals(await outlivesProcess(kv, open), true);
    assertEquals(server.database("a").rows(), []);
    kv.close();
    const memory = await Deno.openKv(":memory:");
    assertEquals(await outlivesProcess(memory, () => Deno.openKv(":memory:")), false);
    assertEquals((await Array.fromAsync(memory.list({ prefix: [] }))).length, 0);
    memory.close();
  } finally {
    await server.stop();
  }
});
