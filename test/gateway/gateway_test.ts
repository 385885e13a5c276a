/** A gateway before nodes that die, hang, refuse, and cut the connection after they have done what was asked. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { BATCH_MAX_BYTES, BODY_DEADLINE_MS, BODY_MAX_BYTES, KV_VALUE_MAX_BYTES } from "../../src/limits.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { EventReader } from "../routes/event_reader.ts";
import { raw } from "../routes/scripted_node.ts";
import { settled } from "../transport/manual_clock.ts";
import { until } from "../replica/clocks.ts";
import {
  cuttingNode,
  grant,
  nobody,
  problem,
  type Rig,
  type Scripted,
  scriptedNode,
  withGateway,
} from "../client/scripted_nodes.ts";

const LOCK = "/v1/locks/x";
const hanging = () => scriptedNode(() => new Promise(() => {}));
const granting = (more: object = {}) => scriptedNode(() => grant(more));
const take: RequestInit = { body: `{"holder":"me"}` };
const keys = (nodes: readonly Scripted[]) =>
  nodes.flatMap(({ seen }) => seen.map(({ headers }) => headers.get("idempotency-key")));

async function said(response: Response) {
  const body = await response.json();
  return { status: response.status, code: body.code, outcome: body.outcome, key: body.idempotencyKey };
}

Deno.test("gateway: a request goes to the nearest node only, with its path, query, body and credential as they were", async () => {
  const [first, second] = [granting(), granting()];
  await withGateway([first, second], async ({ ask }) => {
    const path = "/v1/locks/a%2Fb%25%FF%e2%82%ac/%7e'|?name=%zz&x=a+b%20c&timeoutMs=500";
    const headers = { Authorization: "Bearer secret", "Idempotency-Key": "mine", "Quorate-Hedge": "0", "X-Other": "1" };
    const response = await ask("POST", path, { ...take, headers });
    assertEquals([response.status, (await response.json()).fence], [200, "1025"]);
    const [seen] = first.seen;
    assertEquals(seen!.target, path);
    assertEquals([seen!.method, seen!.body], ["POST", take.body]);
    for (const [name, value] of Object.entries(headers)) assertEquals(seen!.headers.get(name), value);
    assertEquals(response.headers.get("idempotency-key"), "mine");
    assertEquals(second.seen, []);
  });
});

Deno.test("gateway: a write that came without a key gets one, sent to every node alike and told to the caller", async () => {
  for (const dying of [nobody(), cuttingNode(), scriptedNode(() => problem(503, "not-ready"))]) {
    const next = granting();
    await withGateway([dying, next], async ({ ask }) => {
      const response = await ask("POST", LOCK, take);
      assertEquals([response.status, response.headers.get("idempotency-key")], [200, keys([next])[0]]);
      assertEquals(new Set(keys([dying, next])).size, 1);
      assertMatch(keys([next])[0]!, /^id-\d+$/);
      for (const { body } of [...dying.seen, ...next.seen]) assertEquals(body, take.body);
      await response.body?.cancel();
    });
  }
});

Deno.test("gateway: an answer that breaks off midway is no answer: the next node has it", async () => {
  for (const head of ["Content-Length: 500", "Transfer-Encoding: chunked"]) {
    const half = head.startsWith("C") ? `{"fence":` : `9\r\n{"fence":\r\n`;
    const broken = cuttingNode(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${head}\r\n\r\n${half}`);
    const next = granting();
    await withGateway([broken, next], async ({ ask }) => {
      for (const method of ["POST", "GET"]) {
        const response = await ask(method, LOCK, method === "GET" ? {} : take);
        assertEquals([response.status, (await response.json()).fence], [200, "1025"]);
      }
      assertEquals(new Set(keys([broken, next]).filter((key) => key !== null)).size, 1);
    });
  }
});

Deno.test("gateway: what no node can do is said as the last one says it, if none may have done it", async () => {
  const codes = [["not-ready", undefined], ["no-quorum", "none"], ["too-many-streams", undefined]] as const;
  for (const [code, outcome] of codes) {
    const more = outcome === undefined ? {} : { outcome };
    const nodes = [
      nobody(),
      scriptedNode(() => problem(503, "not-ready")),
      scriptedNode(() => problem(503, code, more)),
    ];
    await withGateway(nodes, async ({ ask }) => {
      const { key: _, ...rest } = await said(await ask("PUT", `${LOCK}/1025`, { body: "{}" }));
      assertEquals(rest, { status: 503, code, outcome });
    });
  }
});

Deno.test("gateway: a try that may have been applied makes it unknown, whatever the next node says of its own", async () => {
  const headers = { "Idempotency-Key": "mine" };
  const declining = [
    () => problem(503, "no-quorum", { outcome: "none" }),
    () => problem(504, "outcome-unknown", { outcome: "unknown", idempotencyKey: "mine" }),
    () => new Response("<html>", { status: 502 }),
    () => problem(429, "rate-limited"),
    () => problem(401, "unauthenticated"),
  ];
  for (const decline of declining) {
    await withGateway([cuttingNode(), scriptedNode(decline)], async ({ ask }) => {
      const response = await ask("POST", LOCK, { ...take, headers });
      assertEquals(response.headers.get("content-type"), "application/problem+json");
      assertEquals(response.headers.get("idempotency-key"), "mine");
      assertEquals(await said(response), { status: 504, code: "outcome-unknown", outcome: "unknown", key: "mine" });
    });
  }
});

Deno.test("gateway: without any answer a write is unknown if one node may have it, else not done; a read is neither", async () => {
  await withGateway([nobody(), cuttingNode()], async ({ ask }) => {
    const response = await ask("DELETE", `${LOCK}/1025`);
    const key = response.headers.get("idempotency-key");
    assertEquals(await said(response), { status: 504, code: "outcome-unknown", outcome: "unknown", key });
    assertEquals(await said(await ask("GET", LOCK)), {
      status: 503,
      code: "not-ready",
      outcome: undefined,
      key: undefined,
    });
  });
  await withGateway([nobody(), nobody()], async ({ ask }) => {
    const response = await ask("POST", LOCK, take);
    assertEquals(response.headers.get("x-request-id"), "id-1");
    assertEquals(await said(response), { status: 503, code: "not-ready", outcome: "none", key: undefined });
  });
});

Deno.test("gateway: a node that hangs is not waited for: the next is asked, and the hanging request cancelled", async () => {
  const [hung, next] = [hanging(), granting()];
  await withGateway([hung, next], async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, take);
    await until("the first has it", () => hung.seen.length === 1);
    await clock.pass(999);
    assertEquals(next.seen.length, 0);
    await clock.pass(1);
    const response = await asked;
    assertEquals([response.status, (await response.json()).fence], [200, "1025"]);
    assertEquals(new Set(keys([hung, next])).size, 1);
    await until("the first is told that nobody waits", () => hung.seen[0]!.signal.aborted);
    // Neither is it asked first the next time.
    await (await ask("POST", LOCK, take)).body?.cancel();
    assertEquals([hung.seen.length, next.seen.length], [1, 2]);
  });
});

Deno.test("gateway: a slow node may still be the one that answers", async () => {
  const answers = [Promise.withResolvers<Response>(), Promise.withResolvers<Response>()];
  const nodes = answers.map(({ promise }) => scriptedNode(() => promise));
  await withGateway(nodes, async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, take);
    await until("the first has it", () => nodes[0]!.seen.length === 1);
    await clock.pass(1_000);
    await until("both have it", () => nodes[1]!.seen.length === 1);
    answers[0]!.resolve(grant());
    assertEquals((await asked).status, 200);
    await until("the second is told", () => nodes[1]!.seen[0]!.signal.aborted);
  });
});

Deno.test("gateway: all hang: 504 for a write once its timeout is over, 503 for a read", async () => {
  const nodes = [hanging(), hanging(), hanging()];
  await withGateway(nodes, async ({ ask, clock }) => {
    const write = ask("POST", `${LOCK}?timeoutMs=2000`, { ...take, headers: { "Idempotency-Key": "mine" } });
    await until("one has it", () => nodes[0]!.seen.length === 1);
    for (let i = 0; i < 3; i++) await clock.pass(1_000);
    assertEquals(await said(await write), { status: 504, code: "outcome-unknown", outcome: "unknown", key: "mine" });
    const seen = () => nodes.reduce((sum, node) => sum + node.seen.length, 0);
    const before = seen();
    const read = ask("GET", LOCK);
    await until("one has it", () => seen() > before);
    for (let i = 0; i < 6; i++) await clock.pass(1_000);
    assertEquals((await said(await read)).code, "not-ready");
  });
});

Deno.test("gateway: a refusal that was only read waits for what another try may still be granted", async () => {
  const refusing = () => scriptedNode(() => problem(409, "held", { holders: [] }, { "Consensus-Path": "read" }));
  for (const end of ["granted", "declined", "late"] as const) {
    const first = Promise.withResolvers<Response>();
    const nodes = [scriptedNode(() => first.promise), refusing(), refusing()];
    await withGateway(nodes, async ({ ask, clock }) => {
      let isDone = false;
      const asked = ask("POST", LOCK, take).finally(() => isDone = true);
      await until("the first has it", () => nodes[0]!.seen.length === 1);
      await clock.pass(1_000);
      await until("the second has it", () => nodes[1]!.seen.length === 1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      assertEquals(isDone, false);
      if (end === "granted") first.resolve(grant());
      if (end === "declined") first.resolve(problem(503, "not-ready"));
      if (end === "late") await clock.pass(5_000);
      // What nothing was heard of may yet be granted, so "held" would be more than is known.
      assertEquals((await said(await asked)).status, { granted: 200, declined: 409, late: 504 }[end]);
      assertEquals(nodes[2]!.seen, [], "no third node is asked what the second has read");
    });
  }
  // One that was decided is the answer to every try.
  const nodes = [hanging(), scriptedNode(() => problem(409, "held", {}, { "Consensus-Path": "fast" }))];
  await withGateway(nodes, async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, take);
    await until("the first has it", () => nodes[0]!.seen.length === 1);
    await clock.pass(1_000);
    assertEquals((await asked).status, 409);
  });
});

Deno.test("gateway: who waits is left with the node it waits at, and taken to the next if that one goes", async () => {
  for (const path of [LOCK, `${LOCK}?after=0&waitMs=20000`]) {
    const first = Promise.withResolvers<Response>();
    const second = granting({ waitedMs: 3_000 });
    const nodes = [scriptedNode(() => first.promise), second];
    await withGateway(nodes, async ({ ask, clock }) => {
      const isPoll = path !== LOCK;
      const asked = ask(isPoll ? "GET" : "POST", path, isPoll ? {} : { body: `{"holder":"me","waitMs":20000}` });
      await until("the first has it", () => nodes[0]!.seen.length === 1);
      await clock.pass(8_000);
      assertEquals(second.seen.length, 0);
      first.resolve(problem(503, "not-ready"));
      const body = await (await asked).json();
      // What the second node counts from its own send the caller counts from its own, 8 s before by clocks that may differ.
      const expected = [isPoll ? 3_000 : 3_000 + 7_841, 29_700, 30_300];
      assertEquals([body.waitedMs, body.guaranteedForMs, body.lapsesInMs], expected);
    });
  }
});

Deno.test("gateway: the times of a grant that a later try answered count from that try, waited for or not", async () => {
  const session = { id: "0", ttlMs: 30_000, guaranteedForMs: 29_700, lapsesInMs: 30_300 };
  const answers = [
    ["POST", LOCK, () => grant(), 980],
    ["PUT", `${LOCK}/1025`, () => grant(), 980],
    ["POST", "/v1/sessions", () => Response.json(session), 980],
    ["PUT", "/v1/sessions/0", () => Response.json({ ...session, waitedMs: 0 }), 980],
    ["GET", LOCK, () => grant(), 0],
    ["DELETE", `${LOCK}/1025`, () => grant(), 0],
  ] as const;
  for (const [method, path, answer, waitedMs] of answers) {
    const nodes = [hanging(), scriptedNode(answer)];
    await withGateway(nodes, async ({ ask, clock }) => {
      const asked = ask(method, path);
      await until("the first has it", () => nodes[0]!.seen.length === 1);
      await clock.pass(1_000);
      const body = await (await asked).json();
      assertEquals([body.waitedMs, body.guaranteedForMs, body.lapsesInMs], [waitedMs, 29_700, 30_300], path);
    });
  }
});

Deno.test("gateway: the times of a hedged write are those of its first copy, whichever try is answered", async () => {
  const nodes = [hanging(), granting()];
  await withGateway(nodes, async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, { ...take, headers: { "Quorate-Hedge": "3", "Idempotency-Key": "k" } });
    await until("the first has it", () => nodes[0]!.seen.length === 1);
    await clock.pass(1_000);
    assertEquals((await (await asked).json()).waitedMs, 0);
  });
});

Deno.test("gateway: what went by before the first try counts as well", async () => {
  const node = scriptedNode(({ target }) => target.includes("stale") ? new Promise(() => {}) : grant());
  await withGateway([node], async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, take);
    await until("it is asked", () => node.seen.length === 1);
    await clock.pass(250);
    assertEquals((await (await asked).json()).waitedMs, 245);
  }, { asks: true });
});

Deno.test("gateway: an answer of the first node is passed on byte for byte, with its headers", async () => {
  const text = `{ "waitedMs": 5, "guaranteedForMs": 1, "lapsesInMs": 2, "odd": 1e400 }`;
  const headers = {
    "Consensus-Path": "fast",
    "Consensus-Instance": "7",
    "Server-Timing": "total;dur=1.00",
    "X-Request-Id": "theirs",
    "Idempotency-Key": "theirs",
    "ETag": `"1025"`,
    "Retry-After": "3",
    "Set-Cookie": "a=b",
    "Connection": "X-Hop",
    "X-Hop": "1",
    "Keep-Alive": "timeout=5",
  };
  await withGateway([scriptedNode(() => new Response(text, { headers }))], async ({ ask }) => {
    const response = await ask("POST", LOCK, { body: `{"waitMs":5}` });
    assertEquals(await response.text(), text);
    const dropped = ["Set-Cookie", "Connection", "X-Hop", "Keep-Alive"];
    for (const [name, value] of Object.entries(headers)) {
      assertEquals(response.headers.get(name), dropped.includes(name) ? null : value, name);
    }
  });
});

Deno.test("gateway: what belongs to one connection, and cookies, go no further; nothing is packed on the way", async () => {
  const packed = new Blob([`{"revision":"1025"}`]).stream().pipeThrough(new CompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  // As a proxy that packs what nobody asked it to.
  const node = scriptedNode(() =>
    new Response(bytes, { headers: { "Content-Encoding": "gzip", "Content-Length": `${bytes.length}` } })
  );
  await withGateway([node], async ({ ask }) => {
    const headers = {
      "Connection": "keep-alive, X-Hop",
      "X-Hop": "1",
      "TE": "trailers",
      "Cookie": "session=1",
      "Proxy-Authorization": "Basic eA==",
      "Accept-Encoding": "gzip, br",
      "X-Request-Id": "mine",
      "Origin": "http://127.0.0.1:8700",
      "Sec-Fetch-Site": "same-origin",
      "Last-Event-ID": "7",
    };
    const response = await ask("GET", LOCK, { headers });
    assertEquals(response.headers.get("content-encoding"), "gzip");
    const unpacked = response.body!.pipeThrough(new DecompressionStream("gzip"));
    assertEquals(await new Response(unpacked).text(), `{"revision":"1025"}`);
    const seen = node.seen[0]!.headers;
    for (const name of ["connection", "x-hop", "te", "cookie", "proxy-authorization"]) {
      assertEquals(seen.get(name), null);
    }
    assertEquals(seen.get("accept-encoding"), "identity");
    for (const name of ["X-Request-Id", "Origin", "Sec-Fetch-Site", "Last-Event-ID"] as const) {
      assertEquals(seen.get(name), headers[name]);
    }
    assertEquals([seen.get("host"), seen.get("idempotency-key")], [new URL(node.url).host, null]);
  });
  // Where fetch unpacks whatever comes, what it says of the packing is no longer so.
  const unpacked = { "Content-Encoding": "gzip", "Content-Length": "3" };
  const options = { fetch: () => Promise.resolve(new Response("unpacked", { headers: unpacked })) };
  await withGateway([node], async ({ ask }) => {
    const { headers } = await ask("GET", LOCK);
    assertEquals([headers.get("content-encoding"), headers.get("content-length")], [null, null]);
  }, options);
});

Deno.test("gateway: HEAD, 304 and an empty answer have no body, and say what they would have said of one", async () => {
  const node = scriptedNode(({ method, headers }) => {
    const head = { ETag: `"1025"` };
    if (headers.has("if-none-match")) return new Response(null, { status: 304, headers: head });
    return new Response(method === "HEAD" ? null : "", {
      headers: { ...head, "Content-Length": method === "HEAD" ? "5" : "0" },
    });
  });
  await withGateway([node], async ({ ask }) => {
    const kept = await ask("GET", "/v1/kv/x", { headers: { "If-None-Match": `"1025"` } });
    assertEquals([kept.status, kept.body, kept.headers.get("etag")], [304, null, `"1025"`]);
    const head = await ask("HEAD", "/v1/kv/x");
    assertEquals([head.status, head.body, head.headers.get("content-length")], [200, null, "5"]);
    const empty = await ask("GET", "/v1/kv/x");
    assertEquals([empty.status, await empty.text()], [200, ""]);
  });
});

Deno.test("gateway: a batch is repeated only if each of its writes has a key of its own", async () => {
  const path = "/v1/batch";
  const write = { method: "POST", path: LOCK, body: {} };
  const keyed = { ...write, headers: { "idempotency-KEY": "k" } };
  const read = { method: "GET", path: LOCK };
  const cases = [[[keyed, read], true], [[keyed, write], false], [[read], true], [[], true], [
    { not: "a list" },
    false,
  ]];
  for (const [operations, isRepeated] of cases) {
    const [cut, next] = [cuttingNode(), scriptedNode(() => Response.json([]))];
    await withGateway([cut, next], async ({ ask }) => {
      const response = await ask("POST", path, { body: JSON.stringify(operations) });
      assertEquals([response.status, next.seen.length], isRepeated ? [200, 1] : [504, 0], JSON.stringify(operations));
      assertEquals(response.headers.get("idempotency-key"), null);
      await response.body?.cancel();
    });
    // Where nothing can have arrived nothing is repeated.
    const other = scriptedNode(() => Response.json([]));
    await withGateway([nobody(), other], async ({ ask }) => {
      assertEquals((await ask("POST", path, { body: JSON.stringify(operations) })).status, 200);
      assertEquals(other.seen[0]!.body, JSON.stringify(operations));
    });
  }
  const [slow, never] = [scriptedNode(() => new Promise(() => {})), granting()];
  await withGateway([slow, never], async ({ ask, clock }) => {
    const asked = ask("POST", path, { body: JSON.stringify([write]) });
    await until("it has it", () => slow.seen.length === 1);
    await clock.pass(31_000);
    assertEquals([(await asked).status, never.seen.length], [504, 0]);
  });
});

Deno.test("gateway: what is done to one node's own store is not done to the next as well, where the first may have done it", async () => {
  for (
    const [path, body] of [["/v1/repair", { noun: "lock", name: "x", accept: "ff" }], ["/v1/init", {
      id: "a",
    }]] as const
  ) {
    const asking = { body: JSON.stringify(body) };
    const [cut, next] = [cuttingNode(), granting()];
    await withGateway([cut, next], async ({ ask }) => {
      assertEquals([(await ask("POST", path, asking)).status, next.seen.length], [504, 0], path);
    });
    const [slow, never] = [scriptedNode(() => new Promise(() => {})), granting()];
    await withGateway([slow, never], async ({ ask, clock }) => {
      const asked = ask("POST", path, asking);
      await until("it has it", () => slow.seen.length === 1);
      await clock.pass(31_000);
      assertEquals([(await asked).status, never.seen.length], [504, 0], path);
    });
  }
});

Deno.test("gateway: a hedged write keeps its key and its instance, and gets no key it did not bring", async () => {
  const nodes = [cuttingNode(), granting()];
  await withGateway(nodes, async ({ ask }) => {
    const headers = { "Quorate-Hedge": "3", "Idempotency-Key": "hedged" };
    assertEquals((await ask("POST", LOCK, { ...take, headers })).status, 200);
    assertEquals(nodes[1]!.seen[0]!.headers.get("quorate-hedge"), "3");
    assertEquals(new Set(keys(nodes)), new Set(["hedged"]));
  });
  const node = scriptedNode(() => problem(400, "invalid-request", { field: "Idempotency-Key" }));
  await withGateway([node], async ({ ask }) => {
    assertEquals((await ask("POST", LOCK, { ...take, headers: { "Quorate-Hedge": "3" } })).status, 400);
    assertEquals(keys([node]), [null]);
  });
});

Deno.test("gateway: a key that no node takes is refused by one and not repeated", async () => {
  const node = scriptedNode(() => problem(400, "invalid-request", { field: "Idempotency-Key" }));
  await withGateway([node], async ({ ask }) => {
    const response = await ask("POST", LOCK, { ...take, headers: { "Idempotency-Key": "a b" } });
    assertEquals([response.status, response.headers.get("idempotency-key"), keys([node])[0]], [400, null, "a b"]);
  });
});

Deno.test("gateway: a body over its limit is refused before any of it is sent on, however it comes", async () => {
  const node = granting();
  await withGateway([node], async ({ ask }) => {
    const limits = [
      ["POST", LOCK, BODY_MAX_BYTES],
      ["DELETE", `${LOCK}/1025`, BODY_MAX_BYTES],
      ["PUT", "/v1/kv/x", KV_VALUE_MAX_BYTES],
      ["POST", "/v1/batch", BATCH_MAX_BYTES],
    ] as const;
    for (const [method, path, limit] of limits) {
      const exact = await ask(method, path, { body: "x".repeat(limit) });
      assertEquals([exact.status, node.seen.at(-1)!.body.length], [200, limit]);
      const sent = node.seen.length;
      const endless = new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(10_000)) });
      for (const body of ["x".repeat(limit + 1), endless]) {
        const response = await ask(method, path, { body });
        const { status, code, detail, requestId } = await response.json();
        assertEquals([status, code, detail], [413, "too-large", `the body is over ${limit} bytes`]);
        assertEquals(response.headers.get("x-request-id"), requestId);
      }
      assertEquals(node.seen.length, sent);
    }
  });
});

Deno.test("gateway: a body whose end does not come in time is refused, and none of it is sent on", async () => {
  const node = granting();
  await withGateway([node], async ({ ask, clock }) => {
    const begun = new ReadableStream({ start: (stream) => stream.enqueue(new Uint8Array(1)) });
    const asked = ask("POST", LOCK, { body: begun });
    await settled();
    await clock.pass(BODY_DEADLINE_MS);
    const response = await asked;
    const { code, outcome } = await response.json();
    assertEquals([response.status, code, outcome, node.seen.length], [408, "request-timeout", "none", 0]);
  });
});

Deno.test("gateway: a path that a URL would make another of is refused, and one it leaves alone is not touched", async () => {
  const node = granting();
  await withGateway([node], async ({ gateway }) => {
    // As Deno gives it: a Request made here would have a parsed URL.
    const ask = (target: string) => {
      const request = new Request("http://127.0.0.1:8700/");
      return gateway(Object.defineProperty(request, "url", { value: `http://127.0.0.1:8700${target}` }));
    };
    for (const target of ["..", ".", "%2e%2e", "%2E", ".%2e", "a/..", "../../paxos/acceptor"]) {
      const { status, code, field } = await (await ask(`/v1/locks/${target}`)).json();
      assertEquals([status, code, field], [400, "invalid-request", "name"], target);
      const ofKey = await (await ask(`/v1/kv/${target}`)).json();
      assertEquals([ofKey.status, ofKey.code, ofKey.field], [400, "invalid-request", "key"], target);
    }
    for (const target of ["a\\b", "a\tb", "é"]) {
      const { status, code, field } = await (await ask(`/v1/locks/${target}`)).json();
      assertEquals([status, code, field], [400, "invalid-request", "path"], target);
    }
    assertEquals(node.seen, []);
    for (
      const target of ["a%2F..%2Fb", "%FF", "%zz", "%", "a%252Fb", "%00", "", "/", "//a", "...", "a?", "a?n=..%2F.."]
    ) {
      assertEquals((await ask(`/v1/locks/${target}`)).status, 200, target);
      assertEquals(node.seen.at(-1)!.target, `/v1/locks/${target}`);
    }
    // What a URL escapes besides decodes to what was sent.
    assertEquals((await ask(`/v1/locks/{"a"}?name=it's<`)).status, 200);
    assertEquals(node.seen.at(-1)!.target, "/v1/locks/%7B%22a%22%7D?name=it%27s%3C");
  });
});

Deno.test("gateway: only what callers may ask is passed on; nothing between nodes, and nothing else", async () => {
  const node = granting();
  await withGateway([node], async ({ ask }) => {
    const refused = ["/paxos/acceptor", "/paxos/", "/", "/metrics", "/v1x", "/v2/locks", "//v1/locks/x", "/V1/locks/x"];
    for (const path of [...refused, "/%76%31/locks/x", "/docs/x"]) {
      for (const method of ["GET", "POST"]) {
        const response = await ask(method, path);
        assertEquals([response.status, (await response.json()).code], [404, "no-route"], path);
      }
    }
    const dashboard = await (await ask("GET", "/")).json();
    assertEquals(dashboard.detail, "nothing is here; the dashboard is at / of each node; see /openapi.json");
    assertEquals(node.seen, []);
    for (const path of ["/v1", "/v1/", "/v1/status", "/v1/trace/x?format=text", "/openapi.json", "/docs"]) {
      assertEquals((await ask("GET", path)).status, 200);
      assertEquals(node.seen.at(-1)!.target, path);
    }
  });
});

Deno.test("gateway: its own health is its own, and it is ready while one node is", async () => {
  let isReady = false;
  const node = scriptedNode(({ target }) =>
    target === "/readyz" && isReady ? Response.json({ ready: true }) : problem(503, "not-ready")
  );
  await withGateway([node, nobody()], async ({ ask }) => {
    const health = await ask("GET", "/healthz");
    assertEquals([health.status, await health.json()], [200, { ok: true }]);
    assertEquals([health.headers.get("x-request-id"), health.headers.get("cache-control")], ["id-1", "no-store"]);
    assertEquals(await (await ask("GET", "/livez")).json(), { ok: true });
    assertEquals((await ask("HEAD", "/healthz")).body, null);
    const refused = await ask("POST", "/healthz");
    assertEquals([refused.status, refused.headers.get("allow")], [405, "GET, HEAD"]);
    const { type, title, status, code, retryable } = await (await ask("GET", "/readyz")).json();
    assertEquals([type, title, status, code, retryable], ["about:blank", "Not ready", 503, "not-ready", true]);
    isReady = true;
    const ready = await ask("GET", "/readyz");
    assertEquals([ready.status, await ready.json()], [200, { ready: true }]);
  });
});

Deno.test("gateway: before nodes on loopback it keeps web pages out as they do, by the Host they do not see", async () => {
  const node = granting();
  await withGateway([node], async ({ gateway }) => {
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, gateway);
    const { port } = server.addr;
    const own = `127.0.0.1:${port}`;
    const ask = (line: string, ...headers: string[]) =>
      raw(port, [`${line} HTTP/1.1`, ...headers, "Content-Length: 0", "Connection: close", "", ""].join("\r\n"));
    try {
      const refused = [
        ["POST /v1/locks/x", "Host: evil.example"],
        ["POST /v1/locks/x", `Host: evil.example:${port}`],
        ["GET http://evil.example/v1/locks/x", `Host: ${own}`],
        ["POST /v1/locks/x", `Host: ${own}`, "Origin: https://evil.example"],
        ["POST /v1/locks/x", `Host: ${own}`, "Origin: http://127.0.0.1:1"],
        ["POST /v1/locks/x", `Host: ${own}`, "Origin: null"],
        ["GET /v1/locks/x", `Host: ${own}`, "Sec-Fetch-Site: cross-site"],
        ["GET /v1/locks/x", `Host: ${own}`, "Sec-Fetch-Site: same-site"],
      ] as const;
      for (const [line, ...headers] of refused) {
        const { status, body } = await ask(line, ...headers);
        assertEquals([status, body.code], [403, "cross-site"], headers.join());
      }
      const { status, body } = await ask("GET /locks/x", `Host: ${own}/v1`);
      assertEquals([status, body.field], [400, "Host"]);
      assertEquals(node.seen, []);
      for (const host of [own, `localhost:${port}`, `[::1]:${port}`]) {
        assertEquals((await ask("POST /v1/locks/x", `Host: ${host}`, `Origin: http://${host}`)).status, 200, host);
      }
      // So that the node judges too.
      assertEquals(node.seen[0]!.headers.get("origin"), `http://${own}`);
    } finally {
      await server.shutdown();
    }
  });
});

Deno.test("gateway: nodes that ask for tokens are for the whole world, under whatever name the gateway has", async () => {
  const node = granting();
  const far = "http://10.0.0.1:8701";
  const options = { nodes: [far], fetch: (url: string, init: RequestInit) => fetch(url.replace(far, node.url), init) };
  await withGateway([node], async ({ gateway }) => {
    const headers = { Origin: "https://app.example", Authorization: "Bearer t" };
    const request = new Request("https://locks.example/v1/locks/x", { method: "POST", headers });
    assertEquals((await gateway(request)).status, 200);
    assertEquals(node.seen[0]!.headers.get("authorization"), "Bearer t");
  }, options);
});

Deno.test("gateway: it follows no redirect", async () => {
  const other = granting();
  const node = scriptedNode(() =>
    new Response(null, { status: 307, headers: { Location: `${other.url}/v1/locks/x` } })
  );
  await withGateway([node], async ({ ask }) => {
    const response = await ask("POST", LOCK, take);
    assertEquals([response.status, other.seen.length], [307, 0]);
  });
  await other.close();
});

Deno.test("gateway: a client that goes away before its answer takes all tries with it", async () => {
  const nodes = [hanging(), hanging()];
  await withGateway(nodes, async ({ ask, clock }) => {
    const gone = new AbortController();
    const asked = ask("POST", LOCK, { ...take, signal: gone.signal });
    await until("the first has it", () => nodes[0]!.seen.length === 1);
    await clock.pass(1_000);
    await until("both have it", () => nodes[1]!.seen.length === 1);
    gone.abort();
    await asked;
    for (const { seen } of nodes) await until("it is told", () => seen[0]!.signal.aborted);
  });
});

/** Serves a gateway on a socket with the real clock, for what streams. */
async function served(nodes: readonly Scripted[], run: (url: string) => Promise<void>): Promise<void> {
  const gateway = createGateway({
    nodes: nodes.map(({ url }) => url),
    fetch: (url, init) => fetch(url, init),
    clock: realClock,
    newId: () => realRandomness.id(),
    report: () => {},
  });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, gateway);
  try {
    await run(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await Promise.race([server.shutdown(), new Promise((resolve) => setTimeout(resolve, 500))]);
    await Promise.all(nodes.map((node) => node.close()));
  }
}

