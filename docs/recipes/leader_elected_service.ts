/** A service of which one instance works at a time; the others stand by and know who leads. */
import type { Quorate } from "@quorate/quorate";

export async function serve(
  quorate: Quorate,
  url: string,
  stop: AbortSignal,
  step: (fence: bigint) => Promise<void>,
) {
  await quorate.elections.run("service", { value: url, ttl: 5_000, signal: stop }, async (term) => {
    while (!term.signal.aborted) await step(term.fence); // whatever `step` writes refuses a lower fence
  });
}
