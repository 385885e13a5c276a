/** Three real processes are told nonsense: each time they say what is wrong, and no record changes. */
import { assert, assertEquals } from "@std/assert";
import { peerTo, signPeer } from "../../src/auth/peer_mac.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { clusterConfigOf } from "../../src/config/cluster_config.ts";
import {
  BATCH_MAX_BYTES,
  BODY_MAX_BYTES,
  JSON_MAX_DEPTH,
  NAME_MAX_BYTES,
  PAXOS_BODY_MAX_BYTES,
} from "../../src/limits.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { Mark, WireMessage } from "../../src/ports.ts";
import { encodeRequest } from "../../src/transport/wire.ts";
import { freePort } from "../free_ports.ts";
import { until } from "../replica/clocks.ts";
import { raw } from "../routes/scripted_node.ts";
import { call, pause, RealCluster, type Reply } from "./real_cluster.ts";

/** As real_cluster.ts has it. */
const SECRET = "a secret of this test only";
const HELD = "held-by-me";
/** While nodes answer so often they have written as well what they hold back (LEARN_SAVE_MS). */
const QUIET_LOOKS = 40;

type Expected = { readonly status: number; readonly code: string; readonly field?: string };
const badField = (field: string): Expected => ({ status: 400, code: "invalid-request", field });
/** One message of a request, answered by itself. */
const unavailable = (field: string): Expected => ({ status: 200, code: "unavailable", field });
const BODY = badField("body");
const TTL = badField("ttlMs");
const NAME = badField("name");
const TOO_LARGE: Expected = { status: 413, code: "too-large" };
const NO_PEER: Expected = { status: 401, code: "peer-unauthenticated" };

type Said = { readonly status: number; readonly body: Record<string, unknown> | null };

/** What a case is called, what it must come to, and how it is sent. */
type Case = readonly [what: string, expected: Expected, send: (port: number) => Promise<Said>];

Deno.test("bad input on real processes: an answer that names it, and nothing is written anywhere", async (t) => {
  const cluster = await RealCluster.start(3);
  try {
    const fence = await settle(cluster);
    for (const [section, cases] of Object.entries(allCases(cluster, fence))) {
      await t.step(section, async () => {
        const before = await factsOf(cluster);
        for (const [what, expected, send] of cases) {
          for (const id of ["a", "b"]) {
            const { status, body } = await send(Number(new URL(cluster.url(id)).port));
            const { code, field } = body ?? {};
            const said = { status, code, ...(expected.field === undefined ? {} : { field }) };
            assertEquals(said, { ...expected }, `${what}: ${JSON.stringify(body)}`);
            assertEquals(body?.["status"], status, what);
          }
        }
        assertEquals(await factsOf(cluster), before, "no commit, and the lock is as it was");
      });
    }

    await t.step("a node of another cluster with the same secret reaches nobody and never votes", async () => {
      const before = await factsOf(cluster);
      const stray = startStray(cluster);
      try {
        const { status, body } = await stray.readiness();
        assertEquals([status, body["code"]], [503, "not-ready"], stray.output());
        assertEquals(await factsOf(cluster), before);
        const lock = await call(stray.url, "POST", "/v1/locks/stray?timeoutMs=300", {});
        assert(lock !== null && [503, 504].includes(lock.status), `${lock?.status}`);
        assertEquals(await factsOf(cluster), before);
      } finally {
        await stray.stop();
      }
    });

    await t.step("after all that the nodes work as before, and said nothing of it", async () => {
      const renewed = await call(cluster.url("c"), "PUT", `/v1/locks/${HELD}/${fence}`, {});
      assertEquals(renewed?.status, 200);
      for (const id of cluster.ids) assertEquals(cluster.complaints(id), [], cluster.output(id));
    });
  } finally {
    await cluster.stop();
  }
});

/** One held lock, known to all, and nothing on its way any more. */
async function settle(cluster: RealCluster): Promise<string> {
  const reply = await call(cluster.url("a"), "POST", `/v1/locks/${HELD}`, { holder: "me", ttlMs: 3_600_000 });
  assertEquals(reply?.status, 200);
  // A new cluster raises its machine by itself, in its first seconds: that is a commit too.
  assertEquals((await call(cluster.url("a"), "POST", "/v1/raise"))?.status, 200);
  let last = "";
  let same = 0;
  await until("nothing is written for a while", async () => {
    const now = JSON.stringify(await commitsOf(cluster));
    same = now === last ? same + 1 : 0;
    last = now;
    return same === QUIET_LOOKS;
  });
  return String(reply!.body["fence"]);
}

