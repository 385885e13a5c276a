/** Packed JSON is JSON again, letter by letter; what is no packed JSON is refused and nothing else. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { sha256Hex } from "../../src/auth/digest.ts";
import { pack, unpack } from "../../src/store/packed.ts";
import { SHAPES, WORDS } from "../../src/store/packed_words.ts";
import { seededRandomness } from "../../src/testing/seeded.ts";
import { SEED } from "../replica/clocks.ts";

const CHAIN = "7eb082a7fc7309da06740dcb73e4185f";
const STATE = {
  mode: { kind: "fast", recovery: "coordinated", coordinator: "c" },
  version: 3,
  kind: "lock",
  revision: "2049",
  lastFence: "1025",
  holders: [],
  queue: [],
  cooling: null,
  history: [{
    fence: "1025",
    holder: "ci-1",
    subject: "local",
    fromMs: 1795923413365,
    toMs: 1795923413473,
    end: "released",
  }],
  window: ["d46c8098bf8e2de10bc36215g1,1025,60000|a0844d", "7ebb25e201915750a40ba009d2,1025|~"],
  evicted: -1,
  chain: CHAIN,
};
const CERTIFICATE = {
  instance: 2,
  ballot: [0, "", 0],
  kind: "open",
  valueId: "b/lqfORuO4-6Y4igOW/2",
  acceptors: ["a", "b", "c"],
};

const isAgain = (value: unknown) => {
  const text = JSON.stringify(value);
  assertEquals(JSON.stringify(unpack(pack(value)!)[0]), text);
};

/** What rows on disk say for good. Whoever changes the words, the shapes or the kinds of text has to make another format of rows. */
const FORMAT_5 =
  "8104882210860031634aa08110a08108218900a081083463692d3141b3f59282aba234b3e19382aba23422a1d46c8098bf8e2de10bc36215" +
  "6701088108e0d403a0844da17ebb25e201915750a40ba0096402048108a2107eb082a7fc7309da06740dcb73e4185f82000247a3016296a7ce46e3b8fba6388a" +
  "03960223316131623163";
const FORMAT_5_WORDS = "927c6b43a794c2aff3a90a183066fe6ad7892ccfb27b346adbb7bd6821bfe39d";

Deno.test("packed: what a row of format 5 says it says for good", () => {
  const bytes = pack({ epoch: 0, state: STATE, decidedBy: CERTIFICATE })!;
  assertEquals(Buffer.from(bytes).toString("hex"), FORMAT_5);
  assertEquals(sha256Hex(JSON.stringify([WORDS, SHAPES])), FORMAT_5_WORDS);
  assertEquals(unpack(bytes), [{ epoch: 0, state: STATE, decidedBy: CERTIFICATE }]);
});

Deno.test("packed: texts of every kind, and those that only look like it, are the same again", () => {
  const entry = "d46c8098bf8e2de10bc36215";
  const texts = [
    ...["", "0", "7", "00", "01", "9007199254740991", "9007199254740993", "99999999999999999999", "1e3", "-1", "1.5"],
    ...["ab", "abc", "abcd", "ABCD", CHAIN, `${CHAIN}0`, "lqfORuO4", "lqfORuO4-6Y4igOW", "lqfORuO4-6Y4igO", "aGVsbG8="],
    ...["b/lqfORuO4-6Y4igOW/2", "b/lqfORuO4-6Y4igOW/02", "b/short/2", "B/lqfORuO4-6Y4igOW/2", "/lqfORuO4-6Y4igOW/2"],
    ...["lqfORuO4-6Y4igOW.13", "lqfORuO4-6Y4igOW.013", "lqfORuO4-6Y4igOW.99999999999999999999"],
    ...["g1,1025,60000|a0844d", "d2,1025|~", "C2", "C2|", "C2|A0844D", "g01", "gz,01", "gzzzzzzzzzzz", "g1,", "g1|~~"]
      .map((rest) => entry + rest),
    ...["local", "localx", "fast", "é", "\ufeffa", "\ud800", "a\udc00\n", "\u0000", "x".repeat(15), "x".repeat(16)],
    ...["🙂".repeat(4), "é".repeat(8), ".".repeat(70_000), "x".repeat(40_000), "\n"],
  ];
  for (const text of texts) isAgain(text);
  isAgain(texts);
  isAgain(Object.fromEntries(texts.map((text, i) => [text, i])));
});

