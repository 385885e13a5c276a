/** `Quorate-Born` as a gateway adds it: what it saw last of a name, or what the nearest node says of it, for all tries. */
import { assert, assertEquals } from "@std/assert";
import { instanceIn, Instances } from "../../src/client/instances.ts";
import { namedOf, targetFor } from "../../src/http/named.ts";
import { until } from "../replica/clocks.ts";
import { cuttingNode, grant, isQuestion, nobody, problem, type Scripted, scriptedNode } from "./scripted_nodes.ts";
import { type Seen, withGateway } from "./scripted_nodes.ts";
import { memoryApps } from "../routes/memory_apps.ts";

const LOCK = "/v1/locks/x";
const take: RequestInit = { body: `{"holder":"me"}` };
const asks = { asks: true };

/** `Quorate-Born` of what was sent, without the questions. */
const born = (...nodes: readonly Scripted[]) =>
  nodes.flatMap(({ seen }) =>
    seen.filter(({ target }) => !isQuestion(target)).map(({ headers }) => headers.get("quorate-born"))
  );
const at = (instance: string | number | null, response = grant()) => {
  if (instance !== null) response.headers.set("Consensus-Instance", `${instance}`);
  return response;
};
/** Says 7 of every name when it is asked, and grants at `granted`. */
const knowing = (granted: () => number = () => 8, told: (seen: Seen) => Response = () => at(7)) =>
  scriptedNode((seen) => isQuestion(seen.target) ? told(seen) : at(granted()));
const expired = (instance: string | number | null = null) =>
  at(instance, problem(409, "expired-command", { outcome: "unknown" }));

Deno.test("instances: a take and a register's write bear the instance last seen of the name, whoever saw it and how", async () => {
  const writes = [
    ["POST", LOCK],
    ["POST", "/v1/locks/-?name=x"],
    ["POST", "/v1/elections/x"],
    ["POST", "/v1/semaphores/x?timeoutMs=500"],
    ["PUT", "/v1/kv/x"],
    ["DELETE", "/v1/kv/%78"],
  ] as const;
  for (const [method, path] of writes) {
    const base = path.replace("-?name=x", "x").split("?")[0]!;
    for (
      const [by, what] of [["GET", base], ["PUT", `${base}/1025`], ["GET", `${base}/history`], ["HEAD", base]] as const
    ) {
      const node = scriptedNode(({ method: used, target }) =>
        at(used === by && target === what ? 40 : 50, by === "HEAD" ? new Response() : grant())
      );
      await withGateway([node], async ({ ask }) => {
        await ask(by, what, { headers: { Authorization: "Bearer other" } });
        await ask(method, path, method === "POST" ? take : {});
        await ask(method, path, method === "POST" ? take : {});
        assertEquals(
          node.seen.slice(1).map(({ headers }) => headers.get("quorate-born")),
          ["40", "50"],
          `${path} after ${by} ${what}`,
        );
        assertEquals(node.seen.filter(({ target }) => isQuestion(target)), []);
      }, asks);
    }
  }
});

Deno.test("instances: a refusal tells too, and one that came late does not take back what is known", async () => {
  const answers = [
    at(9, problem(409, "held")),
    at(30, problem(504, "outcome-unknown")),
    at(12),
    at(11, problem(404, "not-found")),
    at(13),
  ];
  const node = scriptedNode(({ target }) => isQuestion(target) ? problem(403, "forbidden") : answers.shift()!);
  await withGateway([node], async ({ ask }) => {
    for (let left = answers.length; left > 0; left--) await ask("POST", LOCK, take);
    assertEquals(born(node), [null, "9", "30", "30", "30"]);
  }, asks);
});

