/** A real gateway before real nodes: nobody can tell it from a node, but for what it survives. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import {
  BATCH_MAX_BYTES,
  BODY_MAX_BYTES,
  JSON_MAX_DEPTH,
  KV_VALUE_MAX_BYTES,
  NAME_MAX_BYTES,
} from "../../src/limits.ts";
import { runSession } from "../page_session.ts";
import { until } from "../replica/clocks.ts";
import { EventReader } from "../routes/event_reader.ts";
import { raw } from "../routes/scripted_node.ts";
import { fenceFaults, type GrantEvent } from "../sim/check/fences.ts";
import { type GatewayProcess, startGateway } from "./gateway_process.ts";
import { call, pause, RealCluster, type Reply } from "./real_cluster.ts";

const TOKEN = "a-token-of-this-test-only";
const READER = "another-token-of-this-test";
const AUTH = { Authorization: `Bearer ${TOKEN}` };
const TOKENS = JSON.stringify([
  { subject: "ci", sha256: sha256Hex(TOKEN), scopes: ["*:read,write:*", "admin:*"] },
  { subject: "reader", sha256: sha256Hex(READER), scopes: ["lock:read:*"] },
]);

const CLIENTS = 8;
const LOCKS = 12;
const OPERATIONS = 200;
const KILLS = 6;
/** What a client rests between two locks at most: nodes that return need the machine too. */
const REST_MAX_MS = 200;
/** Whatever happens, it ends. */
const AT_MOST_MS = 90_000;

Deno.test("gateway: the session of README and docs/api.md goes through it as it does through five nodes", async () => {
  let gateway: GatewayProcess | undefined;
  await runSession(async (nodes) => {
    const started = gateway = await startGateway(nodes);
    return { url: started.url, stop: async () => void assertEquals(await started.stop(), 0, started.output()) };
  });
  // Two of its nodes were killed, and that is no news of its own.
  assertEquals(gateway!.output().split("\n").length, 1, gateway!.output());
});

