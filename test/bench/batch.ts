/** Many operations in one request, asked again until each is done: a node that has more to do than it can says so. */
import type { Connection } from "./connection.ts";
import { goOn } from "./stop.ts";
import { expectOk } from "./system.ts";

/** One that may not be done twice bears an Idempotency-Key. */
export type Operation = {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
};
export type Answer = { readonly status: number; readonly body: { readonly fence?: string } };

const TRIES_MAX = 60;
const PAUSE_MS = 500;

/** The answers, all of them 200. Rejects where one is refused for good, or busy for longer than half a minute. */
export async function batched(
  connection: Pick<Connection, "request">,
  operations: readonly Operation[],
  pauseMs = PAUSE_MS,
): Promise<readonly Answer[]> {
  const answers: Answer[] = Array(operations.length);
  let left = operations.map((_, i) => i);
  for (let tries = 0; left.length > 0; tries++) {
    if (tries > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    goOn();
    const reply = await connection.request("POST", "/v1/batch", JSON.stringify(left.map((i) => operations[i])));
    // Nothing of it was begun.
    if (reply.status === 503 && tries < TRIES_MAX) continue;
    const some = JSON.parse(expectOk(reply)) as readonly Answer[];
    some.forEach((answer, j) => answers[left[j]!] = answer);
    const refused = some.find(({ status }) => status !== 200 && (status < 500 || tries >= TRIES_MAX));
    if (refused !== undefined) throw new Error(`an operation of a batch answered ${JSON.stringify(refused)}`);
    left = left.filter((i) => answers[i]!.status !== 200);
  }
  return answers;
}
