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

/** Marked now, and sent at once. */
function send({ clock, sends }: Pick<ReturnType<typeof rig>, "clock" | "sends">, id: string, ask?: string): void {
  sends.sending(KEY, { id, ...(ask === undefined ? {} : { ask }), atMs: clock.now() });
}

const take = (id: string, ask: string) => ({ id, op: { type: "acquire", ask } });
const keep = (id: string) => ({ id, op: { type: "keep-places", places: [] } });

Deno.test("own sends: a command counts from when it was first sent, at the instance that decided it", async () => {
  const { clock, sends, decide } = rig();
  sends.follow(KEY);
  await clock.pass(100);
  send({ clock, sends }, "request", "mark");
  send({ clock, sends }, "keep-1");
  await clock.pass(400);
  decide(3, take("request", "mark"));
  await clock.pass(100);
  decide(5, keep("keep-1"));
  assertEquals(sends.of(KEY), [{ instance: 3, sentMs: 1_100 }, { instance: 5, sentMs: 1_100 }]);
});

Deno.test("own sends: the same request, as another process or an earlier try sent it, is none of this asking", () => {
  const { clock, sends, decide } = rig();
  sends.follow(KEY);
  send({ clock, sends }, "request", "mark");
  decide(3, take("mark", "another"), take("request", "another"), take("another", "mark"), {
    id: "request",
    op: { type: "acquire" },
  }, keep("keep-2"));
  assertEquals(sends.of(KEY), []);
});

Deno.test("own sends: a state that somebody sent tells of no command, and what is decided twice counts once", () => {
  const { clock, listeners, sends, decide } = rig();
  sends.follow(KEY);
  send({ clock, sends }, "request", "mark");
  for (const listener of listeners) listener(KEY, { instance: 9 } as Snapshot, null);
  assertEquals(sends.of(KEY), []);
  decide(9, take("request", "mark"));
  decide(10, take("request", "mark"));
  assertEquals(sends.of(KEY), [{ instance: 9, sentMs: 1_000 }]);
});

Deno.test("own sends: nothing is kept of a key that nobody follows, and no more than the newest of one", () => {
  const { clock, listeners, sends, decide } = rig();
  send({ clock, sends }, "mark");
  const [one, other] = [sends.follow(KEY), sends.follow(KEY)];
  for (let i = 0; i < 200; i++) {
    send({ clock, sends }, "request", `m${i}`);
    decide(i + 1, take("mark", "mark"), take("request", `m${i}`));
  }
  assertEquals([sends.of(KEY).length, sends.of(KEY)[0]?.instance, sends.of(KEY).at(-1)?.instance], [64, 137, 200]);
  one();
  assertEquals(sends.of(KEY).length, 64);
  other();
  assertEquals([sends.of(KEY), listeners.size], [[], 0]);
});

Deno.test("own sends: sent again a command counts from when it was made, though it is decided by then, or more were sent than are kept", async () => {
  const { clock, sends, decide } = rig();
  sends.follow(KEY);
  const made = [{ id: "forgotten", ask: "mark", atMs: clock.now() }, { id: "twice", ask: "mark", atMs: clock.now() }];
  for (const one of made) sends.sending(KEY, one);
  decide(3, take("twice", "mark"));
  for (let i = 0; i < 200; i++) send({ clock, sends }, `${i}`);
  await clock.pass(400);
  for (const one of made) sends.sending(KEY, one);
  decide(4, take("twice", "mark"), take("forgotten", "mark"));
  assertEquals(new Set(sends.of(KEY).map(({ sentMs }) => sentMs)), new Set([1_000]));
  assertEquals(sends.of(KEY).map(({ instance }) => instance), [3, 4, 4]);
});
