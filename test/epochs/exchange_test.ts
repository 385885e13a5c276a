import { assertEquals, assertThrows } from "@std/assert";
import { decodeAnswer, decodeTold, encodeAnswer, encodeTold } from "../../src/epochs/exchange.ts";
import { QuorateError } from "../../src/errors.ts";
import { EPOCHS_MAX_BYTES } from "../../src/limits.ts";
import type { KeptEpochs } from "../../src/ports.ts";
import { epochOf, KNOWS, rowOf } from "./samples.ts";

const ROW = rowOf(epochOf(0, "abc"), epochOf(1, "abd"), 1);
const ANSWER = {
  row: ROW,
  cluster: "q-0123456789ab",
  id: "d",
  incarnation: null,
  isJoining: true,
  isShared: false,
  ...KNOWS,
};

Deno.test("exchange: what is told and answered comes as it was meant", () => {
  for (const row of [null, ROW]) {
    assertEquals(decodeTold(encodeTold({ row })), { row });
    assertEquals(decodeAnswer(encodeAnswer({ ...ANSWER, row })), { ...ANSWER, row });
  }
  // What a store notes for its own member is nobody else's.
  const kept: KeptEpochs = { ...ROW, first: 7, arrived: true };
  assertEquals(decodeTold(encodeTold({ row: kept })), { row: { ...ROW, first: 7 } });
  assertEquals(decodeAnswer(encodeAnswer({ ...ANSWER, row: kept })).row, { ...ROW, first: 7 });
  assertThrows(() => decodeTold(JSON.stringify({ row: kept })), QuorateError, "arrived");
  assertEquals(decodeAnswer(encodeAnswer({ ...ANSWER, incarnation: "x" })).incarnation, "x");
  const later = { version: "9.0.0", wires: { least: 6, most: 7 }, machine: 4 };
  assertEquals(decodeAnswer(encodeAnswer({ ...ANSWER, version: later })).version, later);
});

Deno.test("exchange: anything else is refused", () => {
  const bad = [
    "",
    "null",
    "[]",
    "{}",
    '{"row":1}',
    '{"row":null,"x":1}',
    '{"row":{}}',
    encodeTold({ row: ROW }).slice(1),
  ];
  for (const body of bad) assertThrows(() => decodeTold(body), QuorateError, undefined, body);
  const huge = `{"row":null${" ".repeat(EPOCHS_MAX_BYTES)}}`;
  assertEquals(assertThrows(() => decodeTold(huge), QuorateError).code, "too-large");
  const answer = JSON.parse(encodeAnswer(ANSWER));
  for (const name of Object.keys(answer)) {
    const { [name]: _, ...rest } = answer;
    assertThrows(() => decodeAnswer(JSON.stringify(rest)), QuorateError, undefined, name);
    assertThrows(
      () => decodeAnswer(JSON.stringify({ ...answer, [name]: name === "raised" ? "7" : 7 })),
      QuorateError,
      undefined,
      name,
    );
  }
});