function commitsOf(cluster: RealCluster): Promise<unknown[]> {
  return Promise.all(cluster.ids.map((id) => cluster.commits(id)));
}

/** What must not change: commits of every node, the lock as each reads it, and which names have records. */
async function factsOf(cluster: RealCluster) {
  const locks = await Promise.all(cluster.ids.map(async (id) => {
    const { body } = (await call(cluster.url(id), "GET", `/v1/locks/${HELD}`)) as Reply;
    const { holders, ...rest } = body as { holders: { fence: string; holder: string }[] };
    return { ...rest, holders: holders.map(({ fence, holder }) => ({ fence, holder })) };
  }));
  const page = (await call(cluster.url("a"), "GET", "/v1/locks")) as Reply;
  const names = (page.body["items"] as { name: string }[]).map(({ name }) => name);
  const commits = await commitsOf(cluster);
  assert(commits.every((commit) => Number.isSafeInteger(commit) || String(commit).includes(HELD)));
  return { commits, locks, names };
}

function allCases(cluster: RealCluster, fence: string): Record<string, readonly Case[]> {
  const lock = `/v1/locks/${HELD}`;
  return {
    "bodies that are no JSON object": [
      ["nothing closed", BODY, post("/v1/locks/n", "{")],
      ["trailing comma", BODY, post("/v1/locks/n", `{"ttlMs":2000,}`)],
      ["a word", BODY, post("/v1/locks/n", "ttlMs")],
      ["two objects", BODY, post("/v1/locks/n", "{}{}")],
      ["NaN", BODY, post("/v1/locks/n", `{"ttlMs":NaN}`)],
      ["an array", BODY, post("/v1/locks/n", "[]")],
      ["null", BODY, post("/v1/locks/n", "null")],
      ["a string", BODY, post("/v1/locks/n", `"{}"`)],
      ["a number", BODY, post("/v1/locks/n", "1")],
      ["not UTF-8", BODY, post("/v1/locks/n", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))],
      ["UTF-16", BODY, post("/v1/locks/n", new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]))],
      ["for a renewal", BODY, put(`${lock}/${fence}`, "{")],
      ["for a force", BODY, del(lock, "]")],
    ],
    "fields of the wrong type or range": [
      ...["-1", "0", `"10"`, "1.5", "1e21", "1e400", "-1e400", "999", "3600001", "null", "true", "[]", "{}", `"2000"`]
        .map((text): Case => [`ttlMs ${text}`, TTL, post("/v1/locks/n", `{"ttlMs":${text}}`)]),
      ["ttlMs of a renewal", TTL, put(`${lock}/${fence}`, `{"ttlMs":1.5}`)],
      ["waitMs", badField("waitMs"), post("/v1/locks/n", `{"waitMs":-1}`)],
      ["waitMs too long", badField("waitMs"), post("/v1/locks/n", `{"waitMs":300001}`)],
      ["lockDelayMs", badField("lockDelayMs"), post("/v1/locks/n", `{"lockDelayMs":"0"}`)],
      ["holder of a number", badField("holder"), post("/v1/locks/n", `{"holder":7}`)],
      ["holder empty", badField("holder"), post("/v1/locks/n", `{"holder":""}`)],
      ["holder of 129 bytes", badField("holder"), post("/v1/locks/n", `{"holder":"${"é".repeat(64)}x"}`)],
      ["holder of a lone surrogate", badField("holder"), post("/v1/locks/n", `{"holder":"\\ud800"}`)],
      ["holder with a newline", badField("holder"), post("/v1/locks/n", `{"holder":"a\\nb"}`)],
      ["metadata of a lone surrogate", badField("metadata"), post("/v1/locks/n", `{"metadata":"a\\udfff"}`)],
      ["metadata too long", badField("metadata"), post("/v1/locks/n", `{"metadata":"${"x".repeat(257)}"}`)],
      ["mode", badField("mode"), post("/v1/locks/n", `{"mode":"read"}`)],
      ["a field nobody knows", badField("ttl"), post("/v1/locks/n", `{"ttl":2000}`)],
      ["__proto__", badField("__proto__"), post("/v1/locks/n", `{"__proto__":{"ttlMs":1}}`)],
      ["no reason", badField("reason"), del(lock, "{}")],
      ["a reason too long", badField("reason"), del(lock, `{"reason":"${"x".repeat(257)}"}`)],
      ["a body of a release", badField("force"), del(`${lock}/${fence}`, `{"force":true}`)],
      ["timeoutMs", badField("timeoutMs"), post("/v1/locks/n?timeoutMs=99", "{}")],
      ["timeoutMs 1e3", badField("timeoutMs"), post("/v1/locks/n?timeoutMs=1e3", "{}")],
      ["timeoutMs twice", badField("timeoutMs"), post("/v1/locks/n?timeoutMs=500&timeoutMs=500", "{}")],
      ["a parameter nobody knows", badField("wait"), post("/v1/locks/n?wait=1", "{}")],
      ["consistency", badField("consistency"), get(`${lock}?consistency=strong`)],
      ["limit", badField("limit"), get("/v1/locks?limit=0")],
      ["fence 0", badField("fence"), put(`${lock}/0`, "{}")],
      ["fence of letters", badField("fence"), del(`${lock}/abc`, "")],
      ["fence negative", badField("fence"), del(`${lock}/-1`, "")],
      ["fence of 21 digits", badField("fence"), del(`${lock}/${"9".repeat(21)}`, "")],
      ["Idempotency-Key too long", badField("Idempotency-Key"), post("/v1/locks/n", "{}", `x`.repeat(65))],
      ["Idempotency-Key of a space", badField("Idempotency-Key"), post("/v1/locks/n", "{}", "a b")],
    ],
    "names": [
      ["0 bytes", NAME, post("/v1/locks/", "{}")],
      ["0 bytes, by query", NAME, post("/v1/locks/-?name=", "{}")],
      ["513 bytes", NAME, post(`/v1/locks/${"n".repeat(NAME_MAX_BYTES + 1)}`, "{}")],
      ["513 bytes of 171 characters", NAME, post(`/v1/locks/${"%E2%82%AC".repeat(171)}`, "{}")],
      ["513 bytes, by query", NAME, post(`/v1/locks/-?name=${"n".repeat(NAME_MAX_BYTES + 1)}`, "{}")],
      ["..", NAME, post("/v1/locks/..", "{}")],
      ["%2e%2e", NAME, post("/v1/locks/%2e%2e", "{}")],
      [".", NAME, post("/v1/locks/.", "{}")],
      [".. within", NAME, post("/v1/locks/a%2F..%2Fb", "{}")],
      ["a lone high surrogate", NAME, post("/v1/locks/%ED%A0%80", "{}")],
      ["a lone low surrogate", NAME, post("/v1/locks/%ED%BF%BF", "{}")],
      ["overlong /", NAME, post("/v1/locks/a%C0%AFb", "{}")],
      ["a byte that is no UTF-8", NAME, post("/v1/locks/%FF", "{}")],
      ["% that begins no byte", NAME, post("/v1/locks/%zz", "{}")],
      ["a NUL", NAME, post("/v1/locks/a%00b", "{}")],
      ["a C1 control", NAME, post("/v1/locks/a%C2%85b", "{}")],
      ["a leading /", NAME, post("/v1/locks/%2Fa", "{}")],
      ["a trailing /", NAME, post("/v1/locks/a%2F", "{}")],
      ["given twice", NAME, post("/v1/locks/a?name=b", "{}")],
      ["to read", NAME, get("/v1/locks/%2e%2e")],
      ["to list", badField("prefix"), get("/v1/locks?prefix=%00")],
    ],
    "watching, waiting and batches": [
      ["a revision that is none", badField("after"), get(`${lock}?after=x`)],
      ["a wait beyond the limit", badField("waitMs"), get(`${lock}?after=0&waitMs=300001`)],
      ["events after a revision", badField("after"), get(`${lock}/events?after=0`)],
      ["events of no name", NAME, get("/v1/locks/%2F/events")],
      ["events of no prefix", badField("prefix"), get("/v1/locks/events")],
      ["a cursor too long for a store", badField("cursor"), get(`/v1/kv?cursor=${"0".repeat(2_042)}`)],
      ["events of a prefix with a control character", badField("prefix"), get("/v1/locks/events?prefix=%00")],
      ["events of a prefix too long", badField("prefix"), get(`/v1/locks/events?prefix=${"p".repeat(513)}`)],
      ["a batch that is no array", BODY, post("/v1/batch", "{}")],
      ["a batch of nothing", BODY, post("/v1/batch", "[]")],
      ["a batch of too many", BODY, post("/v1/batch", JSON.stringify(Array(101).fill(taking("n"))))],
      ["a batch to the mailboxes", badField("1.path"), batch(taking("n"), { method: "POST", path: "/paxos/acceptor" })],
      ["a batch a byte too long", TOO_LARGE, post("/v1/batch", "[".padEnd(BATCH_MAX_BYTES + 1))],
    ],
    "bodies too large or too deep": [
      ["announced", TOO_LARGE, post("/v1/locks/n", " ".repeat(BODY_MAX_BYTES + 1))],
      [
        "announced only, and not sent",
        TOO_LARGE,
        (port) => raw(port, head("POST", "/v1/locks/n", port, [`Content-Length: 10000000000`])),
      ],
      ["in chunks", TOO_LARGE, chunked("/v1/locks/n", BODY_MAX_BYTES + 1)],
      ["in chunks, for a release", TOO_LARGE, chunked(`${lock}/${fence}`, BODY_MAX_BYTES + 1, "DELETE")],
      ["arrays, one deeper than allowed", BODY, post("/v1/locks/n", nested("[", "]", JSON_MAX_DEPTH + 1))],
      ["objects", BODY, post("/v1/locks/n", `${`{"a":`.repeat(5_000)}1${"}".repeat(5_000)}`)],
      ["as deep as a body can be", BODY, post("/v1/locks/n", "[".repeat(BODY_MAX_BYTES))],
    ],
    "who is no peer": [
      ["unsigned", NO_PEER, paxos(cluster, () => ({}))],
      [
        "a MAC of zeros",
        NO_PEER,
        paxos(cluster, (request) => ({ ...signed(request), "quorate-mac": `v1=${"0".repeat(64)}` })),
      ],
      [
        "no version",
        NO_PEER,
        paxos(cluster, (request) => ({ ...signed(request), "quorate-mac": signed(request)["quorate-mac"]!.slice(3) })),
      ],
      [
        "another secret",
        NO_PEER,
        paxos(cluster, (request) => signed(request, { secret: "some other secret, long enough" })),
      ],
      [
        "another cluster",
        { status: 409, code: "config-mismatch" },
        paxos(cluster, (request) => signed(request, { cluster: "q-000000000000" })),
      ],
      ["signed for another path", NO_PEER, paxos(cluster, (request) => signed({ ...request, path: "/paxos/learner" }))],
      [
        "another count than signed",
        NO_PEER,
        paxos(cluster, (request) => ({ ...signed(request), "quorate-count": "2" })),
      ],
      [
        "another sender than signed",
        NO_PEER,
        paxos(cluster, (request) => ({ ...signed(request), "quorate-peer": "b" })),
      ],
      [
        "a body changed on the way",
        NO_PEER,
        paxos(cluster, (request) => signed({ ...request, body: request.body + " " })),
      ],
      ["a bearer token in its place", NO_PEER, paxos(cluster, () => ({ authorization: "Bearer anything" }))],
      ["a vote, unsigned", NO_PEER, paxos(cluster, () => ({}), { messages: [VOTE] })],
      [
        "too large, unsigned",
        NO_PEER,
        (port) => raw(port, head("POST", "/paxos/acceptor", port, [`Content-Length: ${PAXOS_BODY_MAX_BYTES + 1}`])),
      ],
      ["too large in chunks, unsigned", NO_PEER, chunked("/paxos/acceptor", PAXOS_BODY_MAX_BYTES + 1)],
    ],
    "peers that are wrong": [
      [
        "an unknown one",
        { status: 403, code: "unknown-peer" },
        paxos(cluster, (request) => signed(request, { from: "z" })),
      ],
      [
        "the node itself",
        { status: 403, code: "unknown-peer" },
        paxos(cluster, (request) => signed(request, { from: request.id })),
      ],
      [
        "for an older boot",
        { status: 401, code: "peer-hello" },
        paxos(cluster, (request) => signed({ ...request, to: peerTo(request.id, null) })),
      ],
      [
        "with another ClusterConfig",
        { status: 409, code: "config-mismatch" },
        paxos(cluster, signed, { config: "0".repeat(64), messages: [VOTE] }),
      ],
      ["with a body that is no JSON", { status: 400, code: "invalid-request" }, paxos(cluster, signed, { body: "{" })],
      [
        "without messages",
        badField("messages"),
        paxos(cluster, signed, { edit: (text) => text.replace(/"messages":\[.*\]/, `"messages":7`) }),
      ],
      [
        "with a message nobody knows",
        unavailable("messages[0].type"),
        only(cluster, signed, { edit: (text) => text.replace(`"type":"read"`, `"type":"write"`) }),
      ],
      [
        "with a decision that is not a peer's to make",
        unavailable("messages[0].type"),
        only(cluster, signed, { edit: (text) => text.replace(`"type":"read"`, `"type":"decide"`) }),
      ],
      [
        "with a ballot of text",
        unavailable("messages[0].ballot"),
        only(cluster, signed, {
          messages: [VOTE],
          edit: (text) => text.replace(`"ballot":[0,"",0]`, `"ballot":"0..0"`),
        }),
      ],
      [
        "with an instance below 1",
        unavailable("messages[0].instance"),
        only(cluster, signed, { edit: (text) => text.replace(`"instance":1`, `"instance":-1`) }),
      ],
      [
        "with an instance of 1e400",
        unavailable("messages[0].instance"),
        only(cluster, signed, { edit: (text) => text.replace(`"instance":1`, `"instance":1e400`) }),
      ],
      [
        "with what is for another mailbox",
        unavailable("read"),
        only(cluster, signed, { path: "/paxos/coordinator" }),
      ],
      [
        "nested a thousand deep",
        { status: 400, code: "invalid-request" },
        paxos(cluster, signed, { body: nested("[", "]", 1_000) }),
      ],
    ],
    "no such thing": [
      ["a route", { status: 404, code: "no-route" }, get("/v1/lock/x")],
      ["a mailbox", { status: 404, code: "no-route" }, post("/paxos/proposer", "{}")],
      ["a method", { status: 405, code: "method-not-allowed" }, send("PATCH", lock, "{}")],
      ["GET of a mailbox", { status: 405, code: "method-not-allowed" }, get("/paxos/acceptor")],
      [
        "a page of another site",
        { status: 403, code: "cross-site" },
        (port) =>
          raw(port, head("POST", "/v1/locks/n", port, ["Origin: https://evil.example", "Content-Length: 2"]), "{}"),
      ],
      [
        "a name made to point here",
        { status: 403, code: "cross-site" },
        (port) => raw(port, `POST /v1/locks/n HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}`),
      ],
    ],
  };
}

