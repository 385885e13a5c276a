import { assert, assertEquals } from "@std/assert";
import type { Campaign, Result } from "../../src/machine/op.ts";
import { DEDUP_WINDOW } from "../../src/limits.ts";
import { KeyLog } from "./key_log.ts";

type Asking = { value?: string; wait?: string; id?: string; subject?: string };

function campaign(log: KeyLog, candidate: string, { value, wait, id, subject }: Asking = {}): Result {
  const op: Campaign = {
    type: "campaign",
    candidate,
    ...(value === undefined ? {} : { value }),
    ttlMs: 30_000,
    ...(wait === undefined ? {} : { wait: { node: wait } }),
    atMs: 1_000,
  };
  return log.do(op, subject, id);
}

Deno.test("one leads, the others are refused or wait their turn; each leader has a larger term", () => {
  const log = new KeyLog();
  assertEquals(campaign(log, "one", { value: "10.0.0.1" }), { outcome: "granted", fence: "1025", ttlMs: 30_000 });
  assertEquals(campaign(log, "two"), { outcome: "held" });
  for (const candidate of ["two", "three"]) campaign(log, candidate, { wait: "a", value: candidate });
  assertEquals([log.state.kind, log.holders, log.waiters], ["election", ["one"], ["two", "three"]]);
  assertEquals(log.release("1025").outcome, "released");
  assertEquals([log.holders, log.hold.metadata, log.hold.unconfirmed], [["two"], "two", true]);
  assert(BigInt(log.hold.fence) > 1025n);
});

Deno.test("a leader proclaims: the value changes and a reader is told; the same value again is a renewal only", () => {
  const log = new KeyLog();
  campaign(log, "one");
  const { revision } = log.state;
  assertEquals(log.do({ type: "proclaim", fence: "1025", value: "v" }).outcome, "renewed");
  assertEquals([log.hold.metadata, log.hold.by], ["v", "a/n/2"]);
  const changed = log.state.revision;
  assert(BigInt(changed) > BigInt(revision));
  log.do({ type: "proclaim", fence: "1025", value: "v" });
  log.do({ type: "proclaim", fence: "1025" });
  assertEquals([log.state.revision, log.hold.metadata, log.hold.by], [changed, "v", "a/n/4"]);
  assertEquals(log.do({ type: "proclaim", fence: "1025", ttlMs: 5_000, value: "" }), {
    outcome: "renewed",
    fence: "1025",
    ttlMs: 5_000,
  });
  assertEquals(log.hold.metadata, "");
});

Deno.test("a hold has its fields in one order, whether its value came with the campaign or later", () => {
  const early = new KeyLog();
  campaign(early, "one", { value: "v" });
  early.do({ type: "proclaim", fence: "1025" });
  const late = new KeyLog();
  campaign(late, "one");
  late.do({ type: "proclaim", fence: "1025", value: "v" });
  const text = (log: KeyLog) => JSON.stringify({ ...log.hold, command: "" });
  assertEquals(text(late), text(early));
});

Deno.test("who lost, never led or is somebody else proclaims nothing", () => {
  const log = new KeyLog();
  campaign(log, "one", { value: "v" });
  assertEquals(log.do({ type: "proclaim", fence: "1025", value: "x" }, "thief").outcome, "lost");
  assertEquals(log.do({ type: "proclaim", fence: "9999", value: "x" }).outcome, "never-granted");
  assertEquals(log.hold.metadata, "v");
  log.lapse("f:1025");
  assertEquals(log.do({ type: "proclaim", fence: "1025", value: "x" }).outcome, "lost");
  assertEquals(log.holders, []);
});

Deno.test("a value the row has no room for is refused, and the leader keeps the one it had", () => {
  const log = new KeyLog();
  campaign(log, "one", { value: "v" });
  assertEquals(log.do({ type: "proclaim", fence: "1025", value: "x".repeat(60_000) }), { outcome: "too-large" });
  assertEquals(log.hold.metadata, "v");
});

Deno.test("a campaign asked again is answered by its leadership, though the window has forgotten it and the value changed", () => {
  const log = new KeyLog();
  campaign(log, "one", { value: "v", id: "k" });
  log.do({ type: "proclaim", fence: "1025", value: "w" });
  for (let i = 0; i <= DEDUP_WINDOW; i++) log.do({ type: "proclaim", fence: "1025" });
  const again = { type: "campaign", candidate: "one", value: "v", ttlMs: 30_000, atMs: 1 } as const;
  assertEquals(log.one({ subject: "s", id: "k", born: 1, op: again }).outcome, "granted");
  const other = { ...again, candidate: "two" };
  assertEquals(log.one({ subject: "s", id: "k", born: 1, op: other }).outcome, "idempotency-mismatch");
});
