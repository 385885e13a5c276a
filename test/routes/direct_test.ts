/** A client's own Accept! at the door of every acceptor: of every noun that takes one, and nothing that it may not say. */
import { assert, assertEquals } from "@std/assert";
import type { PeerSide } from "../../routes/peer_head.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { type DirectOp, submitDirect } from "../../src/client/direct.ts";
import { until } from "../replica/clocks.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { tell } from "./noun_requests.ts";
import type { Json } from "./scripted_node.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

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

async function direct(apps: Apps, key: string, op: DirectOp, id: string, last: number) {
  const options = {
    members: Object.fromEntries(apps.cluster.ids.map((member) => [member, `http://${member}`])),
    subject: "local",
    fetch: (url: string, init: RequestInit) =>
      apps.ask(url.slice("http://".length, -"/paxos/acceptor".length), "/paxos/acceptor", init),
    digest: (text: string) => Promise.resolve(sha256Hex(text)),
  };
  const end = await submitDirect(options, key, op, id, last);
  assert(end.type === "decided", `${key} ${op.type}: ${end.type}`);
  return end;
}

const GRANT = { ttlMs: 30_000, atMs: 0 } as const;
const FLOWS: readonly {
  readonly path: string;
  readonly key: string;
  readonly first: DirectOp;
  /** The same through a node. */
  readonly body: readonly [method: string, body: unknown, headers: Record<string, string>];
  readonly then: (said: Json) => DirectOp;
  readonly shows: (state: Json) => unknown;
  readonly shown: readonly [unknown, unknown];
}[] = [
  {
    path: "/v1/locks/d",
    key: "lock/d",
    first: { type: "acquire", holder: "h", mode: "exclusive", lockDelayMs: 0, ...GRANT },
    body: ["POST", { holder: "h" }, {}],
    then: ({ fence }) => ({ type: "release", fence, atMs: 0 }),
    shows: ({ state }) => state,
    shown: ["held", "free"],
  },
  {
    path: "/v1/elections/d",
    key: "election/d",
    first: { type: "campaign", candidate: "h", value: "one", ...GRANT },
    body: ["POST", { candidate: "h", value: "one" }, {}],
    then: ({ fence }) => ({ type: "proclaim", fence, value: "two" }),
    shows: ({ leader }) => leader.value,
    shown: ["one", "two"],
  },
  {
    path: "/v1/semaphores/d",
    key: "semaphore/d",
    first: { type: "take", holder: "h", limit: 3, permits: 2, lockDelayMs: 0, ...GRANT },
    body: ["POST", { holder: "h", limit: 3, permits: 2 }, {}],
    then: ({ fence }) => ({ type: "release", fence, atMs: 0 }),
    shows: ({ available }) => available,
    shown: [1, 3],
  },
  {
    path: "/v1/kv/d?prefix=d&values=true",
    key: "kv/d",
    first: { type: "put", bytes: "djE=", contentType: "text/plain", ifNoneMatch: ["*"] },
    body: ["PUT", "v1", { "content-type": "text/plain", "if-none-match": "*" }],
    then: ({ revision }) => ({ type: "put", bytes: "djI=", contentType: "text/plain", ifMatch: [revision] }),
    shows: ({ items }) => items[0].value,
    shown: ["djE=", "djI="],
  },
];

Deno.test("direct: of each noun one round trip to the acceptors decides; a node shows it, and says the same again", () =>
  withApps(3, async (apps) => {
    for (const { path, key, first, body: [method, body, headers], then, shows, shown } of FLOWS) {
      const [own, query] = path.split("?");
      const state = async (id: string) =>
        shows((await tell(apps, id, "GET", query === undefined ? own! : `/v1/kv?${query}`)).body);
      const taken = await direct(apps, key, first, `${key}-1`, 0);
      assertEquals(await state("b"), shown[0], key);
      const again = await tell(apps, "c", method, own!, body, {
        ...headers,
        "idempotency-key": `${key}-1`,
        "quorate-hedge": "0",
      });
      const { fence, term, revision } = again.body;
      assertEquals([again.status, fence ?? term ?? revision], [200, taken.result.fence ?? taken.result.revision], key);
      // Acceptors that have not learned of the first are behind, and cast no vote.
      const stored = (id: string) => JSON.parse(apps.cluster.disk(id).records.get(key)!).instance;
      await until("all have learned it", () => apps.cluster.ids.every((id) => stored(id) === taken.instance + 1));
      await direct(apps, key, then(taken.result), `${key}-2`, taken.instance);
      assertEquals(await state("c"), shown[1], key);
    }
    assertEquals(apps.reports, []);
  }, { peers: PEERS }));

