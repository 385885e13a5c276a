/**
 * `deno task node` whose store writes down what it commits: every vote with its value and every move of a record, in a file
 * beside the store, before anybody is told. It composes the shipped node; only the store's `update` is wrapped, from outside.
 */
import { runNode } from "../../src/cli/node.ts";
import type { BallotStore, StepResult, StoredRecord } from "../../src/ports.ts";
import { OwnerStore } from "../../src/store/owner_store.ts";
import { Recording, recordingPath } from "./recording.ts";

type Update = BallotStore["update"];

function record(path: string): void {
  const file = Deno.openSync(path, { append: true, create: true });
  const encoder = new TextEncoder();
  const write = (line: string) => {
    const bytes = encoder.encode(line);
    for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
  };
  // A life that was killed may have left a part of a line.
  write("\n");
  const recording = new Recording(write);
  const update = OwnerStore.prototype.update as Update;
  const recorded: Update = async function <R>(
    this: OwnerStore,
    key: string,
    step: (record: StoredRecord | null) => StepResult<R>,
  ): Promise<R> {
    const seen: (StoredRecord | null)[] = [];
    const reply = await update.call(this, key, (before: StoredRecord | null) => {
      const result = step(before);
      // A step may run again on a newer record: its last run is the one that was committed.
      seen.splice(0, 2, before, result.record);
      return result;
    });
    for (const record of seen) if (record !== null) recording.see(key, record);
    return reply as R;
  };
  OwnerStore.prototype.update = recorded;
}

if (import.meta.main) {
  const store = Deno.args[Deno.args.indexOf("--kv") + 1];
  if (store === undefined) throw new Error("a recording node needs --kv");
  record(recordingPath(store));
  Deno.exit(await runNode(Deno.args));
}
