/** How many ends of leases a node works on, and in which order, on a clock the test moves. */
import { assert, assertEquals } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { Turns, type Urgency } from "../../src/leases/turns.ts";
import { ENDS_AT_ONCE, ENDS_WANTED_AT_ONCE } from "../../src/limits.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

function rig() {
  const clock = new ManualClock();
  const turns = new Turns(clock);
  const begun: string[] = [];
  const refused: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const take = (urgency: Urgency, name: string) => {
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    turns.take(urgency, () => {
      begun.push(name);
      return end.promise;
    }).catch((error) => refused.push(`${name} ${error instanceof QuorateError ? error.code : error.message}`));
  };
  const end = async (name: string, fault?: Error) => {
    fault === undefined ? ends.get(name)!.resolve() : ends.get(name)!.reject(fault);
    await settled();
  };
  return { clock, turns, begun, refused, take, end };
}

Deno.test("turns: of a thousand leases a few end at once, and the next when one has", async () => {
  const { begun, take, end } = rig();
  for (let i = 0; i < 1_000; i++) take("first", `${i}`);
  assertEquals(begun.length, ENDS_AT_ONCE);
  await end("0");
  await end("1", new Error("no quorum"));
  assertEquals(begun.slice(ENDS_AT_ONCE), [`${ENDS_AT_ONCE}`, `${ENDS_AT_ONCE + 1}`]);
});

Deno.test("turns: what somebody waits for begins at once though the rest stands in line, and is bounded too", async () => {
  const { begun, take, end } = rig();
  for (let i = 0; i < 1_000; i++) take("first", `idle${i}`);
  for (let i = 0; i < ENDS_WANTED_AT_ONCE; i++) take("asked-for", `asked${i}`);
  assertEquals(begun.length, ENDS_AT_ONCE + ENDS_WANTED_AT_ONCE);
  take("asked-for", "asked last");
  take("waited-for", "waited");
  assertEquals(begun.length, ENDS_AT_ONCE + ENDS_WANTED_AT_ONCE);
  await end("asked0");
  await end("asked1");
  assertEquals(begun.slice(-2), ["waited", "asked last"]);
});

Deno.test("turns: a node does what is its own before what is there for others", async () => {
  const { begun, take, end } = rig();
  for (let i = 0; i < ENDS_AT_ONCE; i++) take("first", `full${i}`);
  take("other", "other");
  take("first", "own");
  await end("full0");
  await end("full1");
  assertEquals(begun.slice(ENDS_AT_ONCE), ["own", "other"]);
});

Deno.test("turns: what is there for others comes too, however much is a node's own", async () => {
  const { begun, take, end } = rig();
  for (let i = 0; i < 1_000; i++) take("first", `own${i}`);
  for (let i = 0; i < 2; i++) take("other", `other${i}`);
  for (let i = 0; i < 20; i++) await end(`own${i}`);
  const rest = begun.slice(ENDS_AT_ONCE).map((name) => name.startsWith("other"));
  assertEquals([rest.indexOf(true), rest.lastIndexOf(true)], [8, 17]);
  // Where none of them waits any more it goes on.
  await end("other0");
  assertEquals(begun.length, ENDS_AT_ONCE + 21);
});

Deno.test("turns: work that throws at once gives its place back", async () => {
  const { turns, begun, take, refused } = rig();
  const broken = () => {
    throw new Error("broken");
  };
  for (let i = 0; i < ENDS_AT_ONCE; i++) turns.take("first", broken).catch(({ message }) => refused.push(message));
  await settled();
  take("first", "next");
  assertEquals([refused.length, begun], [ENDS_AT_ONCE, ["next"]]);
});

Deno.test("turns: where ends take long, a place rests for as long; what is waited for does not", async () => {
  const { clock, begun, take, end } = rig();
  for (let i = 0; i <= ENDS_AT_ONCE; i++) take("first", `idle${i}`);
  for (let i = 0; i <= ENDS_WANTED_AT_ONCE; i++) take("waited-for", `waited${i}`);
  await clock.pass(600);
  await end("idle0");
  await end("waited0");
  assertEquals(begun.slice(ENDS_AT_ONCE + ENDS_WANTED_AT_ONCE), [`waited${ENDS_WANTED_AT_ONCE}`]);
  await clock.pass(590);
  assert(!begun.includes(`idle${ENDS_AT_ONCE}`));
  await clock.pass(20);
  assertEquals(begun.at(-1), `idle${ENDS_AT_ONCE}`);
});

Deno.test("turns: a node that closes refuses what has not begun, and leaves no timer", async () => {
  const { clock, turns, begun, refused, take, end } = rig();
  for (let i = 0; i <= ENDS_AT_ONCE; i++) take("other", `${i}`);
  await clock.pass(100);
  await end("0", new Error("fault"));
  turns.close();
  take("waited-for", "late");
  await settled();
  assertEquals(refused.sort(), ["0 fault", `${ENDS_AT_ONCE} not-ready`, "late not-ready"].sort());
  await end("1");
  assertEquals([clock.timers, begun.length], [0, ENDS_AT_ONCE]);
});
