import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import {
  COMMANDS_PER_VALUE,
  DEDUP_WINDOW,
  WINDOW_INSTANCES,
  WINDOW_MAX_BYTES,
  WINDOW_SUBJECTS,
} from "../../src/limits.ts";
import type { Command } from "../../src/paxos/message.ts";
import { digest, KeyLog, machine } from "./key_log.ts";
import { MACHINE_VERSION } from "../../src/version.ts";

const KEPT = DEDUP_WINDOW + WINDOW_INSTANCES;

function put(log: KeyLog, bytes: string, subject = "s", id?: string): Command {
  return log.command({ type: "put", bytes, contentType: "t/t" }, subject, id);
}

/** So many values of a full batch each, all of one subject. */
function flood(log: KeyLog, instances: number, subject: string): void {
  for (let i = 0; i < instances; i++) {
    log.decide(Array.from({ length: COMMANDS_PER_VALUE }, (_, j) => put(log, `${i}.${j}`, subject)));
  }
}

Deno.test("window: all commands of the last four instances are known, and 32 of before at most", () => {
  const log = new KeyLog();
  const sent: Command[][] = [];
  for (let i = 0; i < 8; i++) {
    sent.push(Array.from({ length: 20 }, (_, j) => put(log, `${i}.${j}`)));
    log.decide(sent.at(-1)!);
    const recent = sent.slice(-WINDOW_INSTANCES).flat();
    for (const command of recent) assertEquals(machine.resultOf(log.state, command)?.outcome, "written");
    assertLessOrEqual(log.state.window.length, WINDOW_INSTANCES * 20 + DEDUP_WINDOW);
  }
  for (const command of sent[0]!) assertEquals(machine.resultOf(log.state, command)?.outcome, "expired-command");
});

Deno.test("window: a calm name keeps its last 36 commands, however long ago they were", () => {
  const log = new KeyLog();
  const sent = Array.from({ length: KEPT + 5 }, (_, i) => {
    const command = put(log, `${i}`);
    log.one(command);
    return command;
  });
  const outcomes = sent.map((command) => machine.resultOf(log.state, command)?.outcome);
  assertEquals(outcomes.filter((outcome) => outcome === "written").length, KEPT);
  assertEquals(outcomes.slice(0, 5), Array(5).fill("expired-command"));
});

Deno.test("window: it is never larger than its bytes, and a command is expired or known but never taken for new", () => {
  const log = new KeyLog();
  const sent: Command[] = [];
  for (let i = 0; i < 12; i++) {
    const batch = Array.from({ length: COMMANDS_PER_VALUE }, (_, j) => put(log, `${i}.${j}`, `s${j % 7}`));
    sent.push(...batch);
    log.decide(batch);
    assertLessOrEqual(JSON.stringify(log.state.window).length, WINDOW_MAX_BYTES + 2);
    for (const command of sent) assert(machine.resultOf(log.state, command) !== null, `${i}`);
    for (const command of batch) assertEquals(machine.resultOf(log.state, command)?.outcome, "written");
  }
});

Deno.test("window: a subject's flood pushes out its own commands, not a neighbour's", () => {
  const log = new KeyLog();
  const mine = put(log, "mine", "neighbour");
  const result = log.one(mine);
  flood(log, 10, "loud");
  assertEquals(machine.resultOf(log.state, mine), result);
  // What the neighbour has sent and was not applied is known not to be, for its own floor has not risen.
  const late = { ...put(log, "late", "neighbour"), born: 1 };
  assertEquals(machine.resultOf(log.state, late), null);
  assertEquals(machine.resultOf(log.state, { ...late, subject: "loud" })?.outcome, "expired-command");
});

Deno.test("window: renewals, releases, leaves and keep-alives push nothing out", () => {
  const log = new KeyLog();
  const ask = log.ask("holder");
  const granted = log.one(ask);
  assert(granted.outcome === "granted");
  const { fence } = granted;
  log.one(log.ask("waits", { wait: "a", id: "w" }));
  for (let i = 0; i < 200; i++) {
    log.renew(fence);
    log.do({ type: "release", fence: "1", atMs: 1 });
    log.do({ type: "leave", place: "none", atMs: 1 });
  }
  assert(machine.lookup(log.state, "s", ask.id) !== null);
  assertLessOrEqual(log.state.window.length, 2 + WINDOW_INSTANCES);
});

