import { assert, assertEquals } from "@std/assert";
import { collisionIn, commandName, detailOf, valueName } from "../../src/observe/detail.ts";
import { MESSAGES, REPLIES, VALUE, VOTE } from "../transport/samples.ts";

Deno.test("detail: nonces, digests and commands are cut, what tells them apart is kept", () => {
  assertEquals(valueName("a/abcdefghijkl/7"), "a/abcdef/7");
  assertEquals(valueName("1.a/abcdefghijkl.0"), "1.a/abcdef.0");
  assertEquals(valueName("0..1"), "0..1");
  assertEquals(valueName("f".repeat(64)), "f".repeat(12));
  assertEquals(commandName("0123456789abcdef"), "0123456789ab");
});

Deno.test("detail: letters of Fast Paxos, and what each message says", () => {
  const letters = Object.values({ ...MESSAGES, ...REPLIES }).flatMap((message) => detailOf(message).letter ?? []);
  assertEquals([...new Set(letters)].sort(), ["1a", "1b", "2a", "2b"]);
  assertEquals(detailOf(MESSAGES.accept), {
    type: "accept",
    letter: "2a",
    instance: 5,
    ballot: "0..0",
    value: "a/n1/1",
    proposer: "a",
    commands: ["cmd-1"],
  });
  assertEquals(detailOf(MESSAGES.fresh), detailOf(MESSAGES.accept));
  assertEquals(detailOf(REPLIES.fresh), detailOf(REPLIES.accepted));
  assertEquals(detailOf(REPLIES.promise).vote, { ballot: "0..0", value: "a/n1/1" });
  assertEquals(detailOf(REPLIES.ahead).instance, 5);
  assertEquals(detailOf(MESSAGES.collision).votes, { a: "a/n1/1" });
});

Deno.test("detail: nothing of any message is a state or an operation", () => {
  for (const message of Object.values({ ...MESSAGES, ...REPLIES })) {
    const text = JSON.stringify(detailOf(message));
    assert(text.length < 250 && !/stateHash|"op"|holds/.test(text), text);
  }
});

Deno.test("detail: a collision is two values in one ballot; silence and older ballots are none", () => {
  const other = { ...VOTE, value: { ...VALUE, id: "b/n2/1" } };
  const report = (...votes: (typeof VOTE | null)[]) => ({
    ...MESSAGES.collision,
    reports: votes.map((vote, i) => ({ from: "abc"[i]!, vote })),
  });
  assertEquals(collisionIn({ type: "sent", to: "c", message: report(VOTE, other) })?.by, "proposer");
  assertEquals(collisionIn({ type: "sent", to: "c", message: report(VOTE, VOTE, null) }), null);
  const refusedFor = (vote: typeof VOTE | null) =>
    collisionIn({ type: "handled", from: "a", message: MESSAGES.accept, reply: { ...REPLIES.refused, vote } });
  assertEquals(refusedFor(other)?.values, ["b/n2/1", "a/n1/1"]);
  assertEquals(refusedFor({ ...other, ballot: [1, "b/n2", 0] }), null);
  assertEquals(refusedFor(null), null);
  const reply = { type: "fresh", reply: { ...REPLIES.refused, vote: other } } as const;
  const met = collisionIn({ type: "handled", from: "a", message: MESSAGES.fresh, reply });
  assertEquals(met?.values, ["b/n2/1", "a/n1/1"]);
});
