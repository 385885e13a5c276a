/**
 * Whether this program was told to end. What it measures then ends with an error, and so everything that it started is
 * ended on the way out, as after any other.
 */
import { stopSignal } from "../../src/cli/stop_signal.ts";

let isTold = false;

/** From now on SIGINT and SIGTERM are heard, once, and obeyed by whoever calls `goOn`. */
export function listenForStop(): void {
  void stopSignal().then(() => isTold = true);
}

/** Called before each step of whatever takes long. Throws once the program was told to end. */
export function goOn(): void {
  if (isTold) throw new Error("stopped before it was done");
}
