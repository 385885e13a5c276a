/** A leader that says something of itself though its term is over. */
import { assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/client/error.ts";
import { webWorld } from "../../src/client/world.ts";
import { withLinks } from "./linked_nodes.ts";

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, QuorateError)).code;
}

Deno.test("proclaim: a term that is over by the leader's own clock is not renewed, and says nothing more", () =>
  withLinks(1, async ({ direct, client }) => {
    let jumpedMs = 0;
    const clock = { ...webWorld.clock, wall: () => Date.now() + jumpedMs };
    const term = await client({ ...webWorld, clock }).elections.campaign("slept", { ttl: 600_000, value: "one" });
    jumpedMs = 700_000;
    assertEquals(await codeOf(term.proclaim("two")), "lost");
    assertEquals([term.held, term.signal.aborted], [false, true]);
    const { leader } = await (await fetch(`${direct[0]}/v1/elections/slept`)).json();
    assertEquals(leader.value, "one");
    await term.release();
  }));

Deno.test("proclaim: where a node says that the term is lost, the leader's signal aborts with it", () =>
  withLinks(1, async ({ direct, client }) => {
    const term = await client().elections.campaign("forced", { ttl: 600_000 });
    const body = JSON.stringify({ reason: "test" });
    await (await fetch(`${direct[0]}/v1/elections/forced`, { method: "DELETE", body })).body?.cancel();
    assertEquals(term.held, true);
    assertEquals(await codeOf(term.proclaim("two")), "lost");
    assertEquals([term.held, term.signal.aborted, term.signal.reason.how], [false, true, "forced"]);
    await term.release();
  }));
