/** Three nodes that cannot talk: what their operators and their callers are told, for each cause, over real sockets. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { compose, type Composed } from "../../src/compose/composed.ts";
import { listen, type Listener } from "../../src/cli/serve.ts";
import { parseConfig } from "../../src/config/config.ts";
import { nobody } from "../client/scripted_nodes.ts";
import { until } from "../replica/clocks.ts";
import { CERTIFICATE, PRIVATE_KEY } from "./certificate.ts";

const SECRET = "a secret of this test only";
/** What must never be in an answer. */
const PRIVATE = [SECRET, "another secret of", ".sqlite", "/tmp/"];

type Member = {
  /** By id; what `--cluster` says. Default: a, b and c. */
  readonly cluster?: Readonly<Record<string, string>>;
  readonly secret?: string;
};
type Node = { readonly id: string; readonly lines: string[]; readonly composed: Composed };
type Three = {
  readonly urls: Readonly<Record<string, string>>;
  start(id: string, member?: Member): Promise<Node>;
};

/** Each of the three listens from the start, and answers 503 until it is started, as `deno task node` does. */
async function withThree(run: (three: Three) => Promise<void>, { isTls = false } = {}): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-telling-" });
  const tls = isTls ? { cert: CERTIFICATE, key: PRIVATE_KEY } : null;
  const listeners = new Map<string, Listener>();
  for (const id of ["a", "b", "c"]) listeners.set(id, listen({ host: "127.0.0.1", port: 0, tls, cors: [] }));
  const urls = Object.fromEntries([...listeners].map(([id, { url }]) => [id, url]));
  const nodes: Node[] = [];
  try {
    await run({
      urls,
      async start(id, { cluster = urls, secret = SECRET } = {}) {
        const list = Object.entries(cluster).map(([member, url]) => `${member}=${url}`).join(",");
        const args = ["--id", id, "--kv", `${folder}/${id}.sqlite`, "--cluster", list, "--init"];
        const config = await parseConfig(args, { QUORATE_PEER_SECRET: secret }, () => Promise.reject());
        const lines: string[] = [];
        const composed = await compose(config, (line) => lines.push(line));
        listeners.get(id)!.open((request) => composed.handler(request));
        const node = { id, lines, composed };
        nodes.push(node);
        return node;
      },
    });
  } finally {
    for (const { composed } of nodes) await composed.close();
    await Promise.all([...listeners.values()].map((listener) => listener.stop()));
    await Deno.remove(folder, { recursive: true });
  }
}

// deno-lint-ignore no-explicit-any -- tests look into documents of many shapes
async function asked({ composed }: Node, path: string): Promise<{ response: Response; body: any; text: string }> {
  const response = await composed.handler(new Request(`http://127.0.0.1:8701${path}`));
  const text = await response.text();
  for (const secret of PRIVATE) assert(!text.includes(secret), text);
  return { response, text, body: JSON.parse(text) };
}

async function shownOf(node: Node) {
  return (await asked(node, "/v1/status")).body;
}

/** That the cause stands in the log, once, in /v1/status and in every 503 of this node. */
async function assertTold(node: Node, peer: string, cause: string): Promise<void> {
  const told = () => node.lines.filter((line) => line.startsWith(`${peer}: ${cause}: `));
  await until(`${node.id} tells that ${peer} is ${cause}; it says ${node.lines}`, () => told().length > 0);
  const isPeer = ({ id }: { id: string }) => id === peer;
  // What it refuses it may have told before it has asked that peer itself, which was starting then.
  await until(`${node.id} shows ${cause}`, async () => {
    const fault = (await shownOf(node)).members.find(isPeer)?.fault;
    return fault === undefined || fault.cause === cause;
  });
  for (const path of ["/readyz", "/v1/locks/x?timeoutMs=200"]) {
    const { response, body } = await asked(node, path);
    assertEquals([response.status, response.headers.get("retry-after")], [503, "1"], path);
    const found = body.peers?.find(isPeer);
    assertEquals(found?.cause, cause, JSON.stringify(body));
    assert(!Number.isNaN(Date.parse(found.since)));
    assertStringIncludes(body.detail, `${peer}: ${cause}`);
  }
  const status = await shownOf(node);
  const member = status.members.find(isPeer);
  const fault = member === undefined ? status.others.find(isPeer) : member.fault;
  assertEquals(fault?.cause, cause, JSON.stringify(status));
  if (member !== undefined) assertEquals(member.reachable, false);
  // However often it failed meanwhile.
  assertEquals(told().length, 1, `${node.lines}`);
}