Deno.test("instances: of a name it knows nothing of the nearest node is asked for its own record, as the caller", async () => {
  const paths = [
    [LOCK, `${LOCK}?consistency=stale`],
    ["/v1/locks/-?timeoutMs=500&name=a%2Fb", "/v1/locks/-?name=a%2Fb&consistency=stale"],
  ] as const;
  for (const [path, question] of paths) {
    const [first, second] = [knowing(), knowing()];
    await withGateway([first, second], async ({ ask }) => {
      const headers = { Authorization: "Bearer secret", "X-Request-Id": "mine", "Idempotency-Key": "k", Fence: "3" };
      assertEquals((await ask("POST", path, { ...take, headers })).status, 200);
      assertEquals(first.seen.map(({ target }) => target), [question, path]);
      const [asked, sent] = first.seen;
      assertEquals([asked!.method, asked!.body, asked!.headers.get("authorization")], ["HEAD", "", "Bearer secret"]);
      assertEquals([asked!.headers.get("x-request-id"), asked!.headers.get("fence")], ["mine", null]);
      assertEquals([asked!.headers.get("idempotency-key"), sent!.headers.get("quorate-born")], [null, "7"]);
      // Its own answer says more than that by now.
      await ask("POST", path, take);
      assertEquals([born(first), first.seen.length, second.seen.length], [["7", "8"], 3, 0]);
    }, asks);
  }
});

Deno.test("instances: a node has an answer for every noun, of a name that was used and of one that never was", async () => {
  const apps = await memoryApps(3);
  try {
    const paths = ["/v1/locks/x", "/v1/elections/-?name=x", "/v1/semaphores/x", "/v1/kv/x"];
    for (const path of paths) {
      const question = targetFor(namedOf(path)!, "", "consistency=stale");
      const told = async () => instanceIn((await apps.ask("a", question, { method: "HEAD" })).headers);
      assertEquals(await told(), 0, question);
      const init = path.includes("kv") ? { method: "PUT", body: "v" } : { method: "POST", body: "{}" };
      const body = path.includes("semaphores") ? `{"limit":2}` : init.body;
      const written = await apps.ask("a", path, { ...init, body });
      assertEquals([written.status, await told()], [200, instanceIn(written.headers)], question);
      await written.body?.cancel();
    }
  } finally {
    await apps.close();
  }
});

Deno.test("instances: every try of a request bears the same, though more is known before the next", async () => {
  const first = Promise.withResolvers<Response>();
  const nodes = [
    scriptedNode(({ target, method }) => isQuestion(target) ? at(7) : method === "GET" ? at(90) : first.promise),
    scriptedNode(() => at(91)),
  ];
  await withGateway(nodes, async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, take);
    await until("the first has it", () => born(nodes[0]!).length === 1);
    await ask("GET", LOCK);
    await clock.pass(1_000);
    assertEquals((await asked).status, 200);
    assertEquals(born(...nodes), ["7", null, "7"]);
  }, asks);
});

Deno.test("instances: what is no answer, or none that can be believed, is no reason to wait or to refuse", async () => {
  const wrong = ["-1", "1.5", "0x7", "1e3", "7, 8", "", "07", "+7", "NaN", "9007199254740992", "9".repeat(400), null];
  for (const instance of wrong) {
    const node = scriptedNode(({ target }) => at(isQuestion(target) ? instance : null));
    await withGateway([node], async ({ ask }) => {
      assertEquals((await ask("POST", LOCK, take)).status, 200);
      assertEquals(born(node), [null], `${instance}`);
    }, asks);
  }
  for (
    const [status, code] of [[401, "unauthenticated"], [403, "forbidden"], [429, "rate-limited"], [
      503,
      "not-ready",
    ]] as const
  ) {
    const node = knowing(undefined, () => problem(status, code));
    await withGateway([node], async ({ ask }) => {
      assertEquals((await ask("POST", LOCK, take)).status, 200);
      assertEquals(born(node), [null]);
    }, asks);
  }
  for (const largest of ["0", "9007199254740991"]) {
    const node = knowing(undefined, () => at(largest));
    await withGateway([node], async ({ ask }) => {
      await ask("POST", LOCK, take);
      assertEquals(born(node), [largest]);
    }, asks);
  }
});

