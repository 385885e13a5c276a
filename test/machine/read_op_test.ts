import { assertEquals } from "@std/assert";
import { readOp } from "../../src/machine/read_op.ts";
import { contentOf, KeyLog, machine } from "./key_log.ts";

const acquire = { type: "acquire", holder: "h", mode: "shared", ttlMs: 1, lockDelayMs: 0, atMs: 0 };

const take = { type: "take", limit: 3, permits: 2, holder: "h", ttlMs: 1, lockDelayMs: 0, atMs: 0 };
const campaign = { type: "campaign", candidate: "c", ttlMs: 1, atMs: 0 };
const endSession = { type: "end-session", session: "S", instance: 7, how: "lapsed", atMs: 0 };
const put = { type: "put", bytes: "", contentType: "text/plain" };

Deno.test("what is no op is null, whatever it is", () => {
  const junk: unknown[] = [null, undefined, 7, "acquire", [], {}, { type: "fly" }, { type: 7 }, { type: "acquire" }];
  for (
    const [field, value] of [["ttlMs", 0], ["ttlMs", 1.5], ["ttlMs", NaN], ["mode", "both"], ["holder", 7]] as const
  ) {
    junk.push({ ...acquire, [field]: value });
  }
  junk.push({ ...acquire, wait: {} }, { ...acquire, wait: "a" }, { ...acquire, metadata: 7 }, { ...acquire, atMs: -1 });
  junk.push({ type: "renew", fence: 1025 }, { type: "renew", fence: "1;x" }, { type: "renew", fence: "1", ttlMs: 0 });
  junk.push({ type: "release", fence: "1025" }, { type: "force", atMs: 1 }, { type: "leave", atMs: 1 });
  junk.push({ type: "keep-places", places: [7] }, { type: "keep-places", places: "x" });
  for (const more of [{ limit: 0 }, { limit: 1.5 }, { permits: 0 }, { permits: 4 }, { holder: 7 }, { wait: {} }]) {
    junk.push({ ...take, ...more });
  }
  junk.push({ ...campaign, candidate: 7 }, { ...campaign, value: 7 }, { ...campaign, ttlMs: 0 }, {
    ...campaign,
    wait: 1,
  });
  junk.push({ type: "proclaim", fence: "x" }, { type: "proclaim", fence: "1", value: 7 });
  junk.push({ type: "release", fence: "1", by: 7, atMs: 0 }, { ...acquire, set: 7 });
  for (const more of [{ bytes: 7 }, { contentType: 7 }, { ttlMs: 0 }, { ifMatch: "*" }, { ifMatch: [7] }]) {
    junk.push({ ...put, ...more });
  }
  junk.push({ ...put, fence: 7 }, { ...put, fence: "01" }, { type: "delete", ifNoneMatch: "*" });
  for (const [field, value] of [["session", 7], ["session", null]] as const) {
    junk.push(...[acquire, take, campaign, put].map((op) => ({ ...op, [field]: value })));
  }
  junk.push({ ...put, session: "S", ttlMs: 5 }, { type: "open", holder: "h" }, { type: "open", ttlMs: 5 });
  junk.push({ type: "open", holder: "h", ttlMs: 0 }, { type: "bind" }, { type: "bind", key: 7 }, { type: "unbind" });
  junk.push(...[[7], ["k"], [["k"]], [["k", -1]], [[7, 1]], [["k", 1, 2]]].map((names) => ({ type: "unbind", names })));
  for (const more of [{ session: 7 }, { instance: 0 }, { how: "died" }, { atMs: -1 }, { instance: undefined }]) {
    junk.push({ ...endSession, ...more });
  }
  for (const op of junk) assertEquals(readOp(op), null, JSON.stringify(op));
});

Deno.test("fields come out in one order, and unknown ones not at all", () => {
  const { type, holder, ...rest } = { ...acquire, metadata: "m", wait: { node: "b", more: 1 }, extra: 1 };
  const shuffled = { ...rest, holder, type };
  const expected = '{"type":"acquire","holder":"h","mode":"shared","ttlMs":1,"wait":{"node":"b"},"lockDelayMs":0,' +
    '"metadata":"m","atMs":0}';
  assertEquals(JSON.stringify(readOp(shuffled)), expected);
});

Deno.test("each op with every field it may have reads as itself", () => {
  const whole = [
    { ...acquire, metadata: "m", set: "d", wait: { node: "b" } },
    { ...take, metadata: "m", wait: { node: "b" } },
    { ...campaign, value: "v", wait: { node: "b" } },
    { type: "renew", fence: "1025", ttlMs: 5 },
    { type: "proclaim", fence: "1025", ttlMs: 5, value: "" },
    { type: "release", fence: "1025", by: "a/n/1", atMs: 1 },
    { ...put, ttlMs: 5, ifMatch: ["1025"], ifNoneMatch: ["*"], fence: "7" },
    { type: "delete", ifMatch: ["*"], ifNoneMatch: [], fence: "0" },
    ...[acquire, take, campaign, put].map((op) => ({ ...op, session: "S" })),
    { type: "open", holder: "h", ttlMs: 5 },
    { type: "keep" },
    { type: "bind", key: "lock/x" },
    { type: "unbind", names: [["lock/x", 3]] },
    { type: "close" },
    endSession,
  ];
  for (const op of whole) assertEquals(readOp(op) as unknown, op);
});

Deno.test("an op of another noun than the key's says so and changes nothing", () => {
  const nouns = {
    lock: acquire,
    semaphore: take,
    election: campaign,
    register: put,
    session: { type: "open", holder: "h", ttlMs: 5 },
  };
  for (const [kind, first] of Object.entries(nouns)) {
    const log = new KeyLog();
    log.one({ subject: "s", id: "first", born: 1, op: first });
    assertEquals(log.state.kind, kind);
    const before = log.state;
    for (const [other, op] of Object.entries({ ...nouns, register: { type: "delete" } })) {
      if (other === kind) continue;
      const command = { subject: "t", id: `${kind} ${other}`, born: 2, op };
      assertEquals(log.one(command), { outcome: "unknown-op" });
      assertEquals(machine.resultOf(log.state, command), { outcome: "unknown-op" });
    }
    assertEquals(contentOf(log.state), contentOf(before));
  }
  const log = new KeyLog();
  log.one({ subject: "s", id: "first", born: 1, op: put });
  assertEquals(log.release("1025"), { outcome: "unknown-op" });
  assertEquals(log.do({ type: "keep-places", places: [] }, "a"), { outcome: "kept" });
});

Deno.test("an unknown op in a value says so and changes nothing; the rest of the value is applied", () => {
  const log = new KeyLog();
  const fly = { subject: "s", id: "x", born: 1, op: { type: "fly" } };
  const [first, second] = log.decide([fly, log.ask("h")]);
  assertEquals([first?.outcome, second?.outcome], ["unknown-op", "granted"]);
  assertEquals(log.hold.fence, "1025");
  assertEquals(machine.resultOf(log.state, fly), { outcome: "unknown-op" });
});
