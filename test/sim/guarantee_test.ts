import { assertEquals } from "@std/assert";
import { callerRate, guaranteedUntilMs } from "./guarantee.ts";

Deno.test("guaranteedUntilMs: counts the wait and the guarantee from the send, by the caller's clock", () => {
  const bounds = { guaranteedForMs: 990, waitedMs: 9_000 };
  assertEquals(guaranteedUntilMs({ sentMs: 500, rate: 1 }, bounds), 10_490);
  assertEquals(guaranteedUntilMs({ sentMs: 500, rate: 0.5 }, bounds), 20_480);
  assertEquals(guaranteedUntilMs({ sentMs: 500, rate: 1 }, { guaranteedForMs: 990 }), 1_490);
});

Deno.test("callerRate: callers differ, by one percent at most, and the same one does not", () => {
  const rates = new Set(Array.from({ length: 50 }, (_, i) => callerRate(7, i)));
  assertEquals([...rates].sort(), [0.99, 1, 1.01]);
  assertEquals(callerRate(7, 3), callerRate(7, 3));
});
