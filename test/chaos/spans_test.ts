/** Spans of real nodes, as a receiver of OTLP gets them: the runtime's exporter is a process's own, so these are processes. */
import { assert, assertEquals } from "@std/assert";
import { startGateway } from "./gateway_process.ts";
import { attribute, type Exported, Otlp } from "./otlp.ts";
import { call, RealCluster } from "./real_cluster.ts";

const SERVER = 2;
const CLIENT = 3;
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER = "b7ad6b7169203331";
const traceparent = `00-${TRACE}-${CALLER}-01`;
const HIDDEN = "a-name-that-nobody-sees";

const within = (spans: readonly Exported[], trace: string) => spans.filter(({ traceId }) => traceId === trace);
const of = (spans: readonly Exported[], kind: number, node?: string) =>
  spans.filter((span) => span.kind === kind && (node === undefined || attribute(span, "quorate.node") === node));

function isOfCaller({ name }: Exported): boolean {
  return !name.includes(" /paxos/");
}

/** What a sent of which the peer has served as an acceptor; undefined: one of the two has not come yet. */
function askedOf(trace: readonly Exported[], peer: string): Exported | undefined {
  const served = of(trace, SERVER, peer).filter(({ name }) => name === "POST /paxos/acceptor");
  return of(trace, CLIENT, "a").find(({ spanId }) => served.some(({ parentSpanId }) => parentSpanId === spanId));
}

async function withTraced(
  changes: Readonly<Record<string, string>>,
  run: (cluster: RealCluster, otlp: Otlp) => Promise<void>,
): Promise<void> {
  const otlp = new Otlp();
  const cluster = await RealCluster.start(3, 0, { env: { ...otlp.env, ...changes }, isolates: 1 });
  try {
    await run(cluster, otlp);
  } finally {
    await cluster.stop();
    await otlp.stop();
  }
}

