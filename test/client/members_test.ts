/** What is learned of members, of whom, and what is not believed. */
import { assertEquals } from "@std/assert";
import { connectIn } from "../../src/client/connect.ts";
import { directMembers } from "../../src/client/direct.ts";
import { LearnedNodes } from "../../src/client/members.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

const [A, B, C, D, E] = ["a", "b", "c", "d", "e"].map((id) => `https://${id}.example`) as [
  string,
  string,
  string,
  string,
  string,
];

type Asked = { readonly url: string; readonly authorization: string | null };
type Heard = Asked & { readonly signal: AbortSignal };

function listed(epoch: number, urls: readonly unknown[], more: object = {}): Record<string, unknown> {
  const members = urls.map((url, i) => ({ id: `n${i}`, url, reachable: true }));
  return { id: "n0", cluster: "q-0123456789ab", epoch, members, ...more };
}

function rig(...seeds: readonly string[]) {
  const clock = new ManualClock();
  const asked: Heard[] = [];
  const told: (readonly string[])[] = [];
  const says = { answer: (): Response | Promise<Response> => new Response(null, { status: 500 }) };
  const fetch = (url: string, { headers, signal }: RequestInit) => {
    asked.push({ url, authorization: new Headers(headers).get("authorization"), signal: signal! });
    return Promise.resolve(says.answer());
  };
  const learned = new LearnedNodes({ fetch, clock }, seeds, (nodes) => told.push(nodes));
  /** An answer of a node that says this epoch in its header and this in its status. */
  const hear = async (node: string, epoch: string | null, status: unknown, init: ResponseInit = {}) => {
    says.answer = () => new Response(typeof status === "string" ? status : JSON.stringify(status), init);
    learned.note(node, new Headers(epoch === null ? {} : { "Quorate-Epoch": epoch }), "Bearer mine");
    // A body comes in pieces.
    for (let i = 0; i < 20; i++) await settled();
  };
  return { clock, asked, told, says, learned, hear };
}

Deno.test("members: a newer epoch is asked about at the node that said it, with what that was sent, and only once", async () => {
  const { asked, told, hear } = rig(A, B);
  await hear(A, null, listed(1, [A, B, D]));
  await hear(A, "0", listed(0, [A, B, C]));
  assertEquals([asked, told], [[], []]);
  await hear(A, "1", listed(1, [A, B, D]));
  assertEquals(asked.map(({ url, authorization }) => [url, authorization]), [[`${A}/v1/status`, "Bearer mine"]]);
  assertEquals(told, [[A, B, D]]);
  for (const node of [A, B, D]) await hear(node, "1", listed(1, [A, B, E]));
  assertEquals([asked.length, told.length], [1, 1]);
  // A member that is learned tells of the next ones; the seeds stay.
  await hear(D, "2", listed(2, [D, E, C]));
  assertEquals(told.at(-1), [A, B, D, E, C]);
  // One that is a member no more still tells who came for it.
  await hear(E, "3", listed(3, [D, C]));
  assertEquals(told.at(-1), [A, B, D, C]);
  // Who was none in the epoch before, and is none now, is as good as a stranger.
  await hear(E, "4", listed(4, [D, A]));
  assertEquals([asked.length, told.length], [4, 3]);
});

Deno.test("members: an older epoch, and another cluster, change nothing", async () => {
  const { clock, asked, told, hear } = rig(A, B);
  await hear(A, "3", listed(3, [A, B, D]));
  for (const status of [listed(2, [A, E]), listed(3, [A, E]), listed(4, [A, E], { cluster: "q-ffffffffffff" })]) {
    await clock.pass(45_000);
    await hear(A, "4", status);
  }
  assertEquals([asked.length, told], [4, [[A, B, D]]]);
});

Deno.test("members: one that is asked in vain is not asked again for half a minute; another is", async () => {
  const { clock, asked, told, hear } = rig(A, B);
  await hear(A, "1", "{", { status: 200 });
  await hear(A, "1", listed(1, [A, B, D]));
  await clock.pass(29_000);
  await hear(A, "1", listed(1, [A, B, D]));
  assertEquals([asked.length, told], [1, []]);
  await hear(B, "1", {}, { status: 401 });
  assertEquals(asked.length, 2);
  await clock.pass(16_001);
  await hear(A, "1", listed(1, [A, B, D]));
  assertEquals(told, [[A, B, D]]);
});

Deno.test("members: behind a URL that is no member's nothing is learned", async () => {
  const gateway = rig("https://gateway.example");
  await gateway.hear("https://gateway.example", "1", listed(1, [A, B, D]));
  assertEquals(gateway.told, []);
  const path = rig(`${A}/quorate`);
  await path.hear(`${A}/quorate`, "1", listed(1, [A, B, D]));
  assertEquals(path.told, []);
});

Deno.test("members: nothing worse protected than the node that names it", async () => {
  const secure = rig(A);
  await secure.hear(A, "1", listed(1, [A, "http://b.example", D, "https://127.0.0.1:8701", "https://localhost"]));
  assertEquals(secure.told, [[A, D]]);
  const more = ["127.1.2.3", "0.0.0.0:1", "[::1]:8701", "[::]", "[::ffff:7f00:1]", "x.localhost", "LOCALHOST"];
  for (const host of more) {
    const { told, hear } = rig("http://a.example");
    await hear("http://a.example", "1", listed(1, ["http://a.example", `http://${host}`, "http://d.example:8701"]));
    // A host in capitals is no origin, so the list is none.
    const expected = host === "LOCALHOST" ? [] : [["http://a.example", "http://d.example:8701"]];
    assertEquals(told, expected, host);
  }
  const local = rig("http://127.0.0.1:8701");
  const beside = ["http://127.0.0.1:8701", "http://127.0.0.1:8704", "http://b.example", D];
  await local.hear("http://127.0.0.1:8701", "1", listed(1, beside));
  assertEquals(local.told, [["http://127.0.0.1:8701", "http://127.0.0.1:8704", D]]);
});

