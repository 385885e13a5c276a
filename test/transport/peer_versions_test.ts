import { assertEquals } from "@std/assert";
import { PeerVersions } from "../../src/transport/peer_versions.ts";
import { MACHINE_OF_ALL, type NodeVersion, versionText } from "../../src/version.ts";

const OWN: NodeVersion = { version: "2.0.0", wires: { least: 7, most: 8 }, machine: 9 };
const of = (least: number, most: number, machine = 9, version = "2.0.0") => ({
  wire: `${most}`,
  version: versionText({ version, wires: { least, most }, machine }),
});

function setUp() {
  let nowMs = 0;
  const lines: string[] = [];
  const versions = new PeerVersions({ own: OWN, now: () => nowMs, report: (line) => void lines.push(line) });
  return { versions, lines, pass: (ms: number) => void (nowMs += ms) };
}

Deno.test("peer versions: each pair speaks the lower of its newest wires; who has said nothing is sent the oldest", () => {
  const { versions } = setUp();
  const cases = [[7, 8, 8], [6, 7, 7], [8, 9, 8], [7, 7, 7], [9, 9, 8], [1, 2, 7]] as const;
  cases.forEach(([least, most, wire], i) => {
    assertEquals(versions.wireTo(`p${i}`), 7);
    versions.note(`p${i}`, of(least, most), true);
    assertEquals(versions.wireTo(`p${i}`), wire, `${least} to ${most}`);
  });
  assertEquals(versions.of("nobody"), null);
});

Deno.test("peer versions: which machine a peer knows is believed where it is under a MAC", () => {
  const { versions } = setUp();
  versions.note("b", of(7, 8, 9), false);
  assertEquals(versions.of("b")!.machine, MACHINE_OF_ALL);
  versions.note("b", of(7, 8, 9), true);
  assertEquals(versions.of("b")!.machine, 9);
  // A word of the network takes nothing back that was proven, unless another version speaks.
  versions.note("b", of(7, 8, 4), false);
  assertEquals(versions.of("b")!.machine, 9);
  versions.note("b", of(7, 8, 9, "1.9.0"), false);
  assertEquals([versions.of("b")!.machine, versions.of("b")!.version], [MACHINE_OF_ALL, "1.9.0"]);
  versions.note("b", { wire: "7", version: null }, true);
  assertEquals([versions.of("b")!.machine, versions.of("b")!.version], [MACHINE_OF_ALL, null]);
});

Deno.test("peer versions: a peer that spoke less is not taken for a newer one again at once, as it may be both", () => {
  const { versions, pass } = setUp();
  versions.note("b", of(7, 8), true);
  versions.note("b", { wire: "7", version: null }, true);
  versions.note("b", of(7, 8), true);
  assertEquals([versions.wireTo("b"), versions.of("b")!.machine], [7, 9]);
  // It need not say so again: on a connection nothing of it is said.
  pass(5_000);
  assertEquals(versions.wireTo("b"), 8);
});

Deno.test("peer versions: one line where a peer's newest wire is another, and one when it no longer is", () => {
  const { versions, lines, pass } = setUp();
  versions.note("b", of(7, 8), true);
  assertEquals(lines, []);
  for (let i = 0; i < 3; i++) versions.note("b", { wire: "7", version: null }, true);
  pass(5_000);
  for (let i = 0; i < 3; i++) versions.note("b", of(7, 8), true);
  versions.note("c", of(8, 9, 9, "3.0.0"), true);
  assertEquals(lines, [
    "b: speaks wire 7, this node wires 7 to 8; what it is sent is in wire 7",
    "b: runs 2.0.0 and speaks wire 8, as this node does",
    "c: runs 3.0.0 and speaks wires 8 to 9, this node wires 7 to 8; what it is sent is in wire 8",
  ]);
});

Deno.test("peer versions: who says something else each time is told of four times a minute", () => {
  const { versions, lines, pass } = setUp();
  for (let i = 0; i < 100; i++) versions.note("b", of(6, 7, 9, `1.0.${i}`), true);
  assertEquals(lines.length, 4);
  pass(60_000);
  versions.note("b", of(6, 7, 9, "1.0.99"), true);
  assertEquals([lines.length, lines.at(-1)], [
    5,
    "b: runs 1.0.99 and speaks wires 6 to 7, this node wires 7 to 8; what it is sent is in wire 7",
  ]);
});

Deno.test("peer versions: headers that name no wire say nothing", () => {
  const { versions } = setUp();
  versions.note("b", { wire: "x", version: null }, true);
  assertEquals(versions.of("b"), null);
});
