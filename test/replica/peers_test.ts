/** How peers are, as one node sees it, in time that the test moves. */
import { assert, assertEquals } from "@std/assert";
import { Peers, PROBE_MS, probeOf } from "../../src/replica/peers.ts";
import { type PeerCause, PeerError, type Transport, type WireMessage, type WireReply } from "../../src/ports.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

const NOTED: WireReply = { type: "noted" };
const VIEW = { type: "view" } as unknown as WireReply;
const READ: WireMessage = { type: "read", key: "lock/x", epoch: 0, instance: 1 };

type Answer = WireReply | PeerCause | "silent";

/** Peers of `a`, which answer as the test says: each message at once, or fail for that cause; `silent`: after a second. */
function setUp({ members = ["a", "b", "c"], learners = [] as string[], answers = {} as Record<string, Answer> } = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const sent: [string, WireMessage][] = [];
  const inner: Transport = {
    async send(to, message) {
      sent.push([to, message]);
      const answer = answers[to] ?? VIEW;
      if (answer === "silent") {
        await new Promise<void>((resolve) => clock.after(1_000, resolve));
        throw new PeerError(`${to} gave no answer within 1000 ms`, { why: "timed-out" });
      }
      if (typeof answer === "string") throw new PeerError(`${to} ${answer} at 10.0.0.1`, { why: answer });
      return answer;
    },
    rttMs: () => 0,
    close: () => {},
  };
  const report = (line: string) => lines.push(line);
  const counted: string[] = [];
  const meter = {
    peerAnswered: (peer: string, ms: number) => counted.push(`${peer} answered in ${ms}`),
    peerFailed: (peer: string) => counted.push(`${peer} failed`),
  };
  const peers = new Peers({ id: "a", members, learners, transport: inner, clock, report, meter });
  const ask = async (to: string, message = READ) => {
    await peers.transport.send(to, message).catch(() => {});
    await settled();
  };
  return { peers, clock, lines, sent, answers, ask, counted };
}

Deno.test("Peers: a cause is told once, however often it fails, and once that all is well again", async () => {
  const { peers, clock, lines, answers, ask } = setUp({ answers: { b: "certificate" } });
  for (let i = 0; i < 100; i++) await ask("b");
  await clock.pass(60_000);
  const line = "b: certificate: its TLS certificate is not trusted here; --tls-ca names the file of the CA to trust" +
    " (b certificate at 10.0.0.1)";
  assertEquals(lines, [line]);
  const { cause, detail, since } = peers.faultOf("b")!;
  assertEquals([cause, since], ["certificate", "1970-01-01T00:00:01.000Z"]);
  // Whoever asks is not told what the runtime says, which names addresses.
  assert(!detail.includes("10.0.0.1"), detail);
  answers["b"] = VIEW;
  await clock.pass(PROBE_MS);
  assertEquals([lines, peers.faultOf("b")], [[line, "b: all is well again"], null]);
  await clock.pass(60_000);
  assertEquals([lines.length, clock.timers], [2, 0]);
});

Deno.test("Peers: that a node that may not vote answers other questions says nothing of its vote", async () => {
  for (const cause of ["not-ready", "failed", "no-vote"] as const) {
    const { peers, clock, answers, ask } = setUp({ answers: { b: cause } });
    await ask("b");
    assertEquals(peers.faultOf("b")?.cause, cause);
    answers["b"] = NOTED;
    await ask("b", { type: "marks", of: "a" });
    assertEquals(peers.faultOf("b")?.cause, cause);
    answers["b"] = VIEW;
    await clock.pass(PROBE_MS);
    assertEquals(peers.faultOf("b"), null);
  }
});

Deno.test("Peers: what passes within a second is no news; what lasts is", async () => {
  const { peers, clock, lines, answers, ask } = setUp({ answers: { b: "refused" } });
  await ask("b");
  await clock.pass(900);
  assertEquals(peers.faultOf("b")?.cause, "refused");
  answers["b"] = VIEW;
  await clock.pass(PROBE_MS);
  assertEquals([lines, peers.faultOf("b")], [[], null]);
  answers["b"] = "refused";
  await ask("b");
  await clock.pass(1_500);
  assertEquals(lines.length, 1);
});

Deno.test("Peers: a failure of a message that others have overtaken says nothing", async () => {
  const { peers, clock, answers, ask } = setUp({ answers: { b: "silent" } });
  const slow = ask("b");
  await clock.pass(500);
  answers["b"] = NOTED;
  await ask("b");
  await clock.pass(1_000);
  await slow;
  assertEquals([peers.faultOf("b"), peers.isReachable("b"), peers.heardAgoMs("b")], [null, true, 1_000]);
});

Deno.test("Peers: one that comes and goes all the time makes a few lines a minute", async () => {
  const { clock, lines, answers, ask } = setUp();
  for (let i = 0; i < 100; i++) {
    answers["b"] = i % 2 === 0 ? "other-secret" : VIEW;
    await ask("b");
    await clock.pass(100);
  }
  assertEquals(lines.length, 4);
  // Later the line is told that is true then.
  answers["b"] = "other-secret";
  await clock.pass(60_000);
  await ask("b");
  await clock.pass(PROBE_MS);
  assertEquals(lines.length, 5);
});

