/** Runs seeds for main.ts on a thread of its own: seeds in, one message per seed out. */
import { type Kind, planOf } from "./plan.ts";
import { play, type SimFigures } from "./simulator.ts";

export type Order = { readonly seeds: readonly number[]; /** Default: the seed's own. */ readonly kind?: Kind };
export type Ran = { readonly seed: number; readonly figures: SimFigures; readonly faults: readonly string[] };

const thread = self as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage: (ran: Ran | null) => void;
};

// Nodes refuse each other thousands of times a run, and nobody reads where: that of one seed alone is shown.
Error.stackTraceLimit = 0;

thread.onmessage = async ({ data }) => {
  for (const seed of data.seeds) {
    const { figures, faults } = await play(planOf(seed, data.kind));
    thread.postMessage({ seed, figures, faults: faults.slice(0, 5) });
  }
  // Ready for more.
  thread.postMessage(null);
};
