import { assertEquals, assertMatch } from "@std/assert";
import { withLinks } from "../client/linked_nodes.ts";
import { until } from "../replica/clocks.ts";
import { Command } from "./command.ts";

/** Hears TERM and goes on: only KILL ends it. What it starts is of its group. */
const STUBBORN = "trap 'echo told' TERM; echo \"pid $$\"; for i in $(seq 1000); do sleep 0.02; done";
/** As stubborn, and one process: a shell whose child was stopped before it ran its program is in no stop itself, but waits for it. */
const STUBBORN_ALONE = "trap '' TERM; echo \"pid $$\"; exec sleep 60";

function isRunning(pid: number): boolean {
  try {
    // Z: it has ended, and nobody has waited for it.
    return !/\) Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

function isStopped(pid: number): boolean {
  return /\) T /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
}

for (
  const [what, state] of [["swallows packets", "silent"], ["is cut, as where the nodes are stopped", "cut"]] as const
) {
  Deno.test(`lock: where the network ${what}, the command is gone before somebody else is granted`, () =>
    withLinks(3, async ({ urls, direct, links }) => {
      // Between its end and the next grant is a part of its ttl, in which a busy machine has to let the holder run.
      const args = ["lock", "--ttl", "6s", "job", "--", "sh", "-c", STUBBORN];
      await using holder = new Command(args, { QUORATE_URL: urls.join(",") });
      const pid = Number((await holder.line(/^pid (\d+)$/))[1]);
      assertEquals(isRunning(pid), true);
      for (const link of links) link.state = state;
      const body = JSON.stringify({ waitMs: 30_000 });
      const next = await fetch(`${direct[0]}/v1/locks/job`, { method: "POST", body });
      assertEquals([next.status, isRunning(pid)], [200, false]);
      await next.body?.cancel();
      // It gives back what it can: with the network there that takes no time.
      for (const link of links) link.state = "open";
      const { code, out, err } = await holder.ended();
      assertEquals([code, out.slice(1)], [74, ["told"]]);
      assertMatch(err.join("\n"), /^quorate lock: job is lost, and the command is ended: it could not be renewed$/m);
    }));
}

Deno.test("lock: a short failure of the network ends nothing; what an admin ends is lost", () =>
  withLinks(3, async ({ urls, direct, links }) => {
    const args = ["lock", "--json", "--ttl", "6s", "job", "--", "sh", "-c", "echo up; exec sleep 60"];
    await using holder = new Command(args, { QUORATE_URL: urls.join(",") });
    await holder.line(/^up$/);
    const view = async () => (await (await fetch(`${direct[0]}/v1/locks/job`)).json());
    const before = await view();
    links[0]!.state = "cut";
    links[1]!.state = "cut";
    // Renewed through the third: then it lapses later than it was said to.
    let after = await view();
    for (let i = 0; i < 4_000; i++) {
      const last = after.holders[0]?.lapsesInMs;
      await new Promise((done) => setTimeout(done, 10));
      after = await view();
      if (after.holders[0]?.lapsesInMs > last) break;
    }
    assertEquals([after.state, after.holders[0].fence], ["held", before.holders[0].fence]);
    for (const link of links) link.state = "open";
    const force = { method: "DELETE", body: JSON.stringify({ reason: "test" }) };
    assertEquals((await fetch(`${direct[1]}/v1/locks/job`, force)).status, 200);
    const { code, err } = await holder.ended();
    assertEquals([code, err.map((line) => JSON.parse(line).event)], [74, ["lost"]]);
  }));

Deno.test("lock: a holder that was stopped past its guarantee does not let its command go on", () =>
  withLinks(1, async ({ urls, direct }) => {
    const args = ["lock", "--ttl", "4s", "job", "--", "sh", "-c", STUBBORN_ALONE];
    await using holder = new Command(args, { QUORATE_URL: urls.join(",") });
    const pid = Number((await holder.line(/^pid (\d+)$/))[1]);
    try {
      // As Ctrl-Z does: the command is stopped with it.
      holder.kill("SIGTSTP");
      // Both in one reading: on its way to a stop a process may be seen in another state again.
      const areStopped = () => [holder.pid, pid].every((each) => isStopped(each));
      await until("both are stopped", areStopped);
      const body = JSON.stringify({ waitMs: 30_000 });
      const next = await fetch(`${direct[0]}/v1/locks/job`, { method: "POST", body });
      assertEquals(next.status, 200);
      await next.body?.cancel();
    } finally {
      holder.kill("SIGCONT");
    }
    const { code } = await holder.ended();
    assertEquals([code, isRunning(pid)], [74, false]);
  }));
