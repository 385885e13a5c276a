/** `raise`: the end of an upgrade, after which older nodes are of no use. */
import { asked, show } from "./ask.ts";
import type { Common } from "./cluster.ts";

type Raised = { readonly machine: number; readonly before: number };

/** The exit code. */
export function runRaise(flags: Common): Promise<number> {
  return asked("raise", flags, async ({ calls }) => {
    const { body } = await calls.json<Raised>({ method: "POST", target: "/v1/raise", command: calls.command() });
    const { machine, before } = body;
    const text = machine === before ? `version ${machine} already` : `version ${machine}, was ${before}`;
    show(flags, body, `the machine is at ${text}`);
  });
}
