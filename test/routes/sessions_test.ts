/** Sessions over HTTP, each request through another node than the one before. */
import { assert, assertEquals } from "@std/assert";
import { KvPageShape, KvWrittenShape } from "../../routes/kv.ts";
import { LeadershipShape } from "../../routes/election_schemas.ts";
import { GrantSetShape, GrantShape } from "../../routes/schemas.ts";
import { SemaphoreGrantShape } from "../../routes/semaphore_schemas.ts";
import { SessionEndedShape, SessionGrantShape, SessionStateShape } from "../../routes/session_schemas.ts";
import type { PeerSide } from "../../routes/peer_head.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { refuseAll, tell } from "./noun_requests.ts";
import type { Json } from "./scripted_node.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

const ABSENT = "0123456789abcdef".repeat(2);

async function opened(apps: Apps, body: unknown = { ttlMs: 60_000 }, headers: Record<string, string> = {}) {
  const told = await tell(apps, "a", "POST", "/v1/sessions", body, headers);
  assertEquals(told.status, 200, JSON.stringify(told.body));
  return SessionGrantShape.strict().parse(told.body).id;
}

Deno.test("sessions over HTTP: open, bind one of each noun, keep, look, end, and all is free", () =>
  withApps(3, async (apps) => {
    const session = await opened(apps);
    const lock = await tell(apps, "b", "POST", "/v1/locks/deploy%2Fapi", { session, holder: "me" });
    assertEquals([lock.status, GrantShape.strict().parse(lock.body).session], [200, session]);
    assertEquals([lock.body.ttlMs, lock.body.guaranteedForMs], [60_000, 59_400]);
    const set = await tell(apps, "c", "POST", "/v1/locks", { names: ["y", "x"], session });
    assertEquals(GrantSetShape.strict().parse(set.body).grants.map((grant) => grant.session), [session, session]);
    const led = await tell(apps, "a", "POST", "/v1/elections/e", { candidate: "me", session });
    assertEquals(LeadershipShape.strict().parse(led.body).session, session);
    const taken = await tell(apps, "b", "POST", "/v1/semaphores/s", { limit: 2, session });
    assertEquals(SemaphoreGrantShape.strict().parse(taken.body).session, session);
    const put = await tell(apps, "c", "PUT", `/v1/kv/svc%2Fme?session=${session}`, "10.0.0.1");
    assertEquals(KvWrittenShape.strict().parse(put.body).session, session);
    const { items } = KvPageShape.strict().parse((await tell(apps, "a", "GET", "/v1/kv?prefix=svc%2F")).body);
    assertEquals(items.map((item) => [item.key, item.session, item.ttlMs]), [["svc/me", session, undefined]]);

    const kept = await tell(apps, "b", "PUT", `/v1/sessions/${session}`);
    const { ttlMs, guaranteedForMs, lapsesInMs } = SessionGrantShape.strict().parse(kept.body);
    assertEquals([kept.status, ttlMs, guaranteedForMs, lapsesInMs], [200, 60_000, 59_400, 60_600]);
    const state = SessionStateShape.strict().parse((await tell(apps, "c", "GET", `/v1/sessions/${session}`)).body);
    assertEquals(state.bound.map(({ noun, name }) => `${noun} ${name}`).sort(), [
      "election e",
      "kv svc/me",
      "lock deploy/api",
      "lock x",
      "lock y",
      "semaphore s",
    ]);
    const ended = await tell(apps, "b", "DELETE", `/v1/sessions/${session}`);
    assertEquals([ended.status, SessionEndedShape.strict().parse(ended.body).outcome], [200, "ended"]);
    assert(ended.headers.get("consensus-instance") !== null);
    assertEquals((await tell(apps, "c", "GET", "/v1/locks/deploy%2Fapi")).body.state, "free");
    const history = await tell(apps, "a", "GET", "/v1/locks/deploy%2Fapi/history");
    assertEquals(history.body.items.map((item: { end: string }) => item.end), ["session"]);
    assertEquals((await tell(apps, "a", "GET", "/v1/kv/svc%2Fme")).status, 404);
    assertEquals((await tell(apps, "a", "GET", "/v1/elections/e")).body.leader, null);
    assertEquals((await tell(apps, "a", "DELETE", `/v1/sessions/${session}`)).body.outcome, "already-ended");
    assertEquals(apps.reports, []);
  }));

