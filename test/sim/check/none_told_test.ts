import { assertEquals } from "@std/assert";
import { NoneTold } from "./none_told.ts";

Deno.test("none told: a vote before and a vote after are found, one for a command that was asked for again is not", () => {
  const none = new NoneTold();
  none.asked("a");
  none.told("a");
  none.asked("a");
  none.voted("a");
  none.voted("b");
  assertEquals(none.faults(), []);
  none.told("b");
  assertEquals(none.faults(), ["b was told that there is no vote for it, and had one"]);
  none.told("c");
  none.voted("c");
  assertEquals(none.faults().at(1), "c was told that there is no vote for it, and got one");
});