Deno.test("gateway: before three nodes that die, are watched and are told nonsense", async (t) => {
  const cluster = await RealCluster.start(3, 0, { env: { QUORATE_TOKENS: TOKENS } });
  const urls = cluster.ids.map((id) => cluster.url(id));
  // Between gateway and nodes, to see what becomes of streams.
  const relays = urls.map((url) => new Relay(url));
  const gateway = await startGateway(relays.map(({ url }) => url));
  try {
    await t.step("what is malformed, oversized or not allowed is answered as by a node", async () => {
      const port = Number(new URL(gateway.url).port);
      for (const [what, send] of nonsense()) {
        const [direct, through] = [await send(Number(new URL(urls[1]!).port)), await send(port)];
        assertEquals(facts(through), facts(direct), what);
        assert(direct.status >= 400 && direct.status < 500, `${what}: ${direct.status}`);
      }
      assertEquals(factsOf(await call(gateway.url, "POST", "/paxos/acceptor", { messages: [] })), [404, "no-route"]);
      assertEquals(factsOf(await call(gateway.url, "GET", "/healthz")), [200, undefined]);
      assertEquals(factsOf(await call(gateway.url, "GET", "/readyz")), [200, undefined]);
      assertEquals(factsOf(await call(gateway.url, "GET", "/v1/status", undefined, AUTH)), [200, undefined]);
      const page = await fetch(`${gateway.url}/v1/kv`, { headers: AUTH });
      assertEquals([page.status, (await page.json()).items], [200, []], "and nothing was written");
    });

    await t.step(
      "a watch sees every change, ends at the node when its client goes, and resumes elsewhere",
      async () => {
        const lock = "/v1/locks/watched";
        const watch = async (lastEventId?: string) => {
          const leave = new AbortController();
          const headers = { ...AUTH, ...(lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId }) };
          const response = await fetch(`${gateway.url}${lock}/events`, { headers, signal: leave.signal });
          assertEquals(response.status, 200);
          return { events: new EventReader(response), leave };
        };
        const first = await watch();
        assertEquals((await first.events.next())?.data["state"], "free");
        const { body: { fence } } = await done(gateway, "POST", lock, { ttlMs: 600_000 });
        const [taken] = (await first.events.until(({ data }) => data["state"] === "held")).slice(-1);
        assertEquals(taken!.data["lastFence"], fence);
        const streams = () => relays.reduce((sum, relay) => sum + relay.streams, 0);
        assertEquals(streams(), 1);
        first.leave.abort();
        await first.events.close();
        await until("the node's stream has ended", () => streams() === 0);
        // What happened while nobody watched, after the last event that was seen.
        await done(gateway, "DELETE", `${lock}/${fence}`);
        const second = await watch(taken!.id!);
        assertEquals((await second.events.next())?.data["state"], "free");
        // A node that dies in mid-stream ends the stream, or it goes on at another one: then the client comes back with its last.
        let events = second.events;
        let last = taken!.id!;
        const changes = [];
        for (const id of cluster.ids) {
          await cluster.kill(id);
          const { body: { fence } } = await done(gateway, "POST", lock, { ttlMs: 600_000 });
          for (let i = 0; i < 20; i++) {
            const event = await events.next().catch(() => null);
            if (event === null) events = (await watch(last)).events;
            else last = event.id ?? last;
            if (event?.data["lastFence"] === fence) changes.push(fence);
            if (event?.data["lastFence"] === fence) break;
          }
          await done(gateway, "DELETE", `${lock}/${fence}`);
          await cluster.startNode(id);
        }
        assertEquals(changes.length, 3);
        await events.close();
      },
    );

    await t.step(
      `${OPERATIONS} grants while nodes die one after another: each answered once, each release the first`,
      async () => {
        const startMs = performance.now();
        const isLate = () => performance.now() - startMs > AT_MOST_MS;
        const grants: GrantEvent[] = [];
        const byKey = new Map<string, string>();
        const again: Record<string, number> = {};
        let kills = 0;
        const goesOn = () => (grants.length < OPERATIONS || kills < KILLS) && !isLate();
        const client = async (index: number) => {
          for (let n = 0; goesOn(); n++) {
            await pause(Math.random() * REST_MAX_MS);
            const name = `lock-${(index + n) % LOCKS}`;
            const calledMs = performance.now();
            // Every other one brings its own key, the others live by what they are told.
            const key = n % 2 === 0 ? `client-${index}-${n}` : undefined;
            const body = { holder: `client-${index}`, ttlMs: 3_600_000, waitMs: 3_000 };
            const taken = await insist(gateway, again, "POST", `/v1/locks/${name}`, body, key);
            if (taken.status === 409) continue;
            assertEquals(taken.status, 200, JSON.stringify(taken.body));
            const fence = String(taken.body["fence"]);
            const answered = taken.headers.get("idempotency-key")!;
            if (key !== undefined) assertEquals(answered, key);
            assert(!byKey.has(answered));
            byKey.set(answered, fence);
            grants.push({ lock: name, calledMs, returnedMs: performance.now(), fence: BigInt(fence) });
            // Made only if nothing is there: done twice it would refuse the second time.
            const put = await insist(gateway, again, "PUT", `/v1/kv/${name}.${fence}`, answered, undefined, {
              "If-None-Match": "*",
            });
            assertEquals(put.status, 200, JSON.stringify(put.body));
            const released = await insist(gateway, again, "DELETE", `/v1/locks/${name}/${fence}`);
            assertEquals(released.body["outcome"], "released", JSON.stringify(released.body));
          }
        };
        const clients = Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
        const killer = (async () => {
          for (; goesOn(); kills++) {
            const id = cluster.ids[kills % 3]!;
            await pause(300);
            await cluster.kill(id);
            await pause(300);
            await cluster.startNode(id);
          }
        })();
        await Promise.all([clients, killer]);
        console.log(`${kills} kills, ${grants.length} grants, asked again after ${JSON.stringify(again)}`);
        assertEquals(fenceFaults(grants), []);
        assertGreater(grants.length, OPERATIONS - 1);
        assertGreater(kills, KILLS - 1);
        // No answer that was given is forgotten, whichever node is asked.
        for (const { lock, fence } of grants) {
          const value = await fetch(`${urls[Number(fence) % 3]}/v1/kv/${lock}.${fence}`, { headers: AUTH });
          assertEquals([value.status, byKey.get(await value.json())], [200, `${fence}`]);
        }
        for (let i = 0; i < LOCKS; i++) {
          const state = await call(urls[i % 3]!, "GET", `/v1/locks/lock-${i}`, undefined, AUTH);
          assertEquals(state?.body["holders"], []);
        }
      },
    );
  } finally {
    assertEquals(await gateway.stop(), 0, gateway.output());
    for (const relay of relays) relay.close();
    await cluster.stop();
  }
});

/** One request that has to succeed. */
async function done(gateway: GatewayProcess, method: string, path: string, body?: unknown): Promise<Reply> {
  const reply = await insist(gateway, {}, method, path, body);
  assertEquals(reply.status, 200, JSON.stringify(reply.body));
  return reply;
}

