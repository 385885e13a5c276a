import { assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { RaisedMachine } from "../../src/replica/raised_machine.ts";
import { Raising, type RaisingParts } from "../../src/service/raising.ts";
import { MACHINE_OF_ALL } from "../../src/version.ts";
import { ManualClock } from "../transport/manual_clock.ts";

const machine = createMachine({ digest: sha256Hex });
const OLD = MACHINE_OF_ALL;
const NEW = OLD + 2;
const own = { version: "2.0.0", wires: { least: 5, most: 6 }, machine: NEW };
const mark = (boot: number) => ({ incarnation: "i", boot, run: "r", seq: 1 });

function setUp(
  knows: Readonly<Record<string, number>>,
  {
    silent = [] as string[],
    boots = {} as Record<string, number>,
    outcome = "written",
    learners = [] as string[],
    isMoving = false,
    isFirstEpoch = true,
  } = {},
) {
  const raised = new RaisedMachine(own, () => {});
  const submitted: string[] = [];
  const clock = new ManualClock();
  const raising = new Raising(
    {
      me: "a",
      members: ["a", "b", "c"],
      learners,
      raised,
      isMoving: () => isMoving,
      isFirstEpoch,
      versions: {
        own,
        of: (id) => knows[id] === undefined ? null : { version: "2.0.0", machine: knows[id] },
        wireTo: () => 6,
      },
      peers: { voting: () => Promise.resolve(new Set()), isReachable: (id) => !silent.includes(id) },
      submitters: {
        submit: (key, { subject, id, op }) => {
          submitted.push(`${subject} ${id} ${key} ${JSON.stringify(op)}`);
          const isThere = outcome === "written" || outcome === "precondition-failed";
          const value = { id: "v", proposer: "a", commands: isThere ? [{ subject, id, born: 0, op }] : [] };
          const state = machine.apply(machine.init({ kind: "prepare" }), 1, value);
          return Promise.resolve({ result: { outcome }, state } as never);
        },
      },
      store: {
        isShared: false,
        identity: () => ({ boot: boots["a"] ?? 1 }) as never,
        recall: (id) => Promise.resolve(boots[id] === undefined ? null : mark(boots[id])),
      },
      clock,
    } satisfies RaisingParts,
  );
  return { raising, raised, submitted, clock };
}

const op = (version: number) =>
  JSON.stringify({
    type: "put",
    bytes: btoa(`{"machine":${version}}`),
    contentType: "application/json",
    ifNoneMatch: ["*"],
  });

Deno.test("raising: once all nodes know it, each version up to it is decided in turn, and a second time nothing is", async () => {
  for (const outcome of ["written", "precondition-failed"]) {
    const { raising, raised, submitted } = setUp({ b: NEW, c: NEW + 1 }, { outcome });
    assertEquals(await raising.raise(1_000), { machine: NEW, before: OLD });
    assertEquals(submitted, [OLD + 1, NEW].map((v) => `cluster machine-${v} cluster/machine/${v} ${op(v)}`));
    assertEquals(raised.most, NEW);
    assertEquals(await raising.raise(1_000), { machine: NEW, before: NEW });
    assertEquals(submitted.length, 2);
  }
});

Deno.test("raising: not while names move from members that left, who may know less and have to say what they hold", async () => {
  const { raising, submitted } = setUp({ b: NEW, c: NEW }, { isMoving: true });
  assertEquals((await assertRejects(() => raising.raise(1_000), QuorateError)).code, "not-ready");
  assertEquals(submitted, []);
});

Deno.test("raising: refused while a member or a learner knows less, says nothing or does not answer; nothing is decided", async () => {
  const cases = [
    [setUp({ b: NEW, c: OLD }), ["c"], `c knows up to ${OLD}`],
    [setUp({ b: NEW }), ["c"], "c does not answer"],
    [setUp({ b: NEW, c: NEW }, { silent: ["b"] }), ["b"], "b does not answer"],
    [setUp({ b: NEW, c: NEW, f: OLD }, { learners: ["f"] }), ["f"], `f knows up to ${OLD}`],
  ] as const;
  for (const [{ raising, raised, submitted }, behind, words] of cases) {
    const error = await assertRejects(() => raising.raise(1_000), QuorateError, words);
    assertEquals([error.code, error.facts.more], ["not-upgraded", { behind }]);
    assertEquals([submitted, raised.decided], [[], OLD]);
  }
});

Deno.test("raising: what is answered strangely raises nothing", async () => {
  const { raising, raised } = setUp({ b: NEW, c: NEW }, { outcome: "unknown-op" });
  await assertRejects(() => raising.raise(1_000), QuorateError, "came to unknown-op");
  assertEquals(raised.decided, OLD);
});

Deno.test("raising: a cluster of which nobody was started again is raised by itself, any other is not", async () => {
  const all = { b: NEW, c: NEW };
  const cases = [
    [{ b: 1, c: 1 }, NEW],
    [{ b: 1, c: 2 }, OLD],
    [{ a: 2, b: 1, c: 1 }, OLD],
    // c was not heard yet.
    [{ b: 1 }, OLD],
  ] as const;
  for (const [boots, expected] of cases) {
    const { raising, raised, clock } = setUp(all, { boots });
    raising.raiseIfFresh();
    for (let i = 0; i < 5; i++) await clock.pass(1_000);
    assertEquals(raised.decided, expected, JSON.stringify(boots));
    raising.close();
    assertEquals(clock.timers, 0);
  }
});

Deno.test("raising: a new cluster waits for the last of its members, and not for ever", async () => {
  const knows: Record<string, number> = { b: NEW };
  const { raising, raised, clock } = setUp(knows, { boots: { b: 1, c: 1 } });
  raising.raiseIfFresh();
  await clock.pass(3_000);
  assertEquals([raised.decided, clock.timers], [OLD, 1]);
  knows["c"] = NEW;
  await clock.pass(1_000);
  assertEquals(raised.decided, NEW);

  const never = setUp({}, { boots: { b: 1, c: 1 } });
  never.raising.raiseIfFresh();
  for (let i = 0; i < 100; i++) await never.clock.pass(1_000);
  assertEquals([never.raised.decided, never.clock.timers], [OLD, 0]);
});

Deno.test("raising: a cluster whose members have changed is not new, though none of them was started again", async () => {
  const { raising, raised, clock } = setUp({ b: NEW, c: NEW }, { boots: { b: 1, c: 1 }, isFirstEpoch: false });
  raising.raiseIfFresh();
  await clock.pass(3_000);
  assertEquals(raised.decided, OLD);
  raising.close();
});
