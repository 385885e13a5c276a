/** Which node is asked first: measured, kept up to date by requests alone, and never in anybody's way. */
import { assertEquals } from "@std/assert";
import { Nearest } from "../../src/client/nearest.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

type Probed = { readonly node: string; answer(): Promise<void>; fail(): Promise<void>; readonly signal: AbortSignal };

function rig(...nodes: string[]) {
  const clock = new ManualClock();
  /** Not answered yet, oldest first. */
  const open: Probed[] = [];
  const nearest = new Nearest(nodes, (node, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => reject(new Error("late")));
    const end = (how: () => void) => async () => {
      open.splice(open.findIndex((one) => one.node === node), 1);
      how();
      await settled();
    };
    open.push({ node, signal, answer: end(resolve), fail: end(() => reject(new Error("refused"))) });
    return promise;
  }, clock);
  const probe = (node: string) => open.find((one) => one.node === node)!;
  return { clock, nearest, open, probe };
}

Deno.test("nearest: the first caller waits until one node has answered, and that one is asked first", async () => {
  const { clock, nearest, probe } = rig("a", "b", "c");
  let order: readonly string[] = [];
  const asked = nearest.order().then((given) => order = given);
  await probe("a").fail();
  await clock.pass(30);
  assertEquals(order, []);
  await probe("b").answer();
  await asked;
  // What was not heard of yet comes before what is known to have failed.
  assertEquals([order, nearest.rttMs("b"), nearest.rttMs("c"), nearest.rttMs("a")], [["b", "c", "a"], 30, 0, 0]);
  await clock.pass(10);
  await probe("c").answer();
  assertEquals(await nearest.order(), ["b", "c", "a"]);
});

Deno.test("nearest: with others than before, what was measured of one that stays counts, and who is gone is not asked", async () => {
  const { clock, nearest, open, probe } = rig("a", "b");
  const asked = nearest.order();
  await clock.pass(10);
  await probe("a").answer();
  await asked;
  await probe("b").fail();
  nearest.become(["a", "c", "d"]);
  // Whoever asked it before may hear from it yet.
  nearest.noteFailed("b");
  assertEquals([await nearest.order(), nearest.nodes, nearest.hasFailed("b")], [
    ["a", "c", "d"],
    ["a", "c", "d"],
    false,
  ]);
  assertEquals(open.map(({ node }) => node), ["a", "c", "d"]);
  await clock.pass(1);
  await probe("d").answer();
  assertEquals(await nearest.order(), ["d", "a", "c"]);
  await probe("a").answer();
  await probe("c").answer();
});

Deno.test("nearest: with all silent it gives up after a second, and they are asked in the order given", async () => {
  const { clock, nearest, open } = rig("a", "b");
  const asked = nearest.order();
  const { signal } = open[0]!;
  await clock.pass(1_000);
  assertEquals([await asked, signal.aborted, clock.timers], [["a", "b"], true, 0]);
});

Deno.test("nearest: it measures again after ten seconds, a failed node after one, and nobody waits for that", async () => {
  const { clock, nearest, open, probe } = rig("a", "b");
  const asked = nearest.order();
  await clock.pass(10);
  await probe("a").answer();
  await clock.pass(40);
  await probe("b").answer();
  assertEquals(await asked, ["a", "b"]);
  await clock.pass(9_949);
  await nearest.order();
  assertEquals(open.length, 0);
  await clock.pass(1);
  // No timer brings it about: a gateway that nobody asks is silent.
  assertEquals([open.length, clock.timers], [0, 0]);
  assertEquals(await nearest.order(), ["a", "b"]);
  assertEquals(open.length, 2);
  // One round trip that took long does not turn them round, several do.
  for (let i = 0; i < 2; i++) {
    await probe("b").answer();
    await clock.pass(100);
    await probe("a").answer();
    assertEquals(nearest.rttMs("a"), [32.5, 49.375][i]);
    if (i === 0) await clock.pass(10_000);
    if (i === 0) await nearest.order();
  }
  assertEquals(await nearest.order(), ["b", "a"]);
  nearest.noteFailed("b");
  assertEquals([await nearest.order(), nearest.rttMs("b"), open.length], [["a", "b"], 0, 0]);
  await clock.pass(1_000);
  await nearest.order();
  await probe("b").answer();
  // As if new: what it was before it failed says nothing.
  assertEquals([nearest.rttMs("b"), (await nearest.order())[0]], [0, "b"]);
});

Deno.test("nearest: of one node there is nothing to measure", async () => {
  const { nearest, open } = rig("a");
  assertEquals([await nearest.order(), open.length], [["a"], 0]);
});