/** Repeats with one key while the gateway says that it does not know, or that it cannot now; the gateway itself must answer. */
async function insist(
  gateway: GatewayProcess,
  again: Record<string, number>,
  method: string,
  path: string,
  body?: unknown,
  key?: string,
  more: Record<string, string> = {},
): Promise<Reply> {
  for (let i = 0; i < 20; i++) {
    const headers = { ...AUTH, ...more, ...(key === undefined ? {} : { "Idempotency-Key": key }) };
    const reply = await call(gateway.url, method, path, body, headers);
    assert(reply !== null, `${method} ${path}: ${gateway.output()}`);
    if (reply.status < 500) return reply;
    const code = String(reply.body["code"]);
    again[code] = (again[code] ?? 0) + 1;
    key = reply.headers.get("idempotency-key") ?? undefined;
    assert(key !== undefined && (code !== "outcome-unknown" || reply.body["idempotencyKey"] === key), code);
    await pause(50 * i);
  }
  throw new Error(`${method} ${path} never came to anything: ${JSON.stringify(again)}`);
}

function factsOf(reply: Reply | null) {
  return [reply?.status, reply?.body["code"]];
}

type Sent = Awaited<ReturnType<typeof raw>>;

/** What two answers to the same request have to have alike. */
function facts({ status, headers, body }: Sent) {
  const { type, title, code, detail, field, retryable, outcome } = body ?? {};
  const told = [type, title, code, detail, field, retryable, outcome];
  return [status, ...told, headers.get("content-type"), headers.get("www-authenticate"), headers.get("allow")];
}

