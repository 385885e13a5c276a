import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { defaultHolder } from "../../routes/input.ts";
import {
  GrantSetShape,
  GrantShape,
  HistoryShape,
  LockPageShape,
  LockStateShape,
  ReleasedShape,
} from "../../routes/schemas.ts";
import { QuorateError } from "../../src/errors.ts";
import { LOCKS_TOGETHER_MAX } from "../../src/limits.ts";
import { withApps } from "./memory_apps.ts";
import { refuseAll, tell, tokensFor } from "./noun_requests.ts";
import { answer, FREE, GRANT, type Json, raw, RECEIPT, scripted, serving } from "./scripted_node.ts";

const json = (body: unknown) => JSON.stringify(body);

describe("POST /v1/locks/:name", () => {
  it("asks with every default and renders the grant with its receipt", async () => {
    const { app, calls } = scripted();
    const response = await app.request("/v1/locks/deploy%2Fapi", { method: "POST" });
    assertEquals(response.status, 200);
    assertEquals(await response.json(), GRANT);
    const key = response.headers.get("idempotency-key") ?? "";
    assertEquals(
      ["consensus-path", "consensus-instance", "consensus-ballot", "content-type", "cache-control"]
        .map((name) => response.headers.get(name)),
      [RECEIPT.path, `${RECEIPT.instance}`, RECEIPT.ballot, "application/json", "no-store"],
    );
    assertEquals(/^total;dur=\d+\.\d\d$/.test(response.headers.get("server-timing") ?? ""), true);
    const { signal, onPosition, ...caller } = calls[0]?.args[2] as Json;
    assertEquals([signal instanceof AbortSignal, typeof onPosition], [true, "function"]);
    assertEquals([{ ...calls[0], args: [...calls[0]!.args.slice(0, 2), caller] }], [{
      method: "acquire",
      args: [
        "deploy/api",
        { holder: defaultHolder("local", key), ttlMs: 30_000, waitMs: 0, mode: "exclusive", lockDelayMs: 0 },
        { subject: "local", idempotencyKey: key, timeoutMs: 5_000, anonymous: true },
      ],
    }]);
  });

  it("hands on everything it was told, whatever the Content-Type", async () => {
    for (const type of ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"]) {
      const { app, calls } = scripted();
      const body = { holder: "é", ttlMs: 1_000, mode: "shared", metadata: "m\n", lockDelayMs: 60_000, renews: true };
      const response = await app.request("/v1/locks/a?timeoutMs=30000", {
        method: "POST",
        body: json(body),
        headers: { "content-type": type, "idempotency-key": "k!~" },
      });
      assertEquals([response.status, response.headers.get("idempotency-key")], [200, "k!~"]);
      assertEquals(calls[0]?.args, [
        "a",
        { ...body, waitMs: 0 },
        { subject: "local", idempotencyKey: "k!~", timeoutMs: 30_000 },
      ]);
    }
  });

  it("asks for the same holder when it is repeated with its key", async () => {
    const { app, calls } = scripted();
    for (let i = 0; i < 2; i++) {
      await app.request("/v1/locks/a", { method: "POST", headers: { "idempotency-key": "k" } });
    }
    assertEquals(calls[0]?.args[1], calls[1]?.args[1]);
  });

  it("renders held with its facts and Retry-After in whole seconds", async () => {
    const held = {
      holders: [{ holder: "b", fence: "9", mode: "exclusive", lapsesInMs: 1_200 }],
      queue: 2,
      retryAfterMs: 1_200,
      yours: "9",
    };
    const { app } = scripted({
      acquire: () => {
        throw new QuorateError("held", "deploy/api is held", { more: held });
      },
    });
    const response = await app.request("/v1/locks/a", { method: "POST", headers: { "idempotency-key": "k" } });
    assertEquals([response.status, response.headers.get("retry-after")], [409, "2"]);
    assertEquals(response.headers.get("idempotency-key"), "k");
    assertEquals(await response.json(), {
      type: "about:blank",
      title: "Held",
      status: 409,
      code: "held",
      detail: "deploy/api is held",
      requestId: "id-1",
      retryable: true,
      ...held,
    });
  });

  it("gives outcome-unknown the key to repeat with, made by the server or not", async () => {
    const { app } = scripted({
      acquire: () => {
        throw new QuorateError("outcome-unknown", "no quorum answered in time");
      },
    });
    const response = await app.request("/v1/locks/a", { method: "POST" });
    const problem = await response.json();
    assertEquals([response.status, problem.outcome, problem.retryable], [504, "unknown", true]);
    assertEquals(problem.idempotencyKey, response.headers.get("idempotency-key"));
  });
});

