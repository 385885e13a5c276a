/** What another process on the same database has decided is heard of here, though no message comes (PROTOCOL.md §5). */
import { assertEquals } from "@std/assert";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { SharedStorePoller } from "../../src/replica/shared_store_poller.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import { certificateOf, KEY, valueOf } from "../paxos/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { acceptorHost } from "./acceptor_parts.ts";
import { until } from "./clocks.ts";

Deno.test("shared store poller: what is listened to is looked at, and whoever listens hears of another process's decision", async () => {
  using kv = await Deno.openKv(":memory:");
  const clock = new ManualClock();
  const processes = await Promise.all(["one", "two"].map(async (run) => {
    const own = {
      getMany: kv.getMany.bind(kv),
      atomic: kv.atomic.bind(kv),
      list: kv.list.bind(kv),
      // The database is the other's too.
      close: () => {},
    };
    const store = await openSharedStore({ kv: own, name: "db", run, clock: realClock, random: realRandomness });
    if (store.identity() === null) await store.init({ cluster: "test", id: "a", incarnation: "i", config: "{}" });
    return { store, host: acceptorHost({ store, clock }) };
  }));
  const [one, two] = [processes[0]!, processes[1]!];
  const heard: number[] = [];
  await one.host.view(KEY);
  const stop = one.host.onMove(KEY, (_key, { instance }) => heard.push(instance));
  const poller = new SharedStorePoller({
    acceptor: one.host,
    store: one.store,
    clock,
    random: { next: () => 0, id: () => "id" },
  }, () => []);
  poller.start();
  const value = valueOf("b");
  const ballot = [1, "b/n", 0] as const;
  await two.host.handle({ type: "accept", key: KEY, epoch: 0, instance: 1, ballot, value }, "b");
  const certificate = certificateOf(1, value, "classic", "ab", ballot);
  const learned = await two.host.handle({ type: "learn", key: KEY, epoch: 0, instance: 1, certificate }, "b");
  assertEquals(learned, { type: "learned", instance: 2 });
  assertEquals(heard, []);
  await until("it is heard of", async () => {
    await clock.pass(150);
    await settled();
    return heard.length > 0;
  });
  assertEquals(heard, [2]);
  stop();
  poller.stop();
  for (const { store } of processes) await store.close();
});
