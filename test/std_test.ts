/** The local stand-ins for @std: tests that pass on assertions that cannot fail would prove nothing. */
import {
  assert,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  AssertionError,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";
import * as bdd from "@std/testing/bdd";

/** Fails by hand: what is under test may not judge itself. */
function mustFail(what: string, run: () => unknown): void {
  let error: unknown = null;
  try {
    run();
  } catch (thrown) {
    error = thrown;
  }
  if (!(error instanceof AssertionError)) throw new Error(`${what} did not fail: ${error}`);
}

function mustPass(run: () => unknown): void {
  run();
}

Deno.test("assert and assertFalse", () => {
  mustPass(() => assert(1));
  mustPass(() => assertFalse(0));
  for (const value of [0, "", null, undefined, false]) mustFail("assert", () => assert(value));
  mustFail("assertFalse", () => assertFalse("x"));
});

Deno.test("assertEquals compares deeply, and by type", () => {
  mustPass(() => assertEquals({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }));
  mustPass(() => assertEquals(new Map([["a", new Set([1])]]), new Map([["a", new Set([1])]])));
  mustPass(() => assertEquals(Number.NaN, Number.NaN));
  const different: [unknown, unknown][] = [
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, { a: 1, b: 1 }],
    [[1, 2], [2, 1]],
    [1, "1"],
    [null, undefined],
    [{ a: undefined }, {}],
    [new Set([1]), new Set([2])],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Uint8Array([1]), new Uint8Array([2])],
  ];
  for (const [a, b] of different) {
    mustFail(`assertEquals of ${JSON.stringify(a)}`, () => assertEquals(a, b));
    mustPass(() => assertNotEquals(a, b));
  }
  mustFail("assertNotEquals", () => assertNotEquals({ a: 1 }, { a: 1 }));
});

Deno.test("assertStrictEquals takes the very same thing only", () => {
  const thing = {};
  mustPass(() => assertStrictEquals(thing, thing));
  mustFail("assertStrictEquals", () => assertStrictEquals({}, {}));
});

Deno.test("assertExists, assertMatch, assertStringIncludes", () => {
  mustPass(() => assertExists(0));
  mustFail("assertExists of null", () => assertExists(null));
  mustFail("assertExists of undefined", () => assertExists(undefined));
  mustPass(() => assertMatch("abc", /b/));
  mustFail("assertMatch", () => assertMatch("abc", /d/));
  mustPass(() => assertStringIncludes("abc", "bc"));
  mustFail("assertStringIncludes", () => assertStringIncludes("abc", "cb"));
});

Deno.test("comparisons hold at their edges", () => {
  mustPass(() => assertGreater(2, 1));
  mustFail("assertGreater", () => assertGreater(1, 1));
  mustPass(() => assertGreaterOrEqual(1, 1));
  mustFail("assertGreaterOrEqual", () => assertGreaterOrEqual(0, 1));
  mustPass(() => assertLessOrEqual(1, 1));
  mustFail("assertLessOrEqual", () => assertLessOrEqual(2, 1));
});

class Special extends Error {}

Deno.test("assertThrows checks that it throws, the class, and the text", () => {
  const thrown = new Special("with a reason");
  const run = () => {
    throw thrown;
  };
  assertStrictEquals(assertThrows(run), thrown);
  assertStrictEquals(assertThrows(run, Special, "reason"), thrown);
  mustFail("no throw", () => assertThrows(() => 1));
  mustFail("another class", () => assertThrows(run, TypeError));
  mustFail("another text", () => assertThrows(run, Special, "excuse"));
  mustFail("no Error at all", () =>
    assertThrows(() => {
      throw "text";
    }));
});

Deno.test("assertRejects checks that it rejects, the class, and the text", async () => {
  const run = () => Promise.reject(new Special("with a reason"));
  assertEquals((await assertRejects(run, Special, "reason")).message, "with a reason");
  const failing: (() => Promise<unknown>)[] = [
    () => assertRejects(() => Promise.resolve(1)),
    () => assertRejects(run, TypeError),
    () => assertRejects(run, Special, "excuse"),
  ];
  for (const attempt of failing) {
    const error = await attempt().then(() => null, (thrown: unknown) => thrown);
    if (!(error instanceof AssertionError)) throw new Error(`did not fail: ${error}`);
  }
});

Deno.test("fail fails, with its words", () => {
  mustFail("fail", () => fail("because"));
  assertStringIncludes(assertThrows(() => fail("because"), AssertionError).message, "because");
});

Deno.test("a message given is the message shown", () => {
  assertStringIncludes(assertThrows(() => assertEquals(1, 2, "the count"), AssertionError).message, "the count");
  assertStringIncludes(assertThrows(() => assert(false, "the claim"), AssertionError).message, "the claim");
});

Deno.test("bdd has the names of @std/testing/bdd", () => {
  for (const name of ["describe", "it", "beforeAll", "afterAll", "beforeEach", "afterEach"] as const) {
    assertEquals(typeof bdd[name], "function", name);
  }
});