function head(method: string, path: string, port: number, headers: readonly string[]): string {
  return [`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...headers, "", ""].join("\r\n");
}

/** Over a plain socket: fetch would tidy paths up, and refuses some headers. */
function send(method: string, path: string, body: string | Uint8Array, key?: string): Case[2] {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const headers = [`Content-Length: ${bytes.length}`, ...(key === undefined ? [] : [`Idempotency-Key: ${key}`])];
  return (port) => raw(port, head(method, path, port, headers), bytes);
}

const post = (path: string, body: string | Uint8Array, key?: string) => send("POST", path, body, key);
const taking = (name: string) => ({ method: "POST", path: `/v1/locks/${name}`, body: {} });
const batch = (...operations: readonly object[]) => post("/v1/batch", JSON.stringify(operations));
const put = (path: string, body: string) => send("PUT", path, body);
const del = (path: string, body: string) => send("DELETE", path, body);
const get = (path: string) => send("GET", path, "");

/** No Content-Length, and it never ends: the answer has to come before. */
function chunked(path: string, bytes: number, method = "POST"): Case[2] {
  const size = 16 * 1024;
  const chunk = `${size.toString(16)}\r\n${" ".repeat(size)}\r\n`;
  return (port) =>
    raw(
      port,
      head(method, path, port, ["Transfer-Encoding: chunked"]),
      ...Array(Math.ceil(bytes / size) + 1).fill(chunk),
    );
}

function nested(open: string, close: string, depth: number): string {
  return `{"a":${open.repeat(depth)}${close.repeat(depth)}}`;
}

const READ: WireMessage = { type: "read", key: `lock/${HELD}`, epoch: 0, instance: 1 };
const VOTE: WireMessage = {
  type: "accept",
  key: "lock/forged",
  epoch: 0,
  instance: 1,
  ballot: STANDING,
  value: { id: "c/x/1", proposer: "c", commands: [] },
};
const MARK: Mark = { incarnation: "none", boot: 0, run: "none", seq: 0 };

type PeerCall = {
  readonly id: string;
  readonly path: string;
  readonly to: string;
  readonly body: string;
  readonly cluster: string;
};

function signed(
  { path, to, body, ...call }: PeerCall,
  { from = "c", secret = SECRET, cluster = call.cluster } = {},
): Record<string, string> {
  return signPeer({ method: "POST", path, cluster, from, to, count: 1, bodySha256: sha256Hex(body) }, secret);
}

/** A call to a mailbox as c would make it, but for what the case changes. */
function paxos(
  cluster: RealCluster,
  sign: (request: PeerCall) => Record<string, string>,
  more: { config?: string; messages?: WireMessage[]; body?: string; path?: string; edit?: (text: string) => string } =
    {},
): Case[2] {
  return async (port) => {
    const urls = Object.fromEntries(cluster.ids.map((id) => [id, cluster.url(id)]));
    const { cluster: name, hash } = clusterConfigOf({ urls, modes: [] });
    const id = cluster.ids.find((member) => urls[member] === `http://127.0.0.1:${port}`)!;
    const { path = "/paxos/acceptor", edit = (text) => text } = more;
    const text = encodeRequest({ config: more.config ?? hash, mark: MARK, messages: more.messages ?? [READ] });
    const body = more.body ?? edit(text);
    if (more.edit !== undefined) assert(body !== text, "the edit changes something");
    const to = await whoIs(port, name, id, hash, path);
    const headers = sign({ id, path, to, body, cluster: name });
    const lines = Object.entries(headers).map(([header, value]) => `${header}: ${value}`);
    return await raw(port, head("POST", path, port, [`Content-Length: ${body.length}`, ...lines]), body);
  };
}

