/** Elections over HTTP, each request through another node than the one before. */
import { assertEquals, assertGreater } from "@std/assert";
import {
  ElectionHistoryShape,
  ElectionPageShape,
  ElectionStateShape,
  LeadershipShape,
  LedShape,
  ResignedShape,
} from "../../routes/election_schemas.ts";
import { ELECTION_VALUE_MAX_BYTES, HOLDER_MAX_BYTES } from "../../src/limits.ts";
import { withApps } from "./memory_apps.ts";
import { matrix, refuseAll, tell, tokensFor } from "./noun_requests.ts";

const PATH = "/v1/elections/team%2Fleader";

Deno.test("elections over HTTP: campaign, led, proclaim, leader, list, resign, history", () =>
  withApps(3, async (apps) => {
    const never = await tell(apps, "a", "GET", PATH);
    assertEquals([never.status, ElectionStateShape.strict().parse(never.body).leader], [200, null]);
    const won = await tell(apps, "a", "POST", PATH, { candidate: "one", value: "10.0.0.1" });
    const { term } = LeadershipShape.strict().parse(won.body);
    assertEquals([won.status, won.headers.get("consensus-instance")], [200, "1"]);
    const led = await tell(apps, "b", "POST", PATH, { candidate: "two" });
    assertEquals([led.status, led.body.code, led.body.retryable], [409, "led", true]);
    assertEquals(LedShape.parse(led.body).leader?.candidate, "one");
    assertEquals(led.headers.get("retry-after"), "5");
    const proclaimed = await tell(apps, "c", "PUT", `${PATH}/${term}`, { value: "10.0.0.2", ttlMs: 60_000 });
    assertEquals([proclaimed.body.value, proclaimed.body.ttlMs], ["10.0.0.2", 60_000]);
    const state = ElectionStateShape.strict().parse((await tell(apps, "b", "GET", PATH)).body);
    assertEquals([state.leader?.term, state.leader?.value, state.lastTerm], [term, "10.0.0.2", term]);
    const page = ElectionPageShape.parse((await tell(apps, "a", "GET", "/v1/elections?prefix=team%2F")).body);
    assertEquals(page.items.map(({ name }) => name), ["team/leader"]);
    const resigned = await tell(apps, "b", "DELETE", `${PATH}/${term}`);
    assertEquals(ResignedShape.strict().parse(resigned.body).outcome, "released");
    assertEquals((await tell(apps, "c", "DELETE", `${PATH}/${term}`)).body.outcome, "already-released");
    const late = await tell(apps, "a", "PUT", `${PATH}/${term}`, { value: "late" });
    assertEquals([late.status, late.body.code], [410, "lost"]);
    const history = ElectionHistoryShape.strict().parse((await tell(apps, "c", "GET", `${PATH}/history`)).body);
    assertEquals(history.items.map((item) => [item.term, item.candidate, item.end]), [[term, "one", "released"]]);
    const unknown = await tell(apps, "c", "DELETE", `${PATH}/99999999`);
    assertEquals([unknown.status, unknown.body.code], [404, "not-found"]);
  }));

Deno.test("elections over HTTP: who waits leads next; forced by an admin, and by the same key again", () =>
  withApps(3, async (apps) => {
    const won = await tell(apps, "a", "POST", PATH, { candidate: "one" });
    const key = { "idempotency-key": "wait-1" };
    const waiting = tell(apps, "b", "POST", PATH, { candidate: "two", waitMs: 20_000 }, key);
    const forced = await tell(apps, "c", "DELETE", PATH, { reason: "stuck" });
    assertEquals([forced.status, forced.body.count], [200, 1]);
    const next = await waiting;
    assertEquals(next.status, 200);
    assertGreater(BigInt(next.body.term), BigInt(won.body.term));
    const again = await tell(apps, "c", "POST", PATH, { candidate: "two", waitMs: 20_000 }, key);
    assertEquals([again.status, again.body.term], [200, next.body.term]);
    const other = await tell(apps, "a", "POST", PATH, { candidate: "three", waitMs: 20_000 }, key);
    assertEquals([other.status, other.body.code], [422, "idempotency-mismatch"]);
  }));

