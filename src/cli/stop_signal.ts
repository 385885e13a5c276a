/** Ctrl-C and `kill`: asked once, obeyed once. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Resolves at the first SIGINT or SIGTERM. More of them change nothing: Ctrl-C in a terminal reaches every process
 * of the group, and those above pass it on besides, so a second one is no sign of impatience.
 */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) Deno.addSignalListener(signal, resolve);
  });
}