Deno.test("spans: an acquire is one trace over three nodes, by route, and no name is in what is exported", () =>
  withTraced({ QUORATE_LOG_LEVEL: "info" }, async (cluster, otlp) => {
    const path = `/v1/locks/${HIDDEN}`;
    const granted = await call(cluster.url("a"), "POST", `${path}?timeoutMs=9999`, { holder: HIDDEN }, { traceparent });
    assertEquals(granted?.status, 200);
    // Each node sends its spans when it has time: that of a request may come long after that of its answer.
    const spans = await otlp.until("the trace of three nodes", (all) => {
      const trace = within(all, TRACE);
      return of(trace, SERVER, "a").some(isOfCaller) && ["b", "c"].every((peer) => askedOf(trace, peer) !== undefined);
    });
    const trace = within(spans, TRACE);
    // What peers ask a for in return, where a ballot is recovered, is of the trace too.
    const [door, ...others] = of(trace, SERVER, "a").filter(isOfCaller);
    assertEquals(others, []);
    assertEquals(
      [door!.name, door!.parentSpanId, attribute(door!, "http.route"), attribute(door!, "http.response.status_code")],
      ["POST /v1/locks/{name}", CALLER, "/v1/locks/{name}", "200"],
    );
    for (const peer of ["b", "c"]) {
      const sent = askedOf(trace, peer)!;
      assertEquals([sent.name, attribute(sent, "quorate.peer")], ["POST /paxos/acceptor", peer]);
      assertEquals(sent.parentSpanId, door!.spanId);
    }

    // What is refused is seen too; and what is no traceparent begins a trace of its own, and breaks nothing.
    for (const wrong of [`00-${"0".repeat(32)}-${CALLER}-01`, "00-x", "x".repeat(9_000), `${traceparent}-more`]) {
      assertEquals((await call(cluster.url("b"), "GET", path, undefined, { traceparent: wrong }))?.status, 200);
    }
    assertEquals((await call(cluster.url("b"), "POST", path, {}))?.status, 409);
    const refused = (all: readonly Exported[]) =>
      of(all, SERVER, "b").filter((span) => attribute(span, "http.response.status_code") === "409");
    assertEquals(
      of(await otlp.until("the refusal", (all) => refused(all).length === 1), SERVER).some(({ name }) =>
        name.includes("GET /v1/locks/{name}")
      ),
      true,
    );
    assertEquals(within(otlp.spans, TRACE).filter(({ name }) => name.startsWith("GET")), []);

    // A caller whose own trace is not recorded wants none here either.
    const unsampled = "1".repeat(32);
    const headers = { traceparent: `00-${unsampled}-${CALLER}-00` };
    assertEquals((await call(cluster.url("c"), "POST", "/v1/locks/later", {}, headers))?.status, 200);
    assertEquals(
      (await call(cluster.url("c"), "POST", "/v1/locks/last", {}, { traceparent: `00-${"2".repeat(32)}-${CALLER}-01` }))
        ?.status,
      200,
    );
    await otlp.until("what came after", (all) => of(within(all, "2".repeat(32)), SERVER, "c").length === 1);
    assertEquals(within(otlp.spans, unsampled), []);

    // Probes and what nodes say to each other for nobody make no traces.
    const roots = otlp.spans.filter(({ parentSpanId }) => (parentSpanId ?? "") === "");
    assert(roots.every(({ name }) => /^(GET|POST) \/v1\//.test(name)), JSON.stringify(roots.map(({ name }) => name)));
    for (const { path: to, text } of otlp.bodies) assert(!text.includes(HIDDEN), `${to}: ${text}`);
    assert(otlp.bodies.some(({ path: to }) => to === "/v1/traces"));
    assert(!cluster.output("a").includes("the runtime's own spans"), cluster.output("a"));
  }));

Deno.test("spans: through a gateway too it is one trace, and what it says of itself is in none", () =>
  withTraced({}, async (cluster, otlp) => {
    const gateway = await startGateway(cluster.ids.map((id) => cluster.url(id)), otlp.env);
    try {
      const path = `/v1/locks/${HIDDEN}`;
      assertEquals((await call(gateway.url, "POST", path, {}, { traceparent }))?.status, 200);
      assertEquals((await call(gateway.url, "GET", "/readyz", undefined, { traceparent }))?.status, 200);
      // The question for the name's instance, and the write.
      const written = (trace: readonly Exported[]) => {
        const [door] = of(trace, SERVER, "gateway");
        return trace.filter(({ name, parentSpanId }) =>
          name === "POST /v1/locks/{name}" && parentSpanId === door?.spanId
        );
      };
      const spans = await otlp.until(
        "the gateway's span and the nodes', that of the write behind the gateway's",
        (all) => {
          const trace = within(all, TRACE);
          return written(trace).length > 0 && ["a", "b", "c"].every((id) => of(trace, SERVER, id).length > 0);
        },
      );
      const [door, ...others] = of(within(spans, TRACE), SERVER, "gateway");
      assertEquals([door!.name, door!.parentSpanId, others], ["POST", CALLER, []]);
      for (const { path: to, text } of otlp.bodies) assert(!text.includes(HIDDEN), `${to}: ${text}`);
    } finally {
      await gateway.stop();
    }
  }));

Deno.test("spans: off they are sent to nobody, and a node says so if the runtime's own would show names", async () => {
  await withTraced({ OTEL_TRACES_EXPORTER: "none" }, async (cluster, otlp) => {
    const reply = await call(cluster.url("a"), "POST", "/v1/locks/x", {}, { traceparent });
    assertEquals(reply?.status, 200);
    await Promise.all(cluster.ids.map((id) => cluster.end(id)));
    // An ending process exports what it has.
    assertEquals(otlp.spans, []);
  });
  await withTraced({ OTEL_DENO_TRACING: "true" }, async (cluster, otlp) => {
    await cluster.says("a", "OTEL_DENO_TRACING=false");
    const reply = await call(cluster.url("a"), "POST", "/v1/locks/x", {}, { traceparent });
    assertEquals(reply?.status, 200);
    await otlp.until("its own besides", (all) => {
      const trace = within(all, TRACE);
      return ["a", "b", "c"].every((node) => of(trace, SERVER, node).length > 0) &&
        trace.some((span) => attribute(span, "url.full")?.endsWith("/v1/locks/x"));
    });
  });
});