Deno.test("elections over HTTP: bad input names its field and leaves the leader as it is", () =>
  withApps(3, async (apps) => {
    const { body: { term } } = await tell(apps, "a", "POST", PATH, { candidate: "one" });
    const before = (await tell(apps, "b", "GET", PATH)).body.revision;
    await refuseAll(apps, [
      ["POST", PATH, "{", "body"],
      ["POST", PATH, "[]", "body"],
      ["POST", PATH, { candidate: "" }, "candidate"],
      ["POST", PATH, { candidate: "x".repeat(HOLDER_MAX_BYTES + 1) }, "candidate"],
      ["POST", PATH, { value: "é".repeat(ELECTION_VALUE_MAX_BYTES / 2) + "x" }, "value"],
      ["POST", PATH, { value: 7 }, "value"],
      ["POST", PATH, { ttlMs: 999 }, "ttlMs"],
      ["POST", PATH, { ttlMs: "30000" }, "ttlMs"],
      ["POST", PATH, { waitMs: 300_001 }, "waitMs"],
      ["POST", PATH, { session: "s" }, "session"],
      ["POST", PATH, { lockDelayMs: 1 }, "lockDelayMs"],
      ["POST", `${PATH}?ttlMs=1000`, {}, "ttlMs"],
      ["POST", PATH, {}, "candidate", { "quorate-hedge": "0", "idempotency-key": "k" }],
      ["POST", PATH, {}, "Idempotency-Key", { "quorate-hedge": "0" }],
      ["POST", PATH, {}, "Idempotency-Key", { "idempotency-key": "x".repeat(65) }],
      ["PUT", `${PATH}/01`, {}, "term"],
      ["PUT", `${PATH}/${term}`, { value: null }, "value"],
      ["DELETE", `${PATH}/x`, undefined, "term"],
      ["DELETE", PATH, {}, "reason"],
      ["GET", `${PATH}?consistency=new`, undefined, "consistency"],
      ["GET", "/v1/elections?limit=0", undefined, "limit"],
      ["GET", "/v1/elections/", undefined, "name"],
      ["GET", "/v1/elections/a%2F..%2Fb", undefined, "name"],
      ["GET", `/v1/elections/${"x".repeat(513)}`, undefined, "name"],
    ]);
    const huge = await tell(apps, "a", "POST", PATH, { value: "x".repeat(70_000) });
    assertEquals([huge.status, huge.body.code], [413, "too-large"]);
    assertEquals((await tell(apps, "c", "GET", PATH)).body.revision, before);
    // Exactly as much as there may be.
    const most = "x".repeat(ELECTION_VALUE_MAX_BYTES);
    assertEquals((await tell(apps, "b", "PUT", `${PATH}/${term}`, { value: most })).body.value, most);
    assertEquals(apps.reports, []);
  }));

Deno.test("elections over HTTP: every route for who may, and for nobody else", () =>
  withApps(3, (apps) =>
    matrix(apps, [
      ["POST", "/v1/elections/mine%2Fe", {}, "write"],
      ["PUT", "/v1/elections/mine%2Fe/1025", {}, "write"],
      ["DELETE", "/v1/elections/mine%2Fe/1025", undefined, "write"],
      ["DELETE", "/v1/elections/mine%2Fe", { reason: "r" }, "admin"],
      ["GET", "/v1/elections/mine%2Fe", undefined, "read"],
      ["GET", "/v1/elections/mine%2Fe/history", undefined, "read"],
      ["GET", "/v1/elections?prefix=mine%2F", undefined, "read"],
    ]), { tokens: tokensFor("election") }));
