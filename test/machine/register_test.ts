import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { KV_VALUE_MAX_BYTES, ROW_MAX_BYTES } from "../../src/limits.ts";
import type { Put } from "../../src/machine/op.ts";
import { jsonBytes } from "../../src/machine/size.ts";
import { viewRegister } from "../../src/machine/view.ts";
import { KeyLog, machine } from "./key_log.ts";

const TEXT = "text/plain";
const put = (bytes: string, more: Partial<Put> = {}): Put => ({ type: "put", bytes, contentType: TEXT, ...more });

Deno.test("a value is put, put anew and deleted; its revision grows and outlives it", () => {
  const log = new KeyLog();
  assertEquals(log.do(put("QQ==")), { outcome: "written", revision: "1025" });
  assertEquals(viewRegister(log.state), { value: { bytes: "QQ==", contentType: TEXT }, revision: "1025" });
  assertEquals(log.do(put("QQ==")), { outcome: "written", revision: "2049" });
  assertEquals(log.do({ type: "delete" }), { outcome: "deleted", revision: "3073" });
  assertEquals(log.do({ type: "delete" }), { outcome: "absent", revision: "3073" });
  assertEquals(viewRegister(log.state), { value: null, revision: "3073" });
  assertEquals(log.do(put("Qg==")), { outcome: "written", revision: "5121" });
});

Deno.test("a register nobody wrote: absent, and nothing becomes of it", () => {
  const log = new KeyLog();
  assertEquals(log.do({ type: "delete" }), { outcome: "absent", revision: "0" });
  assertEquals(log.do(put("QQ==", { ifMatch: ["*"] })), { outcome: "precondition-failed", revision: "0" });
  assertEquals([log.state.kind, log.state.register], ["unused", undefined]);
});

Deno.test("conditions are on the value there is, and a tombstone is none", () => {
  const log = new KeyLog();
  const failed = (revision: string) => ({ outcome: "precondition-failed", revision }) as const;
  assertEquals(log.do(put("QQ==", { ifNoneMatch: ["*"] })).outcome, "written");
  assertEquals(log.do(put("QQ==", { ifNoneMatch: ["*"] })), failed("1025"));
  assertEquals(log.do(put("QQ==", { ifMatch: ["1", "2049"] })), failed("1025"));
  assertEquals(log.do({ type: "delete", ifMatch: ["7"] }), failed("1025"));
  assertEquals(log.do(put("QQ==", { ifNoneMatch: ["1025"] })), failed("1025"));
  assertEquals(log.do(put("Qg==", { ifNoneMatch: ["7"], ifMatch: ["7", "1025"] })).outcome, "written");
  const { revision } = log.state;
  assertEquals(log.do({ type: "delete", ifMatch: [revision] }).outcome, "deleted");
  assertEquals(log.do(put("QQ==", { ifMatch: [log.state.revision] })), failed("0"));
  assertEquals(log.do(put("QQ==", { ifMatch: [] })), failed("0"));
  assertEquals(log.do(put("QQ==", { ifNoneMatch: ["*"] })).outcome, "written");
});

Deno.test("of two writers that saw the same revision one writes", () => {
  const log = new KeyLog();
  log.do(put("QQ=="));
  const both = log.decide(["Qg==", "Qw=="].map((bytes) => log.command(put(bytes, { ifMatch: ["1025"] }))));
  assertEquals(both, [{ outcome: "written", revision: "2049" }, { outcome: "precondition-failed", revision: "2049" }]);
});

Deno.test("a fence once seen shuts out lower ones: through deletion, refusals and writes without any", () => {
  const log = new KeyLog();
  const late = { outcome: "fence-too-low", fence: "20" } as const;
  assertEquals(log.do(put("QQ==", { fence: "9" })).outcome, "written");
  assertEquals(log.do(put("QQ==", { fence: "20" })).outcome, "written");
  assertEquals(log.do(put("Qg==", { fence: "9" })), late);
  assertEquals(log.do({ type: "delete", fence: "19" }), late);
  assertEquals(log.do(put("QQ==", { fence: "20" })).outcome, "written");
  assertEquals(log.do({ type: "delete", fence: "20" }).outcome, "deleted");
  assertEquals(log.do(put("Qg==", { fence: "9" })), late);
  assertEquals(log.do(put("Qg==")).outcome, "written");
  // Refused for its condition, and seen all the same; also by a register that nobody has written.
  const fresh = new KeyLog();
  assertEquals(fresh.do(put("QQ==", { fence: "20", ifMatch: ["*"] })).outcome, "precondition-failed");
  assertEquals(fresh.do(put("QQ==", { fence: "9" })), late);
  assertEquals(fresh.do({ type: "delete", fence: "21" }), { outcome: "absent", revision: "0" });
  assertEquals(fresh.state.register, { value: null, fence: "21" });
});

Deno.test("an ephemeral value has a lease, is kept alive without a change, and ends by a claim that names it", () => {
  const log = new KeyLog();
  log.do(put("QQ==", { ttlMs: 5_000 }));
  const [first] = machine.leases(log.state);
  assertEquals(first, { id: "value", by: "a/n/1", ttlMs: 5_000 });
  assertEquals(log.do(put("QQ==", { ttlMs: 5_000 })), { outcome: "written", revision: "1025" });
  assertEquals(machine.leases(log.state)[0]?.by, "a/n/2");
  log.lapse("value", "a/n/1");
  assert(viewRegister(log.state).value !== null, "the lease was renewed since");
  log.lapse("value");
  assertEquals(viewRegister(log.state), { value: null, revision: "4097" });
  assertEquals(machine.leases(log.state), []);
  log.lapse("value", "a/n/2");
  assertEquals(log.state.revision, "4097");
});

Deno.test("another value, type or time to live is a change; without one it stays for good", () => {
  const log = new KeyLog();
  log.do(put("QQ==", { ttlMs: 5_000 }));
  const news = [{ bytes: "Qg==" }, { contentType: "text/html" }, { ttlMs: 6_000 }] as const;
  for (const more of news) {
    const { revision } = log.state;
    log.do(put("QQ==", { ttlMs: 5_000, ...more }));
    assert(log.state.revision !== revision, JSON.stringify(more));
    log.do(put("QQ==", { ttlMs: 5_000 }));
  }
  const { revision } = log.state;
  log.do(put("QQ=="));
  assert(log.state.revision !== revision);
  assertEquals(machine.leases(log.state), []);
});

Deno.test("the largest value that a request may bring fits, and what the row has no room for is refused", () => {
  const log = new KeyLog();
  const largest = put("x".repeat(Math.ceil(KV_VALUE_MAX_BYTES / 3) * 4), {
    contentType: '"'.repeat(256),
    ttlMs: 3_600_000,
    fence: "9".repeat(20),
  });
  for (let i = 0; i < 100; i++) assertEquals(log.do(largest).outcome, "written");
  assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
  const before = log.state.register;
  assertEquals(log.do(put("x".repeat(ROW_MAX_BYTES))), { outcome: "too-large" });
  assertEquals(log.state.register, before);
});
