/** What an operator is told of whether a node can serve: when it first can, when it cannot any more, and when it can again. */
import type { Clock } from "../ports.ts";

/** Until it is ready it is asked this often: whoever waits for the line should not wait for the next second. */
const SOON_MS = 100;
/** As it is asked, the node asks its peers: what is wrong with them is found out though no client comes. */
const EVERY_MS = 1_000;
/** Not ready for so long is news; less is a node that starts, or others that do. */
const PATIENCE_MS = 3_000;

export type Telling = {
  readonly clock: Clock;
  /** Null: it is ready; else why not. */
  readiness(): Promise<string | null>;
  /** @param isAgain it was said not to be since it was */
  onReady(isAgain: boolean): void;
  onUnready(reason: string): void;
};

/** Until the returned function is called. */
export function tellReadiness({ clock, readiness, onReady, onUnready }: Telling): () => void {
  let wasReady = false;
  let told: "ready" | "unready" | null = null;
  let lastReadyMs = clock.now();
  let isOver = false;
  let cancel = () => {};
  const look = async () => {
    const reason = await readiness().catch((error: Error) => error.message);
    if (isOver) return;
    if (reason === null) {
      lastReadyMs = clock.now();
      if (told !== "ready") onReady(wasReady);
      wasReady = true;
      told = "ready";
    } else if (told !== "unready" && clock.now() - lastReadyMs >= PATIENCE_MS) {
      onUnready(reason);
      told = "unready";
    }
    cancel = clock.after(reason === null ? EVERY_MS : SOON_MS, () => void look());
  };
  void look();
  return () => {
    isOver = true;
    cancel();
  };
}