Deno.test("sessions over HTTP: one that ended never comes back: 410 at every door, which changes nothing", () =>
  withApps(3, async (apps) => {
    const key = { "idempotency-key": "open-1" };
    const session = await opened(apps, { ttlMs: 60_000 }, key);
    const grant = await tell(apps, "b", "POST", "/v1/locks/l", { session });
    await tell(apps, "c", "DELETE", `/v1/sessions/${session}`);
    const doors = [
      ["PUT", `/v1/sessions/${session}`, undefined],
      ["GET", `/v1/sessions/${session}`, undefined],
      ["POST", "/v1/locks/l", { session }],
      ["POST", "/v1/locks", { names: ["l", "m"], session }],
      ["POST", "/v1/elections/e", { session }],
      ["POST", "/v1/semaphores/s", { limit: 1, session }],
      ["PUT", `/v1/kv/k?session=${session}`, "late"],
    ] as const;
    for (const [method, path, body] of doors) {
      for (const id of ["a", "c"]) {
        const { status, body: said } = await tell(apps, id, method, path, body);
        const what = `${method} ${path} ${JSON.stringify(said)}`;
        assertEquals([status, said.code, said.session, said.retryable], [410, "lost", session, false], what);
      }
    }
    const renewed = await tell(apps, "a", "PUT", `/v1/locks/l/${grant.body.fence}`, {});
    assertEquals([renewed.status, renewed.body.code], [410, "lost"]);
    const released = await tell(apps, "b", "DELETE", `/v1/locks/l/${grant.body.fence}`);
    assertEquals([released.status, released.body.outcome], [200, "ended"]);
    assertEquals((await tell(apps, "a", "GET", "/v1/locks/l")).body.state, "free");
    assertEquals((await tell(apps, "a", "GET", "/v1/kv/k")).status, 404);
  }));

Deno.test("sessions over HTTP: repeated with its key it is the same session, kept anew; other words are 422", () =>
  withApps(3, async (apps) => {
    const key = { "idempotency-key": "open-1" };
    const session = await opened(apps, { ttlMs: 60_000 }, key);
    const again = await tell(apps, "c", "POST", "/v1/sessions", { ttlMs: 60_000 }, key);
    assertEquals([again.status, again.body.id, again.body.holder.length], [200, session, 36]);
    assertEquals([again.body.replayed, again.body.guaranteedForMs], [true, 59_400]);
    const other = await tell(apps, "b", "POST", "/v1/sessions", { ttlMs: 61_000 }, key);
    assertEquals([other.status, other.body.code], [422, "idempotency-mismatch"]);
    assert(await opened(apps) !== await opened(apps), "each POST without a key is another session");
    const keep = { "idempotency-key": "keep-1" };
    const first = await tell(apps, "a", "PUT", `/v1/sessions/${session}`, undefined, keep);
    const second = await tell(apps, "b", "PUT", `/v1/sessions/${session}`, undefined, keep);
    assertEquals([first.status, second.status, second.body.revision], [200, 200, first.body.revision]);
    assertEquals(second.headers.get("idempotency-key"), "keep-1");
    const reopened = await opened(apps, {}, { "idempotency-key": "open-2" });
    for (let i = 0; i < 2; i++) {
      // Under the key that opened it, before and after its end.
      const reused = await tell(apps, "a", "DELETE", `/v1/sessions/${reopened}`, undefined, {
        "idempotency-key": "open-2",
      });
      assertEquals([reused.status, reused.body.code], [422, "idempotency-mismatch"]);
      await tell(apps, "a", "DELETE", `/v1/sessions/${reopened}`);
    }
    const bound = { session, holder: "h" };
    const grant = await tell(apps, "a", "POST", "/v1/locks/l", bound, { "idempotency-key": "l-1" });
    const same = await tell(apps, "c", "POST", "/v1/locks/l", bound, { "idempotency-key": "l-1" });
    assertEquals([same.status, same.body.fence, same.body.session], [200, grant.body.fence, session]);
    const without = await tell(apps, "c", "POST", "/v1/locks/l", { holder: "h" }, { "idempotency-key": "l-1" });
    assertEquals([without.status, without.body.code], [422, "idempotency-mismatch"]);
  }));

