/** Semaphores over HTTP, each request through another node than the one before. */
import { assertEquals } from "@std/assert";
import { HistoryShape, ReleasedShape } from "../../routes/schemas.ts";
import {
  SemaphoreGrantShape,
  SemaphoreHeldShape,
  SemaphorePageShape,
  SemaphoreStateShape,
} from "../../routes/semaphore_schemas.ts";
import { METADATA_MAX_BYTES, SEMAPHORE_LIMIT_MAX } from "../../src/limits.ts";
import { withApps } from "./memory_apps.ts";
import { matrix, refuseAll, tell, tokensFor } from "./noun_requests.ts";

const PATH = "/v1/semaphores/pool%2Fdb";

Deno.test("semaphores over HTTP: take, held, another limit, renew, state, list, release, history", () =>
  withApps(3, async (apps) => {
    const never = SemaphoreStateShape.strict().parse((await tell(apps, "c", "GET", PATH)).body);
    assertEquals([never.state, never.limit, never.available], ["free", null, null]);
    const taken = await tell(apps, "a", "POST", PATH, { limit: 3, permits: 2, holder: "one" });
    const { fence } = SemaphoreGrantShape.strict().parse(taken.body);
    assertEquals([taken.status, taken.body.permits, taken.body.limit], [200, 2, 3]);
    const held = await tell(apps, "b", "POST", PATH, { limit: 3, permits: 2, holder: "two" });
    assertEquals([held.status, held.body.code], [409, "held"]);
    const { available, holders } = SemaphoreHeldShape.parse(held.body);
    assertEquals([available, holders[0]?.holder, holders[0]?.permits], [1, "one", 2]);
    const other = await tell(apps, "c", "POST", PATH, { limit: 4 });
    assertEquals([other.status, other.body.code, other.body.limit], [409, "limit-mismatch", 3]);
    assertEquals((await tell(apps, "b", "PUT", `${PATH}/${fence}`, { ttlMs: 60_000 })).body.ttlMs, 60_000);
    const state = SemaphoreStateShape.strict().parse((await tell(apps, "c", "GET", PATH)).body);
    assertEquals([state.state, state.limit, state.available, state.lastFence], ["held", 3, 1, fence]);
    const page = SemaphorePageShape.parse((await tell(apps, "a", "GET", "/v1/semaphores?prefix=pool%2F")).body);
    assertEquals(page.items.map(({ name }) => name), ["pool/db"]);
    const released = await tell(apps, "b", "DELETE", `${PATH}/${fence}`);
    assertEquals(ReleasedShape.strict().parse(released.body).outcome, "released");
    const lost = await tell(apps, "a", "PUT", `${PATH}/${fence}`);
    assertEquals([lost.status, lost.body.code], [410, "lost"]);
    const history = HistoryShape.strict().parse((await tell(apps, "c", "GET", `${PATH}/history`)).body);
    assertEquals(history.items.map((item) => [item.fence, item.end]), [[fence, "released"]]);
    assertEquals((await tell(apps, "a", "DELETE", `${PATH}/99999999`)).status, 404);
  }));

Deno.test("semaphores over HTTP: who waits gets its permits; the same key is the same grant, another ask a mismatch", () =>
  withApps(3, async (apps) => {
    const { body: { fence } } = await tell(apps, "a", "POST", PATH, { limit: 1 });
    const key = { "idempotency-key": "wait-1" };
    const ask = { limit: 1, holder: "w", waitMs: 20_000 };
    const waiting = tell(apps, "b", "POST", PATH, ask, key);
    for (let i = 0; i < 200 && (await tell(apps, "c", "GET", PATH)).body.waiterCount === 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await tell(apps, "c", "DELETE", `${PATH}/${fence}`);
    const { status, body } = await waiting;
    assertEquals([status, body.holder], [200, "w"]);
    assertEquals((await tell(apps, "c", "POST", PATH, ask, key)).body.fence, body.fence);
    const other = await tell(apps, "a", "POST", PATH, { ...ask, metadata: "m" }, key);
    assertEquals([other.status, other.body.code], [422, "idempotency-mismatch"]);
    const forced = await tell(apps, "a", "DELETE", PATH, { reason: "stuck" });
    assertEquals([forced.status, forced.body.count], [200, 1]);
  }));

Deno.test("semaphores over HTTP: bad input names its field and changes nothing; the most there may be is granted", () =>
  withApps(3, async (apps) => {
    const { body: { fence } } = await tell(apps, "a", "POST", PATH, { limit: 2 });
    const before = (await tell(apps, "b", "GET", PATH)).body.revision;
    await refuseAll(apps, [
      ["POST", PATH, undefined, "limit"],
      ["POST", PATH, {}, "limit"],
      ["POST", PATH, { limit: 0 }, "limit"],
      ["POST", PATH, { limit: SEMAPHORE_LIMIT_MAX + 1 }, "limit"],
      ["POST", PATH, { limit: "2" }, "limit"],
      ["POST", PATH, { limit: 2, permits: 0 }, "permits"],
      ["POST", PATH, { limit: 2, permits: 1.5 }, "permits"],
      ["POST", PATH, { limit: 2, permits: 3 }, "permits"],
      ["POST", PATH, { limit: 2, mode: "shared" }, "mode"],
      ["POST", PATH, { limit: 2, holder: "a\nb" }, "holder"],
      ["POST", PATH, { limit: 2, metadata: "x".repeat(METADATA_MAX_BYTES + 1) }, "metadata"],
      ["POST", PATH, { limit: 2, waitMs: 1 }, "holder", { "quorate-hedge": "1", "idempotency-key": "k" }],
      ["PUT", `${PATH}/0`, {}, "fence"],
      ["PUT", `${PATH}/${fence}`, { permits: 2 }, "permits"],
      ["DELETE", PATH, { reason: "" }, "reason"],
      ["GET", "/v1/semaphores/%FF", undefined, "name"],
    ]);
    assertEquals((await tell(apps, "c", "GET", PATH)).body.revision, before);
    const most = { limit: SEMAPHORE_LIMIT_MAX, permits: SEMAPHORE_LIMIT_MAX, metadata: "x".repeat(METADATA_MAX_BYTES) };
    assertEquals((await tell(apps, "a", "POST", "/v1/semaphores/most", most)).status, 200);
    assertEquals(apps.reports, []);
  }));

Deno.test("semaphores over HTTP: every route for who may, and for nobody else", () =>
  withApps(3, (apps) =>
    matrix(apps, [
      ["POST", "/v1/semaphores/mine%2Fs", { limit: 1 }, "write"],
      ["PUT", "/v1/semaphores/mine%2Fs/1025", {}, "write"],
      ["DELETE", "/v1/semaphores/mine%2Fs/1025", undefined, "write"],
      ["DELETE", "/v1/semaphores/mine%2Fs", { reason: "r" }, "admin"],
      ["GET", "/v1/semaphores/mine%2Fs", undefined, "read"],
      ["GET", "/v1/semaphores/mine%2Fs/history", undefined, "read"],
      ["GET", "/v1/semaphores?prefix=mine%2F", undefined, "read"],
    ]), { tokens: tokensFor("semaphore") }));