Deno.test("Peers: only members are asked again while they are not well; what answers but does not vote is told as such", async () => {
  const { peers, clock, sent, answers, ask } = setUp({ learners: ["v"], answers: { b: "refused", v: "refused" } });
  await ask("b");
  await ask("v");
  sent.length = 0;
  await clock.pass(PROBE_MS * 4);
  assertEquals(sent, Array(4).fill(["b", probeOf(0)]));
  assertEquals(peers.others().map(({ id, cause }) => [id, cause]), [["v", "refused"]]);
  answers["b"] = { type: "unavailable", reason: "the disk of this node is full" };
  await clock.pass(PROBE_MS);
  const { cause, detail } = peers.faultOf("b")!;
  assertEquals([cause, detail], ["no-vote", "it answers, but does not vote: the disk of this node is full"]);
  // What it notes is no vote, and it may vote the next moment: nobody is refused for it.
  answers["b"] = NOTED;
  await ask("b");
  assertEquals([peers.faultOf("b")?.cause, peers.isReachable("b"), [...peers.down()]], ["no-vote", true, []]);
  peers.close();
  assertEquals(clock.timers, 0);
});

Deno.test("Peers: down is what failed twice, the second time sent after the first had failed, and only while that is new", async () => {
  const { peers, clock, answers, ask } = setUp({ answers: { b: "silent" } });
  // As after a stall of this process: many messages fail at once.
  const stalled = [ask("b"), ask("b"), ask("b")];
  await clock.pass(1_000);
  await Promise.all(stalled);
  assertEquals([[...peers.suspected()], [...peers.down()]], [["b"], []]);
  await clock.pass(1_000);
  assertEquals([...peers.down()], ["b"]);
  // It is asked again all the time, so that stays news; where nobody asks any more, nothing is known.
  await clock.pass(20_000);
  assertEquals([...peers.down()], ["b"]);
  peers.close();
  await clock.pass(2_001);
  assertEquals([...peers.down()], []);
  answers["b"] = VIEW;
});

Deno.test("Peers: asked for a request, members that are back are well before it is refused", async () => {
  const { peers, clock, answers, ask } = setUp({ answers: { b: "refused", c: "silent" } });
  await Promise.all([ask("b"), ask("b"), settled().then(() => clock.pass(2_000))]);
  assertEquals([...peers.down()], ["b"]);
  answers["b"] = VIEW;
  const asked = peers.askSuspected();
  assertEquals(peers.askSuspected(), asked);
  await settled();
  await asked;
  assertEquals([...peers.suspected()], []);
});

Deno.test("Peers: what a peer sends is refused: told once, and not while somebody else uses its name", async () => {
  const { peers, clock, lines } = setUp();
  for (let i = 0; i < 1_000; i++) peers.refused("b", "other-secret");
  assertEquals(lines, [
    "b: other-secret: what it sends is refused here: it is signed with another QUORATE_PEER_SECRET",
  ]);
  assertEquals(peers.faultOf("b")?.cause, "other-secret");
  peers.heard("b");
  assertEquals(lines.at(-1), "b: all is well again");
  for (let i = 0; i < 50; i++) {
    peers.refused("b", "other-secret");
    peers.heard("b");
    await clock.pass(1_000);
  }
  assertEquals([lines.length, peers.faultOf("b")], [2, null]);
});

Deno.test("Peers: a refusal is shown for as long as it may be true", async () => {
  const { peers, clock } = setUp();
  peers.refused("b", "other-members");
  peers.refused("z", "no-member");
  await clock.pass(59_000);
  assertEquals([peers.faultOf("b")?.cause, peers.others().map(({ id }) => id)], ["other-members", ["z"]]);
  await clock.pass(2_000);
  assertEquals([peers.faultOf("b"), peers.others()], [null, []]);
});

Deno.test("Peers: a stranger without the secret leaves no line and no memory; of those with it, the last 16 are known", () => {
  const { peers, lines } = setUp();
  for (let i = 0; i < 1_000; i++) {
    peers.refused(`x${i}`, "other-secret");
    peers.refused(`x${i}`, "other-wire");
  }
  peers.refused("a", "no-member");
  assertEquals([lines, peers.others()], [[], []]);
  for (let i = 0; i < 100; i++) peers.refused(`x${i}`, "no-member");
  assertEquals(peers.others().length, 16);
});

Deno.test("Peers: who is heard of again is asked at once, and not for each of its requests", async () => {
  const { peers, clock, sent, answers, ask } = setUp({ answers: { b: "refused" } });
  await ask("b");
  await clock.pass(PROBE_MS * 1.5);
  sent.length = 0;
  peers.heard("b");
  await settled();
  for (let i = 0; i < 100; i++) peers.heard("b");
  assertEquals(sent, [["b", probeOf(0)]]);
  answers["b"] = VIEW;
  await clock.pass(PROBE_MS);
  assertEquals(peers.faultOf("b"), null);
});

Deno.test("Peers: answers are counted with their time, but a Learn's, and failures that say something of the peer", async () => {
  const { clock, ask, counted, answers, peers } = setUp({ answers: { c: "silent" } });
  await ask("b");
  await ask("b", { type: "learn" } as unknown as WireMessage);
  assertEquals(counted, ["b answered in 0"]);
  const late = ask("c");
  await clock.pass(1_000);
  await late;
  assertEquals(counted.filter((line) => line.startsWith("c ")).slice(0, 1), ["c failed"]);
  answers["c"] = VIEW;
  await ask("c");
  assertEquals(counted.at(-1), "c answered in 0");
  peers.close();
});