describe("a waiter", () => {
  const body = json({ waitMs: 300_000 });

  it("gets no signal if it does not wait and has a key to come back with", async () => {
    const { app, calls } = scripted();
    await app.request("/v1/locks/a", { method: "POST", headers: { "idempotency-key": "k" } });
    const { signal, anonymous } = calls[0]?.args[2] as Json;
    assertEquals([signal, anonymous], [undefined, undefined]);
  });

  it("without a key of its own is anonymous, and its signal is there though it does not wait", async () => {
    const { app, calls } = scripted();
    await app.request("/v1/locks/a", { method: "POST" });
    const { signal, anonymous } = calls[0]?.args[2] as Json;
    assertEquals([signal instanceof AbortSignal, anonymous], [true, true]);
  });

  it("is not told that the client went away when it answered", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      const head = `POST /v1/locks/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`;
      assertEquals((await raw(port, head, body)).status, 200);
    });
    // The server is down and the connection closed: whatever Deno aborts has been aborted by now.
    assertEquals((node.calls[0]?.args[2] as Json).signal.aborted, false);
  });

  it("is told when the client goes away before", async () => {
    const started = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const node = scripted({
      acquire: (_name: string, _request: unknown, caller: Json) => {
        started.resolve();
        return new Promise((_resolve, reject) => {
          caller.signal.addEventListener("abort", () => {
            aborted.resolve();
            reject(caller.signal.reason);
          });
        });
      },
    });
    await serving(node, async (port) => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      const head = `POST /v1/locks/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`;
      await connection.write(new TextEncoder().encode(head + body));
      await started.promise;
      connection.close();
      await aborted.promise;
    });
    // Giving up is no failure of the node.
    assertEquals(node.reports, []);
  });
});

