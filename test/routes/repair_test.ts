/** Repair of one node's record over HTTP: what it says first, what it takes, and whom it refuses. */
import { assert, assertEquals, assertGreater, assertNotEquals, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { ACCEPT_STEP, NAME_MAX_BYTES } from "../../src/limits.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { until } from "../replica/clocks.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { tell } from "./noun_requests.ts";

const { hash } = createMachine({ digest: sha256Hex });
const KEY = "kv/x";
const PATH = "/v1/repair?noun=kv&name=x";
const BODY = { noun: "kv", name: "x" };

const recordOf = (apps: Apps, id: string) => JSON.parse(apps.cluster.disk(id).records.get(KEY) ?? '{"instance":0}');

async function settledAt(apps: Apps, instance: number): Promise<void> {
  await until(`${KEY} is everywhere`, () => apps.cluster.ids.every((id) => recordOf(apps, id).instance >= instance));
}

/** Nothing of it can be read any more. */
function damage(apps: Apps, id: string): void {
  apps.cluster.disk(id).records.set(KEY, "junk");
}

function stop(apps: Apps, id: string, bytes = "wrong"): void {
  const record = recordOf(apps, id);
  const state = { ...record.state, register: { ...record.state.register, bytes: btoa(bytes) } };
  apps.cluster.disk(id).records.set(
    KEY,
    JSON.stringify({ ...record, state, stateHash: hash(state), stopped: "for a test" }),
  );
}

const stoppedAt = async (apps: Apps, id: string) => (await tell(apps, id, "GET", "/v1/status")).body.stopped;

for (const [what, wrong] of [["damaged", damage], ["stopped", stop]] as const) {
  Deno.test(`repair: a ${what} record is replaced by what the others hold above all it can have voted in, and votes again`, () =>
    withApps(3, async (apps) => {
      const { body: first } = await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
      await settledAt(apps, 2);
      wrong(apps, "a");
      const { body: plan } = await tell(apps, "a", "GET", PATH);
      assertEquals([plan.node, plan.action], ["a", "repair"]);
      const said = plan.members.map(({ id, record, instance }: Record<string, unknown>) => [id, record, instance]);
      assertEquals(said, [["a", what, what === "damaged" ? undefined : 2], ["b", "sound", 2], ["c", "sound", 2]]);
      assertEquals((await stoppedAt(apps, "a")).count, 1);
      // It only looked.
      assertEquals((await tell(apps, "a", "PUT", "/v1/kv/x", "more")).status, 503);

      const { status, body } = await tell(apps, "a", "POST", "/v1/repair", BODY);
      assertEquals([status, body.outcome], [200, "repaired"]);
      // Others stood at 2: it may have voted in 3.
      assertGreater(body.instance, 3);
      const record = recordOf(apps, "a");
      assertEquals([record.instance, record.vote, record.stopped], [body.instance, null, undefined]);
      assertEquals(await stoppedAt(apps, "a"), undefined);
      assertEquals(await (await apps.ask("a", "/v1/kv/x?consistency=stale")).text(), "sound");

      // It is one of a quorum again.
      apps.cluster.kill("b");
      const { status: put, body: later } = await tell(apps, "a", "PUT", "/v1/kv/x", "later");
      assertEquals(put, 200);
      assertGreater(Number(later.revision), Number(first.revision));
      assertEquals(await (await apps.ask("c", "/v1/kv/x")).text(), "later");
      assertEquals((await tell(apps, "a", "POST", "/v1/repair", BODY)).body.outcome, "sound");
    }));
}

Deno.test("repair: with fewer others that agree it is refused, in words that say who holds what, and nothing changes", () =>
  withApps(3, async (apps) => {
    await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
    await settledAt(apps, 2);
    damage(apps, "a");
    apps.cluster.kill("c");
    assertEquals((await tell(apps, "a", "GET", PATH)).body.action, "wait");
    const { status, body } = await tell(apps, "a", "POST", "/v1/repair?timeoutMs=500", BODY);
    assertEquals([status, body.code, body.outcome], [503, "no-quorum", "none"]);
    assertStringIncludes(body.detail, "b holds");
    assertStringIncludes(body.detail, "c is silent");
    assertEquals(apps.cluster.disk("a").records.get(KEY), "junk");
    const accept = (await tell(apps, "a", "GET", PATH)).body.members[1].hash;
    const refused = await tell(apps, "a", "POST", "/v1/repair", { ...BODY, accept });
    assertEquals([refused.status, refused.body.code], [412, "precondition-failed"]);
    assertEquals(apps.cluster.disk("a").records.get(KEY), "junk");
  }));

Deno.test("repair: one record in two states among the others is no state to take", () =>
  withApps(3, async (apps) => {
    await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
    await settledAt(apps, 2);
    damage(apps, "a");
    stop(apps, "c", "other");
    const { stopped: _, ...record } = recordOf(apps, "c");
    apps.cluster.disk("c").records.set(KEY, JSON.stringify(record));
    const { status, body } = await tell(apps, "a", "POST", "/v1/repair?timeoutMs=500", BODY);
    assertEquals([status, body.code], [503, "no-quorum"]);
    assertEquals(apps.cluster.disk("a").records.get(KEY), "junk");
  }));

Deno.test("repair: where too many records are wrong a person says which state it is to be, and fences go on above it", () =>
  withApps(3, async (apps) => {
    const { body: first } = await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
    await settledAt(apps, 2);
    damage(apps, "a");
    stop(apps, "b");
    const { body: plan } = await tell(apps, "a", "GET", PATH);
    assertEquals([plan.action, plan.members[1].record], ["accept", "stopped"]);
    const { body: waits } = await tell(apps, "a", "POST", "/v1/repair?timeoutMs=300", BODY);
    assertEquals(waits.code, "no-quorum");
    const { hash: accept } = plan.members[2];
    assertStringIncludes(plan.detail, accept);
    const other = await tell(apps, "a", "POST", "/v1/repair", { ...BODY, accept: "0".repeat(32) });
    assertEquals([other.status, other.body.code], [412, "precondition-failed"]);
    assertStringIncludes(other.body.detail, accept);

    const { status, body } = await tell(apps, "a", "POST", "/v1/repair", { ...BODY, accept });
    assertEquals([status, body.outcome, body.instance], [200, "accepted", 2 + ACCEPT_STEP]);
    // Now there is a quorum again, and the other one is repaired from it.
    const again = await tell(apps, "b", "POST", "/v1/repair", BODY);
    assertEquals([again.status, again.body.outcome], [200, "repaired"]);
    const { status: put, body: later } = await tell(apps, "c", "PUT", "/v1/kv/x", "later");
    assertEquals(put, 200);
    assertGreater(Number(later.revision), ACCEPT_STEP * 1024);
    assertNotEquals(later.revision, first.revision);
    for (const id of apps.cluster.ids) assertEquals(await (await apps.ask(id, "/v1/kv/x")).text(), "later", id);
  }));

Deno.test("repair: while it goes on the acceptor says nothing of the name, and there is no second one", () =>
  withApps(3, async (apps) => {
    await tell(apps, "b", "PUT", "/v1/kv/x", "sound");
    await settledAt(apps, 2);
    damage(apps, "a");
    const all = await Promise.all([1, 2, 3].map(() => tell(apps, "a", "POST", "/v1/repair", BODY)));
    const outcomes = all.map(({ body }) => body.outcome ?? body.code);
    assertEquals(outcomes.filter((outcome) => outcome === "repaired").length, 1, outcomes.join());
    assert(outcomes.every((outcome) => ["repaired", "not-ready", "sound"].includes(outcome)), outcomes.join());
  }));

const token = (name: string, ...scopes: string[]) => ({ subject: name, sha256: sha256Hex(name), scopes });
const TOKENS = parseTokens(
  JSON.stringify([token("all", "admin:*"), token("reads", "*:read,write:*"), token("part", "admin:x/*")]),
);

Deno.test("repair: it takes admin of everything; what is no name, no hash or too much is refused; a sound name is told so", () =>
  withApps(1, async (apps) => {
    const ask = (path: string, bearer?: string, body?: string) =>
      apps.ask("a", path, {
        ...(body === undefined ? {} : { method: "POST", body }),
        headers: bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` },
      });
    const good = JSON.stringify(BODY);
    for (const [path, body] of [[PATH], ["/v1/repair", good]] as const) {
      assertEquals((await ask(path, undefined, body)).status, 401);
      for (const bearer of ["reads", "part"]) assertEquals((await ask(path, bearer, body)).status, 403);
      assertEquals((await ask(path, "all", body)).status, 200);
    }
    assertEquals((await (await ask(PATH, "all")).json()).action, "none");
    assertEquals((await (await ask("/v1/repair", "all", good)).json()).outcome, "sound");
    for (const query of ["noun=kv", "noun=x&name=x", "noun=kv&name=", "noun=kv&name=x&name=y"]) {
      assertEquals((await ask(`/v1/repair?${query}`, "all")).status, 400, query);
    }
    const bad = [
      "{",
      "[]",
      JSON.stringify({ noun: "kv" }),
      JSON.stringify({ ...BODY, more: 1 }),
      JSON.stringify({ ...BODY, accept: "x" }),
      JSON.stringify({ ...BODY, name: "x".repeat(NAME_MAX_BYTES + 1) }),
    ];
    for (const body of bad) assertEquals((await ask("/v1/repair", "all", body)).status, 400, body);
    assertEquals((await ask("/v1/repair", "all", JSON.stringify({ ...BODY, name: "x".repeat(70_000) }))).status, 413);
  }, { tokens: TOKENS }));
