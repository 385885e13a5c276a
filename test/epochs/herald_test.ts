import { assertEquals, assertRejects } from "@std/assert";
import { Epochs } from "../../src/epochs/epochs.ts";
import { decodeTold, encodeAnswer } from "../../src/epochs/exchange.ts";
import { Herald, meetingTransport } from "../../src/epochs/herald.ts";
import type { Known } from "../../src/epochs/news.ts";
import { EPOCH_TELL_MAX_MS, EPOCH_TELL_MIN_MS } from "../../src/limits.ts";
import { type EpochsRow, PeerError, type Transport } from "../../src/ports.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { epochOf, KNOWS, rowOf } from "./samples.ts";

const [E0, E1] = [epochOf(0, "abc"), epochOf(1, "abd")];

/** Node a, whose peers answer what `rows` has: a row, null for the first epoch, nothing for silence. */
function standing(known: Known, rows: Record<string, EpochsRow | null | undefined> = {}) {
  const clock = new ManualClock();
  const entered: EpochsRow[] = [];
  const retired: EpochsRow[] = [];
  const asked: string[] = [];
  const lines: string[] = [];
  const epochs = new Epochs({
    id: "a",
    cluster: E0.cluster,
    known,
    enter: (row) => Promise.resolve(void entered.push(row)),
    retire: (row) => Promise.resolve(void retired.push(row)),
    lifeOf: () => Promise.resolve(null),
    isNobodys: () => false,
    report: (line) => lines.push(line),
  });
  const herald = new Herald({
    id: "a",
    epochs,
    clock,
    ask: ({ id }, body) => {
      asked.push(id);
      decodeTold(body);
      const row = rows[id];
      if (row === undefined) return Promise.reject(new PeerError("silence"));
      const who = { cluster: E0.cluster, id, incarnation: "i", isJoining: false, isShared: false, ...KNOWS };
      return Promise.resolve(encodeAnswer({ ...who, row }));
    },
  });
  return { clock, epochs, herald, rows, entered, retired, asked, lines };
}

const IN_0: Known = { current: E0, row: null };
const IN_1: Known = { current: E1, row: rowOf(E0, E1) };

Deno.test("herald: in the first epoch there is nothing to tell", async () => {
  const { herald, asked, clock } = standing(IN_0);
  herald.start();
  await clock.pass(60_000);
  assertEquals([asked, clock.timers], [[], 0]);
});

Deno.test("herald: all of the old members and the new are told until they are there, more and more seldom", async () => {
  const { herald, asked, clock, rows } = standing(IN_1, { b: rowOf(E0, E1) });
  herald.start();
  await settled();
  assertEquals(asked, ["b", "c", "d"]);
  assertEquals(herald.arrived(["a", "b", "c"]), ["a", "b"]);
  await clock.pass(EPOCH_TELL_MIN_MS);
  assertEquals(asked.slice(3), ["c", "d"]);
  await clock.pass(60_000);
  const often = asked.length;
  await clock.pass(10 * EPOCH_TELL_MAX_MS);
  assertEquals(asked.length - often, 20);
  rows["c"] = rows["d"] = rowOf(E0, E1);
  await clock.pass(EPOCH_TELL_MAX_MS);
  const then = asked.length;
  await clock.pass(60_000);
  assertEquals([asked.length, clock.timers], [then, 0]);
});

Deno.test("herald: once names have moved only members are told of that, and who is gone is left alone", async () => {
  const { herald, epochs, asked, clock, rows, retired } = standing(IN_1, { b: rowOf(E0, E1), d: rowOf(E0, E1) });
  herald.start();
  await settled();
  asked.length = 0;
  await epochs.hear(rowOf(E0, E1, 1), "a");
  assertEquals(retired, [rowOf(E0, E1, 1)]);
  assertEquals(asked, ["b", "d"]);
  await settled();
  rows["b"] = rows["d"] = rowOf(E0, E1, 1);
  await clock.pass(EPOCH_TELL_MAX_MS);
  asked.length = 0;
  await clock.pass(60_000);
  assertEquals(asked, []);
});

Deno.test("herald: who is no member asks until it hears that names have moved", async () => {
  const E2 = epochOf(2, "bcd");
  const { herald, asked, clock, rows, retired } = standing({ current: E2, row: rowOf(E1, E2) }, {
    b: rowOf(E1, E2),
    d: rowOf(E1, E2),
  });
  herald.start();
  await clock.pass(60_000);
  assertEquals(new Set(asked), new Set(["b", "c", "d"]));
  rows["d"] = rowOf(E1, E2, 1);
  await clock.pass(EPOCH_TELL_MAX_MS);
  assertEquals(retired, [rowOf(E1, E2, 1)]);
});

Deno.test("herald: who has other members is met once at a time, and its news is taken", async () => {
  const { herald, asked, clock, entered } = standing(IN_0, { b: rowOf(E0, E1) });
  const transport: Transport = {
    send: (to) => Promise.reject(new PeerError("no", { why: to === "b" ? "other-members" : "refused" })),
    rttMs: () => 0,
    close: () => {},
  };
  const meeting = meetingTransport(transport, (peer) => herald.meet(peer));
  for (let i = 0; i < 20; i++) {
    for (const to of ["b", "c", "x"]) {
      await assertRejects(() => meeting.send(to, { type: "marks", of: "a" }), PeerError, "no");
    }
  }
  await settled();
  assertEquals([asked, entered], [["b"], [rowOf(E0, E1)]]);
  herald.meet("x");
  herald.close();
  await clock.pass(EPOCH_TELL_MIN_MS);
  herald.meet("b");
  assertEquals(asked, ["b"]);
});

Deno.test("herald: an answer that is none is an error of the peer, and changes nothing", async () => {
  const { epochs, entered } = standing(IN_0);
  const herald = new Herald({ id: "a", epochs, clock: new ManualClock(), ask: () => Promise.resolve('{"row":7}') });
  const peer = { id: "b", url: "http://127.0.0.1:1" };
  await assertRejects(() => herald.exchange(peer), PeerError, "b: row is not an object");
  assertEquals(await herald.standing(peer), "b: row is not an object");
  assertEquals(entered, []);
});
