import { assertEquals } from "@std/assert";
import { exampleOf, type Schema, shapeIn, typeOf } from "../../routes/schema_words.ts";

Deno.test("typeOf: each kind of schema in words", () => {
  const words: [Schema, string][] = [
    [
      { type: "integer", minimum: 1_000, maximum: 3_600_000, default: 30_000 },
      "a whole number of 1,000 to 3,600,000, else 30000",
    ],
    [{ type: "integer", minimum: 0 }, "a whole number of at least 0"],
    [{ type: "number" }, "a number"],
    [{ type: "string", minLength: 0, maxLength: 256 }, "a text of up to 256 bytes"],
    [{ type: "string", minLength: 1, maxLength: 128, pattern: "^a$" }, "a text of 1 to 128 bytes that matches ^a$"],
    [
      { type: "string", enum: ["exclusive", "shared"], default: "exclusive" },
      '"exclusive" or "shared", else "exclusive"',
    ],
    [{ type: ["integer", "null"] }, "a whole number or null"],
    [
      { type: "array", items: { $ref: "#/components/schemas/Holder" }, maxItems: 16 },
      "a list of up to 16 items of #Holder",
    ],
    [
      { type: "object", properties: { a: { type: "boolean" }, b: {} }, required: ["a"] },
      "{ a: boolean, b?: anything }",
    ],
    [{ type: "object", additionalProperties: { type: "integer" } }, "by name, a whole number"],
    [{ type: "object" }, "an object"],
    [{ anyOf: [{ $ref: "#/components/schemas/A" }, { type: "null" }] }, "#A or null"],
  ];
  for (const [schema, said] of words) assertEquals(typeOf(schema), said);
});

Deno.test("shapeIn, exampleOf: what a schema stands for, and the first of its examples", () => {
  assertEquals(["#/components/schemas/Grant", "#/else/Grant", undefined].map(($ref) => shapeIn($ref ? { $ref } : {})), [
    "Grant",
    undefined,
    undefined,
  ]);
  assertEquals([exampleOf({ examples: [1, 2] }), exampleOf({}), exampleOf(undefined)], [1, undefined, undefined]);
});
