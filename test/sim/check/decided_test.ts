import { assertEquals } from "@std/assert";
import { nameOfCommand } from "./decided.ts";
import { acquire, others, plant, planted, put, release, SUBJECT } from "./planted.ts";

Deno.test("DecidedLog.story: a command found in the window had one effect, one beyond it two", () => {
  const effects = (between: number) => {
    const log = planted("kv/x", [[["a", put("a")]], ...others(between), [["a", put("a")]]]);
    return log.story("kv/x").commands.get(`${SUBJECT} a`)!.map(({ instance, isEffect, before }) => ({
      instance,
      isEffect,
      before,
    }));
  };
  assertEquals(effects(10), [
    { instance: 1, isEffect: true, before: 0 },
    { instance: 3, isEffect: false, before: 11 },
  ]);
  assertEquals(effects(400).map(({ isEffect }) => isEffect), [true, true]);
});

Deno.test("DecidedLog.story: a refused write has no effect; what is not known to be chosen ends the story", () => {
  const log = planted("kv/x", [[["a", put("a", "1")]], [["b", put("b")], ["c", put("c", "2049")]]]);
  log.chose("kv/x", 4, "v9", 40);
  const { commands } = log.story("kv/x");
  const of = (id: string) =>
    commands.get(`${SUBJECT} ${id}`)!.map(({ isEffect, result }) => [isEffect, result.outcome]);
  assertEquals([of("a"), of("b"), of("c")], [[[false, "precondition-failed"]], [[true, "written"]], [[
    true,
    "written",
  ]]]);
  assertEquals([log.newest("kv/x"), log.newest("kv/y"), log.commands("kv/x")], [4, 0, 3]);
});

Deno.test("DecidedLog.story: a hold is seen from the instance that grants it to the one before its end", () => {
  const log = planted("lock/x", [[["a", acquire("a")]], [["b", acquire("b", true)]], [["a-x", release("1025")]], []]);
  const { holds, places, commands } = log.story("lock/x");
  assertEquals(places, [{ command: nameOfCommand(SUBJECT, "b"), fromMs: 20, endMs: 30 }]);
  assertEquals([...holds], [
    ["1025", { command: nameOfCommand(SUBJECT, "a"), fromMs: 10, endMs: 30, from: 1, until: 2, confirmedMs: 10 }],
    ["3073", { command: nameOfCommand(SUBJECT, "b"), fromMs: 30, endMs: null, from: 3, until: 4, confirmedMs: null }],
  ]);
  assertEquals(commands.get(`${SUBJECT} b`)!.map(({ isEffect }) => isEffect), [true]);
});

Deno.test("DecidedLog.story: the window reaches as far as others leave it room, and never less than a share", () => {
  const reach = (before: number) => {
    const log = planted("kv/x", others(before));
    for (let more = 1; more < 9; more++) {
      const instance = before / 10 + more;
      const commands = Array.from({ length: 10 }, (_, i) => [`new ${more} ${i}`, put(`${i}`)] as const);
      // The first raises the machine: from there on entries say whose they are.
      plant(log, "kv/x", instance, commands, more === 1 ? { machine: 3 } : {});
    }
    return log.story("kv/x").reach;
  };
  assertEquals([planted("kv/x", others(50)).story("kv/x").reach, reach(0), reach(10), reach(40)], [32, 22, 16, 16]);
});
