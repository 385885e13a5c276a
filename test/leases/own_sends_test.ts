import { assertEquals } from "@std/assert";
import { OwnSends } from "../../src/leases/own_sends.ts";
import type { Snapshot, Value } from "../../src/paxos/message.ts";
import type { MoveListener } from "../../src/replica/own_record.ts";
import { ManualClock } from "../transport/manual_clock.ts";

const KEY = "lock/a";

function rig() {
  const clock = new ManualClock();
  const listeners = new Set<MoveListener>();
  const acceptor = {
    onMove(_key: string, listener: MoveListener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const decide = (instance: number, ...commands: readonly { readonly id: string; readonly op: unknown }[]) => {
    const value = { commands: commands.map((command) => ({ subject: "s", born: 1, ...command })) } as unknown as Value;
    for (const listener of listeners) listener(KEY, { instance: instance + 1 } as Snapshot, value);
  };
  return { clock, listeners, sends: new OwnSends({ clock, acceptor }), decide };
}

const take = (id: string, ask: string) => ({ id, op: { type: "acquire", ask } });
const keep = (id: string) => ({ id, op: { type: "keep-places", places: [] } });

Deno.test("own sends: a command counts from when it was first sent, at the instance that decided it", async () => {
  const { clock, sends, decide } = rig();
  sends.follow(KEY);
  await clock.pass(100);
  sends.sending(KEY, "mark");
  sends.sending(KEY, "keep-1");
  await clock.pass(400);
  sends.sending(KEY, "mark");
  decide(3, take("request", "mark"));
  await clock.pass(100);
  decide(5, keep("keep-1"));
  assertEquals(sends.of(KEY), [{ instance: 3, sentMs: 1_100 }, { instance: 5, sentMs: 1_100 }]);
});

Deno.test("own sends: the same request, as another process or an earlier try sent it, is none of this asking", () => {
  const { sends, decide } = rig();
  sends.follow(KEY);
  sends.sending(KEY, "mark");
  decide(3, take("mark", "another"), { id: "request", op: { type: "acquire" } }, keep("keep-2"));
  assertEquals(sends.of(KEY), []);
});

Deno.test("own sends: a state that somebody sent tells of no command, and what is decided twice counts once", () => {
  const { listeners, sends, decide } = rig();
  sends.follow(KEY);
  sends.sending(KEY, "mark");
  for (const listener of listeners) listener(KEY, { instance: 9 } as Snapshot, null);
  assertEquals(sends.of(KEY), []);
  decide(9, take("request", "mark"));
  decide(10, take("request", "mark"));
  assertEquals(sends.of(KEY), [{ instance: 9, sentMs: 1_000 }]);
});

Deno.test("own sends: nothing is kept of a key that nobody follows, and no more than the newest of one", () => {
  const { listeners, sends, decide } = rig();
  sends.sending(KEY, "mark");
  const [one, other] = [sends.follow(KEY), sends.follow(KEY)];
  for (let i = 0; i < 200; i++) {
    sends.sending(KEY, `m${i}`);
    decide(i + 1, take("mark", "mark"), take("request", `m${i}`));
  }
  assertEquals([sends.of(KEY).length, sends.of(KEY)[0]?.instance, sends.of(KEY).at(-1)?.instance], [64, 137, 200]);
  one();
  assertEquals(sends.of(KEY).length, 64);
  other();
  assertEquals([sends.of(KEY), listeners.size], [[], 0]);
});
