import { assertEquals } from "@std/assert";
import { RaisedMachine, recallRaised } from "../../src/replica/raised_machine.ts";
import type { StoredRecord, WireReply } from "../../src/ports.ts";
import { MACHINE_OF_ALL } from "../../src/version.ts";
import { KeyLog } from "../machine/key_log.ts";

const OLD = MACHINE_OF_ALL;

function setUp(knows: number) {
  const lines: string[] = [];
  const own = { version: "2.0.0", wires: { least: 5, most: 6 }, machine: knows };
  return { lines, raised: new RaisedMachine(own, (line) => void lines.push(line)) };
}

Deno.test("raised machine: names are raised to what every node knows, until more is decided, and never to what this node does not", () => {
  const { raised, lines } = setUp(OLD + 2);
  assertEquals([raised.most, raised.decided, raised.reason()], [OLD, OLD, null]);
  raised.note(OLD + 1);
  raised.note(OLD);
  raised.note(OLD + 1);
  assertEquals([raised.most, raised.decided, raised.reason()], [OLD + 1, OLD + 1, null]);
  assertEquals(lines, [`the machine is raised to version ${OLD + 1}: nodes that know less do not vote any more`]);
});

Deno.test("raised machine: an operator is told of what is decided while a node runs, not of what a new or a restarted one finds", () => {
  const own = { version: "2.0.0", wires: { least: 5, most: 6 }, machine: OLD + 1 };
  const levelOf = (isNew: boolean, isRecalled: boolean, version = OLD + 1) => {
    const levels: unknown[] = [];
    new RaisedMachine(own, (_line, about) => void levels.push(about?.level), () => isNew).note(version, isRecalled);
    return levels;
  };
  assertEquals([levelOf(false, false), levelOf(true, false), levelOf(false, true)], [["info"], ["debug"], ["debug"]]);
  assertEquals([levelOf(true, false, OLD + 2), levelOf(false, true, OLD + 2)], [["error"], ["error"]]);
});

Deno.test("raised machine: who knows less than is decided says why it does not vote", () => {
  const { raised, lines } = setUp(OLD);
  raised.note(OLD + 1);
  const reason = `the cluster's machine was raised to version ${OLD + 1}, and this node (2.0.0) knows up to ${OLD}: ` +
    "start a newer version";
  assertEquals([raised.most, raised.reason(), lines], [OLD, reason, [reason]]);
});

Deno.test("raised machine: a reply with a value or state of a newer one is as none, and tells of it", () => {
  const state = (version: number) => ({ version }) as never;
  const snapshot = (version: number) =>
    ({ instance: 2, state: state(version), stateHash: "", decidedBy: null }) as never;
  const vote = (machine: number) => ({ ballot: [0, "", 0], kind: "fast", value: { machine, commands: [] } }) as never;
  const replies = (version: number): readonly WireReply[] => [
    { type: "ahead", snapshot: snapshot(version) },
    { type: "promise", instance: 1, ballot: [1, "b", 0], vote: vote(version) },
    { type: "view", snapshot: snapshot(version), promised: [0, "", 0], vote: null },
  ];
  for (const reply of [...replies(OLD), { type: "noted" } as const]) {
    const { raised } = setUp(OLD);
    assertEquals([raised.understood(reply), raised.reason()], [reply, null]);
  }
  for (const reply of replies(OLD + 1)) {
    const { raised } = setUp(OLD);
    assertEquals(raised.understood(reply).type, "unavailable", reply.type);
    assertEquals(raised.decided, OLD + 1);
  }
});

Deno.test("raised machine: a start finds in its store what was decided, and takes a mere vote, or another name, for nothing", async () => {
  const written = new KeyLog();
  written.do({ type: "put", bytes: btoa("{}"), contentType: "application/json" });
  const record = (state: unknown) => ({ state }) as unknown as StoredRecord;
  const records = new Map([
    [`cluster/machine/${OLD + 1}`, record(written.state)],
    [`cluster/machine/${OLD + 2}`, record(new KeyLog().state)],
    ["cluster/machine/x", record(written.state)],
  ]);
  const { raised } = setUp(OLD + 3);
  await recallRaised({
    keys: (prefix) => Promise.resolve([...records.keys()].filter((key) => key.startsWith(prefix))),
    update: (key, step) => Promise.resolve(step(records.get(key) ?? null).reply),
  }, raised);
  assertEquals(raised.decided, OLD + 1);
  raised.noteState("kv/machine/9", written.state);
  assertEquals(raised.decided, OLD + 1);
});