/** A node with one stream that the test feeds. */
function streaming() {
  const encoder = new TextEncoder();
  let stream: ReadableStreamDefaultController<Uint8Array>;
  const state = { isCancelled: false };
  const node = scriptedNode(() =>
    new Response(
      new ReadableStream<Uint8Array>({
        start: (own) => void (stream = own),
        cancel: () => void (state.isCancelled = true),
      }),
      { headers: { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" } },
    )
  );
  const send = (n: number) => stream.enqueue(encoder.encode(`event: changed\nid: ${n}\ndata: {"n":${n}}\n\n`));
  return { node, state, send };
}

Deno.test("gateway: events come through one by one, and a client that leaves ends the stream at the node", async () => {
  const { node, state, send } = streaming();
  await served([node], async (url) => {
    const leave = new AbortController();
    const response = await fetch(`${url}${LOCK}/events`, { headers: { "Last-Event-ID": "6" }, signal: leave.signal });
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    assertEquals(response.headers.get("x-accel-buffering"), "no");
    assertEquals(node.seen[0]!.headers.get("last-event-id"), "6");
    const events = new EventReader(response);
    // Each is read before the next is sent, so none is held back.
    for (let n = 7; n < 12; n++) {
      send(n);
      assertEquals(await events.next(), { event: "changed", id: `${n}`, data: { n } });
    }
    assertEquals(state.isCancelled, false);
    leave.abort();
    await events.close();
    await until("the node's stream is cancelled", () => state.isCancelled);
  });
});

Deno.test("gateway: a node that dies in mid-stream ends the stream; whoever resumes does so at the next node", async () => {
  const event = `id: 1\ndata: {"n":1}\n\n`;
  const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const dying = cuttingNode(`${head}${event.length.toString(16)}\r\n${event}\r\n`);
  const { node, send } = streaming();
  await withGateway([dying, node], async ({ ask }) => {
    const events = new EventReader(await ask("GET", `${LOCK}/events`));
    assertEquals((await events.next())?.id, "1");
    await events.next().then((event) => assertEquals(event, null), () => {});
    await dying.close();
    const resumed = new EventReader(await ask("GET", `${LOCK}/events`, { headers: { "Last-Event-ID": "1" } }));
    send(2);
    assertEquals((await resumed.next())?.id, "2");
    assertEquals(node.seen[0]!.headers.get("last-event-id"), "1");
    await resumed.close();
  });
});

Deno.test("gateway: a reader that does not read holds back the node's stream, and nothing is kept for it", async () => {
  const chunk = new Uint8Array(64 * 1024);
  let sent = 0;
  let isCancelled = false;
  // A node that sends whenever it is asked for more: the sockets fill up, and then nobody asks.
  const flood = () =>
    new ReadableStream<Uint8Array>({
      pull: (stream) => {
        sent++;
        stream.enqueue(chunk);
      },
      cancel: () => void (isCancelled = true),
    });
  const node = scriptedNode(() => new Response(flood(), { headers: { "Content-Type": "text/event-stream" } }));
  await served([node], async (url) => {
    const unread = await fetch(`${url}${LOCK}/events`);
    let last = -1;
    for (let i = 0; i < 100 && last !== sent; i++) {
      last = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assertEquals(sent, last, "it stands still");
    assert(sent * chunk.length < 64 * 1024 * 1024, `${sent} chunks`);
    await unread.body!.cancel();
    await until("the node's stream is cancelled", () => isCancelled);
  });
});

Deno.test("gateway: what nobody expected is a 500 that tells the log, not the caller", async () => {
  const node = granting();
  let timers = 0;
  const broken: Partial<Parameters<typeof createGateway>[0]> = {
    clock: {
      now: () => 0,
      after: () => {
        // The first is the body's, of which nothing is sent on yet.
        if (timers++ === 0) return () => {};
        throw new Error("no timers here");
      },
    },
  };
  await withGateway([node], async ({ ask, reports }: Rig) => {
    const response = await ask("POST", LOCK, { ...take, headers: { "Idempotency-Key": "mine" } });
    const body = await response.json();
    assertEquals([body.status, body.code, body.outcome, body.idempotencyKey], [500, "internal", "unknown", "mine"]);
    assertEquals([reports.length, JSON.stringify(body).includes("timers")], [1, false]);
  }, broken);
});

Deno.test("gateway: what no fetch can send as it came is refused by itself, and no node is to blame for it", async () => {
  const [first, second] = [granting(), granting()];
  await withGateway([first, second], async ({ ask, gateway, reports }) => {
    for (const method of ["TRACE", "TRACK", "CONNECT", "trace", "post", "Put", "delete", "get"]) {
      // No Request can be made with it here either; a server gets such a one from the wire.
      const request = new Proxy(new Request(`http://127.0.0.1:8700${LOCK}`), {
        get: (target, name) => name === "method" ? method : Reflect.get(target, name, target),
      });
      const response = await gateway(request);
      const { code, retryable } = await response.json();
      assertEquals([response.status, code, retryable], [405, "method-not-allowed", false], method);
      assertEquals(response.headers.get("allow"), "GET, HEAD, POST, PUT, DELETE");
    }
    assertEquals([first.seen, second.seen, reports], [[], [], []]);
    await (await ask("POST", LOCK, take)).body?.cancel();
    assertEquals([first.seen.length, second.seen.length], [1, 0], "the nearest is still the nearest");
  });
});

Deno.test("gateway: a node that tells who watches to come back is passed by for one that can; none can: it is told so", async () => {
  const late = (code: string) =>
    scriptedNode(() =>
      new Response(`retry: 2000\n: ${code} "as scripted"\n\n`, {
        headers: { "Content-Type": "text/event-stream", "Retry-After": "2" },
      })
    );
  const { node, send } = streaming();
  await withGateway([late("not-ready"), nobody(), late("no-quorum"), node], async ({ ask }) => {
    const events = new EventReader(await ask("GET", `${LOCK}/events`));
    send(1);
    assertEquals((await events.next())?.id, "1");
    await events.close();
  });
  const cases: [Scripted[], RegExp, number][] = [
    [[late("not-ready"), late("no-quorum")], /^retry: 2000\n: no-quorum "as scripted"\n\n$/, 2],
    [[late("rate-limited"), granting()], /^retry: 2000\n: rate-limited "as scripted"\n\n$/, 0],
    [[nobody(), nobody()], /^retry: 2000\n: not-ready "no node answers"\n\n$/, 0],
    [[scriptedNode(() => problem(503, "not-ready")), nobody()], /^retry: 2000\n: not-ready "no node answers"\n\n$/, 0],
    [[scriptedNode(() => problem(502, "bad")), nobody()], /^retry: 2000\n: not-ready "no node answers"\n\n$/, 0],
    [[scriptedNode(() => problem(500, "bad")), granting()], /^retry: 2000\n: not-ready "no node answers"\n\n$/, 0],
    [
      [late("no-quorum"), scriptedNode(() => problem(504, "gateway-timeout"))],
      /^retry: 2000\n: no-quorum "as scripted"\n\n$/,
      2,
    ],
  ];
  for (const [nodes, told, seenBySecond] of cases) {
    await withGateway(nodes, async ({ ask }) => {
      for (const path of [`${LOCK}/events`, "/v1/kv/events?prefix="]) {
        const response = await ask("GET", path);
        assertEquals(response.status, 200);
        assertMatch(await response.text(), told);
      }
      assertEquals(nodes[1]!.seen.length, seenBySecond);
    });
  }
});

const TOKEN = "Bearer of-a-caller";
const STATUS = "/v1/status";

/** In epoch 1, with these members; `isMember` false: it answers nothing else any more. */
function memberNode(members: () => readonly string[], state: { isMember: boolean }): Scripted {
  return scriptedNode(({ target, headers }) => {
    if (headers.get("authorization") !== TOKEN) return problem(401, "unauthenticated");
    const told = { "Quorate-Epoch": "1" };
    if (target === STATUS) {
      const listed = members().map((url, i) => ({ id: `n${i}`, url }));
      return Response.json({ cluster: "q-0123456789ab", epoch: 1, members: listed }, { headers: told });
    }
    if (!state.isMember) return problem(503, "not-ready", {}, told);
    return Response.json({ state: "free" }, { headers: told });
  });
}

const askedFor = ({ seen }: Scripted, target: string) => seen.filter((one) => one.target.startsWith(target));

async function readAs({ ask }: Rig, headers: Record<string, string> = { authorization: TOKEN }): Promise<Response> {
  const response = await ask("GET", "/v1/locks/x", { headers });
  await response.body?.cancel();
  return response;
}

for (const learnMembers of [true, false]) {
  Deno.test(`gateway: with learnMembers ${learnMembers} a new member is ${learnMembers ? "" : "not "}asked`, async () => {
    const state = { isMember: true };
    const members: string[] = [];
    const a = memberNode(() => members, state);
    const d = memberNode(() => members, { isMember: true });
    members.push(a.url, d.url);
    try {
      await withGateway([a], async (rig) => {
        const stranger = await readAs(rig, {});
        assertEquals([stranger.status, stranger.headers.get("quorate-epoch")], [401, null]);
        // Who is before a gateway learns nothing of what is behind it.
        const first = await readAs(rig);
        assertEquals([first.status, first.headers.get("quorate-epoch")], [200, null]);
        if (learnMembers) await until("it has asked", () => askedFor(a, STATUS).length === 1);
        state.isMember = false;
        for (let i = 0; i < 100 && d.seen.length === 0; i++) await readAs(rig);
        const last = await readAs(rig);
        assertEquals([last.status, askedFor(d, "/v1/locks").length > 0], learnMembers ? [200, true] : [503, false]);
        // With the token of a caller who was let in; it asks nobody by itself.
        assertEquals(
          askedFor(a, STATUS).map(({ headers }) => headers.get("authorization")),
          learnMembers ? [TOKEN] : [],
        );
        assertEquals(askedFor(d, STATUS), []);
      }, { learnMembers });
    } finally {
      await d.close();
    }
  });
}
