/** One deployment at a time, in the order of asking; who waits sees its position, and whoever gives up leaves at once. */
import type { Quorate } from "@quorate/quorate";

export async function deployInTurn(
  quorate: Quorate,
  run: { id: string; signal: AbortSignal; say: (line: string) => void },
  deploy: (fence: bigint) => Promise<void>,
) {
  const onPosition = (position: number) => run.say(`${run.id} is number ${position}`);
  await quorate.locks.request(
    "deploy",
    { holder: run.id, signal: run.signal, onPosition },
    (lock) => deploy(lock.fence),
  );
}