describe("the other lock routes", () => {
  it("PUT renews", async () => {
    const { app, calls } = scripted();
    const headers = { "idempotency-key": "k" };
    const caller = { subject: "local", idempotencyKey: "k", timeoutMs: 5_000 };
    await app.request("/v1/locks/a/7169", { method: "PUT", headers });
    await app.request("/v1/locks/-/99999999999999999999?name=a%2Fb", {
      method: "PUT",
      headers,
      body: json({ ttlMs: 3_600_000 }),
    });
    assertEquals(calls, [
      { method: "renew", args: ["a", "7169", {}, caller] },
      { method: "renew", args: ["a/b", "99999999999999999999", { ttlMs: 3_600_000 }, caller] },
    ]);
  });

  it("PUT of a lost grant is 410", async () => {
    const { app } = scripted({
      renew: () => {
        throw new QuorateError("lost", "fence 1 is not held");
      },
    });
    const response = await app.request("/v1/locks/a/1", { method: "PUT" });
    assertEquals([response.status, (await response.json()).code], [410, "lost"]);
  });

  it("DELETE of a fence releases", async () => {
    const { app, calls } = scripted();
    const response = await app.request("/v1/locks/a/7169", { method: "DELETE", headers: { "idempotency-key": "k" } });
    ReleasedShape.strict().parse(await response.json());
    const caller = { subject: "local", idempotencyKey: "k", timeoutMs: 5_000 };
    assertEquals(calls, [{ method: "release", args: ["a", "7169", caller] }]);
  });

  it("DELETE of a name forces, with a reason", async () => {
    const { app, calls } = scripted();
    const response = await app.request("/v1/locks/a", { method: "DELETE", body: json({ reason: "stuck" }) });
    assertEquals((await response.json()).outcome, "forced");
    assertEquals([calls[0]?.method, calls[0]?.args.slice(0, 2)], ["force", ["a", "stuck"]]);
  });

  it("GET reads, fresh or stale", async () => {
    const { app, calls } = scripted({
      get: (_name: string, { stale }: { stale: boolean }) => ({ ...answer(FREE), ...(stale && { staleMs: 12.3 }) }),
    });
    const fresh = await app.request("/v1/locks/a?timeoutMs=100");
    LockStateShape.strict().parse(await fresh.json());
    assertEquals([fresh.headers.get("quorate-stale-ms"), fresh.headers.get("idempotency-key")], [null, null]);
    const stale = await app.request("/v1/locks/a?consistency=stale");
    assertEquals(stale.headers.get("quorate-stale-ms"), "13");
    assertEquals(calls, [
      { method: "get", args: ["a", { stale: false, timeoutMs: 100 }] },
      { method: "get", args: ["a", { stale: true, timeoutMs: 5_000 }] },
    ]);
  });

  it("GET history and the list", async () => {
    const { app, calls } = scripted();
    HistoryShape.strict().parse(await (await app.request("/v1/locks/a%2Fb/history")).json());
    LockPageShape.strict().parse(await (await app.request("/v1/locks")).json());
    await app.request("/v1/locks?prefix=deploy%2F&limit=1000&cursor=c&timeoutMs=500");
    await app.request("/v1/locks?heldForMs=60000");
    for (const wrong of ["-1", "1.5", "", "x", "604800001", "1&heldForMs=1"]) {
      assertEquals((await app.request(`/v1/locks?heldForMs=${wrong}`)).status, 400, wrong);
    }
    assertEquals(calls, [
      { method: "history", args: ["a/b", { timeoutMs: 5_000 }] },
      { method: "list", args: [{ prefix: "", limit: 100, cursor: null, timeoutMs: 5_000 }] },
      { method: "list", args: [{ prefix: "deploy/", limit: 1_000, cursor: "c", timeoutMs: 500 }] },
      { method: "list", args: [{ prefix: "", limit: 100, cursor: null, timeoutMs: 5_000, heldForMs: 60_000 }] },
    ]);
  });

  it("GET history as JSON lines, each with its name, for who asks for them", async () => {
    const ended = {
      fence: "1025",
      holder: "h",
      subject: "s",
      from: "f",
      to: "t",
      end: "forced",
      reason: 'two\nlines "',
    };
    const { app } = scripted({ history: answer({ items: [ended, { ...ended, fence: "2049" }], revision: "7" }) });
    const lines = async (accept: string) => {
      const response = await app.request("/v1/locks/a%2Fb/history", { headers: { accept } });
      return [response.headers.get("content-type"), response.headers.get("consensus-path"), await response.text()];
    };
    const [type, path, text] = await lines("application/json;q=0.1, application/x-ndjson");
    assertEquals([type, path], ["application/x-ndjson", RECEIPT.path]);
    const [one, two, end] = text!.split("\n");
    assertEquals(JSON.parse(one!), { name: "a/b", ...ended });
    assertEquals([JSON.parse(two!).fence, end], ["2049", ""]);
    assertEquals((await lines("*/*"))[0], "application/json");
    const { app: none } = scripted();
    const empty = await none.request("/v1/locks/a/history", { headers: { accept: "application/x-ndjson" } });
    assertEquals([empty.status, await empty.text()], [200, ""]);
  });

  it("HEAD is GET without its body", async () => {
    const { app } = scripted();
    const response = await app.request("/v1/locks/a", { method: "HEAD" });
    assertEquals([response.status, await response.text(), response.headers.get("consensus-path")], [
      200,
      "",
      RECEIPT.path,
    ]);
  });
});