Deno.test("direct: what a node would have to do, another noun's, or what is malformed, is refused by field", () =>
  withApps(3, async (apps) => {
    const grant = { ttlMs: 30_000, atMs: 0 };
    const campaign = { type: "campaign", candidate: "h", ...grant };
    const put = { type: "put", bytes: "dg==", contentType: "text/plain" };
    const type = "messages[0].value.commands.op.type";
    const cases: readonly (readonly [key: string, op: object, field: string])[] = [
      ["session/x", { type: "keep" }, "messages[0].key"],
      ["readyz", { type: "release", fence: "1", atMs: 0 }, "messages[0].key"],
      ["kv/", put, "key"],
      ["kv/a/../b", put, "key"],
      ["lock/a/../b", { type: "release", fence: "1", atMs: 0 }, "name"],
      ["lock/d", campaign, type],
      ["election/d", put, type],
      ["kv/d", { type: "release", fence: "1", atMs: 0 }, type],
      ["kv/d", { type: "end-session", session: "s", instance: 1, how: "closed", atMs: 0 }, type],
      ["semaphore/d", { type: "force", reason: "r", atMs: 0 }, type],
      ["semaphore/d", { type: "keep-places", places: [] }, type],
      ["election/d", { ...campaign, candidate: undefined }, "candidate"],
      ["election/d", { ...campaign, candidate: "" }, "candidate"],
      ["election/d", { ...campaign, atMs: 1 }, "messages[0].value.commands.op.atMs"],
      ["election/d", { ...campaign, wait: { node: "a" } }, "wait"],
      ["election/d", { ...campaign, session: "0".repeat(32) }, "session"],
      ["election/d", { ...campaign, renews: false }, "renews"],
      ["election/d", { ...campaign, value: "x".repeat(5_000) }, "value"],
      ["election/d", { type: "proclaim", fence: "01" }, "fence"],
      ["election/d", { type: "proclaim", fence: "1025", ttlMs: 1 }, "ttlMs"],
      ["lock/d", { type: "release", fence: "1025", by: "b/n/1", atMs: 0 }, "by"],
      ["semaphore/d", { type: "take", holder: "h", limit: 2_000, permits: 1, lockDelayMs: 0, ...grant }, "limit"],
      ["kv/d", { ...put, bytes: "%" }, "bytes"],
      ["kv/d", { ...put, bytes: btoa("x".repeat(32 * 1024 + 1)) }, "bytes"],
      ["kv/d", { ...put, contentType: "text" }, "contentType"],
      ["kv/d", { ...put, ttlMs: 5 }, "ttlMs"],
      ["kv/d", { ...put, session: "0".repeat(32) }, "session"],
      ["kv/d", { ...put, ifMatch: ["x"] }, "ifMatch.0"],
      ["kv/d", { type: "delete", fence: "0" }, "fence"],
    ];
    for (const [key, op, field] of cases) {
      const value = { id: "x", proposer: "", commands: [{ subject: "local", id: "k", born: 0, op }] };
      const message = { type: "accept", key, epoch: 0, instance: 1, ballot: [0, "", 0], value };
      const headers = { "quorate-hedge": "0", "idempotency-key": "k" };
      const told = await tell(apps, "a", "POST", "/paxos/acceptor", { messages: [message] }, headers);
      assertEquals(
        [told.status, told.body.code, told.body.field],
        [400, "invalid-request", field],
        JSON.stringify(op).slice(0, 120),
      );
    }
    for (const id of apps.cluster.ids) assertEquals(apps.cluster.disk(id).records.size, 0);
    const whole = { ...put, bytes: btoa("x".repeat(32 * 1024)) } as DirectOp;
    assertEquals((await direct(apps, "kv/whole", whole, "w", 0)).result.outcome, "written");
  }, { peers: PEERS }));

Deno.test("direct: each noun for who may write it, and for nobody else", () => {
  const nouns = ["lock", "election", "semaphore", "kv"];
  const tokens = parseTokens(JSON.stringify(
    nouns.map((noun) => ({ subject: "local", sha256: sha256Hex(noun), scopes: [`${noun}:write:d`] })),
  ));
  return withApps(3, async (apps) => {
    for (const { key, first } of FLOWS) {
      for (const noun of nouns) {
        const value = { id: "x", proposer: "", commands: [{ subject: "local", id: "k", born: 0, op: first }] };
        const message = { type: "accept", key, epoch: 0, instance: 1, ballot: [0, "", 0], value };
        const headers = { "quorate-hedge": "0", "idempotency-key": "k", authorization: `Bearer ${noun}` };
        const { status } = await tell(apps, "a", "POST", "/paxos/acceptor", { messages: [message] }, headers);
        assertEquals(status, key === `${noun}/d` ? 200 : 403, `${key} ${noun}`);
      }
    }
  }, { peers: PEERS, tokens });
});
