/** Records on a real file that are not what was written: damaged, and never "no record". */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { QuorateError } from "../../src/errors.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import { stateRow } from "../../src/store/key_space.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { ballotOf, fast, rulesOf } from "../paxos/samples.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { acceptorHost } from "./acceptor_parts.ts";

const KEY = "kv/x";
const MODE = fast("a");

Deno.test("stopped: a state that rotted on disk is damaged on load: no view, no vote, no promise, one line, and others are well", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/a.sqlite`;
  const machine = createMachine({ digest: sha256Hex });
  const lines: string[] = [];
  const open = async () => {
    // Every state is written whole.
    const store = await openOwnerStore({ apply: machine.apply, path, run: () => "r", shortenBytes: -1 });
    const rules = { ...rulesOf("a", 1), machine };
    const leases = new LeaseClock(new ManualClock(), machine);
    const report = (line: string) => void lines.push(line);
    const host = acceptorHost({ rules, store, leases, modeOf: () => MODE, report });
    return { store, host };
  };
  try {
    const first = await open();
    for (const key of [KEY, "kv/well"]) {
      const op = { type: "put", bytes: "c291bmQ=", contentType: "text/plain" };
      const commands = [{ subject: "s", id: "k", born: 1, op }];
      const value = { id: "a/v/1", proposer: "a", commands };
      const at = { key, epoch: 0, instance: 1 } as const;
      await first.host.handle({ type: "accept", ...at, ballot: STANDING, value }, "a");
      const certificate = {
        instance: 1,
        ballot: STANDING,
        kind: "inclusive",
        valueId: value.id,
        acceptors: ["a"],
      } as const;
      assertEquals((await first.host.handle({ type: "decide", ...at, certificate }, "a")).type, "decided");
    }
    await first.store.close();

    const kv = await Deno.openKv(path);
    const row = (await kv.get<Uint8Array>(stateRow(KEY))).value!;
    const text = new TextDecoder().decode(row);
    const rotten = text.replace("c291bmQ=", "c291bmE=");
    assert(rotten !== text);
    await kv.set(stateRow(KEY), new TextEncoder().encode(rotten));
    kv.close();

    const { store, host } = await open();
    const at = { key: KEY, epoch: 0, instance: 2 } as const;
    for (
      const said of [
        () => host.view(KEY),
        () => host.handle({ type: "read", ...at }, "b"),
        () => host.handle({ type: "prepare", ...at, ballot: ballotOf(1, "b") }, "b"),
        () => host.handle({ type: "lapsed?", ...at, leases: [] }, "b"),
      ]
    ) {
      const error = await assertRejects(said, QuorateError, "damaged");
      assertEquals(error.code, "not-ready");
    }
    assertEquals((await host.view("kv/well")).snapshot.instance, 2);
    assertEquals(lines.length, 1);
    assertStringIncludes(lines[0]!, "its state is not what its hash is of");
    assertEquals(host.stopped.shown.map(({ key }) => key), [KEY]);
    await store.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
