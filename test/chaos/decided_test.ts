/** What a recording node writes down, and what is put together from it, with lines planted by hand. */
import { assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorRecord, Mode, Value } from "../../src/paxos/message.ts";
import { freshRecord } from "../../src/paxos/record.ts";
import { Effects, replay } from "./decided.ts";
import { coordinatorOf, type Line, linesOf, Recording } from "./recording.ts";

const KEY = "kv/hot";
const MODE: Mode = { kind: "classic", coordinator: "b" };
const machine = createMachine({ digest: sha256Hex });

function value(id: string, ...ids: string[]): Value {
  const op = { type: "put", bytes: "AA==", contentType: "text/plain" };
  return { id, proposer: "a", commands: ids.map((id) => ({ subject: "s", id, born: 1, op })) };
}

/** The records of an acceptor that votes for each value and learns that it was chosen. */
function records(...values: Value[]): AcceptorRecord[] {
  const all: AcceptorRecord[] = [];
  let record = freshRecord(machine, MODE);
  let { state } = record;
  for (const value of values) {
    const { instance } = record;
    all.push(record, { ...record, vote: { ballot: STANDING, kind: "classic", value } });
    state = machine.apply(state, instance, value);
    const acceptors = ["a", "b"];
    const decidedBy = { instance, ballot: STANDING, kind: "classic", valueId: value.id, acceptors } as const;
    record = { ...record, instance: instance + 1, state, stateHash: machine.hash(state), decidedBy, vote: null };
  }
  return [...all, record];
}

function recorded(...records: AcceptorRecord[]): Line[] {
  const lines: Line[] = [];
  const recording = new Recording((line) => lines.push(JSON.parse(line)));
  for (const record of records) recording.see(KEY, record);
  return lines;
}

function faultsOf(lines: readonly Line[]): readonly string[] {
  return replay(lines, machine, {}).faults;
}

Deno.test("a recording: the start, each vote and each move once, whatever is seen again", () => {
  const seen = records(value("v1", "x"), value("v2", "y"));
  const kinds = recorded(...seen, ...seen.slice(-1)).map(({ type }) => type);
  assertEquals(kinds, ["start", "vote", "move", "vote", "move"]);
});

Deno.test("replay: what changed the register, by the lines of two nodes neither of which saw everything", () => {
  const seen = records(value("v1", "x", "y"), value("v2", "x"), value("v3", "z"));
  // The second node was brought along by snapshots.
  const lines = [...recorded(...seen.slice(0, 4)), ...recorded(...seen.slice(3))];
  const effects = new Effects();
  assertEquals(replay(lines, machine, effects), { instances: 3, faults: [] });
  // The second x is a repetition.
  assertEquals(effects.all.map(({ id, instance, at }) => [id, instance, at]), [["x", 1, 0], ["y", 1, 1], ["z", 3, 2]]);
});

Deno.test("replay: an instance nobody wrote down, two values in one, and another state are faults", () => {
  const lines = recorded(...records(value("v1", "x"), value("v2", "y")));
  const without = (type: Line["type"]) => lines.filter((line, i) => line.type !== type || i > 2);
  assertEquals(faultsOf(lines), []);
  assertEquals(faultsOf(without("start")), ["no node wrote down how the key began"]);
  assertEquals(faultsOf(without("vote")), ["no node wrote down what was decided in instance 1"]);
  assertEquals(faultsOf(without("move")), ["no node wrote down what was decided in instance 1"]);
  const twice = recorded(...records(value("v1", "x"), value("other", "y")));
  assertEquals(faultsOf([...lines, ...twice]), ["instance 2 is v2 at one node and other at another"]);
  const elsewhere = lines.map((line) => line.type === "move" && line.instance === 1 ? { ...line, hash: "00" } : line);
  assertEquals(faultsOf(elsewhere), ["the state after instance 1 is not 00"]);
});

Deno.test("coordinatorOf: the newest move of any file says it, past a line that a killed node left unfinished", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const text = (lines: readonly Line[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    const paths = ["a", "b"].map((id) => `${folder}/${id}`);
    const lines = recorded(...records(value("v1", "x"), value("v2", "y")));
    await Deno.writeTextFile(paths[0]!, `${text(lines.slice(0, 3))}{"type":"mo\n${text(lines.slice(3))}`);
    const moved = { ...lines.at(-1)!, instance: 9, mode: { kind: "classic", coordinator: "c" } } as Line;
    await Deno.writeTextFile(paths[1]!, text([moved]));
    assertEquals(await coordinatorOf(paths, KEY), "c");
    assertEquals(await coordinatorOf(paths.slice(0, 1), KEY), "b");
    assertEquals(await coordinatorOf(paths, "kv/other"), null);
    assertEquals(await linesOf(paths, KEY), [...lines, moved]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
