import { assertEquals, assertRejects } from "@std/assert";
import { linesOf } from "../../src/backup/lines.ts";
import { QuorateError } from "../../src/errors.ts";

async function* inChunks(text: string, size: number): AsyncGenerator<Uint8Array, void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.slice(at, at + size));
}

Deno.test("linesOf: lines that have their end, however the bytes come", async () => {
  for (const size of [1, 2, 3, 7, 100]) {
    assertEquals(await Array.fromAsync(linesOf(inChunks("eins\nzwö\n\nhalf", size), 10)), ["eins", "zwö", ""]);
  }
  assertEquals(await Array.fromAsync(linesOf(inChunks("", 1), 10)), []);
});

Deno.test("linesOf: a line without end is not gathered for ever", async () => {
  await assertRejects(() => Array.fromAsync(linesOf(inChunks("x".repeat(100), 5), 10)), QuorateError);
});
