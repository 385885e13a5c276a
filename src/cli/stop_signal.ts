/** Ctrl-C and `kill`: asked once, obeyed once. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Resolves at the first SIGINT or SIGTERM, or one of `others`. More of them change nothing: Ctrl-C in a terminal reaches every process
 * of the group, and those above pass it on besides, so a second one is no sign of impatience.
 */
export function stopSignal(...others: readonly Deno.Signal[]): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of [...SIGNALS, ...others]) Deno.addSignalListener(signal, resolve);
  });
}