Deno.test("members: a list with anything wrong in it is none", async () => {
  const bad: readonly (readonly [string, unknown, ResponseInit?])[] = [
    ["no JSON", "members"],
    ["null", "null"],
    ["no list", listed(1, [], { members: "a" })],
    ["nobody", listed(1, [])],
    ["too many", listed(1, [A, ...Array.from({ length: 9 }, (_, i) => `https://m${i}.example`)])],
    ["twice", listed(1, [A, A])],
    ["an id twice", listed(1, [], { members: [{ id: "a", url: A }, { id: "a", url: B }] })],
    ["no id", listed(1, [], { members: [{ url: A }] })],
    ["null in it", listed(1, [], { members: [null, { id: "a", url: A }] })],
    ["credentials", listed(1, [A, "https://me:secret@b.example"])],
    ["a path", listed(1, [A, "https://b.example/x"])],
    ["a slash", listed(1, [A, "https://b.example/"])],
    ["no http", listed(1, [A, "ftp://b.example"])],
    ["a script", listed(1, [A, "javascript:alert(1)"])],
    ["too long", listed(1, [A, `https://${"b.".repeat(300)}example`])],
    ["no text", listed(1, [A, 7])],
    ["no epoch", listed(1, [A, B], { epoch: "1" })],
    ["half an epoch", listed(1.5, [A, B])],
    ["an epoch that there never is", listed(1_000_001, [A, B])],
    ["no cluster", listed(1, [A, B], { cluster: 1 })],
    ["redirected", listed(1, [A, B]), { status: 302, headers: { location: "https://evil.example/" } }],
    ["too large", JSON.stringify(listed(1, [A, B], { reason: "x".repeat(300_000) }))],
  ];
  for (const [what, status, init] of bad) {
    const { asked, told, hear } = rig(A);
    await hear(A, "1", status, init);
    assertEquals([asked.length, told], [1, []], what);
  }
  for (const header of ["-1", "1e3", "x", "01", "99999999999999999"]) {
    const { asked, hear } = rig(A);
    await hear(A, header, listed(1, [A, B]));
    assertEquals(asked, [], header);
  }
});

Deno.test("members: a node that says nothing is given up after two seconds, and then the next one is asked", async () => {
  const { clock, asked, told, says, learned, hear } = rig(A, B);
  const headers = new Headers({ "Quorate-Epoch": "1" });
  let giveUp = () => {};
  says.answer = () => new Promise((_, reject) => giveUp = () => reject(new Error("aborted")));
  learned.note(A, headers, null);
  learned.note(B, headers, null);
  assertEquals(asked.map(({ url, authorization }) => [url, authorization]), [[`${A}/v1/status`, null]]);
  assertEquals([clock.timers, asked[0]!.signal.aborted], [1, false]);
  await clock.pass(2_000);
  assertEquals([clock.timers, asked[0]!.signal.aborted], [0, true]);
  giveUp();
  await settled();
  await hear(B, "1", listed(1, [A, B, D]));
  assertEquals(told, [[A, B, D]]);
});

/** What a client asks of nodes that are in epoch 1, with one member that it was not given. */
async function askedBy(learnMembers?: boolean): Promise<readonly string[]> {
  const asked: string[] = [];
  const fetch = (url: string) => {
    asked.push(url);
    const headers = { "Quorate-Epoch": "1" };
    const body = url.endsWith("/v1/status") ? listed(1, [A, D]) : { items: [], cursor: null };
    return Promise.resolve(Response.json(body, { headers }));
  };
  const world = {
    fetch,
    clock: { ...new ManualClock(), now: () => 0, wall: () => 0, after: () => () => {} },
    newId: () => "id",
  };
  const client = connectIn(world, A, learnMembers === undefined ? {} : { learnMembers });
  for (let i = 0; i < 2; i++) {
    await client.locks.query();
    for (let turn = 0; turn < 20; turn++) await settled();
  }
  return [...new Set(asked.map((url) => new URL(url)).map(({ origin, pathname }) => `${origin}${pathname}`))];
}

Deno.test("members: a client learns by itself, not where it is told not to, and not in a page", async () => {
  const learned = (await askedBy()).includes(`${D}/healthz`);
  const isTold = (await askedBy(false)).some((url) => url.startsWith(D) || url.endsWith("/v1/status"));
  Object.defineProperty(globalThis, "location", { value: { protocol: "https:" }, configurable: true });
  try {
    const isInPage = (await askedBy()).some((url) => url.startsWith(D) || url.endsWith("/v1/status"));
    const isAsked = (await askedBy(true)).includes(`${D}/healthz`);
    assertEquals([learned, isTold, isInPage, isAsked], [true, false, false, true]);
  } finally {
    delete (globalThis as { location?: unknown }).location;
  }
});

Deno.test("members: a direct client is told the members with their epoch, or nothing", async () => {
  const asked: Asked[] = [];
  let answer = () => Response.json(listed(2, [A, D]));
  const fetch = (url: string, { headers }: RequestInit) => {
    asked.push({ url, authorization: new Headers(headers).get("authorization") });
    return Promise.resolve(answer());
  };
  assertEquals(await directMembers({ fetch, token: "mine" }, A), { members: { n0: A, n1: D }, epoch: 2 });
  assertEquals(asked, [{ url: `${A}/v1/status`, authorization: "Bearer mine" }]);
  answer = () => new Response("{}", { status: 401 });
  assertEquals(await directMembers({ fetch }, A), null);
});