Deno.test("instances: a node that does not say it in time is not waited for, and one that is gone delays nothing", async () => {
  const node = scriptedNode(({ target }) => isQuestion(target) ? new Promise(() => {}) : at(8));
  await withGateway([node], async ({ ask, clock }) => {
    const asked = ask("POST", LOCK, take);
    await until("it is asked", () => node.seen.length === 1);
    await clock.pass(249);
    assertEquals(born(node), []);
    await clock.pass(1);
    assertEquals([(await asked).status, born(node)], [200, [null]]);
    await until("it is told that nobody waits", () => node.seen[0]!.signal.aborted);
  }, asks);
  // A caller with less time than that waits for half of it.
  const slow = scriptedNode(({ target }) => isQuestion(target) ? new Promise(() => {}) : at(8));
  await withGateway([slow], async ({ ask, clock }) => {
    const asked = ask("POST", `${LOCK}?timeoutMs=100`, take);
    await until("it is asked", () => slow.seen.length === 1);
    await clock.pass(50);
    assertEquals([(await asked).status, born(slow)], [200, [null]]);
  }, asks);
  const next = knowing();
  await withGateway([nobody(), next], async ({ ask }) => {
    assertEquals((await ask("POST", LOCK, take)).status, 200);
    assertEquals(born(next), [null]);
  }, asks);
});

Deno.test("instances: a caller that is gone before anything was sent has nothing sent", async () => {
  const node = scriptedNode(({ target }) => isQuestion(target) ? new Promise(() => {}) : at(8));
  await withGateway([node], async ({ ask }) => {
    const gone = new AbortController();
    const asked = ask("POST", LOCK, { body: `{"waitMs":5}`, signal: gone.signal });
    await until("it is asked", () => node.seen.length === 1);
    gone.abort();
    await asked;
    assertEquals(node.seen.length, 1);
  }, asks);
});

Deno.test("instances: what the caller says of it itself, right or wrong, is passed on as it came", async () => {
  for (const given of ["3", "0", "abc", "-1", "1, 2", "9".repeat(30)]) {
    const node = knowing();
    await withGateway([node], async ({ ask }) => {
      await ask("GET", LOCK);
      await ask("POST", LOCK, { ...take, headers: { "Quorate-Born": given } });
      assertEquals([born(node)[1], node.seen.length], [given, 2]);
    }, asks);
  }
});

Deno.test("instances: a hedged write, a batch, a set, and what needs none get none, and no node is asked for them", async () => {
  const others = [
    ["PUT", `${LOCK}/1025`],
    ["DELETE", `${LOCK}/1025`],
    ["DELETE", LOCK],
    ["POST", "/v1/sessions"],
    ["PUT", "/v1/sessions/0"],
    ["POST", "/v1/locks"],
    ["POST", "/v1/batch"],
    ["POST", "/v1/kv/x"],
    ["PUT", "/v1/kv/x/y"],
    ["GET", LOCK],
    ["PATCH", LOCK],
  ] as const;
  const node = knowing();
  await withGateway([node], async ({ ask }) => {
    await ask("GET", LOCK);
    const headers = { "Quorate-Hedge": "3", "Idempotency-Key": "k" };
    await ask("POST", LOCK, { ...take, headers });
    for (const [method, path] of others) await ask(method, path, method === "POST" ? { body: `{"names":["x"]}` } : {});
    assertEquals(new Set(born(node)), new Set([null]));
    assertEquals([node.seen.length, node.seen.some(({ target }) => isQuestion(target))], [others.length + 2, false]);
    assertEquals(node.seen.at(-6)!.body, `{"names":["x"]}`);
  }, asks);
});

Deno.test("instances: so many names are remembered and no more: forgotten is what was used longest ago", () => {
  const instances = new Instances(3);
  const named = (name: string) => namedOf(`/v1/locks/${name}`)!;
  const told = (name: string, instance: number) =>
    instances.note(named(name), new Headers({ "Consensus-Instance": `${instance}` }));
  for (const [i, name] of ["a", "b", "c"].entries()) told(name, i + 1);
  assertEquals(instances.get(named("a")), 1);
  told("d", 4);
  assertEquals(["a", "b", "c", "d"].map((name) => instances.get(named(name))), [1, undefined, 3, 4]);
  told("d", 2);
  instances.note(named("d"), new Headers());
  assertEquals(instances.get(named("d")), 4);
});

