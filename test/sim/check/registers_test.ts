import { assert, assertEquals, assertThrows } from "@std/assert";
import { seededRandomness } from "../virtual_time.ts";
import type { HistoryEvent } from "./history_lines.ts";
import { goodHistory, PLANTS, REVISION_PLANTS, type SampleOptions } from "./register_samples.ts";
import { judgeRegister, registerFaults } from "./registers.ts";

const SHAPES: readonly SampleOptions[] = [
  { clients: 2, ops: 40, unknown: 0, revisions: false },
  { clients: 4, ops: 80, unknown: 0.1, revisions: false },
  { clients: 6, ops: 60, unknown: 0.2, revisions: true },
  { clients: 7, ops: 100, unknown: 0.05, revisions: false },
  { clients: 20, ops: 200, unknown: 0.1, revisions: true },
  { clients: 60, ops: 400, unknown: 0.05, revisions: true },
];

Deno.test("registers: 300 good histories, unknown outcomes and dead clients among them, raise no alarm", () => {
  let unknown = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const events = goodHistory(seed, SHAPES[seed % SHAPES.length]!);
    unknown += events.filter(({ output }) => output === "unknown").length;
    assertEquals(registerFaults(events), [], `seed ${seed}`);
  }
  assert(unknown > 300);
});

Deno.test("registers: each of more than 300 planted faults is found", () => {
  let planted = 0;
  const missed: string[] = [];
  const plant = (name: string, events: HistoryEvent[] | null) => {
    if (events === null) return;
    planted++;
    // Wrong by construction, so a search that gives up would be one that has missed it.
    if (judgeRegister(events).type !== "violation") missed.push(name);
  };
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandomness(seed);
    for (const [name, make] of Object.entries(PLANTS)) {
      const shape = SHAPES[(seed + planted) % 4]!;
      plant(`${name}, seed ${seed}`, make(goodHistory(seed, { ...shape, revisions: false }), random));
    }
    for (const [name, make] of Object.entries(REVISION_PLANTS)) {
      const shape = { clients: seed % 2 === 0 ? 4 : 30, ops: 60, unknown: 0.1, revisions: true };
      plant(`${name}, seed ${seed}`, make(goodHistory(seed, shape), random));
    }
  }
  assert(planted >= 300, `${planted}`);
  assertEquals(missed, []);
});

/** Every order there is, without any memory: too slow for more than a handful, and plainly right. */
function isExplained(events: readonly HistoryEvent[], value: string | null = null): boolean {
  if (events.every(({ output }) => output === "unknown")) return true;
  return events.some((event) => {
    if (events.some((other) => other.returnMs !== null && other.returnMs < event.callMs)) return false;
    const rest = events.filter((other) => other !== event);
    const { op, input, output } = event;
    const known = output === "unknown" ? null : output;
    if (op === "get") return (known === null || known["value"] === value) && isExplained(rest, value);
    if (op === "put") return isExplained(rest, input["value"] as string);
    if (op === "delete") return isExplained(rest, null);
    const holds = input["expect"] === value;
    if (known === null) return isExplained(rest, holds ? input["value"] as string : value);
    if (known["ok"] !== holds) return false;
    return isExplained(rest, holds ? input["value"] as string : value);
  });
}

Deno.test("registers: agrees with the search of every order on 4,000 small histories, right and wrong", () => {
  const counts = { right: 0, wrong: 0 };
  for (let seed = 1; seed <= 4_000; seed++) {
    const random = seededRandomness(seed);
    const values = [null, "a", "b", "c"];
    const events = ["a", "b", "c"].slice(0, 1 + random.below(3)).map((value): HistoryEvent => {
      const cas = random.chance(0.5);
      return {
        ...span(random.next() * 30, random.next() * 20, random.chance(0.25), value),
        op: cas ? "cas" : "put",
        input: cas ? { expect: random.pick(values), value } : { value },
        ...(cas && random.chance(0.3) ? { output: { ok: false } } : {}),
      };
    }).map((event) => event.returnMs === null ? { ...event, output: "unknown" as const } : event);
    for (let i = random.below(4); i > 0; i--) {
      const at = span(random.next() * 40, random.next() * 15, false, `g${i}`);
      events.push({ ...at, op: "get", output: { value: random.pick(values) } });
    }
    if (random.chance(0.2)) events.push({ ...span(random.next() * 30, 5, false, "d"), op: "delete" });
    const right = isExplained(events);
    counts[right ? "right" : "wrong"]++;
    assertEquals(judgeRegister(events).type, right ? "linearizable" : "violation", JSON.stringify(events));
  }
  assert(counts.right > 500 && counts.wrong > 500, JSON.stringify(counts));
});

function span(callMs: number, ms: number, isUnknown: boolean, process: string): HistoryEvent {
  const base = { process, key: "r", op: "put", input: {}, callMs };
  if (isUnknown) return { ...base, output: "unknown", returnMs: null };
  return { ...base, output: base.op === "put" ? { ok: true } : {}, returnMs: callMs + ms };
}

Deno.test("registers: what cannot be judged is no pass", () => {
  const writes = Array.from({ length: 12 }, (_, i) => ({ ...span(0, 100, false, `p${i}`), input: { value: `v${i}` } }));
  const read = { ...span(200, 1, false, "r"), op: "get", output: { value: "phantom" } };
  assertEquals(judgeRegister([...writes, read], { statesMax: 500 }), { type: "gave-up", states: 501 });
  assertEquals(registerFaults([...writes, read], { statesMax: 500 }), ["r: not judged within 501 states"]);
});

Deno.test("registers: keys count apart, and what is no operation of a register is said", () => {
  const put = { ...span(0, 1, false, "p"), input: { value: "x" } };
  const get = { ...span(2, 1, false, "p"), op: "get", output: { value: null } };
  assertEquals(registerFaults([put, { ...get, key: "other" }]), []);
  assertEquals(registerFaults([put, get]).length, 1);
  assertThrows(() => registerFaults([{ ...put, op: "incr" }]), Error, "incr is no operation of a register");
  assertThrows(() => registerFaults([{ ...put, op: "cas", input: { value: "x" } }]), Error, "what it expects");
  assertThrows(
    () => registerFaults([{ ...put, op: "cas", input: { expect: null, value: "x" }, output: {} }]),
    Error,
    "says whether it was ok",
  );
  const named = { ...put, op: "cas", input: { value: "x", ifRevision: "7" } };
  assertThrows(() => registerFaults([named]), Error, "no answer tells one");
});