Deno.test("packed: numbers, lists and objects of any shape are the same again, in their order", () => {
  for (const number of [0, 1, 31, 32, 127, 128, 16_384, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e300, -1, -0, 0.5, NaN]) {
    isAgain([number]);
  }
  isAgain(Array.from({ length: 300 }, (_, i) => [i]));
  isAgain({ "2": 1, "10": [undefined], gone: undefined, constructor: {} });
  const own = unpack(pack(JSON.parse('{"__proto__":{"a":1}}'))!)[0];
  assertEquals(JSON.stringify(own), '{"__proto__":{"a":1}}');
  // As a state, but for one field: another order, one too few, one too many, one of another type.
  const { chain, ...rest } = STATE;
  isAgain({ chain, ...rest });
  const { holders: _, ...fewer } = STATE;
  isAgain(fewer);
  isAgain({ ...STATE, more: 1 });
  isAgain({ ...STATE, history: null, holders: {}, evicted: "-1", version: [], mode: 7 });
  isAgain({ ...CERTIFICATE, ballot: [0, "", 1] });
  isAgain({ ...CERTIFICATE, ballot: [] });
  assertEquals(unpack(Uint8Array.of(...pack(STATE)!, ...pack(CERTIFICATE)!)), [STATE, CERTIFICATE]);
  // What is left out is nobody else's to change.
  (unpack(pack(STATE)!)[0] as { holders: unknown[] }).holders.push(1);
  assertEquals(unpack(pack(STATE)!), [STATE]);
});

Deno.test(`packed: whatever it is, seed ${SEED}`, () => {
  const random = seededRandomness(SEED);
  const names = ["kind", "mode", "instance", "ballot", "value", "id", "subject", "x", "epoch", "state", "fence", "how"];
  const make = (depth: number): unknown => {
    const kinds = depth === 0 ? ["text", "number", "plain"] : ["text", "number", "plain", "list", "object", "object"];
    switch (random.pick(kinds)) {
      case "text":
        return random.pick([
          "",
          "fast",
          "12",
          "ab",
          CHAIN,
          "open",
          "local",
          "é",
          `${random.next()}`,
          "b/lqfORuO4-6Y4igOW/2",
        ]);
      case "number":
        return random.pick([0, 3, 40, -1, random.next(), Math.floor(random.next() * 2 ** 53)]);
      case "plain":
        return random.pick([null, true, false] as const);
      case "list":
        return Array.from({ length: random.below(20) }, () => make(depth - 1));
      default:
        return Object.fromEntries(names.filter(() => random.chance(0.3)).map((name) => [name, make(depth - 1)]));
    }
  };
  for (let i = 0; i < 2_000; i++) isAgain(make(4));
});

Deno.test("packed: more than it may take is told, however it comes to that", () => {
  const { length } = pack(STATE)!;
  assertEquals(pack(STATE, length)?.length, length);
  assertEquals(pack(STATE, length - 1), null);
  for (const large of ["x".repeat(99), Array(99).fill(1), { a: "é".repeat(99) }, [[[`${"y".repeat(99)}.`]]]]) {
    assertEquals(pack(large, 50), null);
  }
  // And does not hang on what was packed before.
  assertEquals(pack(1, 1), Uint8Array.of(1));
});

Deno.test(`packed: bytes that are cut off, or any, are refused or read, and that is all, seed ${SEED}`, () => {
  const bytes = pack({ state: STATE, text: "x".repeat(20), list: Array(40).fill(-1) })!;
  for (let end = 1; end < bytes.length; end++) assertThrows(() => unpack(bytes.subarray(0, end)));
  const random = seededRandomness(SEED);
  let refused = 0;
  for (let i = 0; i < 5_000; i++) {
    const any = Uint8Array.from({ length: 1 + random.below(40) }, () => random.below(256));
    try {
      unpack(any);
    } catch {
      refused++;
    }
  }
  assert(refused > 1_000 && refused < 5_000, `${refused}`);
});
