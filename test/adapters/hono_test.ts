/** The middleware for services of others, in a real Hono app. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Hono } from "hono";
import { fenced, type FencedOptions, type FenceStore, memoryFences } from "../../src/adapters/hono.ts";
import { kvFences } from "../../docs/fences_in_kv.ts";

/** A service that keeps a text by name; `written` has what got through. */
function service(fences: FenceStore = memoryFences(), more: Partial<FencedOptions> = {}) {
  const written: string[] = [];
  const app = new Hono();
  const guard = fenced({ fences, resource: (c) => c.req.param("name"), ...more });
  app.put("/files/:name", guard, async (c) => {
    const fence: bigint = c.var.fence;
    written.push(`${c.req.param("name")} ${fence} ${await c.req.text()}`);
    return c.body(null, 204);
  });
  app.onError((error, c) => c.text(error.message, 500));
  const put = (path: string, headers: Record<string, string>, body = "x") =>
    app.request(path, { method: "PUT", headers, body });
  return { written, put };
}

Deno.test("fenced lets an equal and a higher fence through, and refuses a lower one as a problem", async () => {
  const { written, put } = service();
  for (const fence of ["5", "5", "1024"]) assertEquals((await put("/files/a", { fence })).status, 204);
  const refused = await put("/files/a", { fence: "1023" });
  assertEquals([refused.status, refused.headers.get("content-type")], [412, "application/problem+json"]);
  const { code, highest, retryable } = await refused.json();
  assertEquals([code, highest, retryable], ["fence-too-low", "1024", false]);
  assertEquals(written, ["a 5 x", "a 5 x", "a 1024 x"]);
});

Deno.test("fenced compares integers, beyond what a double holds too", async () => {
  const { written, put } = service();
  // As texts, and the last two as doubles, it would be the other way round or equal.
  const fences = ["9", "10", "9", "9007199254740993", "9007199254740992", "18446744073709551615"];
  const statuses = [];
  for (const fence of fences) statuses.push((await put("/files/a", { fence })).status);
  assertEquals(statuses, [204, 204, 412, 204, 412, 204]);
  assertEquals(written.length, 4);
});

Deno.test("fenced refuses a request without a fence, and one whose fence is none", async () => {
  const { written, put } = service();
  const missing = await put("/files/a", {});
  assertEquals([missing.status, (await missing.json()).field], [400, "Fence"]);
  for (const fence of ["", "0", "-1", "1.5", "1e3", "0x10", "01", "5, 6", "٣", "1".repeat(21), "Infinity"]) {
    const headers = new Headers();
    // What no header may hold never comes.
    try {
      headers.set("fence", fence);
    } catch {
      continue;
    }
    const { status, body } = await put("/files/a", Object.fromEntries(headers));
    assertEquals(status, 400, fence);
    await body?.cancel();
  }
  assertEquals((await put("/files/a", { fence: "1" })).status, 204);
  assertEquals(written, ["a 1 x"]);
});

Deno.test("fenced keeps a highest fence for each resource, however its path is written", async () => {
  const { put } = service();
  assertEquals((await put("/files/a", { fence: "7" })).status, 204);
  assertEquals((await put("/files/b", { fence: "3" })).status, 204);
  assertEquals((await put("/files/%61", { fence: "6" })).status, 412);
});

Deno.test("fenced takes another header where one is named", async () => {
  const { put } = service(memoryFences(), { header: "X-Lock-Fence" });
  assertEquals((await put("/files/a", { fence: "7" })).status, 400);
  assertEquals((await put("/files/a", { "x-lock-fence": "7" })).status, 204);
});

Deno.test("fenced lets nothing through where the place of the fences fails", async () => {
  const { written, put } = service({ raise: () => Promise.reject(new Error("the disk is full")) });
  assertEquals((await put("/files/a", { fence: "7" })).status, 500);
  assertEquals(written, []);
});

Deno.test("fenced lets nothing through where its route has no such resource", async () => {
  const { written, put } = service(memoryFences(), { resource: (c) => c.req.param("file") });
  assertEquals((await put("/files/a", { fence: "7" })).status, 500);
  assertEquals(written, []);
});

for (const place of ["memory", "Deno KV, as docs/fences_in_kv.ts has it"]) {
  Deno.test(`fenced lets no lower fence through after a higher one, all at once: ${place}`, async () => {
    const kv = await Deno.openKv(":memory:");
    try {
      const fences = place === "memory" ? memoryFences() : kvFences(kv);
      const { written, put } = service(fences);
      const order = [3, 9, 10, 1, 100, 9, 2, 100, 20, 11];
      const answers = await Promise.all(order.map((fence) => put("/files/a", { fence: `${fence}` })));
      assert(answers.every(({ status }) => status === 204 || status === 412));
      assertEquals(answers.filter(({ status }) => status === 204).length, written.length);
      // Each was the highest when it was let through, and what is highest of all surely was.
      assertEquals(answers.flatMap(({ status }, i) => order[i] === 100 ? [status] : []), [204, 204]);
      for (const fence of order.filter((fence) => fence < 100)) {
        const late = await put("/files/a", { fence: `${fence}` });
        assertEquals(late.status, 412);
        assertMatch((await late.json()).detail, /below 100/);
      }
    } finally {
      kv.close();
    }
  });
}