/** Over plain sockets: fetch would tidy paths up. */
function nonsense(): readonly (readonly [string, (port: number) => Promise<Sent>])[] {
  const send = (method: string, path: string, body: string | Uint8Array = "", ...more: readonly string[]) => {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const auth = more.some((line) => line.startsWith("Authorization")) ? [] : [`Authorization: Bearer ${TOKEN}`];
    return (port: number) => {
      const lines = [
        `Host: 127.0.0.1:${port}`,
        ...auth,
        ...more,
        `Content-Length: ${bytes.length}`,
        "Connection: close",
      ];
      return raw(port, [`${method} ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n"), bytes);
    };
  };
  const chunked = (method: string, path: string, bytes: number) => {
    const chunk = `4000\r\n${" ".repeat(0x4000)}\r\n`;
    const lines = (port: number) => [`Host: 127.0.0.1:${port}`, `Authorization: Bearer ${TOKEN}`];
    return (port: number) =>
      raw(
        port,
        [`${method} ${path} HTTP/1.1`, ...lines(port), "Transfer-Encoding: chunked", "", ""].join("\r\n"),
        ...Array(Math.ceil(bytes / 0x4000) + 1).fill(chunk),
      );
  };
  const lock = "/v1/locks/n";
  const names = [
    "",
    "%2e%2e",
    "..",
    ".",
    "a%2F..%2Fb",
    "%FF",
    "%25FF%",
    "%ED%A0%80",
    "a%C0%AFb",
    "%zz",
    "a%00b",
    "%2Fa",
    "a%2F",
    "a?name=b",
    "-?name=",
    "-?name=%2e%2e",
    `-?name=${"n".repeat(NAME_MAX_BYTES + 1)}`,
    "n".repeat(NAME_MAX_BYTES + 1),
  ];
  const bodies = [
    "{",
    "[]",
    "null",
    `{"ttlMs":1}`,
    `{"ttlMs":1e400}`,
    `{"__proto__":1}`,
    `{"waitMs":-1}`,
    `{"waitMs":300001}`,
  ];
  const deep = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  const batch = (operations: unknown) => send("POST", "/v1/batch", JSON.stringify(operations));
  const write = { method: "POST", path: lock, body: {} };
  return [
    ...names.map((name) => [`the name ${name.slice(0, 20)}`, send("POST", `/v1/locks/${name}`, "{}")] as const),
    ...names.slice(1).map((name) => [`the key ${name.slice(0, 20)}`, send("GET", `/v1/kv/${name}`)] as const),
    ...bodies.map((body) => [`the body ${body}`, send("POST", lock, body)] as const),
    ["a body that is not UTF-8", send("POST", lock, new Uint8Array([0x7b, 0xff, 0x7d]))],
    ["a body nested too deep", send("POST", lock, deep(JSON_MAX_DEPTH + 1))],
    ["a body nested as deep as can be", send("POST", lock, "[".repeat(BODY_MAX_BYTES))],
    ["a body too large", send("POST", lock, " ".repeat(BODY_MAX_BYTES + 1))],
    ["a body too large in chunks", chunked("POST", lock, BODY_MAX_BYTES + 1)],
    ["a release too large in chunks", chunked("DELETE", `${lock}/1`, BODY_MAX_BYTES + 1)],
    ["a value too large", send("PUT", "/v1/kv/n", "x".repeat(KV_VALUE_MAX_BYTES + 1))],
    ["a value too large in chunks", chunked("PUT", "/v1/kv/n", KV_VALUE_MAX_BYTES + 1)],
    ["a batch too large", send("POST", "/v1/batch", "[".padEnd(BATCH_MAX_BYTES + 1))],
    ["a batch that is no list", batch({})],
    ["a batch of nothing", batch([])],
    ["a batch to the mailboxes", batch([write, { method: "POST", path: "/paxos/acceptor" }])],
    ["a fence of letters", send("DELETE", `${lock}/abc`)],
    ["a timeout out of range", send("POST", `${lock}?timeoutMs=99`, "{}")],
    ["a timeout given twice", send("POST", `${lock}?timeoutMs=500&timeoutMs=500`, "{}")],
    ["a parameter nobody knows", send("GET", `${lock}?wait=1`)],
    ["a wait too long", send("GET", `${lock}?after=0&waitMs=300001`)],
    ["events of no prefix", send("GET", "/v1/kv/events")],
    ["a slash in a name", send("PUT", "/v1/kv/a/b/c", "x")],
    ["a key with a space", send("POST", lock, "{}", "Idempotency-Key: a b")],
    ["a key too long", send("POST", lock, "{}", `Idempotency-Key: ${"x".repeat(65)}`)],
    ["a hedge without a key", send("POST", lock, `{"holder":"me"}`, "Quorate-Hedge: 0")],
    ["a hedge from nowhere", send("POST", lock, `{"holder":"me"}`, "Quorate-Hedge: -1", "Idempotency-Key: k")],
    ["no such route", send("GET", "/v1/lock/x")],
    ["no such method", send("PATCH", lock, "{}")],
    ["no such method of a list", send("DELETE", "/v1/kv")],
    [
      "a Host with a path",
      (port) => raw(port, `GET /locks/n HTTP/1.1\r\nHost: 127.0.0.1:${port}/v1\r\nConnection: close\r\n\r\n`),
    ],
    ["no token", send("POST", lock, "{}", "Authorization: none")],
    ["a token nobody has", send("POST", lock, "{}", "Authorization: Bearer unknown")],
    ["another scheme", send("GET", lock, "", `Authorization: Basic ${btoa(`ci:${TOKEN}`)}`)],
    ["no token, no route", send("GET", "/v1/nothing", "", "Authorization: none")],
    ["what a scope does not cover", send("POST", lock, "{}", `Authorization: Bearer ${READER}`)],
    ["a peer's credential", send("POST", lock, "{}", "Authorization: none", `Quorate-Mac: v1=${"0".repeat(64)}`)],
  ];
}

/** A wire to one node that knows which of its connections carry a stream of events. */
class Relay {
  readonly url: string;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #ends = new Set<Deno.Conn>();
  /** Open ones. */
  streams = 0;

  constructor(node: string) {
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    const port = Number(new URL(node).port);
    (async () => {
      for await (const connection of this.#listener) this.#join(connection, port);
    })();
  }

  async #join(caller: Deno.Conn, port: number): Promise<void> {
    const node = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
    if (node === null) return caller.close();
    this.#ends.add(caller).add(node);
    let isStream = false;
    const count = (chunk: Uint8Array) => {
      if (isStream || !/^GET \S+\/events /.test(new TextDecoder().decode(chunk))) return;
      isStream = true;
      this.streams++;
    };
    await Promise.race([this.#copy(caller, node, count), this.#copy(node, caller, () => {})]);
    if (isStream) this.streams--;
    for (const end of [caller, node]) this.#close(end);
  }

  async #copy(from: Deno.Conn, to: Deno.Conn, see: (chunk: Uint8Array) => void): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (let size = await from.read(buffer); size !== null; size = await from.read(buffer)) {
        const chunk = buffer.subarray(0, size);
        see(chunk);
        for (let at = 0; at < size;) at += await to.write(chunk.subarray(at));
      }
    } catch {
      // One of the two is gone.
    }
  }

  #close(end: Deno.Conn): void {
    if (!this.#ends.delete(end)) return;
    try {
      end.close();
    } catch {
      // Closed already.
    }
  }

  close(): void {
    this.#listener.close();
    for (const end of [...this.#ends]) this.#close(end);
  }
}
