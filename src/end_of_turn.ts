/**
 * Calls back once what has arrived by now was taken: what many requests and frames ask for in one turn of the event loop goes on
 * together, in one commit and one frame to each peer. To wait for less, as for the end of the microtasks, costs a commit and a
 * frame for each that arrives.
 */
import { setImmediate } from "node:timers";

export function atEndOfTurn(run: () => void): void {
  setImmediate(run);
}
