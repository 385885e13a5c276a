/** What is said of a node's readiness, in time that the test moves. */
import { assertEquals } from "@std/assert";
import { tellReadiness } from "../../src/cli/readiness.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

function setUp(reason: string | null) {
  const clock = new ManualClock();
  const said: string[] = [];
  const state = { reason, asked: 0 };
  const stop = tellReadiness({
    clock,
    readiness() {
      state.asked++;
      return state.reason === "broken" ? Promise.reject(new Error("broken")) : Promise.resolve(state.reason);
    },
    onReady: (isAgain) => said.push(isAgain ? "ready again" : "ready"),
    onUnready: (why) => said.push(why),
  });
  return { clock, said, state, stop };
}

Deno.test("tellReadiness: ready as soon as it is and not before; why not, once, if it lasts; and each change after that", async () => {
  const { clock, said, state, stop } = setUp("no quorum");
  await clock.pass(2_900);
  assertEquals(said, []);
  await clock.pass(60_000);
  assertEquals(said, ["no quorum"]);
  state.reason = null;
  await clock.pass(100);
  assertEquals(said, ["no quorum", "ready"]);
  await clock.pass(60_000);
  state.reason = "no quorum";
  // A restart of others is no news.
  await clock.pass(2_000);
  state.reason = null;
  await clock.pass(1_000);
  assertEquals(said, ["no quorum", "ready"]);
  state.reason = "broken";
  await clock.pass(60_000);
  state.reason = null;
  await clock.pass(1_000);
  assertEquals(said, ["no quorum", "ready", "broken", "ready again"]);
  stop();
  assertEquals(clock.timers, 0);
});

Deno.test("tellReadiness: one that is ready is asked each second, and nobody once it is stopped", async () => {
  const { clock, said, state, stop } = setUp(null);
  await settled();
  assertEquals(said, ["ready"]);
  await clock.pass(10_000);
  assertEquals(state.asked, 11);
  stop();
  await clock.pass(10_000);
  assertEquals([state.asked, said], [11, ["ready"]]);
});