/** As `paxos`: what the only message of the call was answered, in the form of a refusal of the whole. */
function only(...call: Parameters<typeof paxos>): Case[2] {
  return async (port) => {
    const { status, body } = await paxos(...call)(port);
    const [{ type, reason }] = body!["replies"] as [{ type: string; reason?: string }];
    return { status, body: { status, code: type, field: reason?.split(" ")[0] } };
  };
}

/** The node's `Quorate-To` as it is now, from the peer-hello that a first call gets. */
async function whoIs(port: number, cluster: string, id: string, hash: string, path: string): Promise<string> {
  const body = encodeRequest({ config: hash, mark: MARK, messages: [READ] });
  const headers = signed({ id, path, to: peerTo(id, null), body, cluster });
  const lines = Object.entries(headers).map(([header, value]) => `${header}: ${value}`);
  const hello = await raw(port, head("POST", path, port, [`Content-Length: ${body.length}`, ...lines]), body);
  assertEquals([hello.status, hello.body["code"]], [401, "peer-hello"]);
  return hello.headers.get("quorate-to")!;
}

/** A process z that believes to be in a cluster with a and b. */
function startStray(cluster: RealCluster) {
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const members = `a=${cluster.url("a")},b=${cluster.url("b")},z=${url}`;
  const args = ["node", "--init", "--id", "z", "--port", `${port}`, "--cluster", members];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "src/cli/main.ts", ...args, "--kv", `${cluster.folder}/stray.sqlite`],
    cwd: new URL("../../", import.meta.url),
    env: { QUORATE_PEER_SECRET: SECRET },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output: string[] = [];
  const said = [child.stdout, child.stderr].map(async (stream) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) output.push(text);
  });
  return {
    url,
    output: () => output.join(""),
    /** Once it has had the time to ask both of them several times. */
    async readiness(): Promise<Reply> {
      await until(() => `the stray node waits: ${output.join("")}`, async () => {
        const reply = await call(url, "GET", "/readyz");
        return reply !== null && /a new store votes once/.test(String(reply.body["detail"]));
      });
      await pause(300);
      return (await call(url, "GET", "/readyz"))!;
    },
    async stop() {
      child.kill("SIGKILL");
      await child.status;
      await Promise.all(said);
    },
  };
}
