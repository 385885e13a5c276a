import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import type { Mode } from "../../src/paxos/message.ts";
import { contentOf, FAST, KeyLog, machine } from "./key_log.ts";
import { MACHINE_VERSION } from "../../src/version.ts";

Deno.test("a fresh key", () => {
  assertEquals(
    JSON.stringify(machine.init({ kind: "prepare" })),
    '{"mode":{"kind":"prepare"},"version":1,"kind":"unused","revision":"0","lastFence":"0","holders":[],"queue":[],' +
      '"cooling":null,"history":[],"window":"","evicted":-1}',
  );
});

Deno.test("the mode is decided with the value, however its fields were ordered on the wire", () => {
  const shuffled = { coordinator: "b", recovery: "uncoordinated", kind: "fast" } as Mode;
  const ordered: Mode = { kind: "fast", recovery: "uncoordinated", coordinator: "b" };
  const texts = [shuffled, ordered].map((nextMode) => {
    const log = new KeyLog();
    log.decide([log.ask("h")], { nextMode });
    assertEquals(log.state.mode, ordered);
    assertEquals(log.holders, ["h"]);
    return JSON.stringify(log.state);
  });
  assertEquals(texts[0], texts[1]);
});

Deno.test("a value without commands changes nothing", () => {
  const log = new KeyLog();
  log.grant("h");
  const before = JSON.stringify(contentOf(log.state));
  log.decide([]);
  assertEquals(JSON.stringify(contentOf(log.state)), before);
});

Deno.test("apply leaves the state it was given alone", () => {
  const log = new KeyLog();
  log.grant("h");
  log.acquire("w", { wait: "a" });
  const given = log.state;
  const text = JSON.stringify(given);
  log.release(log.hold.fence);
  assertEquals(JSON.stringify(given), text);
  assertNotEquals(machine.hash(given), machine.hash(log.state));
});

Deno.test("each change within an instance has a revision of its own", () => {
  const log = new KeyLog();
  log.decide([log.ask("h"), log.ask("w1", { wait: "a" }), log.ask("x"), log.ask("w2", { wait: "a" })]);
  assertEquals(log.state.revision, String(1024 + 3));
});

Deno.test("a state of another version is not applied", () => {
  const later = { ...machine.init(FAST), version: MACHINE_VERSION + 1 };
  assertThrows(() => machine.apply(later, 1, { id: "v", proposer: "", commands: [] }));
});
