import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { goodHistory, PLANTS, REVISION_PLANTS } from "../sim/check/register_samples.ts";
import type { HoldEvent } from "../sim/check/locks.ts";
import { eventsOf, type History, ownVerdict } from "./histories.ts";
import { judgeAll, judgeTwice } from "./judge.ts";
import { LOCK_PLANTS, planted } from "./planted.ts";
import type { Judge } from "./second_judge.ts";

const SHAPE = { clients: 3, ops: 24, unknown: 0.1, revisions: true };

function hold(fence: bigint, calledMs: number, more: Partial<HoldEvent> = {}): HoldEvent {
  const base = { lock: "x", mode: "exclusive", releasedMs: calledMs + 5 } as const;
  return { ...base, fence, calledMs, returnedMs: calledMs + 1, guaranteedUntilMs: calledMs + 9, ...more };
}

/** Right ones, a few of each kind. */
const RECORDED: readonly History[] = [
  ...[1, 2, 3, 4].map((seed): History => ({
    from: `sample ${seed}`,
    of: "register",
    events: goodHistory(seed, SHAPE),
  })),
  { from: "a lock", of: "lock", told: { leases: true, holds: [hold(1n, 0), hold(4n, 10), hold(5n, 20)], reads: [] } },
];

const right: Judge = (histories) => Promise.resolve(histories.map(ownVerdict));

async function judged(second: Judge, recorded = RECORDED) {
  const lines: string[] = [];
  return { passed: await judgeTwice(recorded, second, (line) => lines.push(line)), text: lines.join("\n") };
}

Deno.test("judge: passes two judges that agree on what is recorded, planted and altered", async () => {
  const { passed, text } = await judged(right);
  assert(passed, text);
  const planted = Number(/(\d+) planted faults: both judges find 0 right and \1 wrong/.exec(text)?.[1]);
  assert(planted >= 50, text);
  assert(/300 altered histories: both judges find [1-9]\d* right and [1-9]\d* wrong/.test(text), text);
});

Deno.test("judge: every kind of fault there is gets planted", () => {
  const kinds = new Set(planted(RECORDED, 1).map(({ from }) => from.slice(0, from.indexOf(", in "))));
  const known = [PLANTS, REVISION_PLANTS, LOCK_PLANTS].flatMap((plants) => Object.keys(plants));
  assertEquals([...kinds], known);
});

Deno.test("judge: one disagreement fails it, as do a fault that is let through and a history that is not judged", async () => {
  const disagrees: Judge = async (histories) => (await right(histories)).with(0, "illegal");
  const missed = await judged(disagrees, RECORDED.slice(0, 1));
  assertEquals(missed.passed, false);
  assertStringIncludes(missed.text, "sample 1: ok; Porcupine: illegal");
  assertStringIncludes((await judged((all) => Promise.resolve(all.map(() => "ok")))).text, "stale read, in sample 1");
  assertEquals((await judged((all) => Promise.resolve(all.map(() => "gave up")))).passed, false);
});

Deno.test("judge: two judges that agree on what is known to be wrong of them fail it", async () => {
  const [first] = RECORDED;
  assert(first?.of === "register");
  const events = first.events.map((event) => event.op === "get" ? { ...event, output: { value: "phantom" } } : event);
  const { passed, text } = await judged(right, [{ ...first, events }, ...RECORDED.slice(1)]);
  assertEquals(passed, false);
  assertStringIncludes(text, "sample 1: illegal; Porcupine: illegal");
});

Deno.test("judge: where no guarantee is given no hold of a lock excludes another, for the second judge too", () => {
  const holds = [hold(1n, 0, { releasedMs: Infinity }), hold(2n, 2)];
  const timed = eventsOf({ from: "", of: "lock", told: { leases: true, holds, reads: [] } });
  assertEquals(timed.map(({ op, input }) => [op, input["mode"]]), [
    ["take", "exclusive"],
    ["take", "exclusive"],
    ["end", undefined],
    ["end", undefined],
  ]);
  assertEquals(timed.slice(2).map(({ callMs }) => callMs), [9, 7]);
  const untimed = eventsOf({ from: "", of: "lock", told: { leases: false, holds, reads: [] } });
  assertEquals(untimed.map(({ op, input }) => [op, input["mode"]]), [["take", "shared"], ["take", "shared"]]);
});

/** A command that stands for Go: what it says to `go mod download`, and what it builds. */
async function withGo(script: string, run: (go: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-go-" });
  try {
    await Deno.writeTextFile(`${folder}/go`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    await run(`${folder}/go`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Builds this script. */
function builds(script: string): string {
  return `test "$1" = mod && exit 0
for path in "$@"; do test "$last" = -o && break; last=$path; done
printf '%s\\n' '#!/bin/sh' '${script}' > "$path"
chmod +x "$path"`;
}

async function withJudge(go: string, record: () => readonly History[] = () => RECORDED.slice(0, 1)) {
  const lines: string[] = [];
  const code = await judgeAll(() => Promise.resolve(record()), (line) => lines.push(line), go);
  return { code, text: lines.join("\n") };
}

function mustNotRecord(): never {
  throw new Error("recorded for nobody");
}

Deno.test("judge: without Go, or where its modules are not to be had, it says SKIPPED and why, and passes", async () => {
  const { code, text } = await withJudge("no-such-go", mustNotRecord);
  assertEquals([code, text], [
    0,
    "SKIPPED: the second judge is Porcupine, in Go, and there is no no-such-go on PATH",
  ]);
  await withGo("echo no network >&2; exit 1", async (go) => {
    const { code, text } = await withJudge(go, mustNotRecord);
    assertEquals([code, text], [
      0,
      "SKIPPED: the second judge is Porcupine, in Go, and its modules are not to be had: no network",
    ]);
  });
});

Deno.test("judge: a second judge that finds all right fails it, over the program's own input and output", async () => {
  await withGo(builds("while read -r line; do echo ok; done"), async (go) => {
    const { code, text } = await withJudge(go);
    assertEquals(code, 1);
    assertStringIncludes(text, "1 recorded histories: both judges find 1 right");
    assertStringIncludes(text, "stale read, in sample 1: illegal; Porcupine: ok");
  });
});

Deno.test("judge: one that does not build, dies, says too little or no verdict is no pass and not skipped", async () => {
  const broken: readonly [string, string][] = [
    ["test $1 = mod || { echo no compiler >&2; exit 2; }", "does not build: no compiler"],
    [builds("echo line 1 is none >&2; exit 1"), "ended badly: line 1 is none"],
    [builds("exit 3"), "ended badly: exit code 3"],
    [builds("exit 0"), "of 1 histories the second judge judged 0"],
    [builds("read -r line; echo perhaps"), "no verdict: perhaps"],
  ];
  for (const [script, what] of broken) {
    await withGo(script, async (go) => void await assertRejects(() => withJudge(go), Error, what));
  }
});
