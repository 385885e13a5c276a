/** The hosted entrypoint on shared databases: who serves it, when it votes, and what it refuses to vote with. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type KvConnect, startKvConnect } from "../kv_connect/server.ts";
import { freePorts } from "../free_ports.ts";
import { until } from "../replica/clocks.ts";
import { type AppOptions, HostedApp, OPERATOR, USER } from "./hosted_app.ts";

/** Stands in for a platform that attaches the database at this URL, or, without one, hands out one in memory. */
const ATTACHES = `const open = Deno.openKv;
const value = (path) => open(path ?? Deno.env.get("TEST_ATTACHED") ?? ":memory:");
Object.defineProperty(Deno, "openKv", { value });`;

/** Apps of members a, b and c, and the server of their databases. */
class Platform {
  readonly kv: KvConnect;
  readonly cluster: string;
  readonly #ports: readonly number[];
  readonly #apps: HostedApp[] = [];

  constructor(kv: KvConnect) {
    this.kv = kv;
    this.#ports = freePorts(6);
    this.cluster = [..."abc"].map((id, i) => `${id}=http://127.0.0.1:${this.#ports[i]}`).join(",");
  }

  static async with(run: (platform: Platform) => Promise<void>): Promise<void> {
    const platform = new Platform(startKvConnect());
    try {
      await run(platform);
    } finally {
      await Promise.all(platform.#apps.map((app) => app.kill()));
      await platform.kv.stop();
    }
  }

  /** @param place which port: the first three are those of the cluster */
  async start(id: string, place: number, by: AppOptions["by"], env: Record<string, string> = {}): Promise<HostedApp> {
    const app = await HostedApp.start({
      by,
      port: this.#ports[place]!,
      env: {
        QUORATE_ID: id,
        QUORATE_CLUSTER: this.cluster,
        QUORATE_KV_TOKEN: this.kv.accessToken,
        ...(env["DENO_DEPLOY"] === undefined ? { QUORATE_KV: this.kv.url(id) } : {}),
        ...env,
      },
      ...(env["DENO_DEPLOY"] === undefined ? {} : { before: ATTACHES }),
    });
    this.#apps.push(app);
    return app;
  }

  /** What lies in a member's database, and since which write. */
  rows(id: string): readonly string[] {
    const text = new TextDecoder();
    return this.kv.database(id).rows().map(({ key, versionstamp }) => `${text.decode(key)} ${versionstamp}`);
  }
}

Deno.test("hosted: deno run and deno serve both serve; each database becomes a member's once, and isolates share it", () =>
  Platform.with(async (platform) => {
    const [a, b, c, twin] = await Promise.all([
      platform.start("a", 0, "run"),
      platform.start("b", 1, "serve"),
      // As attached: it has no name there.
      platform.start("c", 2, "serve", {
        DENO_DEPLOY: "true",
        DENO_TIMELINE: "production",
        TEST_ATTACHED: platform.kv.url("c"),
        DENO_KV_ACCESS_TOKEN: platform.kv.accessToken,
      }),
      platform.start("a", 3, "serve"),
    ]);
    for (const app of [a, b, c, twin]) {
      const reply = await app.readyz();
      assertEquals(reply?.status, 503);
      assertStringIncludes(String(reply?.body["detail"]), "belongs to no member");
    }
    const early = await a.ask("POST", "/v1/locks/x", { holder: "h" });
    assertEquals(early?.status, 503, JSON.stringify(early?.body));
    assertEquals(platform.rows("a"), [], "no vote, no promise, nothing");

    // An operator, who names the member; nobody else.
    assertEquals((await a.ask("POST", "/v1/init", { id: "a" }, {}))?.status, 401);
    assertEquals((await a.ask("POST", "/v1/init", { id: "a" }, USER))?.status, 403);
    for (const body of [{ id: "b" }, {}, { id: 1 }, { id: "a", more: 1 }]) {
      assertEquals((await a.ask("POST", "/v1/init", body))?.status, 400, JSON.stringify(body));
    }
    assertEquals(platform.rows("a"), []);
    for (const [app, id] of [[a, "a"], [b, "b"], [c, "c"]] as const) {
      const reply = await app.ask("POST", "/v1/init", { id });
      assertEquals([reply?.status, reply?.body["outcome"]], [200, "initialised"], JSON.stringify(reply?.body));
    }
    // Once each has the others on record no row changes by itself any more.
    for (const app of [a, b, c]) assert(await app.comes((reply) => reply?.status === 200), app.lines.join("\n"));
    const before = platform.rows("a");
    const again = await twin.ask("POST", "/v1/init", { id: "a" });
    // The twin may not have looked again yet; either way it makes no second life.
    assert(
      again?.body["outcome"] === "already" || again?.body["code"] === "invalid-request",
      JSON.stringify(again?.body),
    );
    assertEquals(platform.rows("a"), before);

    for (const app of [a, b, c, twin]) assert(await app.comes((reply) => reply?.status === 200), app.lines.join("\n"));
    const grant = await a.ask("POST", "/v1/locks/x", { holder: "h", ttlMs: 60_000 }, USER);
    assertEquals(grant?.status, 200, JSON.stringify(grant?.body));
    const renewed = await twin.ask("PUT", `/v1/locks/x/${grant?.body["fence"]}`, { ttlMs: 60_000 }, USER);
    assertEquals([renewed?.status, renewed?.body["fence"]], [200, grant?.body["fence"]], JSON.stringify(renewed?.body));

    // Where its database was lost the others know of its first life.
    await a.kill();
    await twin.kill();
    const lost = await platform.start("a", 0, "serve", { QUORATE_KV: platform.kv.url("a-anew") });
    const second = await lost.ask("POST", "/v1/init", { id: "a" });
    assertEquals(second?.status, 400, JSON.stringify(second?.body));
    assertStringIncludes(String(second?.body["detail"]), "a second life of it could vote twice");
    assertEquals(platform.rows("a-anew").filter((row) => row.includes("identity")), []);
  }));

Deno.test("hosted: without a database, with a preview's or somebody else's it says why and votes for nothing", () =>
  Platform.with(async (platform) => {
    // b's database, with a record in it.
    const b = await platform.start("b", 1, "run");
    await b.ask("POST", "/v1/init", { id: "b" });
    const before = platform.rows("b");
    const token = platform.kv.accessToken;
    const cases: readonly (readonly [env: Record<string, string>, why: string, line?: string])[] = [
      [{ DENO_DEPLOY: "true" }, "belongs to no member"],
      [{ QUORATE_KV: platform.kv.url("b") }, "this store belongs to member b"],
      [{ DENO_DEPLOY: "true", TEST_ATTACHED: platform.kv.url("p"), DENO_TIMELINE: "preview/x1" }, "this is a preview"],
      [
        { DENO_DEPLOY: "true", TEST_ATTACHED: platform.kv.url("g"), DENO_TIMELINE: "git-branch/x" },
        "this is a preview",
      ],
      // Where the database is, only the log says.
      [{ QUORATE_KV_TOKEN: `${token}x` }, "the store of this node failed", platform.kv.url("a")],
      [{ QUORATE_KV: "https://user:secret@127.0.0.1/x" }, "QUORATE_KV has credentials in its URL"],
      [{ QUORATE_KV: "postgres://127.0.0.1/x" }, "QUORATE_KV is neither a file nor an http or https URL"],
    ];
    for (const [env, why, line = ""] of cases) {
      const app = await platform.start("a", 0, "serve", { DENO_KV_ACCESS_TOKEN: token, ...env });
      const reply = await app.readyz();
      const detail = String(reply?.body["detail"]);
      assertEquals(reply?.status, 503, why);
      assertStringIncludes(detail, why);
      assert(!detail.includes("\n") && !detail.includes("secret@") && (line === "" || !detail.includes(line)), detail);
      assertStringIncludes(app.lines.join("\n"), line);
      assertEquals((await app.ask("POST", "/v1/locks/x", { holder: "h" }))?.status, 503, why);
      // Nor can it be made to: what dies with its process, or is another's, becomes nobody's.
      const init = await app.ask("POST", "/v1/init", { id: "a" });
      assert(init !== null && init.status >= 400, `${why}: ${JSON.stringify(init?.body)}`);
      if (env["DENO_DEPLOY"] !== undefined && env["TEST_ATTACHED"] === undefined) {
        assertStringIncludes(String(init.body["detail"]), "lives in the memory of this process");
      }
      await app.kill();
    }
    for (const id of ["a", "p", "g"]) assertEquals(platform.rows(id), [], id);
    assertEquals(platform.rows("b"), before);
  }));

for (const by of ["run", "serve"] as const) {
  Deno.test(`hosted: asked to end, deno ${by} answers what has come, sends others elsewhere, and ends well`, () =>
    Platform.with(async (platform) => {
      const { url } = await platform.start("a", 3, by, { QUORATE_CLUSTER: `a=http://127.0.0.1:1` }).then(
        async (app) => {
          await app.ask("POST", "/v1/init", { id: "a" });
          assert(await app.comes((reply) => reply?.status === 200), app.lines.join("\n"));
          const held = await app.ask("POST", "/v1/locks/x", { holder: "one", ttlMs: 60_000 });
          assertEquals(held?.status, 200, JSON.stringify(held?.body));
          const waiting = app.ask("POST", "/v1/locks/x", { holder: "two", waitMs: 3_000 });
          const ask = () => app.ask("GET", "/v1/locks/x");
          await until("the second waits", async () => (await ask())?.body["waiterCount"] === 1);
          const ended = app.interrupt();
          let late = await ask();
          await until("it hears of that", async () => late?.status !== 200 || (late = await ask())?.status !== 200);
          // `deno serve` takes no connection any more at all.
          if (by === "run" || late !== null) {
            assertEquals([late?.status, late?.body["detail"]], [503, "this process is ending"]);
          }
          assertEquals((await waiting)?.body["code"], "held");
          assertEquals(await ended, 0, app.lines.join("\n"));
          return app;
        },
      );
      // Nothing acknowledged went with it.
      const next = await platform.start("a", 4, by, { QUORATE_CLUSTER: `a=http://127.0.0.1:1` });
      assert(url !== next.url && await next.comes((reply) => reply?.status === 200), next.lines.join("\n"));
      const state = await next.ask("GET", "/v1/locks/x", undefined, OPERATOR);
      assertEquals(state?.body["state"], "held");
    }));
}

Deno.test("hosted: with QUORATE_GATEWAY it has no vote and no database, and hands on what it gets", () =>
  Platform.with(async (platform) => {
    const alone = { QUORATE_CLUSTER: "a=http://127.0.0.1:1" };
    const node = await platform.start("a", 3, "serve", alone);
    await node.ask("POST", "/v1/init", { id: "a" });
    const gateway = await platform.start("a", 4, "serve", { QUORATE_GATEWAY: node.url, QUORATE_KV: "none://" });
    assert(await gateway.comes((reply) => reply?.status === 200), gateway.lines.join("\n"));
    const grant = await gateway.ask("POST", "/v1/locks/x", { holder: "h" }, USER);
    assertEquals(grant?.status, 200, JSON.stringify(grant?.body));
    assertEquals((await node.ask("GET", "/v1/locks/x", undefined, USER))?.body["state"], "held");
    // It adds no credential, and mailboxes are between nodes.
    assertEquals((await gateway.ask("GET", "/v1/locks/x", undefined, {}))?.status, 401);
    assertEquals((await gateway.ask("POST", "/paxos/acceptor", {}))?.body["code"], "no-route");
    await node.kill();
    assertEquals((await gateway.readyz())?.body["code"], "not-ready");

    const mistaken = { QUORATE_GATEWAY: node.url, QUORATE_KV: "none://", QUORATE_FIXED_NODES: "yes" };
    const refused = await (await platform.start("a", 5, "serve", mistaken)).readyz();
    assertEquals([refused?.status, refused?.body["detail"]], [503, 'QUORATE_FIXED_NODES is 1 or not set, not "yes"']);
  }));
