import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../../src/auth/digest.ts";
import { createMachine } from "../../../src/machine/machine.ts";
import { freshRecord } from "../../../src/paxos/record.ts";
import { AcceptorMonitor } from "./acceptor_monitor.ts";
import { DecidedLog } from "./decided.ts";
import { put } from "./planted.ts";
import { Watched } from "./watched.ts";

function withCommitted(): Watched {
  const watched = new Watched("x", "none");
  watched.committed(3n, "a");
  watched.committed(3n, "a");
  watched.committed(7n, "b");
  return watched;
}

Deno.test("watched: what was committed, in order, some of it left out, is in order", () => {
  const watched = withCommitted();
  watched.told(0n, "none");
  watched.told(7n, "b");
  assertEquals([watched.faults(), watched.revision, watched.isUpToDate, watched.events], [[], 7n, true, 2]);
  watched.committed(9n, "c");
  assert(!watched.isUpToDate);
});

Deno.test("watched: an event again, an older one, one of another state, one before any commit, are found", () => {
  const faultsOf = (tell: (watched: Watched) => void) => {
    const watched = withCommitted();
    tell(watched);
    return watched.faults();
  };
  assertEquals(faultsOf((watched) => (watched.told(3n, "a"), watched.told(3n, "a"))).length, 1);
  assertEquals(faultsOf((watched) => (watched.told(7n, "b"), watched.told(3n, "a"))).length, 1);
  assertEquals(faultsOf((watched) => watched.told(7n, "a")), [
    "x: was told a at revision 7, where disks have b",
  ]);
  assertEquals(faultsOf((watched) => watched.told(8n, "c")).length, 1);
  assertEquals(faultsOf((watched) => watched.committed(7n, "c")).length, 1);
});

Deno.test("watched: fewer may wait than the state has, as a node's clock has it; more never", () => {
  const faultsOf = (waiting: number) => {
    const watched = new Watched("x", "none");
    watched.committed(3n, "a", 2);
    watched.told(3n, "a", waiting);
    return watched.faults();
  };
  assertEquals([faultsOf(0), faultsOf(2)], [[], []]);
  assertEquals(faultsOf(3), ["x: was told a, 3 waiting at revision 3, where disks have a, 2 waiting"]);
});

Deno.test("watched: who begins anew may be told what is older, but knows what it knew", () => {
  const watched = withCommitted();
  watched.read(7n, "b");
  assertEquals([watched.revision, watched.known, watched.isUpToDate], [null, 7n, true]);
  watched.told(3n, "a");
  watched.begin();
  watched.told(0n, "none");
  assertEquals([watched.faults(), watched.revision, watched.known], [[], 0n, 7n]);
  watched.told(0n, "none");
  assertEquals(watched.faults().length, 1);
});

Deno.test("watched: a read, or the answer that there is nothing newer, that is behind what was told before, is found", () => {
  const watched = withCommitted();
  watched.read(7n, "b", 7n);
  watched.nothingAbove(7n, 7n);
  assertEquals(watched.faults(), []);
  watched.read(3n, "a", 7n);
  watched.nothingAbove(3n, 7n);
  assertEquals(watched.faults(), [
    "x: a read came to revision 3, though 7 was told before",
    "x: nothing above 3, though 7 was told before",
  ]);
});

Deno.test("watched: what a quorum has voted for may be told before a record moves on; what one node has voted for may not", () => {
  const machine = createMachine({ digest: sha256Hex });
  const value = { id: "a/1", proposer: "a", commands: [{ subject: "s", id: "1", born: 1, op: put("new") }] } as const;
  const vote = { ballot: [1, "a/n", 0], kind: "classic", value } as const;
  const record = { ...freshRecord(machine, { kind: "prepare" }), promised: vote.ballot, vote };
  const faultsOf = (voters: readonly string[]) => {
    const decided = new DecidedLog();
    const monitor = new AcceptorMonitor(["a", "b", "c"], (...chosen) => decided.chose(...chosen, 0));
    const watched = new Watched("x", "none");
    for (const node of voters) {
      decided.committed("kv/x", record);
      monitor.committed(node, "kv/x", record);
      const made = decided.made("kv/x", record);
      if (made !== null) watched.committed(BigInt(made.revision), made.register!.value!.bytes);
    }
    watched.told(1_025n, btoa("new"));
    return watched.faults();
  };
  assertEquals(faultsOf(["a"]), [`x: was told ${btoa("new")} at revision 1025, where disks have nothing`]);
  assertEquals(faultsOf(["a", "b"]), []);
});
