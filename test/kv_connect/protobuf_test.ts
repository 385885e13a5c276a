/** The codec by itself: bytes written by hand after the format's own description, and what is no message. */
import { assertEquals, assertThrows } from "@std/assert";
import { decodeAtomicWrite, decodeSnapshotRead, encodeReadOutput, encodeWriteOutput } from "./messages.ts";
import { fields, MalformedMessage } from "./protobuf.ts";

function hex(text: string): Uint8Array {
  return Uint8Array.fromHex(text.replaceAll(" ", ""));
}

Deno.test("protobuf: reads", () => {
  // Range: start 61, end 62, limit 300, reverse; then a range of defaults.
  const message = hex("0a 0b 0a0161 120162 18ac02 2001 0a 00");
  assertEquals(decodeSnapshotRead(message), [
    { start: hex("61"), end: hex("62"), limit: 300, reverse: true },
    { start: hex(""), end: hex(""), limit: 0, reverse: false },
  ]);
  const row = { key: hex("61"), data: hex("ff"), encoding: 3, versionstamp: hex("00000000000000010000") };
  const answer = hex("0a 16 0a 14 0a0161 1201ff 1803 220a 00000000000000010000 0a 00 20 01 40 01");
  assertEquals(encodeReadOutput(1, [[row], []]), answer);
});

Deno.test("protobuf: writes", () => {
  const message = hex("0a 05 0a0161 1200 12 0c 0a0161 1205 0a01ff 1003 1801 1a 00");
  assertEquals(decodeAtomicWrite(message), {
    checks: [{ key: hex("61"), versionstamp: hex("") }],
    mutations: [{ key: hex("61"), type: 1, value: { data: hex("ff"), encoding: 3 }, expireAtMs: 0n }],
    enqueues: 1,
  });
  // −1 as clients send it: ten bytes.
  assertEquals(decodeAtomicWrite(hex("12 0b 20 ffffffffffffffffff01")).mutations[0]?.expireAtMs, -1n);
  assertEquals(encodeWriteOutput(1, hex("00000000000000010000"), []), hex("0801 120a 00000000000000010000"));
  assertEquals(encodeWriteOutput(2, hex(""), [0, 7]), hex("0802 1200 2202 0007"));
});

Deno.test("protobuf: unknown fields are passed over, whatever they are made of", () => {
  const message = hex("0d 01020304 09 0102030405060708 7a 02 0000 78 01 0a 00");
  assertEquals(decodeSnapshotRead(message).length, 1);
});

Deno.test("protobuf: what is no message is refused", () => {
  const malformed = [
    "0a",
    "0a 05 00",
    "08 ff",
    "08 ffffffffffffffffffffff",
    "00 00",
    "0b",
    "0d 0102",
    "80",
    "0a ffffffff0f",
  ];
  for (const text of malformed) assertThrows(() => [...fields(hex(text))], MalformedMessage, undefined, text);
  // A number where there should be a message, and the other way round.
  assertThrows(() => decodeSnapshotRead(hex("08 01")), MalformedMessage);
  assertThrows(() => decodeSnapshotRead(hex("0a 02 1a00")), MalformedMessage);
});