/** Listens on 127.0.0.1, takes connections and says nothing. */
function mute(): { readonly url: string; close(): void } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Deno.Conn[] = [];
  (async () => {
    for await (const connection of listener) connections.push(connection);
  })();
  return {
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    close() {
      listener.close();
      for (const connection of connections) connection.close();
    },
  };
}

Deno.test("telling: nothing listens at the others' URLs: refused", () =>
  withThree(async ({ urls, start }) => {
    const a = await start("a", { cluster: { a: urls["a"]!, b: nobody().url, c: nobody().url } });
    await Promise.all(["b", "c"].map((peer) => assertTold(a, peer, "refused")));
  }));

Deno.test("telling: the others take connections and say nothing: timed out", async () => {
  const silent = [mute(), mute()] as const;
  try {
    await withThree(async ({ urls, start }) => {
      const a = await start("a", { cluster: { a: urls["a"]!, b: silent[0].url, c: silent[1].url } });
      await Promise.all(["b", "c"].map((peer) => assertTold(a, peer, "timed-out")));
    });
  } finally {
    for (const one of silent) one.close();
  }
});

Deno.test("telling: certificates that nobody here trusts: certificate, at all three", () =>
  withThree(async ({ start }) => {
    const nodes = await Promise.all(["a", "b", "c"].map((id) => start(id)));
    await Promise.all(pairs(nodes).map(([node, peer]) => assertTold(node, peer, "certificate")));
  }, { isTls: true }));

Deno.test("telling: each has a secret of its own: other secret, at all three", () =>
  withThree(async ({ start }) => {
    const nodes = await Promise.all(
      ["a", "b", "c"].map((id) => start(id, { secret: `another secret of ${id} alone` })),
    );
    await Promise.all(pairs(nodes).map(([node, peer]) => assertTold(node, peer, "other-secret")));
  }));

Deno.test("telling: the others do not have this node among their members: no member, at both sides", () =>
  withThree(async ({ urls, start }) => {
    const a = await start("a");
    const b = await start("b", { cluster: { b: urls["b"]!, x: nobody().url, y: nobody().url } });
    const c = await start("c", { cluster: { c: urls["c"]!, u: nobody().url, v: nobody().url } });
    await Promise.all(["b", "c"].map((peer) => assertTold(a, peer, "no-member")));
    await Promise.all([b, c].map((node) => assertTold(node, "a", "no-member")));
  }));

Deno.test("telling: each lists other members: other members, at all three", () =>
  withThree(async ({ urls, start }) => {
    const nodes = await Promise.all(
      ["a", "b", "c"].map((id) => start(id, { cluster: { ...urls, [`only-for-${id}`]: nobody().url } })),
    );
    await Promise.all(pairs(nodes).map(([node, peer]) => assertTold(node, peer, "other-members")));
  }));

Deno.test("telling: two URLs are mistaken for each other: wrong node, at both sides", () =>
  withThree(async ({ urls, start }) => {
    const others = await Promise.all(["b", "c"].map((id) => start(id)));
    const a = await start("a", { cluster: { a: urls["a"]!, b: urls["c"]!, c: urls["b"]! } });
    await Promise.all(["b", "c"].map((peer) => assertTold(a, peer, "wrong-node")));
    // They serve each other; what comes from it they refuse, and say why.
    for (const { id, lines } of others) {
      await until(`${id} tells it; it says ${lines}`, () => lines.some((line) => line.startsWith("a: wrong-node: ")));
    }
  }));

Deno.test("telling: what is mended is told, and the cluster serves", () =>
  withThree(async ({ start }) => {
    const a = await start("a");
    // Its port answers that it is starting.
    await assertTold(a, "b", "not-ready");
    const faults = async () => {
      const { body } = await asked(a, "/v1/status");
      return body.members.map((one: { fault?: { cause: string } }) => one.fault?.cause ?? null);
    };
    await start("b");
    await until("b has no fault", async () => (await faults())[1] !== "not-ready");
    assertEquals((await faults())[2], "not-ready");
    // A new cluster begins once all three are there.
    await start("c");
    await until("a is ready", async () => (await asked(a, "/readyz")).response.status === 200);
    await until("all are well", async () => `${await faults()}` === ",,");
    for (const id of ["b", "c"]) assert(a.lines.includes(`${id}: all is well again`), a.lines.join("\n"));
    assertEquals((await asked(a, "/v1/locks/x")).response.status, 200);
  }));

function pairs(nodes: readonly Node[]): readonly (readonly [Node, string])[] {
  return nodes.flatMap((node) => nodes.filter((one) => one !== node).map(({ id }) => [node, id] as const));
}