Deno.test("sessions over HTTP: what is bound lives as long as the session, also where a client sends the default of ttlMs", () =>
  withApps(3, async (apps) => {
    const session = await opened(apps, { ttlMs: 60_000 });
    const asks: [string, string, object][] = [
      ["POST", "/v1/locks/l", {}],
      ["POST", "/v1/elections/e", {}],
      ["POST", "/v1/semaphores/s", { limit: 1 }],
    ];
    for (const [method, path, more] of asks) {
      const { status, body } = await tell(apps, "b", method, path, { ...more, session, ttlMs: 30_000, waitMs: 0 });
      assertEquals([status, body.session, body.ttlMs], [200, session, 60_000], path);
    }
    const set = await tell(apps, "c", "POST", "/v1/locks", { names: ["m", "n"], session, ttlMs: 30_000 });
    assertEquals(set.body.grants.map((one: Json) => one.ttlMs), [60_000, 60_000]);
    const put = await tell(apps, "a", "PUT", `/v1/kv/k?session=${session}&ttlMs=30000`, "x");
    assertEquals([put.status, put.body.session, put.body.ttlMs], [200, session, undefined]);
    await tell(apps, "b", "DELETE", `/v1/sessions/${session}`);
    assertEquals((await tell(apps, "c", "GET", "/v1/locks/l")).body.state, "free");
    assertEquals((await apps.ask("c", "/v1/kv/k")).status, 404);
  }));

Deno.test("sessions over HTTP: bad input names its field, and neither opens, keeps nor ends anything", () =>
  withApps(3, async (apps) => {
    const session = await opened(apps);
    const before = (await tell(apps, "b", "GET", `/v1/sessions/${session}`)).body.revision;
    const hedge = { "quorate-hedge": "0", "idempotency-key": "k" };
    await refuseAll(apps, [
      ["POST", "/v1/sessions", "{", "body"],
      ["POST", "/v1/sessions", "[]", "body"],
      ["POST", "/v1/sessions", { ttlMs: 999 }, "ttlMs"],
      ["POST", "/v1/sessions", { ttlMs: 3_600_001 }, "ttlMs"],
      ["POST", "/v1/sessions", { ttlMs: "1000" }, "ttlMs"],
      ["POST", "/v1/sessions", { holder: "" }, "holder"],
      ["POST", "/v1/sessions", { holder: "x".repeat(129) }, "holder"],
      ["POST", "/v1/sessions", { id: session }, "id"],
      ["POST", "/v1/sessions?name=x", {}, "name"],
      ["POST", "/v1/sessions", {}, "Quorate-Hedge", hedge],
      ["POST", "/v1/sessions", {}, "Idempotency-Key", { "idempotency-key": "x".repeat(65) }],
      ["PUT", `/v1/sessions/${session}`, { ttlMs: 60_000 }, "ttlMs"],
      ["PUT", `/v1/sessions/${session}?consistency=stale`, undefined, "consistency"],
      ["PUT", `/v1/sessions/${session}`, undefined, "Quorate-Hedge", hedge],
      ["PUT", `/v1/sessions/${session.toUpperCase()}x`, undefined, "id"],
      ["PUT", `/v1/sessions/${session}0`, undefined, "id"],
      ["DELETE", "/v1/sessions/x%2Fy", undefined, "id"],
      ["DELETE", `/v1/sessions/${session}`, { reason: "r" }, "reason"],
      ["GET", "/v1/sessions/", undefined, "name"],
      ["POST", "/v1/locks/l", { session: "s" }, "session"],
      ["POST", "/v1/locks/l", { session: 7 }, "session"],
      ["POST", "/v1/locks/l", { session: session + "0" }, "session"],
      ["POST", "/v1/locks/l", { session, holder: "h" }, "session", hedge],
      ["PUT", `/v1/kv/k?session=${session}&session=${session}`, "x", "session"],
    ]);
    assertEquals((await tell(apps, "b", "GET", `/v1/sessions/${session}`)).body.revision, before);
    const huge = await tell(apps, "a", "POST", "/v1/sessions", { holder: "x".repeat(70_000) });
    assertEquals([huge.status, huge.body.code], [413, "too-large"]);
    const grant = await tell(apps, "a", "POST", "/v1/locks/l", { session });
    const own = await tell(apps, "b", "PUT", `/v1/locks/l/${grant.body.fence}`, { ttlMs: 60_000 });
    assertEquals([own.status, own.body.field], [400, "ttlMs"]);
    const patched = await tell(apps, "c", "PATCH", `/v1/sessions/${session}`);
    assertEquals([patched.status, patched.headers.get("allow")], [405, "GET, HEAD, PUT, DELETE"]);
    assertEquals((await tell(apps, "b", "GET", `/v1/sessions/${session}`)).body.bound.length, 1);
    assertEquals(apps.reports, []);
  }));