Deno.test("window: a renewal is known for four instances, and a copy that comes later still changes nothing", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const old = log.command({ type: "renew", fence, ttlMs: 1_000 });
  log.one(old);
  for (let i = 0; i < WINDOW_INSTANCES; i++) {
    assertEquals(machine.resultOf(log.state, old), { outcome: "renewed", fence, ttlMs: 1_000 });
    log.renew(fence, 60_000);
  }
  const { hold } = log;
  assertEquals(log.one(old), { outcome: "expired-command" });
  assertEquals(log.hold, hold);
});

Deno.test("window: a leader's value is a write: said again late it undoes no newer one", () => {
  const log = new KeyLog();
  const campaign = log.command({ type: "campaign", candidate: "c", ttlMs: 30_000, atMs: 0 });
  log.one(campaign);
  const fence = log.state.lastFence;
  const first = log.command({ type: "proclaim", fence, value: "old" });
  log.one(first);
  log.do({ type: "proclaim", fence, value: "new" });
  for (let i = 0; i < 3 * DEDUP_WINDOW; i++) log.do({ type: "proclaim", fence });
  log.one(first);
  assertEquals(log.hold.metadata, "new");
});

Deno.test("window: floors of more subjects than are kept become one for all that are forgotten", () => {
  const log = new KeyLog();
  for (let i = 0; i < WINDOW_SUBJECTS + 3; i++) flood(log, 3, `subject${i}`);
  assertEquals(log.state.floors?.length, WINDOW_SUBJECTS);
  const forgotten = { ...put(log, "x", "subject0"), born: 1 };
  assertEquals(machine.resultOf(log.state, forgotten)?.outcome, "expired-command");
  assertEquals(machine.resultOf(log.state, { ...put(log, "y", "subject0") }), null);
});

Deno.test("window: what was refused for now may be asked again; a copy of the first asking is refused still", () => {
  const log = new KeyLog();
  const fence = log.grant("h");
  const refused = log.ask("i");
  assertEquals(log.one(refused), { outcome: "held" });
  log.release(fence);
  assertEquals(log.one(refused), { outcome: "held" });
  assertEquals(log.holders, []);
  const again = { ...refused, born: log.instance + 1 };
  assertEquals(log.one(again).outcome, "granted");
  assertEquals(log.one(again).outcome, "granted");
  assertEquals(log.holders, ["i"]);
});

Deno.test("version 1 to 2: raised by a value, never before, and what the window held is still known", () => {
  const log = new KeyLog(1);
  const sent = Array.from({ length: 40 }, (_, i) => put(log, `${i}`));
  for (const command of sent) log.one({ ...command, born: log.instance + 1 });
  assertEquals(log.state.version, 1);
  const known = sent.filter(({ subject, id }) => machine.lookup(log.state, subject, id) !== null);
  assertEquals(known.length, DEDUP_WINDOW + 1);
  const before = log.state;
  log.decide([], { machine: 2 });
  assertEquals(log.state.version, 2);
  assertEquals(log.state.evicted, before.evicted);
  for (const command of known) assert(machine.lookup(log.state, command.subject, command.id) !== null);
  for (const { subject, id } of sent.filter((command) => !known.includes(command))) {
    const late = { subject, id, born: 1, op: sent[0]!.op };
    assertEquals(machine.resultOf(log.state, late)?.outcome, "expired-command");
  }
  // The same value applied to the same state is the same everywhere, whoever kept it in which form.
  assertEquals(machine.hash(JSON.parse(JSON.stringify(log.state))), machine.hash(log.state));
  assertEquals(digest(JSON.stringify(log.state)).slice(0, 32), machine.hash(log.state));
});

Deno.test("a value of a version that this machine does not know is not applied", () => {
  const log = new KeyLog();
  let failed = false;
  try {
    log.decide([], { machine: MACHINE_VERSION + 1 });
  } catch {
    failed = true;
  }
  assert(failed);
});
