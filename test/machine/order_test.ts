import { assertEquals } from "@std/assert";
import type { Command } from "../../src/paxos/message.ts";
import { machine, randomness } from "./key_log.ts";

function command(type: string, subject: string, id: string, born = 1): Command {
  return { subject, id, born, op: { type } };
}

Deno.test("renewals, then forces, then releases, then the rest; within a class by subject and id", () => {
  const ordered = [
    command("keep-places", "a", "1"),
    command("renew", "b", "1"),
    command("renew", "b", "2"),
    command("force", "z", "1"),
    command("release", "a", "2"),
    command("acquire", "a", "3"),
    command("leave", "b", "3"),
    command("acquire", "c", "0"),
  ];
  assertEquals(machine.order(ordered.toReversed()), ordered);
});

Deno.test("of two tries of one command the one born first stays", () => {
  const early = command("acquire", "a", "1", 9);
  const late = command("acquire", "a", "1", 10);
  assertEquals(machine.order([late, early]), [early]);
  assertEquals(machine.order([early, late]), [early]);
});

Deno.test("the order does not depend on how the commands came", () => {
  const random = randomness(7);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const types = ["acquire", "renew", "release", "force", "leave", "keep-places", "fly"];
  for (let round = 0; round < 300; round++) {
    const commands = Array.from(
      { length: 1 + Math.floor(random() * 20) },
      () => command(pick(types), pick(["a", "A", "é", "a\0b"]), pick(["1", "10", "2"]), pick([1, 2])),
    );
    const expected = machine.order(commands);
    const shuffled = commands.map((each) => [random(), each] as const).sort((a, b) => a[0] - b[0]).map(([, each]) =>
      each
    );
    assertEquals(machine.order(shuffled), expected);
    assertEquals(machine.order([...shuffled, ...commands]), expected);
  }
});
