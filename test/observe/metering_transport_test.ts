import { assertEquals, assertRejects } from "@std/assert";
import { meteringTransport } from "../../src/observe/metering_transport.ts";
import { PeerError, type WireMessage, type WireReply } from "../../src/ports.ts";

const ASK: WireMessage = { type: "marks", of: "a" };
const LEARN = { type: "learn" } as unknown as WireMessage;

Deno.test("metering transport: answers with their time, failures with a cause, and nothing of what was never sent", async () => {
  let now = 0;
  const seen: unknown[] = [];
  let next: () => Promise<WireReply> = () => Promise.resolve({ type: "noted" });
  const transport = meteringTransport(
    { send: () => next(), rttMs: () => 7, close: () => seen.push("closed") },
    { peerAnswered: (peer, ms) => seen.push([peer, ms]), peerFailed: (peer) => seen.push(`${peer} failed`) },
    () => now += 5,
  );
  assertEquals(await transport.send("b", ASK), { type: "noted" });
  await transport.send("b", LEARN);
  next = () => Promise.reject(new PeerError("refused", { why: "refused" }));
  await assertRejects(() => transport.send("c", LEARN), PeerError);
  next = () => Promise.reject(new PeerError("too long to send"));
  await assertRejects(() => transport.send("c", ASK), PeerError);
  assertEquals(transport.rttMs("b"), 7);
  transport.close();
  assertEquals(seen, [["b", 5], "c failed", "closed"]);
});