Deno.test("expired: a first try that is too old is sent again to the same node, born at what it was told, with its key", async () => {
  const node = scriptedNode(({ target, headers }) => {
    if (isQuestion(target)) return at(7);
    return Number(headers.get("quorate-born")) < 60 ? expired(60) : at(61);
  });
  const other = knowing();
  await withGateway([node, other], async ({ ask }) => {
    const response = await ask("POST", LOCK, take);
    assertEquals([response.status, born(node), other.seen.length], [200, ["7", "60"], 0]);
    const sent = node.seen.filter(({ target }) => !isQuestion(target));
    assertEquals(new Set(sent.map(({ headers }) => headers.get("idempotency-key"))).size, 1);
    assertEquals(sent.map(({ body }) => body), [take.body, take.body]);
  }, asks);
});

Deno.test("expired: a name that outruns every instance, or tells none, is written without: nobody gets what it did not ask for", async () => {
  let instance = 60;
  const racing = scriptedNode(({ target, headers }) => {
    if (isQuestion(target)) return at(7);
    return headers.has("quorate-born") ? expired(instance++) : at(99);
  });
  await withGateway([racing], async ({ ask }) => {
    assertEquals((await ask("PUT", "/v1/kv/x", { body: "v" })).status, 200);
    assertEquals(born(racing), ["7", "60", "61", null]);
  }, asks);
  for (const told of [null, "7", "6", "x", "9".repeat(30)]) {
    const node = scriptedNode(({ target, headers }) =>
      isQuestion(target) ? at(7) : headers.has("quorate-born") ? expired(told) : at(99)
    );
    await withGateway([node], async ({ ask }) => {
      assertEquals((await ask("POST", LOCK, take)).status, 200, `${told}`);
      assertEquals(born(node), ["7", null]);
    }, asks);
  }
});

Deno.test("expired: a node that says so of a request without any is asked no further, and the outcome is unknown", async () => {
  const node = scriptedNode(({ target }) => isQuestion(target) ? problem(403, "forbidden") : expired(60));
  await withGateway([node], async ({ ask }) => {
    const response = await ask("POST", LOCK, take);
    assertEquals([response.status, (await response.json()).outcome, born(node)], [504, "unknown", [null]]);
  }, asks);
});

Deno.test("expired: where the caller said when it was born it is the caller's to know, and passed on", async () => {
  const node = scriptedNode(() => expired(60));
  await withGateway([node], async ({ ask }) => {
    const response = await ask("POST", LOCK, { ...take, headers: { "Quorate-Born": "3" } });
    assertEquals([response.status, (await response.json()).code, born(node)], [409, "expired-command", ["3"]]);
    assertEquals(response.headers.get("consensus-instance"), "60");
  }, asks);
});

Deno.test("expired: after a try that may have been applied the outcome is unknown, and nothing is sent again", async () => {
  const cut = cuttingNode();
  const next = scriptedNode(({ method }) => method === "GET" ? at(60) : expired(70));
  await withGateway([cut, next], async ({ ask, clock }) => {
    // The cut one is heard of again before it is asked to write.
    await ask("GET", LOCK).then((response) => response.body?.cancel());
    await clock.pass(1_000);
    await ask("GET", "/v1/status");
    const sent = cut.seen.length;
    const response = await ask("POST", LOCK, take);
    const { code, outcome } = await response.json();
    assertEquals([response.status, code, outcome], [504, "outcome-unknown", "unknown"]);
    assert(response.headers.has("idempotency-key"));
    assertEquals(born(next).at(-1), "60");
    assertEquals(next.seen.filter(({ method }) => method === "POST").length, 1);
    assertEquals(born(cut).slice(sent), ["60"]);
  }, asks);
});

