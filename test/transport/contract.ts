/** What every Transport does, whatever carries it. Node `a` sends; node `b` is what the test says. */
import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import {
  type Clock,
  MAILBOX,
  type Mailbox,
  PeerError,
  type Transport,
  type WireMessage,
  type WireReply,
} from "../../src/ports.ts";
import type { Receive } from "../../src/transport/local_transport.ts";
import { MESSAGES, VALUE } from "./samples.ts";

export type Harness = {
  /** The transport of node `a`, which knows `b`, and `c`, which is not there. */
  readonly transport: Transport;
  /** Ends node `b`. */
  stop(): Promise<void>;
};
export type MakeHarness = (receive: Receive, deadlineMs: number) => Harness | Promise<Harness>;

export const realClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

const NEVER_MS = 60_000;

export function readAt(instance: number): WireMessage {
  return { ...MESSAGES.read, instance };
}

/** Answers each message with the instance it was about. */
export const echo = (
  _from: string,
  _mailbox: Mailbox,
  messages: readonly WireMessage[],
): Promise<readonly WireReply[]> =>
  Promise.resolve(
    messages.map((message) => ({ type: "learned", instance: "instance" in message ? message.instance : 1 })),
  );

export function transportContract(name: string, make: MakeHarness): void {
  function check(what: string, deadlineMs: number, run: Receive, test: (harness: Harness) => Promise<void>): void {
    Deno.test(`${name}: ${what}`, async () => {
      const harness = await make(run, deadlineMs);
      try {
        await test(harness);
      } finally {
        harness.transport.close();
        await harness.stop();
      }
    });
  }

  const seen: [string, Mailbox, readonly WireMessage[]][] = [];
  const recording: Receive = (from, mailbox, messages) => {
    seen.push([from, mailbox, messages]);
    return echo(from, mailbox, messages);
  };

  check("each message gets its own reply", NEVER_MS, echo, async ({ transport }) => {
    const instances = [7, 3, 9, 1];
    const replies = await Promise.all(instances.map((instance) => transport.send("b", readAt(instance))));
    assertEquals(replies, instances.map((instance) => ({ type: "learned", instance })));
  });

  check(
    "every type of message arrives as it was, in its mailbox, under its sender's name",
    NEVER_MS,
    recording,
    async ({ transport }) => {
      seen.length = 0;
      for (const message of Object.values(MESSAGES)) await transport.send("b", message);
      assertEquals(seen, Object.values(MESSAGES).map((message) => ["a", MAILBOX[message.type], [message]]));
    },
  );

  check("a message is what it was when it was sent", NEVER_MS, recording, async ({ transport }) => {
    seen.length = 0;
    const message = { ...MESSAGES.read, instance: 5 };
    const reply = transport.send("b", message);
    message.instance = 6;
    await reply;
    assertEquals(seen, [["a", "acceptor", [readAt(5)]]]);
  });

  check(
    "what is sent in one turn travels together, in order, by mailbox",
    NEVER_MS,
    recording,
    async ({ transport }) => {
      seen.length = 0;
      const sends = Array.from({ length: 100 }, (_, i) => {
        return transport.send("b", { ...(i % 2 === 0 ? MESSAGES.read : MESSAGES.accepted), instance: i + 1 });
      });
      const replies = await Promise.all(sends);
      assertEquals(replies.map((reply) => reply.type === "learned" && reply.instance), sends.map((_, i) => i + 1));
      assertLessOrEqual(seen.length, 4);
      for (const mailbox of ["acceptor", "learner"]) {
        const messages = seen.filter((each) => each[1] === mailbox).flatMap((each) => each[2]);
        const type = mailbox === "acceptor" ? "read" : "accepted";
        assertEquals(messages.map((message) => message.type), Array(50).fill(type));
      }
    },
  );

  check("more than one request holds takes several", NEVER_MS, recording, async ({ transport }) => {
    seen.length = 0;
    await Promise.all(Array.from({ length: 2_500 }, (_, i) => transport.send("b", readAt(i + 1))));
    const sizes = seen.map((each) => each[2].length);
    assertEquals(sizes.reduce((sum, size) => sum + size, 0), 2_500);
    assert(sizes.every((size) => size <= 1_000), String(sizes));
  });

  const slow: Receive = async (from, mailbox, messages) => {
    // The first request is answered last.
    if (messages.some((message) => message.type === "read" && message.instance === 1)) await gate.promise;
    return await echo(from, mailbox, messages);
  };
  let gate = Promise.withResolvers<void>();
  check("a later request may overtake one under way", NEVER_MS, slow, async ({ transport }) => {
    gate = Promise.withResolvers();
    const first = transport.send("b", readAt(1));
    // Another turn, so that it does not travel with the first.
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(await transport.send("b", readAt(2)), { type: "learned", instance: 2 });
    gate.resolve();
    assertEquals(await first, { type: "learned", instance: 1 });
  });

  check("a peer that is not there, or no longer, is a PeerError", NEVER_MS, echo, async ({ transport, stop }) => {
    await assertRejects(() => transport.send("c", readAt(1)), PeerError);
    await transport.send("b", readAt(1));
    await stop();
    await assertRejects(() => transport.send("b", readAt(1)), PeerError);
  });

  const stuck: Receive = () => new Promise(() => {});
  check("a peer that does not answer is a PeerError at the deadline", 20, stuck, async ({ transport }) => {
    const sends = [1, 2, 3].map((instance) => transport.send("b", readAt(instance)));
    for (const send of sends) await assertRejects(() => send, PeerError, "within 20 ms");
    assertEquals(transport.rttMs("b"), 0);
  });

  const goesOn = Promise.withResolvers<void>();
  const late: Receive = async (from, mailbox, messages) => {
    await goesOn.promise;
    return await echo(from, mailbox, messages);
  };
  check("what a peer answers after the deadline is had from what told of that", 500, late, async ({ transport }) => {
    const sends = [1, 2, 3].map((instance) => transport.send("b", readAt(instance)));
    const errors = await Promise.all(sends.map((send) => assertRejects(() => send, PeerError, "within 500 ms")));
    goesOn.resolve();
    const replies = await Promise.all(errors.map(({ late }) => late));
    assertEquals(replies, [1, 2, 3].map((instance) => ({ type: "learned", instance })));
  });

  check(
    "a peer that fails is a PeerError",
    NEVER_MS,
    () => Promise.reject(new Error("no disk")),
    async ({ transport }) => {
      await assertRejects(() => transport.send("b", readAt(1)), PeerError);
    },
  );

  const short: Receive = async (from, mailbox, messages) => (await echo(from, mailbox, messages)).slice(1);
  check("fewer replies than messages are none", NEVER_MS, short, async ({ transport }) => {
    const sends = [1, 2, 3].map((instance) => transport.send("b", readAt(instance)));
    for (const send of sends) await assertRejects(() => send, PeerError, "3 messages with 2 replies");
  });

  check("what no peer would take is refused by itself", NEVER_MS, echo, async ({ transport }) => {
    const good = transport.send("b", readAt(1));
    const op = { type: "x", pad: "x".repeat(50_000) };
    const value = { ...VALUE, commands: [{ ...VALUE.commands[0]!, op }] };
    await assertRejects(
      () => transport.send("b", { ...MESSAGES.accept, value }),
      PeerError,
      "message.value",
    );
    const decide = { type: "decide" } as never;
    await assertRejects(() => transport.send("b", decide), PeerError, "message.type");
    assertEquals(await good, { type: "learned", instance: 1 });
  });

  check("a round trip is known once there was one", NEVER_MS, echo, async ({ transport }) => {
    assertEquals([transport.rttMs("b"), transport.rttMs("nobody")], [0, 0]);
    await transport.send("b", readAt(1));
    assert(transport.rttMs("b") > 0);
  });

  check("how fast a Learn is answered tells nothing: it waits for no disk", NEVER_MS, echo, async ({ transport }) => {
    await transport.send("b", MESSAGES.learn);
    assertEquals(transport.rttMs("b"), 0);
    await Promise.all([transport.send("b", MESSAGES.learn), transport.send("b", readAt(1))]);
    assert(transport.rttMs("b") > 0);
  });

  check("closing ends what waits and refuses what comes", NEVER_MS, stuck, async ({ transport }) => {
    const waits = transport.send("b", readAt(1));
    const checked = assertRejects(() => waits, PeerError, "closed");
    await new Promise((resolve) => setTimeout(resolve, 0));
    transport.close();
    transport.close();
    await checked;
    await assertRejects(() => transport.send("b", readAt(2)), PeerError, "closed");
  });
}
