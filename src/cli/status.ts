/** `status`: each node that was named, whether it answers and votes, and why not. */
import type { NodeStatus } from "../api.ts";
import { asked, cells, show } from "./ask.ts";
import type { Common } from "./cluster.ts";
import { EXIT_FAILED, oneLine } from "./report.ts";

const ANSWER_WITHIN_MS = 2_000;

/** The exit code: 0 if some node answers that has no reason not to serve. */
export function runStatus(flags: Common): Promise<number> {
  return asked("status", flags, async ({ calls, urls }) => {
    const call = { method: "GET", target: "/v1/status", isUntimed: true } as const;
    const all = await Promise.all(urls.map(async (url) => {
      const beganMs = calls.clock.now();
      const limits = { nodes: [url], isOnce: true, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) } as const;
      try {
        const { body } = await calls.json<NodeStatus>(call, limits);
        return { url, rttMs: Math.round((calls.clock.now() - beganMs) * 10) / 10, status: body };
      } catch (error) {
        return { url, error: oneLine(error) };
      }
    }));
    for (const node of all) {
      if (node.status === undefined) {
        show(flags, node, cells("?", node.url, node.error));
        continue;
      }
      const { id, voting, reason, members, stopped } = node.status;
      const away = members.flatMap(({ id, fault }) => fault === undefined ? [] : [`${id}: ${fault.cause}`]);
      const more = [reason ?? "", ...away, stopped === undefined ? "" : `${stopped.count} names stopped`];
      const notes = more.filter((note) => note !== "").join("; ");
      show(flags, node, cells(id, node.url, voting ? "votes" : "does not vote", `${node.rttMs} ms`, notes));
    }
    return all.some(({ status }) => status !== undefined && status.reason === undefined) ? 0 : EXIT_FAILED;
  });
}