const TOKENS = parseTokens(JSON.stringify([
  { subject: "one", sha256: sha256Hex("one"), scopes: ["*:read,write:*"] },
  { subject: "two", sha256: sha256Hex("two"), scopes: ["*:read,write:*"] },
  { subject: "one", sha256: sha256Hex("locks-of-one"), scopes: ["lock:read,write:*"] },
]));
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

Deno.test("sessions over HTTP: that of another subject and one that never was are answered alike", () =>
  withApps(3, async (apps) => {
    const session = await opened(apps, {}, bearer("one"));
    const answers: string[][] = [];
    for (const id of [session, ABSENT]) {
      const said = [];
      for (
        const [method, path, body] of [
          ["PUT", `/v1/sessions/${id}`, undefined],
          ["GET", `/v1/sessions/${id}`, undefined],
          ["DELETE", `/v1/sessions/${id}`, undefined],
          ["POST", "/v1/locks/l", { session: id }],
          ["POST", "/v1/elections/e", { session: id }],
          ["PUT", `/v1/kv/k?session=${id}`, "x"],
        ] as const
      ) {
        const told = await tell(apps, "b", method, path, body, bearer("two"));
        const { requestId: _, ...rest } = told.body;
        said.push(`${told.status} ${JSON.stringify(rest).replaceAll(id, "ID")}`);
      }
      answers.push(said);
    }
    assertEquals(answers[0], answers[1]);
    assert(answers[0]!.every((answer) => answer.startsWith("404 ")), answers[0]!.join("\n"));
    // The same key of another subject is another session.
    const key = { "idempotency-key": "k" };
    assert(
      await opened(apps, {}, { ...bearer("one"), ...key }) !== await opened(apps, {}, { ...bearer("two"), ...key }),
    );
    const kept = await tell(apps, "c", "PUT", `/v1/sessions/${session}`, undefined, bearer("one"));
    assertEquals(kept.status, 200);
  }, { tokens: TOKENS }));

