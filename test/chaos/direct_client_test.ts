/** Flow 3 with a client of its own, on real processes: no server between it and the acceptors. */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { type DirectOp, submitDirect } from "../../src/client/direct.ts";
import { call, ISOLATES, RealCluster } from "./real_cluster.ts";

const TRIES = 10;
/** The members, and those of them without whom there is still a classic quorum, but no open one. */
const [MEMBERS, DOWN] = ISOLATES === 1 ? [5, ["d", "e"]] as const : [3, ["c"]] as const;

const acquire = (holder: string): DirectOp => ({
  type: "acquire",
  holder,
  mode: "exclusive",
  ttlMs: 30_000,
  lockDelayMs: 0,
  atMs: 0,
});

Deno.test("direct client: takes and releases in one round trip each; collisions and dead acceptors end through a node", async (t) => {
  const cluster = await RealCluster.start(MEMBERS);
  const options = {
    members: Object.fromEntries(cluster.ids.map((id) => [id, cluster.url(id)])),
    subject: "local",
    fetch: (url: string, init: RequestInit) => fetch(url, init),
    digest: (text: string) => Promise.resolve(sha256Hex(text)),
  };
  const throughNode = async (lock: string, fence: string, key: string, born: number) => {
    const headers = { "Idempotency-Key": key, "Quorate-Hedge": String(born) };
    const reply = await call(cluster.url("b"), "DELETE", `/v1/locks/${lock}/${fence}`, undefined, headers);
    return reply?.body["outcome"];
  };
  /** Whom an acceptor keeps waiting on a busy machine is told that nobody knows yet: then another name is tried. */
  const decided = async (name: string, key: string) => {
    for (let i = 0; i < TRIES; i++) {
      const lock = `${name}-${i}`;
      const end = await submitDirect(options, `lock/${lock}`, acquire("me"), key, 0);
      if (end.type === "decided") return { lock, ...end };
    }
    throw new Error(`never decided in ${TRIES} tries`);
  };
  try {
    await t.step("granted by the acceptors' own votes, and the nodes learn it though nobody tells them", async () => {
      const taken = await decided("direct", "k1");
      assertEquals(taken.result.outcome, "granted");
      const state = await call(cluster.url("c"), "GET", `/v1/locks/${taken.lock}`);
      assertEquals((state?.body["holders"] as { fence: string }[])[0]?.fence, taken.result.fence);
      const release = { type: "release", fence: taken.result.fence!, atMs: 0 } as const;
      const released = await submitDirect(options, `lock/${taken.lock}`, release, "k2", taken.instance);
      // An acceptor that has not learned of the grant yet is behind and casts no vote; then a node settles it, once.
      const outcome = released.type === "decided"
        ? released.result.outcome
        : await throughNode(taken.lock, release.fence, "k2", taken.instance);
      assertEquals(outcome, "released");
    });

    await t.step("a repeated request is the same grant, through a node too", async () => {
      const once = await decided("again", "k3");
      const twice = await submitDirect(options, `lock/${once.lock}`, acquire("me"), "k3", 0);
      assert(twice.type === "unsettled" || twice.result.fence === once.result.fence);
      const node = await call(cluster.url("c"), "POST", `/v1/locks/${once.lock}`, { holder: "me" }, {
        "Idempotency-Key": "k3",
        "Quorate-Hedge": "0",
      });
      assertEquals(node?.body["fence"], once.result.fence);
    });

    await t.step("two direct clients that collide: one holds it, decided once, whoever settles it", async () => {
      for (let round = 0; round < 20; round++) {
        const name = `duel-${round}`;
        const ends = await Promise.all(["x", "y"].map(async (holder) => {
          const key = `${holder}-${round}`;
          const end = await submitDirect(options, `lock/${name}`, acquire(holder), key, 0);
          if (end.type === "decided") return end.result.outcome;
          const headers = { "Idempotency-Key": key, "Quorate-Hedge": "0" };
          const reply = await call(cluster.url("a"), "POST", `/v1/locks/${name}`, { holder }, headers);
          return reply?.status === 200 ? "granted" : String(reply?.body["code"]);
        }));
        assertEquals([...ends].sort(), ["granted", "held"], JSON.stringify(ends));
      }
    });

    await t.step("what is for peers, or another's, is refused", async () => {
      const value = { id: "x", proposer: "a", commands: [] };
      const message = { type: "accept", key: "lock/bad", epoch: 0, instance: 1, ballot: [0, "", 0], value };
      const headers = { "Quorate-Hedge": "0", "Idempotency-Key": "k9" };
      const post = (messages: unknown) => call(cluster.url("a"), "POST", "/paxos/acceptor", { messages }, headers);
      const bad: [unknown, number, string][] = [
        [[message], 400, "invalid-request"],
        [[{ type: "read", key: "lock/bad", epoch: 0, instance: 1 }], 400, "invalid-request"],
        [[{ ...message, ballot: [1, "a/n", 0] }], 400, "invalid-request"],
        [
          [{
            ...message,
            value: { id: "x", proposer: "", commands: [{ subject: "other", id: "i", born: 0, op: acquire("z") }] },
          }],
          403,
          "forbidden",
        ],
        ["nonsense", 400, "invalid-request"],
      ];
      for (const [messages, status, code] of bad) {
        const reply = await post(messages);
        assertEquals([reply?.status, reply?.body["code"]], [status, code], JSON.stringify(messages));
      }
      // Well formed, but not under the digest of its content: no acceptor votes for it.
      const forged = {
        id: "f".repeat(64),
        proposer: "",
        commands: [{ subject: "local", id: "i", born: 0, op: acquire("z") }],
      };
      const reply = await post([{ ...message, value: forged }]);
      assertEquals((reply?.body["replies"] as { type: string }[])[0]?.type, "refused");
      assertEquals((await call(cluster.url("b"), "GET", "/v1/locks/bad"))?.body["state"], "free");
    });

    await t.step("with these acceptors down no open quorum forms: recovery settles it, still once", async () => {
      for (const id of DOWN) await cluster.kill(id);
      const end = await submitDirect(options, "lock/minority", acquire("me"), "k4", 0);
      assertEquals(end.type, "unsettled");
      const headers = { "Idempotency-Key": "k4", "Quorate-Hedge": "0" };
      const reply = await call(cluster.url("b"), "POST", "/v1/locks/minority", { holder: "me" }, headers);
      assertEquals(reply?.status, 200);
      assertEquals(reply?.headers.get("consensus-path"), "recovered");
    });
  } finally {
    await cluster.stop();
  }
});
