/** What an acceptor says of a record while it is repaired, and which records may take its place. */
import { assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorMessage, AcceptorRecord } from "../../src/paxos/message.ts";
import { freshRecord } from "../../src/paxos/record.ts";
import { MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { fast, KEY, machine, valueOf } from "../paxos/samples.ts";
import { acceptorHost } from "./acceptor_parts.ts";

const accept: AcceptorMessage = {
  type: "accept",
  key: KEY,
  epoch: 0,
  instance: 1,
  ballot: STANDING,
  value: valueOf("a", 1),
};

async function rig() {
  const disk = new MemoryDisk();
  const store = await openMemoryStore({ disk });
  const host = acceptorHost({ store });
  await host.handle(accept, "a");
  const at = (instance: number): AcceptorRecord => ({ ...freshRecord(machine, fast("c")), instance });
  const put = (text: string) => void disk.records.set(KEY, text);
  return { host, at, put, text: () => disk.records.get(KEY)! };
}

Deno.test("mending: a record that can be read again while it is repaired says nothing until that is over, and is not replaced", async () => {
  const { host, at, put, text } = await rig();
  const sound = text();
  put("junk");
  const done = await host.mending.mend(KEY, async (_own, install) => {
    put(sound);
    // A vote that it cast now would be lost with it.
    await assertRejects(() => host.handle({ ...accept, value: valueOf("a", 2) }, "a"), QuorateError, "being repaired");
    assertEquals(host.viewNow(KEY), null);
    return await install(at(9));
  });
  assertEquals(done, false);
  assertEquals(text(), sound);
  assertEquals((await host.view(KEY)).vote?.value.id, valueOf("a", 1).id);
});

Deno.test("mending: of one that has stopped nothing takes the place that does not stand above it", async () => {
  const { host, at, put, text } = await rig();
  put(JSON.stringify({ ...at(5), stopped: "for a test" }));
  const tries: unknown[] = [];
  await host.mending.mend(KEY, async ({ type }, install) => {
    tries.push(type, await install(at(5)), await install(at(6)));
  });
  assertEquals(tries, ["stopped", false, true]);
  assertEquals([JSON.parse(text()).instance, JSON.parse(text()).stopped], [6, undefined]);
});

Deno.test("mending: what fails leaves the record as it was, and it may be tried again", async () => {
  const { host, put, text } = await rig();
  put("junk");
  await assertRejects(() => host.mending.mend(KEY, () => Promise.reject(new Error("no quorum"))), Error, "no quorum");
  assertEquals(text(), "junk");
  assertEquals(await host.mending.mend(KEY, ({ type }) => Promise.resolve(type)), "damaged");
});