Deno.test("sessions over HTTP: to bind to a session takes the right to keep it", () =>
  withApps(3, async (apps) => {
    const session = await opened(apps, {}, bearer("one"));
    const refused = await tell(apps, "b", "POST", "/v1/locks/l", { session }, bearer("locks-of-one"));
    assertEquals([refused.status, refused.body.code], [403, "forbidden"]);
    const plain = await tell(apps, "b", "POST", "/v1/locks/l", {}, bearer("locks-of-one"));
    assertEquals(plain.status, 200);
  }, { tokens: TOKENS }));

Deno.test("sessions over HTTP: every route for who may, and for nobody else", () => {
  const scopes = (verbs: string) => [`session:${verbs}:*`];
  const tokens = parseTokens(JSON.stringify([
    { subject: "us", sha256: sha256Hex("ours"), scopes: scopes("read,write") },
    { subject: "reader", sha256: sha256Hex("reader"), scopes: scopes("read") },
    { subject: "locks", sha256: sha256Hex("locks"), scopes: ["lock:read,write:*", "admin:*"] },
  ]));
  return withApps(3, async (apps) => {
    for (
      const [method, path, allowed] of [
        ["POST", "/v1/sessions", ["ours"]],
        ["PUT", `/v1/sessions/${ABSENT}`, ["ours"]],
        ["DELETE", `/v1/sessions/${ABSENT}`, ["ours"]],
        ["GET", `/v1/sessions/${ABSENT}`, ["ours", "reader"]],
        ["GET", `/v1/sessions/${ABSENT}?after=0`, ["ours", "reader"]],
        ["GET", `/v1/sessions/${ABSENT}/events`, ["ours", "reader"]],
        ["GET", "/v1/sessions", ["ours", "reader"]],
      ] as const
    ) {
      for (const token of ["", "wrong", "ours", "reader", "locks"]) {
        const headers: Record<string, string> = token === "" ? {} : bearer(token);
        const { status } = await tell(apps, "a", method, path, undefined, headers);
        const expected = token === "" || token === "wrong"
          ? 401
          : !(allowed as readonly string[]).includes(token)
          ? 403
          : path === "/v1/sessions"
          ? 200
          : 404;
        assertEquals(status, expected, `${method} ${path} ${token}`);
      }
    }
  }, { tokens });
});

const MARK = { incarnation: "i", boot: 1, run: "r", seq: 0 };
const PEERS: PeerSide = {
  cluster: "test",
  secrets: () => ["secret"],
  members: () => ["a", "b", "c"],
  config: () => "",
  identity: () => MARK,
  mark: () => MARK,
  versions: new PeerVersions(),
  refused: () => {},
};

Deno.test("sessions over HTTP: a direct client can neither bind nor say that a session has ended", () =>
  withApps(3, async (apps) => {
    const session = await opened(apps);
    await tell(apps, "b", "POST", "/v1/locks/l", { session });
    const acquire = { type: "acquire", holder: "h", mode: "exclusive", ttlMs: 30_000, lockDelayMs: 0, atMs: 0 };
    const cases = [
      [`session/${session}`, { type: "close" }, "messages[0].key"],
      [
        "lock/l",
        { type: "end-session", session, instance: 1, how: "closed", atMs: 0 },
        "messages[0].value.commands.op.type",
      ],
      ["lock/l", { type: "unbind", names: [] }, "messages[0].value.commands.op.type"],
      ["lock/m", { ...acquire, session }, "session"],
    ] as const;
    for (const [key, op, field] of cases) {
      const value = { id: "x", proposer: "", commands: [{ subject: "local", id: "k", born: 0, op }] };
      const message = { type: "accept", key, epoch: 0, instance: 1, ballot: [0, "", 0], value };
      const headers = { "quorate-hedge": "0", "idempotency-key": "k" };
      const told = await tell(apps, "a", "POST", "/paxos/acceptor", { messages: [message] }, headers);
      assertEquals([told.status, told.body.field], [400, field], JSON.stringify(op));
    }
    assertEquals((await tell(apps, "c", "GET", "/v1/locks/l")).body.state, "held");
  }, { peers: PEERS }));