Deno.test("expired: after tries that surely did nothing it is still the first, and born anew", async () => {
  for (const first of [nobody(), scriptedNode(() => problem(503, "not-ready"))]) {
    const second = scriptedNode(({ headers }) => {
      if (!headers.has("quorate-born")) return at(7);
      return Number(headers.get("quorate-born")) < 60 ? expired(60) : at(61);
    });
    await withGateway([first, second], async ({ ask }) => {
      await (await ask("GET", LOCK)).body?.cancel();
      assertEquals((await ask("POST", LOCK, take)).status, 200);
      assertEquals(born(second).slice(1), ["7", "60"]);
    }, asks);
  }
});

Deno.test("expired: while an older try is under way its answer is waited for, and counts", async () => {
  for (const end of ["granted", "declined", "late"] as const) {
    const first = Promise.withResolvers<Response>();
    const nodes = [
      scriptedNode(({ target }) => isQuestion(target) ? at(7) : first.promise),
      scriptedNode(() => expired(60)),
      scriptedNode(() => at(61)),
    ];
    await withGateway(nodes, async ({ ask, clock }) => {
      let isDone = false;
      const asked = ask("POST", LOCK, take).finally(() => isDone = true);
      await until("the first has it", () => born(nodes[0]!).length === 1);
      await clock.pass(1_000);
      await until("the second has it", () => nodes[1]!.seen.length === 1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      assertEquals(isDone, false);
      if (end === "granted") first.resolve(at(8));
      if (end === "declined") first.resolve(problem(503, "not-ready"));
      if (end === "late") await clock.pass(5_000);
      const response = await asked;
      const { code, outcome } = await response.json();
      const said = [response.status, code, outcome];
      assertEquals(said, end === "granted" ? [200, undefined, undefined] : [504, "outcome-unknown", "unknown"]);
      assertEquals([nodes[1]!.seen.length, nodes[2]!.seen.length], [1, 0]);
    }, asks);
  }
});

Deno.test("born: an unknown outcome tells what to send with the retry, if all that may be applied was born at it", async () => {
  const unknown = (more: object = {}) =>
    scriptedNode(({ target }) =>
      isQuestion(target) ? at(null) : problem(504, "outcome-unknown", { outcome: "unknown", ...more })
    );
  const knowingCut = scriptedNode(({ target }) => isQuestion(target) ? at(7) : problem(502, "bad-gateway"));
  const cases: readonly (readonly [readonly Scripted[], Record<string, string>, number | undefined])[] = [
    [[knowingCut], {}, 7],
    [[unknown({ born: 9 })], { "Quorate-Born": "3" }, 3],
    [[unknown({ born: 9 })], { "Quorate-Born": "x" }, undefined],
    [[unknown({ born: 9 })], {}, 9],
    [[unknown()], {}, undefined],
    [[unknown({ born: "9" })], {}, 9],
    [[unknown({ born: -1 })], {}, undefined],
    [[unknown({ born: 9 }), unknown({ born: 20 })], {}, 9],
    // The second may have been sent later than the first was applied.
    [[unknown(), unknown({ born: 20 })], {}, undefined],
    [[scriptedNode(() => problem(503, "not-ready")), unknown({ born: 20 })], {}, 20],
  ];
  for (const [nodes, headers, expected] of cases) {
    await withGateway(nodes, async ({ ask }) => {
      const { status, born: told, idempotencyKey, detail } = await (await ask("POST", LOCK, { ...take, headers }))
        .json();
      assertEquals([status, told], [504, expected], JSON.stringify(headers));
      assert(idempotencyKey !== undefined);
      assertEquals(detail.includes("Quorate-Born"), expected !== undefined);
    }, asks);
  }
  // The next node is told the same, so that it does not apply it again.
  const nodes = [unknown({ born: 9 }), knowing()];
  await withGateway(nodes, async ({ ask }) => {
    assertEquals((await ask("POST", LOCK, take)).status, 200);
    assertEquals(born(...nodes), [null, "9"]);
  }, asks);
});