it("the published shape of a grant is that of src/api.ts", () => {
  GrantShape.strict().parse(GRANT);
  GrantShape.strict().parse({ ...GRANT, metadata: "m" });
});

describe("POST /v1/locks", () => {
  const ask = { names: ["deploy/b", "deploy/a"], holder: "me" };

  it("grants all in the order asked, the same to the same key at another node, 422 to other names", () =>
    withApps(3, async (apps) => {
      const key = { "idempotency-key": "set-1" };
      const granted = await tell(apps, "a", "POST", "/v1/locks", ask, key);
      const { grants } = GrantSetShape.strict().parse(granted.body);
      assertEquals([granted.status, grants.map(({ name }) => name)], [200, ask.names]);
      const again = await tell(apps, "b", "POST", "/v1/locks", ask, key);
      assertEquals(again.body.grants.map((grant: Json) => grant.fence), grants.map(({ fence }) => fence));
      const other = await tell(apps, "c", "POST", "/v1/locks", { ...ask, names: ["deploy/b", "deploy/c"] }, key);
      assertEquals([other.status, other.body.code], [422, "idempotency-mismatch"]);
      const taken = await tell(apps, "c", "POST", "/v1/locks/deploy%2Fa", { holder: "you" });
      assertEquals([taken.status, taken.body.holders[0].holder], [409, "me"]);
    }));

  it("keeps none where one is held, and names it", () =>
    withApps(3, async (apps) => {
      await tell(apps, "a", "POST", "/v1/locks/deploy%2Fb", { holder: "you" });
      const refused = await tell(apps, "b", "POST", "/v1/locks", ask);
      assertEquals([refused.status, refused.body.code, refused.body.name, refused.body.holders[0].holder], [
        409,
        "held",
        "deploy/b",
        "you",
      ]);
      assertEquals((await tell(apps, "c", "GET", "/v1/locks/deploy%2Fa")).body.state, "free");
    }));

  it("names the field that is wrong, and takes as many as there may be", () =>
    withApps(3, async (apps) => {
      const many = Array.from({ length: LOCKS_TOGETHER_MAX + 1 }, (_, i) => `n${i}`);
      await refuseAll(apps, [
        ["POST", "/v1/locks", undefined, "names"],
        ["POST", "/v1/locks", { names: [] }, "names"],
        ["POST", "/v1/locks", { names: "a" }, "names"],
        ["POST", "/v1/locks", { names: [7] }, "names.0"],
        ["POST", "/v1/locks", { names: many }, "names"],
        ["POST", "/v1/locks", { names: ["a", ""] }, "names"],
        ["POST", "/v1/locks", { names: ["a", "../b"] }, "names"],
        ["POST", "/v1/locks", '{"names":["\\ud800"]}', "names"],
        ["POST", "/v1/locks", { ...ask, ttlMs: 1 }, "ttlMs"],
        ["POST", "/v1/locks?name=a", ask, "name"],
        ["POST", "/v1/locks", ask, "Quorate-Hedge", { "quorate-hedge": "0", "idempotency-key": "k" }],
      ]);
      const most = await tell(apps, "b", "POST", "/v1/locks", { names: many.slice(1) });
      assertEquals([most.status, most.body.grants.length], [200, LOCKS_TOGETHER_MAX]);
      assertEquals(apps.reports, []);
    }));

  it("is for who may write every one of them", () =>
    withApps(3, async (apps) => {
      const status = async (names: string[]) =>
        (await tell(apps, "a", "POST", "/v1/locks", { names }, { authorization: "Bearer ours" })).status;
      assertEquals([await status(["mine/a", "mine/b"]), await status(["mine/c", "theirs/a"])], [200, 403]);
      assertEquals((await tell(apps, "b", "POST", "/v1/locks", { names: ["mine/a"] })).status, 401);
    }, { tokens: tokensFor("lock") }));
});
